"""`vae`: a latent drawn from a Gaussian, decoded. One network call a sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from scalespace.core.samplers import Step
from scalespace.methods.base import Method, register
from scalespace.stages.base import Models
from scalespace.stages.vae import VAEStage, sheet

AUTOENCODER = VAEStage("vae")


@register
class VariationalAutoencoder(Method):
    """The variational autoencoder of the seed series: one call of the decoder."""

    name = "vae"
    title = "VAE"
    stages = (AUTOENCODER,)

    def sample(
        self,
        models: Models,
        labels: Tensor,
        seed: int,
        indices: Sequence[int],
    ) -> Iterator[Step]:
        """Two states: the latent and its image."""
        autoencoder = models[AUTOENCODER.name]
        z = autoencoder.latents(labels, seed, indices)
        yield Step(1, sheet(z), None)
        x = autoencoder.decode(z)
        yield Step(0, x, x)
