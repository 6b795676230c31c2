"""Muon: momentum steps whose matrices are made orthogonal (Jordan et al. 2024).

`torch.optim.Muon` takes matrices only; here a convolution's kernel [out, in, h, w] is the matrix
[out, in h w] that multiplies patches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from scalespace.stages.base import StageModel

ITERATIONS = 5
QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan et al.'s: steep at 0, within 0.7 .. 1.2 at the end
NARROW = 4  # channels; kernels that read or write so few are at the network's ends: Adam's


def kernels(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that Muon is for: kernels of convolutions inside the network.

    Those of a stage's helpers are left to Adam.
    """
    helps = model.helps if isinstance(model, StageModel) else lambda name: False
    return [
        p
        for name, p in model.named_parameters()
        if p.ndim == 4 and min(p.shape[:2]) > NARROW and not helps(name)
    ]


def orthogonal(matrix: Tensor) -> Tensor:
    """About U V^T of the singular value decomposition U S V^T of a matrix, by Newton-Schulz.

    Five iterations bring every singular value that is not tiny to between 0.7 and 1.2.
    """
    a, b, c = QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, made orthogonal.

    Args:
        params: kernels, [out, in, h, w].
        lr: size of a step, whose singular values are all about lr max(1, sqrt(out / (in h w))).
        momentum: in [0, 1).
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 0.02, momentum: float = 0.95
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step for every kernel that has a gradient."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                ahead = p.grad.lerp(state["momentum"], group["momentum"])
                update = orthogonal(ahead.reshape(len(p), -1))
                scale = max(1.0, len(p) / update.shape[1]) ** 0.5
                p.add_(update.reshape(p.shape), alpha=-group["lr"] * scale)
        return loss
