from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from scalespace.nets.judge import JudgeNet, padded
from scalespace.nets.unet import parameters


def images(n: int = 5, height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.rand((n, 1, height, width), generator=torch.Generator().manual_seed(0))


def the_series() -> nn.ModuleDict:
    """The classifier of the seed series' part 1, layer by layer, for 32x32 pixels."""
    layers = nn.Sequential(
        nn.Conv2d(1, 8, kernel_size=3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(8, 16, kernel_size=3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(16, 32, kernel_size=3, padding="same"),
        nn.ReLU(),
        nn.AvgPool2d(4, 4),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(128, 10),
    )
    return nn.ModuleDict({"layers": layers})


@pytest.mark.parametrize(("training", "seed"), [(False, 0), (True, 7)])
def test_it_is_the_series_network(training: bool, seed: int) -> None:
    """Either loads the other's weights, under their names, and gives the same logits."""
    ours, theirs = JudgeNet(28, 28, 10), the_series()
    theirs.load_state_dict(ours.state_dict())
    ours.train(training)
    theirs.train(training)
    found = []
    for net in (ours, theirs["layers"]):
        torch.manual_seed(seed)  # of the dropout
        found.append(net(images()))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
    ours.load_state_dict(the_series().state_dict())


def test_size() -> None:
    assert parameters(JudgeNet(28, 28, 10)) == 7178
    by_hand = (9 + 1) * 8 + (8 * 9 + 1) * 16 + (16 * 9 + 1) * 32 + (32 * 2 * 2 + 1) * 10
    assert by_hand == 7178


def test_features_are_what_the_last_layer_reads_and_what_comes_before_the_relu() -> None:
    net, x = JudgeNet(28, 28, 10).eval().requires_grad_(False), images()
    seen: dict[str, torch.Tensor] = {}
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    [linear] = [m for m in net.modules() if isinstance(m, nn.Linear)]
    linear.register_forward_pre_hook(lambda _, inputs: seen.update(read=inputs[0]))
    convolutions[-1].register_forward_hook(lambda *call: seen.update(last=call[2]))
    logits = net(x)
    features = net.embed(x)
    torch.testing.assert_close(features.pooled, seen["read"])
    torch.testing.assert_close(net.pooled(x), seen["read"])
    torch.testing.assert_close(net.convolved(x), seen["last"])
    blocks = seen["last"].view(5, 32, 2, 4, 2, 4).mean(dim=(3, 5)).flatten(1)
    torch.testing.assert_close(features.linear, blocks)
    assert float(features.linear.min()) < 0 <= float(features.pooled.min())
    torch.testing.assert_close(logits, F.linear(features.pooled, linear.weight, linear.bias))


@pytest.mark.parametrize(
    ("size", "whole"), [(1, 16), (12, 16), (16, 16), (17, 32), (28, 32), (32, 32), (33, 48)]
)
def test_padded(size: int, whole: int) -> None:
    assert padded(size) == whole


@pytest.mark.parametrize(("height", "width"), [(28, 28), (12, 12), (13, 27), (32, 16), (29, 64)])
def test_any_size(height: int, width: int) -> None:
    net, x = JudgeNet(height, width, 3).eval(), images(2, height, width)
    full = net.pad(x)
    assert full.shape[2:] == (padded(height), padded(width))
    top, left = (full.shape[2] - height) // 2, (full.shape[3] - width) // 2
    torch.testing.assert_close(full[:, :, top : top + height, left : left + width], x)
    assert float(full.sum()) == pytest.approx(float(x.sum()), rel=1e-5)  # the border is black
    assert net(full).shape == (2, 3)
    assert {part.shape for part in net.embed(full)} == {(2, net.features)}
