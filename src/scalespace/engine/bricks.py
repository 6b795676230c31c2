"""Networks as single operators while what calls them is exported.

A chain calls a network several times, and torch's exporter would write each call anew, some
seconds each. It is shown an operator in place of the network, a *brick*. Afterwards the nodes of
the network's own export, made once, take the place of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

DOMAIN = "scalespace"
_numbers = count()


@dataclass(eq=False)
class Brick:
    """A network that an export of what calls it does not look into.

    Args:
        network: in evaluation mode.
        content: gives the ONNX of the network alone.
        tail: shape of its output, without the rows.
    """

    network: nn.Module
    content: Callable[[], bytes]
    tail: tuple[int, ...]

    def __post_init__(self) -> None:
        self.number = next(_numbers)
        BRICKS[self.number] = self

    def __call__(self, *given: Tensor) -> Tensor:
        """What the network gives; an operator, where an export asks."""
        if not torch.compiler.is_exporting():
            return self.network(*given)
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::Brick",
            given,
            {"number": self.number},
            dtype=given[0].dtype,
            shape=(given[0].shape[0], *self.tail),
            version=1,
        )


BRICKS: WeakValueDictionary[int, Brick] = WeakValueDictionary()
"""Every brick that is in use, by number."""


def fill(model: Any) -> Any:
    """An ONNX model with the networks' own nodes in the place of its bricks.

    The calls of one network share its weights.
    """
    from onnx import helper, inliner, load_from_string

    inner: dict[int, list[str]] = {}  # the names of a network's weights
    for node in model.graph.node:
        if node.domain != DOMAIN:
            continue
        number = node.attribute[0].i
        name = f"brick{number}"
        if number not in inner:
            part = load_from_string(BRICKS[number].content())
            weights = part.graph.initializer
            inner[number] = [f"{name}/{one.name}" for one in weights]
            given = [one.name for one in (*part.graph.input, *weights)]
            made = [one.name for one in part.graph.output]
            model.functions.append(
                helper.make_function(DOMAIN, name, given, made, part.graph.node, part.opset_import)
            )
            for one, unique in zip(weights, inner[number], strict=True):
                one.name = unique
            model.graph.initializer.extend(weights)
        node.op_type = name
        node.input.extend(inner[number])
        del node.attribute[:]
    if not inner:
        return model
    model = inliner.inline_local_functions(model)
    kept = [one for one in model.opset_import if one.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model
