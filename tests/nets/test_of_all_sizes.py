"""Networks that serve images of several sizes."""

from __future__ import annotations

import pytest
import torch

from scalespace.config import NetConfig
from scalespace.errors import InputError
from scalespace.nets.coordinates import Coordinates
from scalespace.nets.nested import Nested
from scalespace.nets.unet import UNet, parameters

CONFIG = NetConfig(channels=(8, 12, 16), norm="group", groups=2, film="blocks", overview=6)


@pytest.mark.parametrize("kind", [Nested, Coordinates])
@pytest.mark.parametrize("side", [28, 14, 7])
def test_one_network_for_three_sizes(kind: type[UNet], side: int) -> None:
    net = kind(CONFIG, 2, 1, 11, (28, 28)).eval()
    assert net(torch.randn(3, 2, side, side), torch.randn(3, 11)).shape == (3, 1, side, side)


@pytest.mark.parametrize(("side", "level"), [(28, 0), (14, 1), (7, 2)])
def test_smaller_images_pass_the_inner_levels_alone(side: int, level: int) -> None:
    """No gradient reaches what lies outside, and every inner level takes part."""
    net = Nested(CONFIG, 1, 1, 11, (28, 28))
    net(torch.randn(3, 1, side, side), torch.randn(3, 11)).square().sum().backward()

    def acts(module: torch.nn.Module) -> bool:
        return any(p.grad is not None and bool(p.grad.any()) for p in module.parameters())

    assert [acts(block.conv1) for block in net.encoders] == [k >= level for k in range(3)]
    assert [acts(block.conv1) for block in reversed(net.decoders)] == [k >= level for k in range(3)]
    assert [acts(entry) for entry in net.entries] == [k == level for k in (1, 2)]
    assert [acts(way_out) for way_out in net.exits] == [k == level for k in (1, 2)]
    assert acts(net.final) == (level == 0)


def test_at_the_largest_size_it_is_the_plain_network() -> None:
    net, plain = Nested(CONFIG, 1, 1, 11), UNet(CONFIG, 1, 1, 11)
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if k in plain.state_dict()})
    x, context = torch.randn(2, 1, 28, 28), torch.randn(2, 11)
    torch.testing.assert_close(net(x, context), plain(x, context))
    more = sum(9 * (1 + 1) * width + width + 9 * width + 1 for width in (8, 12))
    assert parameters(net) - parameters(plain) == more


def test_sizes_without_a_level() -> None:
    net = Nested(CONFIG, 1, 1, 11, (28, 28))
    with pytest.raises(ValueError, match=r"28x28 images has no level for \(10, 10\)"):
        net(torch.randn(1, 1, 10, 10), torch.randn(1, 11))
    with pytest.raises(InputError, match=r"net\.patch must be 1"):
        Nested.check_size(NetConfig(patch=2), 28, 28)


def test_each_pixel_knows_its_place_and_its_size() -> None:
    net = Coordinates(CONFIG, 1, 1, 11, (28, 28))
    fine, coarse = net.where(torch.zeros(2, 1, 28, 28)), net.where(torch.zeros(2, 1, 14, 14))
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(fine, 2)[:, :2], coarse[:, :2])
    rows, columns, sides = fine[0]
    torch.testing.assert_close(rows, columns.T)
    assert float(rows[0, 0]) == pytest.approx(-1 + 1 / 28)
    assert float(rows[-1, 5]) == pytest.approx(1 - 1 / 28)
    assert set(sides.unique().tolist()) == {1.0}
    assert set(coarse[:, 2].unique().tolist()) == {2.0}
