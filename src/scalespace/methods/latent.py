"""Latent diffusion and latent flow matching: a process in an autoencoder's latents, decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from torch import Tensor

from scalespace.core.samplers import Step
from scalespace.methods.base import Method, register
from scalespace.methods.vae import AUTOENCODER
from scalespace.stages.base import Models
from scalespace.stages.latent import FlowStage, LatentStage
from scalespace.stages.vae import VAEStage, sheet

LATENT = LatentStage("latent", states=50, autoencoder=AUTOENCODER)
LATENT_FLOW = FlowStage("latent-flow", states=50, autoencoder=AUTOENCODER)


class InLatents(Method):
    """A method of two stages: an autoencoder, and a process in its latents."""

    stages: ClassVar[tuple[VAEStage, LatentStage]]

    def sample(
        self,
        models: Models,
        labels: Tensor,
        seed: int,
        indices: Sequence[int],
    ) -> Iterator[Step]:
        """S-1 calls in the latents, and one last step that decodes the result."""
        autoencoder, process = (models[stage.name] for stage in self.stages)
        for step in process.sample(labels, seed, indices):
            x0_hat = None if step.x0_hat is None else sheet(step.x0_hat)
            yield Step(step.t, sheet(step.x), x0_hat)
        x = autoencoder.decode(step.x)
        yield Step(0, x, x)

    def conditional(self, models: Models) -> bool:
        """Whether the process is: the autoencoder's own prior has no part in this."""
        return bool(models[self.stages[1].name].conditional)


@register
class LatentDiffusionMethod(InLatents):
    """Diffusion in the latents of the series' autoencoder."""

    name = "latent"
    title = "Latent diffusion"
    stages = (AUTOENCODER, LATENT)


@register
class LatentFlow(InLatents):
    """Flow matching in the same latents."""

    name = "latent-flow"
    title = "Latent flow"
    stages = (AUTOENCODER, LATENT_FLOW)
