"""The moving average of a network's weights, which sampling uses."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class EMA:
    """An exponential moving average of `model`'s weights, with a warm-up.

    The decay after k updates is min(decay, (1 + k) / (10 + k)), so random first weights are soon
    forgotten; a decay of 0 copies the model. Buffers (a batch norm's statistics) are copied.

    Args:
        model: the network that is trained.
        decay: in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._average: list[Tensor] = list(self.model.parameters())
        self._weights = [p.detach() for p in model.parameters()]
        self._buffers = list(zip(self.model.buffers(), model.buffers(), strict=True))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Moves the average towards the weights after the optimiser's step number `step` >= 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._average, self._weights, 1 - decay)
        for average, current in self._buffers:
            average.copy_(current)
