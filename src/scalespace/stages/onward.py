"""Stages that go on from a coarser image in a process of both scales, instead of from noise.

`RenoisedStage` takes the finished image back to a state between (Ryu & Ye 2022). `FadingStage`
takes an unfinished one over, and its detail fades in (Zhang et al. 2022; `core/bands.py`). Either
follows whatever stage makes images half the size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from scalespace.config import FadingRecipe, JumpRecipe, Recipe
from scalespace.core.bands import Fading, fading, onward
from scalespace.core.jumps import Approximate, Exact, Renoised
from scalespace.core.segment import Segment
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.stages.diffusion import DiffusionStage

FRESH = 0.95
"""`jump.fresh` by default: chosen on the validation part among 0 to 1 (docs/results/jumps.md)."""


@dataclass(frozen=True)
class RenoisedStage(DiffusionStage):
    """A finer scale that begins with the enlarged image, noised to its own last state.

    `coarser` says how many times smaller that image is.
    """

    recipe: ClassVar[type] = JumpRecipe

    def segment(self, recipe: Recipe, data: DataInfo) -> Segment:
        """As any `DiffusionStage`.

        Raises:
            InputError: as any, or `jump.fresh` is set: this jump always draws all noise anew.
        """
        assert isinstance(recipe, JumpRecipe)
        self._check(recipe)
        if recipe.jump.fresh:
            raise InputError(
                f"stage '{self.name}': all noise of its jump is fresh: leave jump.fresh alone"
            )
        schedule = onward(recipe.jump.begin, recipe.process.states or self.states)
        shape = self.shape(recipe, data, self.coarser)
        jump = Renoised(self.coarser, schedule.last)
        return Segment(self.name, schedule, shape, self.scale, jump)


@dataclass(frozen=True)
class FadingStage(DiffusionStage):
    """A finer scale that goes on from the coarser one's state, while its detail comes in.

    `coarser` is the side of the blocks whose means the coarser scale holds.
    """

    recipe: ClassVar[type] = FadingRecipe
    defaults: ClassVar[Mapping[str, Any]] = {"jump": {"fresh": FRESH}}

    def segment(self, recipe: Recipe, data: DataInfo) -> Segment:
        """As any `DiffusionStage`; the jump is exact if little enough of the detail is left.

        Raises:
            InputError: as any, or the detail is to be whole before a single state has passed.
        """
        assert isinstance(recipe, FadingRecipe)
        self._check(recipe)
        fade = recipe.fade
        schedule = onward(recipe.jump.begin, recipe.process.states or self.states)
        whole = math.ceil(schedule.time_of(fade.whole))  # d is a line between two states
        if whole == schedule.last:
            raise InputError(
                f"stage '{self.name}': between jump.begin={recipe.jump.begin:g} and fade.whole="
                f"{fade.whole:g} lies no state of its {schedule.states} for the detail to fade in"
            )
        t = torch.arange(schedule.states, dtype=torch.float64)
        u = ((t - whole) / (schedule.last - whole)).clamp(min=0)
        detail = 1 - (1 - fade.left) * u**fade.power
        jump = Exact if fade.left <= Exact.LEFT else Approximate
        return Fading(
            self.name,
            schedule,
            self.shape(recipe, data, self.coarser),
            self.scale,
            jump(self.coarser, recipe.jump.fresh),
            blocks=self.coarser,
            fade=fading(schedule, detail.tolist()),
        )
