"""A control for the cascade: an upscaler that trains on what it will be given.

The upscaler learns from real half-size images and meets the small stage's samples. If that
difference is what harms the cascade, an upscaler trained on the small stage's own images must do
better. Such an image needs a full-size partner, so it is made from a real one, noised to a state of
the small process and denoised by the small stage, as in SDEdit (Meng et al. 2022). It keeps the
layout of the digit, and has what the small stage gets wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scalespace.config import Recipe
from scalespace.core.denoiser import Condition
from scalespace.core.noise import Seeded
from scalespace.core.sampling import last
from scalespace.core.segment import Segment
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.stages.base import Kept, Models, Stage
from scalespace.stages.denoising import Diffusion
from scalespace.stages.diffusion import DiffusionStage

PART = 500  # images redrawn at a time
SEED = 0  # of their noise, which is part of the data


@dataclass(frozen=True)
class OwnStage(DiffusionStage):
    """A conditioned stage whose half-size images are another stage's redrawings of real ones.

    Args:
        name, states, scale, conditioned: as for `DiffusionStage`.
        maker: the stage that makes them.
        plain: the stage that it is a control for, trained on real half-size images.
        state: the state of the maker's process that real images are noised to.
    """

    maker: DiffusionStage | None = None
    plain: DiffusionStage | None = None
    state: int = 10

    @property
    def needs(self) -> tuple[Stage[Any], ...]:
        """The stage that makes the half-size images."""
        assert self.maker is not None
        return (self.maker,)

    @property
    def samples(self) -> tuple[Stage[Any], ...]:
        """The same."""
        return self.needs

    @property
    def like(self) -> Stage[Any] | None:
        """`plain`: the recipe is shared, only the data differ."""
        return self.plain

    def build(self, recipe: Recipe, data: DataInfo, needs: Models | None = None) -> OwnUpscaler:
        """An untrained `OwnUpscaler`; to train it, `needs` must hold the trained maker.

        Raises:
            InputError: as from `segment`, or an ablation of the sampler is asked for.
        """
        if recipe.ablation.in_sampling:
            raise InputError(
                f"stage '{self.name}' has no ablation.{', '.join(recipe.ablation.SAMPLING)}: "
                "leave its method out of the study"
            )
        assert self.maker is not None
        assert needs is not None, "another stage makes its coarser images"
        segment = self.segment(recipe, data)
        return OwnUpscaler(self, recipe, data, segment, needs.of(self.maker))


class OwnUpscaler(Diffusion):
    """A conditioned `Diffusion` that trains on redrawn half-size images."""

    def __init__(
        self,
        stage: OwnStage,
        recipe: Recipe,
        data: DataInfo,
        segment: Segment,
        maker: Diffusion,
    ) -> None:
        super().__init__(stage, recipe, data, segment)
        self.state = min(stage.state, maker.segment.schedule.last)
        self._maker = Kept(maker)

    def prepare(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """x0, and the half-size image as the maker redraws it: the maker runs once."""
        x0, low = super().prepare(images)
        if labels is None:
            raise ValueError("an image is redrawn as one of its class: labels are needed")
        parts = torch.arange(len(low)).split(PART)
        return x0, torch.cat(
            [self.redrawn(low[rows], labels[rows], rows.tolist()) for rows in parts]
        )

    def redrawn(self, low: Tensor, labels: Tensor, indices: list[int]) -> Tensor:
        """Half-size images [n, 1, h/2, w/2], noised to `state` and denoised by the maker."""
        maker = self._maker.one
        rng = torch.Generator().manual_seed(SEED + indices[0])
        eps = torch.randn(low.shape, generator=rng)
        x_t = maker.segment.q_sample(low, torch.full((len(low),), self.state), eps)
        noise = Seeded(SEED, indices)
        return last(maker.eval().alone(Condition(labels), noise, start=(self.state, x_t))).x
