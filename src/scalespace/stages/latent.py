"""Latent diffusion: the same process in the latents of an autoencoder (Rombach et al. 2022)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from scalespace.config import Recipe
from scalespace.core.segment import Segment
from scalespace.core.spectrum import Components, flat
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.stages.base import Models, Stage
from scalespace.stages.denoising import Diffusion
from scalespace.stages.diffusion import DiffusionStage, check_size
from scalespace.stages.from_recipe import make_schedule
from scalespace.stages.vae import VAE, VAEStage


@dataclass(frozen=True, eq=False)
class LatentSegment(Segment):
    """A segment whose x_0 is the normalised latent of an image.

    Args:
        autoencoder: whose latents they are.
    """

    autoencoder: VAE | None = field(default=None, kw_only=True)

    @property
    def latents_of(self) -> str:
        """The autoencoder's."""
        assert self.autoencoder is not None
        return self.autoencoder.stage.name

    def x0_of(self, images: Tensor) -> Tensor:
        """The mean latents of standardised images at the data's size."""
        assert self.autoencoder is not None
        mean, _ = self.autoencoder.encode(*self.autoencoder.prepare(images))
        return mean.clone()

    def components(self) -> tuple[Components, ...]:
        """Equal ones: the autoencoder is trained for independent latents."""
        return flat(math.prod(self.shape))


@dataclass(frozen=True)
class LatentStage(DiffusionStage):
    """A diffusion process over the normalised latents of a trained autoencoder.

    Args:
        name: of the stage.
        states: S.
        autoencoder: the stage whose latents they are.
    """

    autoencoder: VAEStage | None = None

    @property
    def needs(self) -> tuple[Stage[Any], ...]:
        """The autoencoder."""
        assert self.autoencoder is not None
        return (self.autoencoder,)

    def build(self, recipe: Recipe, data: DataInfo, needs: Models | None = None) -> LatentDiffusion:
        """An untrained `LatentDiffusion`.

        Raises:
            InputError: the network is too deep for the latents, or an ablation or the mean as
                the target is asked for.
        """
        if recipe.objective.target == "mean":
            raise InputError(
                f"objective.target: the latents of stage '{self.name}' are drawn anew in each "
                "step, and so no finite set to take the mean of: choose sample"
            )
        if recipe.ablation.in_sampling:
            raise InputError(f"stage '{self.name}': ablations are of processes over images")
        assert self.autoencoder is not None
        assert needs is not None, "the latents' shape is the autoencoder's"
        self._check(recipe)
        autoencoder = needs.of(self.autoencoder)
        check_size(self.name, recipe.net, *autoencoder.shape[1:])
        segment = LatentSegment(
            self.name,
            make_schedule(recipe.process, self.states),
            autoencoder.shape,
            autoencoder=autoencoder,
        )
        return LatentDiffusion(self, recipe, data, segment)


class FlowStage(LatentStage):
    """The same by flow matching: the straight path, its velocity, and `ddim` as Euler steps."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "process": {"schedule": "flow", "predict": "flow", "sampler": "ddim"}
    }


class LatentDiffusion(Diffusion):
    """A `Diffusion` whose x0 is a sample of the posterior of an image's latent.

    Its segment holds the autoencoder, which is not a submodule: its weights are another stage's.
    """

    extent: Tensor

    def __init__(
        self, stage: LatentStage, recipe: Recipe, data: DataInfo, segment: LatentSegment
    ) -> None:
        super().__init__(stage, recipe, data, segment)
        self.register_buffer("extent", torch.tensor(1.0))

    @property
    def tensors(self) -> int:
        """Mean and deviation."""
        return 2

    @property
    def autoencoder(self) -> VAE:
        """The segment's."""
        assert isinstance(self.segment, LatentSegment)
        assert self.segment.autoencoder is not None
        return self.segment.autoencoder

    def read_domain(self) -> tuple[float, float]:
        """Plus and minus the largest magnitude in the training part's mean latents."""
        extent = float(self.extent)
        return -extent, extent

    def prepare(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """Mean and deviation of each image's normalised latent: the encoder runs once."""
        autoencoder = self.autoencoder.eval()
        mean, std = autoencoder.encode(*autoencoder.prepare(images))
        return mean.clone(), std.clone()

    def posterior_sample(self, batch: Sequence[Tensor], rng: torch.Generator) -> tuple[Tensor]:
        """One latent for each row of a batch."""
        mean, std = batch
        return (mean + std * torch.randn(mean.shape, generator=rng, device=mean.device),)

    def forward(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """Algorithm 1 on a fresh posterior sample of each latent: float [n]."""
        return super().forward(self.posterior_sample(batch, rng), labels, rng)

    def validate(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """The loss at every state, on one posterior sample an image: [n, S-1]."""
        return super().validate(self.posterior_sample(batch, rng), labels, rng)

    def finish(self, batch: Sequence[Tensor], labels: Tensor) -> None:
        """Sets `extent`, the largest magnitude in the mean latents."""
        self.extent.fill_(float(batch[0].abs().max()))

    def preview(self, batch: Sequence[Tensor], labels: Tensor, seed: int) -> Tensor | None:
        """Samples of this stage, decoded."""
        self.finish(batch, labels)  # an extent for now; that of the whole training part comes last
        return super().preview(batch[:1], labels, seed)

    def shown(self, x: Tensor) -> Tensor:
        """The decoded latents."""
        return self.autoencoder.to(x.device).decode(x)
