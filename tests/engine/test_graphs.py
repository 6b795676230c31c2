"""CUDA graphs as far as a CPU can tell: a recording that repeats the function in fixed places."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from scalespace.engine import Call, Engine, compiled, graphs
from scalespace.engine.compiled import Compiled, compile_alone
from scalespace.engine.graphs import Graphed, Recorded
from scalespace.errors import InputError
from scalespace.model import Model
from scalespace.model.chain import Chain
from scalespace.stages import denoising, fast

CUDA = torch.device("cuda")


class Recorder:
    """Records on a CPU; remembers how many rows each recording has."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.replays = 0

    def __call__(self, function: Call, inputs: Sequence[Tensor]) -> Recorded:
        self.rows.append(len(inputs[0]))
        assert not any(one.is_inference() for one in inputs)
        assert all(one.is_contiguous() for one in inputs)
        function(*inputs)
        output = torch.empty_like(function(*inputs))

        def replay() -> None:
            self.replays += 1
            output.copy_(function(*inputs))

        return Recorded(inputs, output, replay)


def weighted(x: Tensor, y: Tensor) -> Tensor:
    return 2 * x + y[:, :, None, None]


def given(rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 3, 4, 5, generator=rng), torch.randn(rows, 3, generator=rng)


def test_a_few_graphs_serve_any_number_of_rows() -> None:
    record = Recorder()
    call = Graphed(weighted, record)
    for rows in (1, 2, 3, 4, 3, 1, 200, 255, 256, 257, 600):
        found = call(*given(rows, seed=rows))
        torch.testing.assert_close(found, weighted(*given(rows, seed=rows)), rtol=0, atol=0)
    # 257 and 600 go in parts of 256, and what is left
    assert record.rows == [1, 2, 4, 256, 128]


def test_a_call_leaves_earlier_answers_and_inputs_alone() -> None:
    call, x = Graphed(weighted, Recorder()), given(3)
    before = [one.clone() for one in x]
    first = call(*x)
    expected = first.clone()
    call(*given(4, seed=1))
    torch.testing.assert_close(first, expected, rtol=0, atol=0)
    for one, same in zip(x, before, strict=True):
        torch.testing.assert_close(one, same, rtol=0, atol=0)


def test_layouts_and_broadcast_inputs_are_taken() -> None:
    call = Graphed(weighted, Recorder())
    x, y = given(6)
    strange = x.contiguous(memory_format=torch.channels_last), y[:1].expand(6, -1)
    torch.testing.assert_close(call(*strange), weighted(*strange), rtol=0, atol=0)
    torch.testing.assert_close(call(x, y), weighted(x, y), rtol=0, atol=0)


def test_padding_repeats_valid_rows() -> None:
    """Labels index tables: a row of anything else would be none of them."""
    seen: list[Tensor] = []

    def look(labels: Tensor) -> Tensor:
        seen.append(labels.clone())
        return torch.eye(10)[labels]

    found = Graphed(look, Recorder())(torch.tensor([7, 9, 7]))
    assert found.argmax(dim=1).tolist() == [7, 9, 7]
    assert all(set(labels.tolist()) == {7, 9} for labels in seen)


def test_graphs_serve_a_caller_in_inference_mode_and_out_of_it() -> None:
    call = Graphed(weighted, Recorder())
    with torch.inference_mode():
        first = call(*given(3))
    second = call(*given(3))
    with torch.inference_mode():
        third = call(*given(3))
    for found in (first, second, third):
        assert not found.is_inference()
        torch.testing.assert_close(found, weighted(*given(3)))


def test_graphs_serve_all_threads() -> None:
    record = Recorder()
    call = Graphed(weighted, record)

    def work(seed: int) -> bool:
        x = given(1 + seed % 4, seed)
        return torch.equal(call(*x), weighted(*x))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(200)))
    assert sorted(record.rows) == [1, 2, 4]
    assert record.replays == 200


def test_what_no_graph_can_hold_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a GPU that is not there; `engage` then leaves sampling to the loop."""

    def refuse(*_: Any) -> Any:
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    monkeypatch.setattr(torch.cuda, "device", refuse)
    with pytest.raises(InputError, match="no CUDA graph can be recorded: operation not permitted"):
        Graphed(weighted)(*given(2))


# torch.compile


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Counts what is compiled, and leaves it as it is."""
    from torch._dynamo.testing import CompileCounter

    found = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=found))
    torch._dynamo.reset()
    return found


def test_many_networks_are_all_compiled(counter: Any) -> None:
    """Dynamo compiles eight versions of one code object, and then no more without an error."""
    networks = [nn.Sequential(nn.Linear(2 + k, 3), nn.GELU()).eval() for k in range(5)]
    calls = [compile_alone(network) for network in networks]
    for network, call in zip(networks, calls, strict=True):
        for rows in (1, 4, 7):
            x = torch.randn(rows, network[0].in_features)
            torch.testing.assert_close(call(x), network(x))
    assert counter.frame_count == 2 * len(networks)  # of one row, and of any number


def test_an_inference_mode_compiles_nothing_anew(counter: Any) -> None:
    network = nn.Linear(3, 2)
    call = compile_alone(network)
    expected = call(torch.ones(4, 3))
    with torch.inference_mode():
        torch.testing.assert_close(call(torch.ones(4, 3)), expected)
    assert counter.frame_count == 1
    assert not expected.requires_grad


def test_what_compiling_for_a_gpu_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    assert Compiled.lacks(CUDA) == "there is no C compiler"
    monkeypatch.setattr(compiled.shutil, "which", lambda name: name if name == "gcc" else None)
    monkeypatch.setattr(compiled, "find_spec", lambda name: None)
    assert "no Triton" in Compiled.lacks(CUDA)
    monkeypatch.setattr(compiled, "find_spec", lambda name: name)
    for capability, able in (((6, 1), False), ((7, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, c=capability: c)
        assert (Compiled.lacks(CUDA) == "") == able


def test_compiling_pays_later_on_a_gpu() -> None:
    engine = Compiled()
    assert engine.worth(CUDA) > engine.worth(torch.device("cpu")) == 50_000


# all of sampling as one graph


class Recording(Engine):
    """As `Compiled` is on a GPU, by plain PyTorch."""

    name: ClassVar[str] = "recording"
    chains: ClassVar[int] = 64

    def __init__(self) -> None:
        self.record, self.parts = Recorder(), 0
        self.chain: Chain | None = None

    @classmethod
    def lacks(cls, device: torch.device) -> str:
        return ""

    def load(self, network: nn.Module, inputs: Sequence[Tensor]) -> Call:
        return Graphed(network, self.record)

    def load_chain(self, chain: nn.Module, inputs: Sequence[Tensor]) -> Call:
        assert isinstance(chain, Chain)
        self.chain = chain
        return Graphed(chain, self.record)

    def part(self, network: nn.Module, inputs: Sequence[Tensor]) -> Call:
        def call(*given: Tensor) -> Tensor:
            self.parts += 1
            return network(*given)

        return call


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that Python may not look at, as on a GPU."""
    monkeypatch.setattr(fast, "readable", lambda numbers: False)

    def one_hot(labels: Tensor, classes: int) -> Tensor:
        return (labels[:, None] == torch.arange(classes)).long()  # torch's own asks a CPU alone

    monkeypatch.setattr(denoising.F, "one_hot", one_hot)


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("name", ["small", "cascaded", "cascaded-fast", "guided"])
def test_sampling_as_one_graph_makes_the_images_of_the_loop(name: str) -> None:
    model, engine = Model.from_pretrained(name), Recording()
    if name == "guided":
        model = model.stepped(2).guided(1.5)
    graphed = Model(model.method, model.stages, engine=engine)
    for rows in (1, 3):
        labels = [k % 10 for k in range(rows)]
        expected, images = (one.sample(labels, seed=3).images for one in (model, graphed))
        np.testing.assert_allclose(images, expected, atol=1e-5)
    assert graphed.chain is not None
    assert engine.record.rows == [4, 1]  # 4 in the check of the chain
    assert engine.parts > 0


class Asked(TorchDispatchMode):
    """Notes what a recording could not hold: numbers read, and tensors made of Python's."""

    NEVER = ("_local_scalar_dense", "lift_fresh", "nonzero", "unique", "equal.default")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if any(name in str(function) for name in self.NEVER):
            self.found.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("name", ["baseline", "cascaded", "cascaded-fast"])
def test_sampling_asks_the_device_for_nothing(name: str) -> None:
    """Once warm: a graph can be recorded of it."""
    model, engine = Model.from_pretrained(name), Recording()
    graphed = Model(model.method, model.stages, engine=engine)
    graphed.sample([1, 2])
    assert engine.chain is not None
    labels = torch.tensor([1, 2])
    assert graphed.chain is not None
    noise = [torch.randn(2, *shape) for _, shape in graphed.chain.draws]
    with torch.no_grad(), Asked() as asked:
        engine.chain(labels, *noise)
    assert asked.found == []


def test_the_watch_sees_what_is_asked() -> None:
    with Asked() as asked:
        float(torch.ones(1))
        torch.tensor([1.0])
    assert len(asked.found) == 2


def test_rows_a_launch() -> None:
    assert graphs.MOST & (graphs.MOST - 1) == 0  # a power of two, so that full parts are not padded
