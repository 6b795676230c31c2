from __future__ import annotations

import pytest
import torch
from torch import distributions, nn

from scalespace.config import AutoencoderConfig
from scalespace.nets.autoencoder import Decoder, Encoder, kl_divergence, reduction
from scalespace.nets.unet import parameters

PUBLISHED = AutoencoderConfig()
VARIANTS = {
    "published": PUBLISHED,
    "one level": AutoencoderConfig(channels=(6,), latent=3),
    "two levels": AutoencoderConfig(channels=(4, 10), latent=1),
}
every_variant = pytest.mark.parametrize("c", VARIANTS.values(), ids=VARIANTS)


def networks(c: AutoencoderConfig) -> tuple[Encoder, Decoder]:
    torch.manual_seed(0)
    return Encoder(c), Decoder(c)


def test_size_of_the_published_network() -> None:
    """51,357 parameters with one map to the latent; the second, to the variance, comes on top."""
    encoder, decoder = networks(PUBLISHED)
    second = parameters(encoder.log_variance)
    assert parameters(encoder) + parameters(decoder) - second == 51_357
    assert second == (32 * 9 + 1) * 4


def test_the_published_layers() -> None:
    """1-8-16-32-4 and back: two convolutions a level and one more on the way up."""
    encoder, decoder = networks(PUBLISHED)

    def widths(net: nn.Module) -> list[tuple[int, int]]:
        return [(m.in_channels, m.out_channels) for m in net.modules() if isinstance(m, nn.Conv2d)]

    assert widths(encoder.levels) == [(1, 8), (8, 8), (8, 16), (16, 16), (16, 32), (32, 32)]
    up = [(32, 32), (32, 32), (32, 16), (16, 16), (16, 16), (16, 8), (8, 8), (8, 8), (8, 8)]
    assert widths(decoder) == [(4, 32), *up, (8, 1)]
    kinds = [type(m) for m in [*encoder.modules(), *decoder.modules()]]
    assert kinds.count(nn.MaxPool2d) == kinds.count(nn.UpsamplingNearest2d) == 3
    assert kinds.count(nn.BatchNorm2d) == 6 + 7


@every_variant
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3)])
def test_shapes(c: AutoencoderConfig, height: int, width: int) -> None:
    """f = 2^levels: [n, 1, f h, f w] to [n, latent, h, w] and back."""
    encoder, decoder = networks(c)
    factor = reduction(c)
    assert factor == 2 ** len(c.channels)
    x = torch.rand(3, 1, factor * height, factor * width)
    mean, log_variance = encoder(x)
    assert mean.shape == log_variance.shape == (3, c.latent, height, width)
    assert decoder(mean).shape == x.shape


@every_variant
def test_every_parameter_is_used(c: AutoencoderConfig) -> None:
    encoder, decoder = networks(c)
    side = 2 * reduction(c)
    mean, log_variance = encoder(torch.rand(4, 1, side, side))
    loss = decoder(mean).square().mean() + (mean - 1).square().mean() + log_variance.exp().mean()
    loss.backward()
    for net in (encoder, decoder):
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert bool(torch.isfinite(parameter.grad).all()), name
            assert float(parameter.grad.abs().max()) > 0, name


def test_kl_divergence_against_torch() -> None:
    rng = torch.Generator().manual_seed(0)
    mean = 3 * torch.randn(50, 4, generator=rng, dtype=torch.float64)
    log_variance = 2 * torch.randn(50, 4, generator=rng, dtype=torch.float64)
    posterior = distributions.Normal(mean, (log_variance / 2).exp())
    expected = distributions.kl_divergence(posterior, distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)
    assert float(kl_divergence(torch.zeros(1), torch.zeros(1))) == 0


def test_variances_that_run_away_stay_finite() -> None:
    encoder, _ = networks(PUBLISHED)
    nn.init.constant_(encoder.log_variance.bias, 1e6)  # type: ignore[arg-type]
    mean, log_variance = encoder(torch.rand(2, 1, 8, 8))
    assert bool(torch.isfinite(kl_divergence(mean, log_variance)).all())
    nn.init.constant_(encoder.log_variance.bias, -1e6)  # type: ignore[arg-type]
    assert bool((encoder(torch.rand(2, 1, 8, 8))[1].exp() > 0).all())
