"""What calls a network is exported without looking into it; the network's own nodes follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from scalespace.engine import onnx as onnx_engine
from scalespace.engine.bricks import BRICKS, DOMAIN, Brick, fill

X, SHIFT = torch.zeros(2, 1, 5, 4), torch.zeros(2, 1)


class Part(nn.Module):
    """Two inputs, and an output of another width."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, 3, padding=1)

    def forward(self, x: Tensor, shift: Tensor) -> Tensor:
        return self.conv(x).tanh() + shift[:, :, None, None]


class Whole(nn.Module):
    """Calls its first part twice, on what comes of its own output, and its second part once."""

    def __init__(self, calls: list[Callable[..., Tensor]]) -> None:
        super().__init__()
        self.calls = calls

    def forward(self, x: Tensor, shift: Tensor) -> Tensor:
        first, second = self.calls
        for k in range(2):
            x = first(x * (k + 1), shift).clamp(-0.5, 0.5) + x
        return second(x, shift + 1).mean(dim=1, keepdim=True) - x


@pytest.fixture(scope="module")
def parts() -> list[nn.Module]:
    torch.manual_seed(0)
    return [Part(1).eval(), Part(3).eval()]


def bricks(parts: list[nn.Module]) -> list[Brick]:
    engine = onnx_engine.Onnx()
    return [engine.part(part, (X, SHIFT)) for part in parts]  # type: ignore[misc]


@pytest.fixture(scope="module")
def exported(parts: list[nn.Module]) -> bytes:
    return onnx_engine.export(Whole(list(bricks(parts))), (X, SHIFT))


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_the_whole_gives_what_its_parts_do(
    rows: int, exported: bytes, parts: list[nn.Module]
) -> None:
    torch.manual_seed(rows)
    x, shift = torch.randn(rows, 1, 5, 4), torch.randn(rows, 1)
    (found,) = onnx_engine.open_session(exported).run(None, {"x0": x.numpy(), "x1": shift.numpy()})
    with torch.no_grad():
        expected = Whole(list(parts))(x, shift)
        torch.testing.assert_close(Whole(list(bricks(parts)))(x, shift), expected)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_calls_share_weights_and_leave_no_brick(exported: bytes, parts: list[nn.Module]) -> None:
    model = onnx.load_from_string(exported)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert DOMAIN not in {one.domain for one in model.opset_import}
    assert sum(node.op_type == "Conv" for node in model.graph.node) == 3
    kernels = [one for one in model.graph.initializer if len(one.dims) == 4]
    assert sorted(one.dims[0] for one in kernels) == [1, 3]
    names = [out for node in model.graph.node for out in node.output]
    assert len(names) == len(set(names))


def test_an_export_tells_nothing_of_the_machine(exported: bytes) -> None:
    for told in (b".py", b"File", str(Path.cwd()).encode()):
        assert told not in exported


def test_bricks_go_with_what_uses_them(parts: list[nn.Module]) -> None:
    before = len(BRICKS)
    used = bricks(parts)
    assert len(BRICKS) == before + 2
    del used
    assert len(BRICKS) == before


def model_of(*nodes: Any, weights: Mapping[str, float] | None = None) -> Any:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in "xy")
    held = [
        helper.make_tensor(name, TensorProto.FLOAT, [], [value])
        for name, value in (weights or {}).items()
    ]
    graph = helper.make_graph(nodes, "graph", [x], [y], held)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def test_a_network_with_branches() -> None:
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node("Mul", ["x", "weight"] if name == "then" else ["x", "x"], ["z"])],
            name,
            [],
            [helper.make_tensor_value_info("z", TensorProto.FLOAT, [None, 1])],
        )
        for name in ("then", "else")
    }
    network = model_of(
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], **branches),
        weights={"weight": 3.0, "zero": 0.0},
    )
    brick = Brick(nn.Identity(), partial(network.SerializeToString), (1,))
    calls = [
        helper.make_node("Brick", [given], [made], domain=DOMAIN, number=brick.number)
        for given, made in [("x", "h"), ("h", "y")]
    ]
    session = onnx_engine.open_session(fill(model_of(*calls)).SerializeToString())
    for x, y in [(2.0, 18.0), (-2.0, 12.0)]:  # -2 squared is positive
        (found,) = session.run(None, {"x": np.full((1, 1), x, np.float32)})
        assert found == y
