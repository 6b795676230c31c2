from __future__ import annotations

import pytest
import torch
from torch import nn

from scalespace.config import NetConfig, TrainConfig
from scalespace.nets.unet import UNet
from scalespace.training.loop import make_optimizers
from scalespace.training.muon import Muon, kernels, orthogonal


@pytest.mark.parametrize("shape", [(16, 144), (64, 100), (200, 18)])
def test_orthogonal_against_the_singular_value_decomposition(shape: tuple[int, int]) -> None:
    """The same singular vectors, and singular values of about one."""
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonal(matrix)
    inside = u.T @ found @ v.T
    sizes = inside.diagonal()
    assert float(sizes.min()) > 0.5
    assert float(sizes.max()) < 1.3
    torch.testing.assert_close(inside, torch.diag(sizes), rtol=0, atol=1e-3)


def test_the_size_of_the_gradient_does_not_matter() -> None:
    moved = []
    for scale in (1.0, 1000.0):
        p = nn.Parameter(torch.zeros(8, 8, 3, 3))
        p.grad = scale * torch.randn(p.shape, generator=torch.Generator().manual_seed(0))
        Muon([p], lr=0.1).step()
        moved.append(p.detach().clone())
    torch.testing.assert_close(*moved, rtol=1e-3, atol=1e-5)


def test_nesterov_momentum_against_a_loop() -> None:
    p, rng = nn.Parameter(torch.zeros(8, 8, 3, 3)), torch.Generator().manual_seed(0)
    optimizer, expected, average = Muon([p], lr=0.1, momentum=0.9), torch.zeros(8, 72), 0.0
    for _ in range(3):
        gradient = torch.randn(8, 72, generator=rng)
        p.grad = gradient.view(p.shape).clone()
        optimizer.step()
        average = 0.9 * average + 0.1 * gradient
        expected = expected - 0.1 * orthogonal(0.1 * gradient + 0.9 * average)
    torch.testing.assert_close(p.detach().flatten(1), expected, rtol=1e-4, atol=1e-5)


def test_it_takes_the_kernels_inside_the_network_and_adam_the_rest() -> None:
    net = UNet(NetConfig(channels=(8, 16), norm="group"), 1, 1, 5)
    own = {id(p) for p in kernels(net)}
    named = {name for name, p in net.named_parameters() if id(p) in own}
    assert named == {
        name
        for name, p in net.named_parameters()
        if "conv" in name and name.endswith("weight") and name != "encoders.0.conv1.weight"
    }
    adam, muon = make_optimizers(net, TrainConfig(muon=0.02))
    held = [id(p) for o in (adam, muon) for g in o.param_groups for p in g["params"]]
    assert sorted(held) == sorted(id(p) for p in net.parameters())
    assert isinstance(muon, Muon)
    assert len(make_optimizers(net, TrainConfig())) == 1
