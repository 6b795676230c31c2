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

from scalespace.errors import InputError

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


def fill(model: Any) -> None:
    """Puts the networks' own nodes in the place of the bricks of an ONNX model.

    The calls of one network share its weights.

    Raises:
        InputError: a network has branches or loops.
    """
    import onnx

    parts: dict[int, Any] = {}
    nodes = []
    for call, node in enumerate(model.graph.node):
        if node.domain != DOMAIN:
            nodes.append(node)
            continue
        number = node.attribute[0].i
        if number not in parts:
            parts[number] = part = onnx.load_from_string(BRICKS[number].content())
            for weight in part.graph.initializer:
                weight.name = f"brick{number}/{weight.name}"
                model.graph.initializer.append(weight)
        nodes += _call(parts[number].graph, number, f"call{call}", node)
    if parts:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        kept = [one for one in model.opset_import if one.domain != DOMAIN]
        del model.opset_import[:]
        model.opset_import.extend(kept)


def _call(graph: Any, number: int, name: str, node: Any) -> list[Any]:
    """The nodes of a network's graph, between the inputs and the output of its brick."""
    from onnx import AttributeProto, NodeProto

    names = {"": ""}
    for weight in graph.initializer:
        names[weight.name.removeprefix(f"brick{number}/")] = weight.name
    names |= {one.name: given for one, given in zip(graph.input, node.input, strict=True)}
    names[graph.output[0].name] = node.output[0]
    found = []
    for inner in graph.node:
        if any(
            one.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for one in inner.attribute
        ):
            raise InputError(
                f"a network with an operator {inner.op_type} cannot be part of a chain"
            )
        own = NodeProto()
        own.CopyFrom(inner)
        own.name = f"{name}/{inner.name}"
        del own.input[:], own.output[:], own.metadata_props[:]
        own.input.extend(names.get(one, f"{name}/{one}") for one in inner.input)
        own.output.extend(names.get(one, f"{name}/{one}") for one in inner.output)
        found.append(own)
    return found
