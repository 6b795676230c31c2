"""Every engine makes the images that plain PyTorch makes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scalespace.bench import benchmark
from scalespace.config import BenchConfig
from scalespace.core.denoiser import Condition
from scalespace.engine import ENGINES, Call, Engine, find_engine
from scalespace.engine import onnx as onnx_engine
from scalespace.engine.registry import VARIABLE
from scalespace.errors import InputError
from scalespace.methods import METHODS
from scalespace.model import Model

Trained = Callable[[str], Model]
CPU = torch.device("cpu")
LABELS = [2, 0, 1, 1, 2, 0, 0]


class Counted(Engine):
    """Plain PyTorch by the way of an engine; counts the calls and the rows of each."""

    name: ClassVar[str] = "counted"

    def __init__(self) -> None:
        self.rows: list[int] = []

    @classmethod
    def lacks(cls, device: torch.device) -> str:
        return ""

    def load(self, network: nn.Module, inputs: Sequence[Tensor]) -> Call:
        assert not network.training
        assert all(len(one) >= 2 for one in inputs)

        def call(*given: Tensor) -> Tensor:
            for one, example in zip(given, inputs, strict=True):
                assert one.shape[1:] == example.shape[1:]
                assert one.dtype == example.dtype
            self.rows.append(len(given[0]))
            return network(*given)

        return call


def with_engine(model: Model, engine: Engine) -> Model:
    return Model(model.method, model.stages, model.device, engine=engine)


@pytest.mark.parametrize("name", METHODS)
def test_every_call_of_a_method_is_the_engines(name: str, trained: Trained) -> None:
    model, engine = trained(name), Counted()
    fast = with_engine(model, engine)
    plain, images = model.sample(LABELS, seed=1), fast.sample(LABELS, seed=1)
    np.testing.assert_allclose(images.images, plain.images, atol=1e-5)
    assert engine.rows == [len(LABELS)] * model.calls
    assert (plain.meta["engine"], images.meta["engine"]) == ("torch", "counted")
    assert fast.hash == model.hash


@pytest.mark.parametrize("name", METHODS)
def test_an_engine_stays_with_changed_steps(name: str, trained: Trained) -> None:
    model, engine = trained(name), Counted()
    if not model.legs or name.endswith("-fast"):
        pytest.skip("it has one call a stage")
    fast = with_engine(model, engine).stepped(1)
    fast.sample(LABELS)
    assert len(engine.rows) == fast.calls < model.calls


def test_guidance_and_levels_reach_the_network(trained: Trained) -> None:
    """Labels that are withheld, and degrees of augmentation that differ within a batch."""
    stage = with_engine(trained("cascaded"), Counted()).models["upscaler"]
    plain = trained("cascaded").models["upscaler"]
    n, shape = 6, plain.segment.shape
    rng = torch.Generator().manual_seed(0)
    x, given = (torch.randn(n, *shape, generator=rng) for _ in range(2))
    labels = torch.tensor([0, 1, 2, -1, -1, 0])
    for level in (None, torch.full((n,), 0.3), torch.linspace(0, 1, n)):
        told = Condition(labels, given, level if plain.segment.jump.tells else None)
        for t in (1, 2, 1):
            with torch.no_grad():
                expected = plain.denoise(x, t, told)
                torch.testing.assert_close(stage.denoise(x, t, told), expected)


def test_batch_norm_by_the_batch_stays_plain(trained: Trained) -> None:
    from dataclasses import replace

    model = trained("baseline")
    assert model.models["baseline"].networks()
    stage = model.stages["baseline"].training
    wrong = replace(stage.recipe.ablation, batch_mode=True)
    recipe = replace(stage.recipe, ablation=wrong)
    assert stage.stage.build(recipe, model.data).networks() == {}


def test_auto_is_the_fastest_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert find_engine("auto", CPU).name == "onnx"
    monkeypatch.setattr(onnx_engine, "find_spec", lambda name: None)
    assert find_engine("auto", CPU).name == "torch"
    assert find_engine("auto", torch.device("mps")).name == "torch"
    monkeypatch.setenv(VARIABLE, "torch")
    assert find_engine("auto", CPU).name == "torch"


def test_an_engine_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"unknown engine 'onyx'; did you mean 'onnx'\?"):
        find_engine("onyx", CPU)
    with pytest.raises(InputError, match="it runs on a CPU, and the device is cuda"):
        find_engine("onnx", torch.device("cuda"))
    with pytest.raises(InputError, match="it knows no mps"):
        find_engine("compile", torch.device("mps"))
    monkeypatch.setattr(onnx_engine, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"not installed: pip install 'scalespace\[fast\]'"):
        find_engine("onnx", CPU)
    monkeypatch.setenv(VARIABLE, "onnx")  # what is asked for by name is not replaced in silence
    with pytest.raises(InputError, match="not installed"):
        find_engine("auto", CPU)


def test_few_images_do_not_pay_for_a_preparation(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    loaded: list[str] = []
    monkeypatch.setattr(
        ENGINES["onnx"], "load", lambda self, *_: loaded.append(self.name) or (lambda *x: x[0])
    )
    model = trained("baseline")
    assert model.with_engine("auto", 10).engine.name == "torch"
    assert model.with_engine("auto", 1_000_000).engine.name == "onnx"
    assert model.with_engine("auto").engine.name == "onnx"
    assert not loaded  # before images are asked for


def test_costs_are_those_of_the_engine_and_multiply_adds_of_the_network(trained: Trained) -> None:
    model = trained("small")
    bench = BenchConfig(productions=2, warmup=1, batch_sizes=(2,), batches=1)
    engine = Counted()
    found = benchmark({"plain": model, "fast": with_engine(model, engine)}, bench)
    assert found["plain"]["macs"] == found["fast"]["macs"] > 0
    assert (found["plain"]["engine"], found["fast"]["engine"]) == ("torch", "counted")
    assert engine.rows


# ONNX Runtime


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    onnx_engine.open_session.cache_clear()
    return tmp_path / "scalespace" / "engines"


class Small(nn.Module):
    """A network of two inputs that takes no time to export."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x: Tensor, shift: Tensor) -> Tensor:
        return self.conv(x).relu() + shift[:, :, None, None]


EXAMPLES = (torch.zeros(2, 1, 5, 4), torch.zeros(2, 2))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """One such network: each other one would be exported anew, for seconds."""
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture(scope="module")
def exported(network: nn.Module) -> bytes:
    return onnx_engine.export(network, EXAMPLES, most=onnx_engine.MOST)


@pytest.fixture
def exports(exported: bytes, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Has `network` exported at once; what was exported."""
    done: list[object] = []
    monkeypatch.setattr(onnx_engine, "export", lambda *given, **_: done.append(given) or exported)
    return done


@pytest.mark.parametrize("rows", [1, 2, 31, 32, 33, 200])
def test_onnx_takes_any_number_of_rows(rows: int, network: nn.Module) -> None:
    torch.manual_seed(0)
    given = torch.randn(rows, 1, 5, 4), torch.randn(rows, 2)
    call = ENGINES["onnx"]().load(network, EXAMPLES)
    with torch.no_grad():
        torch.testing.assert_close(call(*given), network(*given), atol=1e-5, rtol=1e-5)
        strange = given[0].contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(call(strange, given[1]), network(*given), atol=1e-5, rtol=1e-5)


def test_a_network_is_exported_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, engine, done = Small().eval(), ENGINES["onnx"](), []
    export = onnx_engine.export

    def counted(*given: object, **named: object) -> bytes:
        done.append(given)
        return export(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(onnx_engine, "export", counted)
    x = torch.randn(3, 1, 5, 4), torch.randn(3, 2)
    first = engine.load(network, EXAMPLES)(*x)
    onnx_engine.open_session.cache_clear()
    again = engine.load(network, tuple(torch.cat([one, one]) for one in EXAMPLES))(*x)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert len(done) == len(list(own_cache.iterdir())) == 1
    with torch.no_grad():
        network.conv.bias += 1
    assert not torch.equal(engine.load(network, EXAMPLES)(*x), first)
    assert len(done) == len(list(own_cache.iterdir())) == 2


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08\x0a\x12\x00" * 50])
def test_a_damaged_cache_is_made_anew(
    own_cache: Path, content: bytes, network: nn.Module, exports: list[object]
) -> None:
    x = torch.randn(3, 1, 5, 4), torch.randn(3, 2)
    expected = ENGINES["onnx"]().load(network, EXAMPLES)(*x)
    (path,) = own_cache.iterdir()
    path.write_bytes(content)
    onnx_engine.open_session.cache_clear()
    torch.testing.assert_close(ENGINES["onnx"]().load(network, EXAMPLES)(*x), expected)
    assert path.read_bytes() != content
    assert len(exports) == 2


@pytest.mark.usefixtures("exports")
def test_a_cache_that_cannot_be_written_is_none(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    x = torch.randn(3, 1, 5, 4), torch.randn(3, 2)
    with torch.no_grad():
        torch.testing.assert_close(ENGINES["onnx"]().load(network, EXAMPLES)(*x), network(*x))


def test_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert onnx_engine._place("key") is None


@pytest.mark.skipif(sys.platform == "win32", reason="threads are counted in /proc")
def test_a_session_has_no_threads_of_its_own(network: nn.Module) -> None:
    before = len(list(Path("/proc/self/task").iterdir()))
    onnx_engine.open_session.cache_clear()
    call = ENGINES["onnx"]().load(network, EXAMPLES)
    assert len(list(Path("/proc/self/task").iterdir())) == before
    assert call is not None


@pytest.mark.parametrize(
    ("rows", "threads", "parts"),
    [
        (1, 3, [1]),
        (2, 3, [2]),
        (5, 3, [2, 2, 1]),
        (65, 2, [32, 32, 1]),
        (65, 3, [22, 22, 21]),
        (20, 1, [20]),
        (70, 1, [32, 32, 6]),
    ],
)
def test_parts_of_a_batch_run_side_by_side(
    rows: int, threads: int, parts: list[int], exported: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, found = onnx_engine.open_session(exported), []

    class Watched:
        get_inputs = session.get_inputs

        def run(self, names: None, given: dict[str, np.ndarray]) -> list[np.ndarray]:
            found.append((len(given["x0"]), threading.current_thread().name))
            return session.run(names, given)

    monkeypatch.setattr(onnx_engine, "_content", lambda *_: exported)
    monkeypatch.setattr(onnx_engine, "open_session", lambda _: Watched())
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    call = ENGINES["onnx"]().load(nn.Identity(), EXAMPLES)
    given = torch.randn(rows, 1, 5, 4), torch.randn(rows, 2)
    (expected,) = session.run(None, {f"x{k}": one.numpy() for k, one in enumerate(given)})
    np.testing.assert_allclose(call(*given).numpy(), expected, atol=1e-6)  # in their order
    assert sorted(n for n, _ in found) == sorted(parts)
    own = threads == 1 or len(parts) == 1
    assert all((name == threading.current_thread().name) == own for _, name in found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_has_threads_of_its_own() -> None:
    assert list(onnx_engine._pool(2).map(len, ["a", "bc"])) == [1, 2]
    if (child := os.fork()) == 0:
        os._exit(0 if list(onnx_engine._pool(2).map(len, ["abc"])) == [3] else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("calls", ["all", pytest.param(6, marks=pytest.mark.slow)])
def test_onnx_makes_the_images_of_a_shipped_model(calls: int | str) -> None:
    """Call by call, and as one chain."""
    model = Model.from_pretrained("small").stepped(calls)
    fast = model.with_engine("onnx")
    assert (fast.chain is None) == (calls == "all")
    for rows in (1, 7):
        labels = [k % 10 for k in range(rows)]
        expected, images = (one.sample(labels, seed=4).images for one in (model, fast))
        np.testing.assert_allclose(images, expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnx", "compile"])
@pytest.mark.parametrize("name", METHODS)
def test_the_images_of_every_method(name: str, engine: str, trained: Trained) -> None:
    model = trained(name)
    fast = model.with_engine(engine)
    for rows in (1, 7, 64):
        labels = [k % 3 for k in range(rows)]
        expected, images = (one.sample(labels, seed=4).images for one in (model, fast))
        np.testing.assert_allclose(images, expected, atol=1e-4)


@pytest.mark.slow
def test_guided_images() -> None:
    model = Model.from_pretrained("guided").guided(1.5)
    expected, images = (
        one.sample(range(10), seed=4).images for one in (model, model.with_engine("onnx"))
    )
    np.testing.assert_allclose(images, expected, atol=1e-4)
