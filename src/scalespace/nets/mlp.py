"""The network of the seed paper's one-dimensional experiment (appendix 3.8)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """Linear 2 -> 64, GELU, 64 -> 64, GELU, 64 -> 1: 4,417 parameters.

    Args:
        inputs: numbers a sample besides its state: 1, or 2 with the previous estimate of x0.
        hidden: features of both hidden layers.
    """

    def __init__(self, inputs: int = 1, hidden: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs + 1, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, 1),
        )

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        """Points x [n, inputs] in the states u = t / (S-1) float [n] to a prediction [n, 1]."""
        return self.layers(torch.cat([x, u[:, None]], dim=1))
