"""A diffusion stage's network in the hands of an engine."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from scalespace.core.denoiser import ANY, Condition
from scalespace.engine.base import Call

KEPT = 256
"""States whose modulations are kept."""


class Drawing(nn.Module):
    """The part of a network that works on images: (x, modulation) to a prediction.

    A network without a `modulation` of its own takes the context itself in its place.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.draw = getattr(net, "draw", net)
        self.modulation = getattr(net, "modulation", nn.Identity())

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """Images [n, c, h, w] and modulations [n, m] to predictions [n, c', h, w]."""
        return self.draw(x, modulation)


class Fast:
    """Predictions by an engine; what comes of state and label alone is computed once.

    Args:
        call: a `Drawing`, as an engine runs it.
        modulation: its second input, for images in one state: [n, m].
        classes: how many there are.
    """

    def __init__(
        self, call: Call, modulation: Callable[[float, Condition], Tensor], classes: int
    ) -> None:
        self.call, self.modulation, self.classes = call, modulation, classes
        self._tables: dict[tuple[float, float], Tensor] = {}

    @torch.no_grad()
    def __call__(self, seen: Tensor, t: float, condition: Condition) -> Tensor:
        """The network's prediction [n, c, h, w].

        Args:
            seen: what the network sees [n, channels, h, w], all in state t.
            t: the state.
            condition: what else it is told; its labels must be given.
        """
        labels, level = condition.labels, condition.level
        assert labels is not None, "an image's class is told, or `ANY`"
        if level is not None and (not readable(level) or bool(torch.any(level != level[0]))):
            return self.call(seen, self.modulation(t, condition))
        key = (t, 0.0 if level is None else float(level[0]))
        table = self._tables.get(key)  # another thread may clear them
        if table is None:
            if len(self._tables) == KEPT:
                self._tables.clear()
            # `ANY` is -1, so its row comes last
            every = torch.tensor([*range(self.classes), ANY], device=labels.device)
            all_levels = None if level is None else level[:1].expand(len(every))
            table = self.modulation(t, Condition(every, level=all_levels))
            self._tables[key] = table
        return self.call(seen, table[labels])


def readable(numbers: Tensor) -> bool:
    """Whether Python may look at them: a GPU would be waited for, and an export has no numbers."""
    return numbers.device.type == "cpu" and not torch.compiler.is_exporting()
