"""A stage whose images blur while noise is added (`core/frequencies.py`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from scalespace.config import BlurringRecipe, Recipe
from scalespace.core.frequencies import Blurring, blurring
from scalespace.core.segment import Segment
from scalespace.data.info import DataInfo
from scalespace.stages.diffusion import DiffusionStage
from scalespace.stages.from_recipe import make_schedule


@dataclass(frozen=True)
class BlurringStage(DiffusionStage):
    """A `DiffusionStage` whose images blur as well.

    The blur rises to `blur.most` pixels as sin(pi u / 2)^2, where u goes evenly from 0 in the data
    to 1 in the last state (Hoogeboom & Salimans 2023, section 4.2).
    """

    recipe: ClassVar[type] = BlurringRecipe

    def segment(self, recipe: Recipe, data: DataInfo) -> Segment:
        """As any `DiffusionStage`."""
        assert isinstance(recipe, BlurringRecipe)
        self._check(recipe)
        shape = self.shape(recipe, data)
        schedule = make_schedule(recipe.process, self.states)
        u = (t / schedule.last for t in range(schedule.states))
        blurs = [recipe.blur.most * math.sin(math.pi / 2 * part) ** 2 for part in u]
        bands = recipe.blur.bands
        fades = blurring(schedule, shape[1:], bands, blurs)
        return Blurring(self.name, schedule, shape, self.scale, bands=bands, fades=fades)
