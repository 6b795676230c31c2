from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scalespace.nets.mlp import MLP


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def test_parameters_are_those_of_the_papers_layers() -> None:
    assert sum(p.numel() for p in MLP().parameters()) == (2 + 1) * 64 + (64 + 1) * 64 + 64 + 1


@pytest.mark.parametrize("inputs", [1, 2])
def test_it_computes_what_the_appendix_says(inputs: int) -> None:
    torch.manual_seed(0)
    net = MLP(inputs, hidden=7).double()
    x, u = torch.randn(5, inputs).double(), torch.rand(5).double()
    w = [p.detach() for p in net.parameters()]
    h = torch.cat([x, u[:, None]], dim=1)
    for weight, bias in ((w[0], w[1]), (w[2], w[3])):
        h = gelu(h @ weight.T + bias)
    torch.testing.assert_close(net(x, u), h @ w[4].T + w[5])


def test_it_sees_the_state() -> None:
    torch.manual_seed(0)
    net, x = MLP(), torch.zeros(2, 1)
    out = net(x, torch.tensor([0.1, 0.9]))
    assert out.shape == (2, 1)
    assert not torch.equal(out[0], out[1])
