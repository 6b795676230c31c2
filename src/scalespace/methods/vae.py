"""`vae`: a latent drawn from a Gaussian, decoded. One network call a sample."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from scalespace.core.noise import Noise
from scalespace.core.sampling import Edit, Start, Step
from scalespace.methods.base import Method, refuse_images, register
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
        noise: Noise,
        start: Start | None = None,
        edit: Edit | None = None,
    ) -> Iterator[Step]:
        """Two states: the latent and its image."""
        refuse_images(self, start, edit)
        autoencoder = models.of(AUTOENCODER)
        z = autoencoder.latents(labels, noise)
        yield Step(1, sheet(z), None)
        x = autoencoder.decode(z)
        yield Step(0, x, x)
