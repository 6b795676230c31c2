"""The variational autoencoder of the seed series' second part (Kingma & Welling 2014)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from scalespace.config import AutoencoderRecipe
from scalespace.core.noise import Noise
from scalespace.core.scale import pad, whole
from scalespace.data.info import DataInfo
from scalespace.data.pixels import pictures
from scalespace.engine.base import Call
from scalespace.errors import InputError
from scalespace.nets.autoencoder import Decoder, Encoder, kl_divergence, reduction
from scalespace.stages.base import Models, Networks, Stage, StageModel

PART = 1000  # images that are encoded or decoded at a time
JITTER = 1e-4  # added to the variances of a fitted Gaussian, in units of the normalised latents
TRAVERSAL = 2.5  # standard deviations to either side
SHOWN = 10  # images and traversals that `inspect` shows
STEPS = 9  # of a traversal or an interpolation
MOST = 4096  # numbers of a latent, hence rows and columns of a class's covariance


@dataclass(frozen=True)
class VAEStage(Stage["VAE"]):
    """A variational autoencoder of images padded to whole latents (28x28 to 32x32)."""

    recipe: ClassVar[type] = AutoencoderRecipe
    defaults: ClassVar[Mapping[str, Any]] = {
        "train": {
            "batch_size": 128,
            "lr": 1e-3,
            "muon": 0.0,
            "warmup": 0,
            "decay": "none",
            "ema": 0.0,
        }
    }

    def build(
        self,
        recipe: AutoencoderRecipe,
        data: DataInfo,
        needs: Models | None = None,
    ) -> VAE:
        """An untrained `VAE`.

        Raises:
            InputError: the latents are too large for a Gaussian of each class.
        """
        return VAE(self, recipe, data)


class VAE(StageModel):
    """Encoder, decoder, and the statistics of the training part's latents.

    `latent_mean` and `latent_std` [c, 1, 1] normalise latents; `class_mean` [classes, d] and
    `class_root` [classes, d, d] are the Gaussian of each class's normalised latents, its
    covariance as a Cholesky factor. All four are set once training is over.
    """

    calls = 1
    latent_mean: Tensor
    latent_std: Tensor
    class_mean: Tensor
    class_root: Tensor

    def __init__(self, stage: VAEStage, recipe: AutoencoderRecipe, data: DataInfo) -> None:
        super().__init__()
        c = recipe.autoencoder
        self.stage, self.data = stage, data
        self.beta, self.conditional = c.beta, c.prior == "class"
        factor = reduction(c)
        self.height, self.width = whole(data.height, factor), whole(data.width, factor)
        self.shape = (c.latent, self.height // factor, self.width // factor)
        d, classes = int(np.prod(self.shape)), len(data.classes)
        if d > MOST:
            raise InputError(
                f"stage '{stage.name}': latents of {'x'.join(map(str, self.shape))} are more than "
                f"{MOST} numbers: more levels in autoencoder.channels, or a smaller "
                "autoencoder.latent, make them fewer"
            )
        self.encoder, self.decoder = Encoder(c, data.channels), Decoder(c, data.channels)
        self.fast: Call | None = None  # an engine's
        self.register_buffer("latent_mean", torch.zeros(c.latent, 1, 1))
        self.register_buffer("latent_std", torch.ones(c.latent, 1, 1))
        self.register_buffer("class_mean", torch.zeros(classes, d))
        self.register_buffer("class_root", torch.eye(d).repeat(classes, 1, 1))

    # from images to latents and back

    def pad(self, unit: Tensor) -> Tensor:
        """Images [n, c, h, w] in [0, 1] with a black border that makes their sides whole."""
        return pad(unit, self.height, self.width)

    def crop(self, x: Tensor) -> Tensor:
        """Padded images without their border."""
        top, left = (self.height - self.data.height) // 2, (self.width - self.data.width) // 2
        return x[..., top : top + self.data.height, left : left + self.data.width]

    @torch.no_grad()
    def encode(self, padded: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the normalised latents of padded images: [n, *shape] each."""
        parts = [self.encoder(part) for part in padded.split(PART)]
        mean = torch.cat([mean for mean, _ in parts])
        std = torch.cat([(0.5 * log_variance).exp() for _, log_variance in parts])
        return (mean - self.latent_mean) / self.latent_std, std / self.latent_std

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Standardised images [n, c, h, w] from normalised latents [n, *shape]."""
        raw = z * self.latent_std + self.latent_mean
        draw = self.fast or self.decoder
        unit = torch.cat([draw(part) for part in raw.split(PART)])
        return self.data.standardize(self.crop(unit).clamp(0, 1))

    def networks(self) -> Networks:
        """The decoder."""
        z = torch.zeros(2, *self.shape, device=self.latent_mean.device)
        return {"decoder": (self.decoder.eval(), (z,))}

    def use(self, calls: Mapping[str, Call]) -> None:
        """Decodes by an engine's call from now on."""
        self.fast = calls["decoder"]

    # training

    def prepare(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """The padded pixels in [0, 1]."""
        return (self.pad(self.data.to_unit(images)),)

    def terms(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """Both terms of the loss: summed squared error [n], and KL [n, *shape].

        Args:
            x: padded images.
            eps: the noise of the posterior samples [n, *shape].
        """
        mean, log_variance = self.encoder(x)
        z = mean + (0.5 * log_variance).exp() * eps
        error = (self.decoder(z) - x).square().flatten(1).sum(dim=1)
        return error, kl_divergence(mean, log_variance)

    def forward(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """Summed squared error + beta KL, one posterior sample an image: float [n]."""
        eps = torch.randn((len(labels), *self.shape), generator=rng, device=labels.device)
        error, kl = self.terms(batch[0], eps)
        return error + self.beta * kl.flatten(1).sum(dim=1)

    def validate(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """The same loss, one level: [n, 1]."""
        return self.eval()(batch, labels, rng)[:, None]

    def finish(self, batch: Sequence[Tensor], labels: Tensor) -> None:
        """Sets the statistics of posterior samples: by channel, then, normalised, by class."""
        rng = torch.Generator(labels.device).manual_seed(0)
        self.latent_mean.zero_()
        self.latent_std.fill_(1)
        mean, std = self.eval().encode(batch[0])
        z = mean + std * torch.randn(mean.shape, generator=rng, device=mean.device)
        self.latent_mean.copy_(z.mean(dim=(0, 2, 3))[:, None, None])
        self.latent_std.copy_(z.std(dim=(0, 2, 3)).clamp(min=1e-6)[:, None, None])
        z = ((z - self.latent_mean) / self.latent_std).flatten(1)
        z, labels = z.cpu().double(), labels.cpu()  # not every device has float64
        for label in range(len(self.data.classes)):
            own = z[labels == label]
            if len(own) < 2:
                continue  # the standard normal remains
            covariance = torch.cov(own.T) + JITTER * torch.eye(z.shape[1], dtype=z.dtype)
            self.class_mean[label] = own.mean(dim=0).float()
            self.class_root[label] = torch.linalg.cholesky(covariance).float()

    # sampling and looking inside

    def latents(self, labels: Tensor, noise: Noise) -> Tensor:
        """Draws normalised latents from the prior that the recipe names: [n, *shape]."""
        eps = noise.stream(self.stage.name).normal(self.shape)
        if not self.conditional:
            return (eps - self.latent_mean) / self.latent_std
        rows = (self.class_root[labels] @ eps.flatten(1)[:, :, None])[:, :, 0]
        return (self.class_mean[labels] + rows).view(eps.shape)

    def reconstruct(self, unit: Tensor) -> Tensor:
        """Images [n, c, h, w] in [0, 1], encoded to their posterior means and decoded."""
        return self.data.to_unit(self.decode(self.encode(self.pad(unit))[0]))

    def preview(self, batch: Sequence[Tensor], labels: Tensor, seed: int) -> Tensor:
        """Reconstructions, from the posteriors' means."""
        return self.decode(self.encode(batch[0])[0])

    def facts(self) -> dict[str, Any]:
        """The shape of its latents."""
        return {"kind": "vae", "latent": list(self.shape), "conditional": self.conditional}

    @torch.no_grad()
    def inspect(self, images: Tensor, labels: Tensor) -> dict[str, np.ndarray]:
        """What the autoencoder keeps of images, and what its latents mean.

        Returns:
            `originals`, `reconstructions` [k, h, w]; `traversals` [m, STEPS, h, w]: one number of
            the first image's latent moved over +-2.5 deviations; `traversed` [m]: which numbers, by
            falling KL; `interpolations` [k, STEPS, h, w] between pairs of images; `kl` [*shape]:
            nats a latent number; `posterior_std` [*shape], in deviations of the latent; `error`
            [n]: mean squared error of the pixels.
        """
        x = self.pad(images)
        mean, std = self.encode(x)
        raw_mean, raw_std = mean * self.latent_std + self.latent_mean, std * self.latent_std
        kl = kl_divergence(raw_mean, 2 * raw_std.log()).mean(dim=0)
        shown = [int((labels == c).nonzero()[0]) for c in labels.unique().tolist()][:SHOWN]
        rebuilt = self.data.to_unit(self.decode(mean))
        u = torch.linspace(0, 1, STEPS, device=x.device)[:, None, None, None]
        pairs = zip(shown, [*shown[1:], *shown[:1]], strict=True)
        between = [self._pictures((1 - u) * mean[a] + u * mean[b]) for a, b in pairs]
        telling = kl.flatten().argsort(descending=True)[:SHOWN].tolist()
        base = mean[shown[0]].flatten()
        moved = []
        for number in telling:
            z = base.repeat(STEPS, 1)
            z[:, number] = torch.linspace(-TRAVERSAL, TRAVERSAL, STEPS, device=x.device)
            moved.append(self._pictures(z.view(STEPS, *self.shape)))
        return {
            "originals": pictures(images[shown]),
            "reconstructions": pictures(rebuilt[shown]),
            "interpolations": np.stack(between),
            "traversals": np.stack(moved),
            "traversed": np.array(telling),
            "kl": kl.cpu().numpy(),
            "posterior_std": std.mean(dim=0).cpu().numpy(),
            "error": (rebuilt - images).square().flatten(1).mean(dim=1).cpu().numpy(),
        }

    def _pictures(self, z: Tensor) -> np.ndarray:
        return pictures(self.data.to_unit(self.decode(z)))


def sheet(z: Tensor) -> Tensor:
    """Latents [n, c, h, w] as one grey image each, their channels side by side.

    An even c gives two rows, [n, 1, 2h, c/2 w], and an odd one gives [n, 1, h, c w].
    """
    n, c, h, w = z.shape
    rows = 2 if c % 2 == 0 else 1
    grid = z.view(n, rows, c // rows, h, w).permute(0, 1, 3, 2, 4)
    return grid.reshape(n, 1, rows * h, c // rows * w)
