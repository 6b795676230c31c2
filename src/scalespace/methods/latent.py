"""Latent diffusion and latent flow matching: a process in an autoencoder's latents, decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor

from scalespace.core.denoiser import Condition
from scalespace.core.noise import Noise
from scalespace.core.sampling import Edit, Leg, Start, Step, reverse
from scalespace.errors import InputError
from scalespace.methods.base import Method, register
from scalespace.methods.fast import distilled
from scalespace.methods.vae import AUTOENCODER
from scalespace.stages.base import Models
from scalespace.stages.diffusion import DiffusionStage
from scalespace.stages.latent import FlowStage, LatentStage
from scalespace.stages.vae import VAEStage, sheet

LATENT = LatentStage("latent", states=50, autoencoder=AUTOENCODER)
LATENT_FLOW = FlowStage("latent-flow", states=50, autoencoder=AUTOENCODER)


class InLatents(Method):
    """A method of two stages: an autoencoder, and a process in its latents."""

    stages: ClassVar[tuple[VAEStage, DiffusionStage]]

    def legs(self, models: Models) -> tuple[Leg, ...]:
        """The process in the latents."""
        return models.of(self.stages[1]).legs()

    def sample(
        self,
        models: Models,
        labels: Tensor,
        noise: Noise,
        start: Start | None = None,
        edit: Edit | None = None,
    ) -> Iterator[Step]:
        """All states in the latents, and one last step that decodes the result."""
        if edit is not None:
            raise InputError(
                f"method '{self.name}' works in latents, which have no pixels to be kept"
            )
        autoencoder = models.of(self.stages[0])
        for step in reverse(self.legs(models), Condition(labels), noise, start):
            x0_hat = None if step.x0_hat is None else sheet(step.x0_hat)
            yield Step(step.t, sheet(step.x), x0_hat, step.segment)
        x = autoencoder.decode(step.x)
        yield Step(0, x, x)

    def calls(self, models: Models) -> int:
        """Those in the latents, and the decoder's."""
        return super().calls(models) + models.of(self.stages[0]).calls


@distilled
@register
class LatentDiffusionMethod(InLatents):
    """Diffusion in the latents of the series' autoencoder."""

    name = "latent"
    title = "Latent diffusion"
    stages = (AUTOENCODER, LATENT)


@distilled
@register
class LatentFlow(InLatents):
    """Flow matching in the same latents."""

    name = "latent-flow"
    title = "Latent flow"
    stages = (AUTOENCODER, LATENT_FLOW)
