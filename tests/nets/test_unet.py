from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from scalespace.config import NetConfig
from scalespace.nets.unet import FiLM, Overview, UNet, modulate, parameters

CONTEXT = 11


def unet(inputs: int = 1, **fields: object) -> UNet:
    torch.manual_seed(0)
    return UNet(NetConfig(**fields), inputs, 1, CONTEXT)  # type: ignore[arg-type]


def batch(n: int, height: int, width: int, inputs: int = 1) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(n)
    return (
        torch.randn((n, inputs, height, width), generator=rng),
        torch.rand((n, CONTEXT), generator=rng),
    )


@pytest.mark.parametrize(
    ("inputs", "channels", "count"),
    [(1, (16, 32, 64), 122_097), (2, (16, 32, 64), 122_261), (1, (16, 32, 64, 128), 482_545)],
)
def test_size_of_the_papers_networks(inputs: int, channels: tuple[int, ...], count: int) -> None:
    assert parameters(unet(inputs, channels=channels)) == count


def test_the_appendix_layer_by_layer() -> None:
    """Three encoders and three decoders of two 3x3 convolutions each, and the last one."""
    shapes = [(m.in_channels, m.out_channels) for m in unet().modules() if isinstance(m, nn.Conv2d)]
    encoders = [(1, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64)]
    decoders = [(64, 32), (32, 32), (64, 16), (16, 16), (32, 16), (16, 16)]
    assert shapes == [*encoders, *decoders, (16, 1)]
    kinds = [type(m) for m in unet().modules()]
    assert kinds.count(nn.BatchNorm2d) == 12
    assert kinds.count(FiLM) == 3


@pytest.mark.parametrize("activation", ["gelu", "silu", "relu"])
@pytest.mark.parametrize(
    ("norm", "norm_first", "film", "residual"),
    list(
        itertools.product(["batch", "group"], [False, True], ["encoders", "blocks"], [False, True])
    ),
)
def test_every_configuration(
    norm: str, norm_first: bool, film: str, residual: bool, activation: str
) -> None:
    for channels, patch in [((4,), 1), ((4, 8), 2), ((4, 4, 8), 1)]:
        net = unet(
            2,
            channels=channels,
            norm=norm,
            groups=2,
            norm_first=norm_first,
            film=film,
            embedding=6,
            residual=residual,
            patch=patch,
            activation=activation,
        )
        x, context = batch(3, 12, 16, inputs=2)
        y = net(x, context)
        assert y.shape == (3, 1, 12, 16)
        y.square().mean().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert bool(torch.isfinite(parameter.grad).all()), name


@pytest.mark.parametrize(("height", "width"), [(28, 28), (14, 14), (7, 7), (5, 9), (13, 6), (4, 4)])
def test_any_size_down_to_one_pixel_at_the_bottom(height: int, width: int) -> None:
    assert unet()(*batch(2, height, width)).shape == (2, 1, height, width)


def test_decoders_use_what_comes_from_below_and_the_skips() -> None:
    net = unet()
    net(*batch(3, 8, 8)).square().mean().backward()
    for decoder in net.decoders:
        each_input = decoder.conv1.weight.grad.abs().amax(dim=(0, 2, 3))  # type: ignore[union-attr]
        assert bool((each_input > 0).all())


def test_film_lets_features_through_at_gamma_and_beta_zero() -> None:
    film = FiLM(CONTEXT, 5, hidden=4)
    for p in film.parameters():
        nn.init.zeros_(p)
    h, context = torch.randn(2, 5, 3, 3), torch.rand(2, CONTEXT)
    torch.testing.assert_close(modulate(h, film(context)), h, rtol=0, atol=0)


def test_film_is_affine_in_the_features() -> None:
    film, context = FiLM(CONTEXT, 5), torch.rand(2, CONTEXT)
    gamma, beta = film.net(context).chunk(2, dim=1)
    h = torch.randn(2, 5, 3, 3)
    expected = torch.empty_like(h)
    for i, c in itertools.product(range(2), range(5)):
        expected[i, c] = h[i, c] * (1 + gamma[i, c]) + beta[i, c]
    torch.testing.assert_close(modulate(h, film(context)), expected)


@pytest.mark.parametrize("film", ["encoders", "blocks"])
def test_the_context_matters(film: str) -> None:
    net, (x, context) = unet(film=film, norm="group").eval(), batch(2, 8, 8)
    other = context.clone()
    other[0] += 1
    with torch.no_grad():
        change = (net(x, context) - net(x, other)).abs().amax(dim=(1, 2, 3))
    assert float(change[0]) > 1e-4
    assert float(change[1]) == 0


@pytest.mark.parametrize(
    ("norm", "training", "leaks"),
    [("batch", True, True), ("batch", False, False), ("group", True, False)],
)
def test_batch_norm_tells_images_of_one_another(norm: str, training: bool, leaks: bool) -> None:
    net, (x, context) = unet(norm=norm).train(training), batch(4, 8, 8)
    other = x.clone()
    other[1:] *= 3
    with torch.no_grad():
        change = float((net(x, context) - net(other, context))[0].abs().max())
    assert (change > 1e-3) == leaks
    assert leaks or change < 1e-5


def test_patches_are_whole_pixels() -> None:
    """A patch makes channels of pixels: the same, so their size must divide."""
    with pytest.raises(RuntimeError):
        unet(patch=2)(*batch(1, 9, 8))


# The overview


def test_an_overview_sees_and_reaches_every_pixel() -> None:
    """A pixel of one corner, an answer in the other: what a small convolution cannot do."""
    net = Overview(1, (28, 28), CONTEXT, 8)
    x, context = batch(1, 28, 28)
    x.requires_grad_()
    net(x, net.film(context))[0, 0, -1, -1].backward()
    assert x.grad is not None
    assert bool((x.grad != 0).all())


def test_an_overview_can_answer_with_an_image_for_a_class() -> None:
    net = Overview(1, (8, 6), CONTEXT, 16)
    x, context = batch(2, 8, 6)
    context[1] = context[0]
    for p in net.read.parameters():
        nn.init.zeros_(p)
    with torch.no_grad():
        one, other = net(x, net.film(context))
    torch.testing.assert_close(one, other)
    assert float(one.std()) > 1e-3


@pytest.mark.parametrize("film", ["encoders", "blocks"])
@pytest.mark.parametrize(("size", "patch"), [((28, 28), 1), ((16, 12), 2), ((4, 4), 1)])
def test_a_network_with_an_overview(size: tuple[int, int], patch: int, film: str) -> None:
    torch.manual_seed(0)
    config = NetConfig(channels=(4, 8), patch=patch, film=film, embedding=6, overview=5)  # type: ignore[arg-type]
    net = UNet(config, 2, 1, CONTEXT, size)
    y = net(*batch(3, *size, inputs=2))
    assert y.shape == (3, 1, *size)
    y.square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
    pixels = min(14, size[0]) * min(14, size[1])
    width = 6 if film == "blocks" else CONTEXT
    own = (2 * pixels + 1) * 5 + (width + 1) * 10 + 6 * 5 + 6 * pixels
    assert net.overview is not None
    assert parameters(net.overview) == own


def test_the_default_networks_are_within_a_quarter_of_the_papers() -> None:
    from scalespace import load_config
    from scalespace.methods import stages
    from scalespace.settings import stage_recipe

    config = load_config("default")
    for name, size, inputs, paper in [
        ("baseline", 28, 1, 122_097),
        ("small", 14, 1, 122_097),
        ("upscaler", 28, 2, 122_261),
    ]:
        net = stage_recipe(config, stages()[name]).net
        count = parameters(UNet(net, inputs, 1, CONTEXT, (size, size)))
        assert abs(count / paper - 1) <= 0.25, name
