"""The encoder and decoder of the seed series' second part."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from scalespace.config import AutoencoderConfig


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    """Conv-BatchNorm-LeakyReLU; the norm has a bias, so that the convolution needs none."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(),
    )


class Encoder(nn.Module):
    """Images [n, c, h, w] to the mean and log-variance of their latents, [n, latent, h/f, w/f].

    Two convolutions a level, then max-pooling; one convolution to the mean and another, the
    "second map", to the log of the variance.
    """

    def __init__(self, c: AutoencoderConfig, channels: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, o in zip([channels, *c.channels], c.channels, strict=False):
            layers += [_conv(i, o), _conv(o, o), nn.MaxPool2d(2)]
        self.levels = nn.Sequential(*layers)
        self.mean = nn.Conv2d(c.channels[-1], c.latent, 3, padding=1)
        self.log_variance = nn.Conv2d(c.channels[-1], c.latent, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the posterior."""
        h = self.levels(x)
        # far outside this range exp() over- or underflows; inside it the clamp does nothing
        return self.mean(h), self.log_variance(h).clamp(-20, 10)


class Decoder(nn.Module):
    """Latents [n, latent, h/f, w/f] to images [n, c, h, w]: nearest upsampling between levels.

    "Conv-BatchNorm-LeakyReLU twice a level" is read as a convolution after each upsampling, then
    the pair: with the published widths 4-32-16-8-1, encoder and decoder then have the published
    51,357 parameters together, not counting the encoder's second map.
    """

    def __init__(self, c: AutoencoderConfig, channels: int = 1) -> None:
        super().__init__()
        widths = [*reversed(c.channels), c.channels[0]]
        layers: list[nn.Module] = [_conv(c.latent, widths[0])]
        for i, o in itertools.pairwise(widths):
            layers += [nn.UpsamplingNearest2d(scale_factor=2)]
            layers += [nn.Conv2d(i, i, 3, padding=1), nn.LeakyReLU(), _conv(i, i), _conv(i, o)]
        layers.append(nn.Conv2d(c.channels[0], channels, 3, padding=1))
        self.levels = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Images whose pixels lie near [0, 1]."""
        return self.levels(z)


def reduction(c: AutoencoderConfig) -> int:
    """By how much the encoder reduces the side of an image."""
    return int(2 ** len(c.channels))


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) of each number (Kingma & Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
