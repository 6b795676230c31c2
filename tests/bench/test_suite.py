"""The suite: its numbers, its files, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from scalespace.bench import SECTIONS, Suite, cases, clock, cold, run_suite
from scalespace.bench.clock import Seconds, in_turns, summary
from scalespace.bench.peers import PEERS, diffusers
from scalespace.bench.roofline import roofs
from scalespace.bench.suite import table
from scalespace.cli import main
from scalespace.errors import InputError

SMALL = Suite(rounds=1, batches=(2,), sides=(8, 14), turn=0)


def test_the_works_take_turns() -> None:
    done: list[str] = []
    times = in_turns({"a": lambda: done.append("a"), "b": lambda: done.append("b")}, 3, "work")
    assert "".join(done) == "ab" + "ab" * 3  # once each, which does not count
    assert {name: one.n for name, one in times.items()} == {"a": 3, "b": 3}
    assert summary([4.0, 1.0, 2.0, 3.0, 5.0]) == Seconds(3, 3, 2, 4, 5)


def test_a_turn_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on until 0.1 s have passed, and counts as the mean of what was done."""
    now, times = 0.0, iter([9.0, 0.05, 0.03, 0.03, 0.2])  # the first does not count

    def work() -> None:
        nonlocal now
        now += next(times)

    monkeypatch.setattr(clock.time, "perf_counter", lambda: now)
    (found,) = in_turns({"a": work}, 2, "work", least=0.1).values()
    assert found.n == 2
    assert found.mean == pytest.approx((0.11 / 3 + 0.2) / 2)


def test_rates_turn_quartiles_around() -> None:
    seconds = Seconds(0.6, 0.5, 0.25, 1.0, 7)
    time = cases._time("x", "ms", 1e3, seconds)
    assert (time["median"], time["q1"], time["q3"], time["n"]) == (500, 250, 1000, 7)
    rate = cases._rate("x", "images/s", 10, seconds, batch=10)
    assert (rate["median"], rate["q1"], rate["q3"], rate["batch"]) == (20, 10, 40, 10)
    assert cases._speed(3_000_000_000, seconds) == {"macs": 3_000_000_000, "gflops": 12}


def test_a_convolution_has_the_multiply_adds_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    for name, (work, macs) in roofs(torch.device("cpu")).items():
        if "bfloat16" not in name:
            with FlopCounterMode(display=False) as counter:
                work()
            assert counter.get_total_flops() == 2 * macs, name


def test_growth_and_shares(tmp_path: Path) -> None:
    found = run_suite(SMALL, ["roofline", "growth"], tmp_path / "out")
    rows = {row["case"]: row for row in found["rows"]}
    assert rows["14x14"]["macs"] < rows["28x28, twice as wide"]["macs"] / 10
    roof = rows["conv, float32"]["median"]
    for row in found["rows"]:
        if row["section"] == "growth":
            assert row["share"] == pytest.approx(row["gflops"] / roof)
    assert json.loads((tmp_path / "out" / "bench.json").read_text()) == found
    text = (tmp_path / "out" / "bench.md").read_text()
    assert text == table(found)
    assert "## Growth\n\nOne call of the baseline's network" in text
    assert "% |" in text
    assert not list(tmp_path.glob("**/*.png"))  # neither section has a picture


@pytest.fixture
def few_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """One shipped model, and one peer that is quick."""
    every = cases._models

    def two(device: torch.device) -> list:
        first, *rest = every(device)
        return [first.stepped(2), *(one.stepped(1) for one in rest if one.method.name == "small")]

    monkeypatch.setattr(cases, "_models", two)
    monkeypatch.setattr(cases, "peers", lambda: {"a peer": lambda n: torch.zeros(n)})


@pytest.mark.usefixtures("few_models")
def test_samples_and_pictures(tmp_path: Path) -> None:
    found = run_suite(SMALL, ["one image", "batches"], tmp_path)
    single = [row for row in found["rows"] if row["section"] == "one image"]
    assert [row["case"] for row in single] == [
        "baseline, 2 calls, torch",
        "small, 1 call, torch",
        "a peer",
    ]
    assert single[0]["ratio"] == 1
    assert single[1]["ratio"] == pytest.approx(single[0]["median"] / single[1]["median"])
    assert single[0]["macs"] == pytest.approx(2 * 16.9e6, rel=0.01)
    assert "macs" not in single[2]
    many = [row for row in found["rows"] if row["section"] == "batches"]
    assert [(row["batch"], row["unit"]) for row in many] == [(2, "images/s")] * 3
    names = {path.name for path in tmp_path.glob("*.png")}
    assert names == {"bench-one-image.png", "bench-batches.png"}
    assert ", batch 2 |" in (tmp_path / "bench.md").read_text()


def test_the_first_of_the_models_is_the_papers_baseline() -> None:
    first, *others = cases._models(torch.device("cpu"))
    assert (first.method.name, first.calls) == ("baseline", 29)
    assert {"baseline", "small", "cascaded"} <= {one.method.name for one in others}


def test_training_of_every_stage() -> None:
    rows = run_suite(SMALL, ["training"])["rows"]
    assert [row["case"] for row in rows] == ["baseline", "small", "upscaler"]
    assert [row["batch"] for row in rows] == [64, 128, 128]
    assert all(row["gflops"] > 0 for row in rows)


def test_fresh_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    beside: list[int] = []

    @contextmanager
    def busy(programs: int) -> Iterator[None]:
        beside.append(programs)
        yield

    monkeypatch.setattr(cold, "busy", busy)
    monkeypatch.setattr(cold, "first_image", lambda name: [1.0, 2.0, 4.0])
    monkeypatch.setattr(cold, "peak", lambda work: 100.0)
    rows = {row["case"]: row for row in run_suite(SMALL, ["memory", "cold start"])["rows"]}
    assert beside == [0, torch.get_num_threads()]
    assert (rows["load"]["median"], rows["all"]["median"], rows["all"]["unit"]) == (2, 7, "s")
    assert rows["import alone"] == {
        "section": "memory",
        "case": "import alone",
        "unit": "MiB",
        "median": 100.0,
        "q1": 100.0,
        "q3": 100.0,
        "n": 1,
    }


@pytest.mark.slow
def test_a_real_process() -> None:
    assert len(cold.first_image("small")) == len(cold.PARTS)
    assert cold.peak("import alone") > 10
    with cold.busy(1):
        pass


def test_a_peer_is_called_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("diffusers")
    calls: list[int] = []
    forward = library.UNet2DModel.forward

    def counted(self: object, x: torch.Tensor, *words: object, **named: object) -> object:
        calls.append(len(x))
        return forward(self, x, *words, **named)

    monkeypatch.setattr(library.UNet2DModel, "forward", counted)
    for solver in (False, True):
        assert torch.as_tensor(diffusers(3, solver)(2)).shape == (2, 1, 28, 28)
    assert calls == [2] * 6
    assert all(module.isidentifier() for module, _ in PEERS.values())


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--suite", "cascaded"], "times the shipped models as they are"),
        (["--suite", "--steps", "3"], "times the shipped models as they are"),
        (["--suite", "--engine", "torch"], "times plain PyTorch beside the engine"),
        (["--suite", "--bench.productions", "3"], "times plain PyTorch beside the engine"),
        (["--suite", "--sections", "one imag"], "unknown section 'one imag'; did you mean"),
        (["--suite", "--rounds", "0"], "--rounds must lie in 1 .. 10000"),
        (["cascaded", "--rounds", "3"], "--rounds needs --suite"),
        (["cascaded", "--out", "x"], "--out needs --suite"),
        ([], "name a model"),
    ],
)
def test_bad_words(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["bench", *words])
    assert reason in capsys.readouterr().err


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        run_suite(SMALL, ["roofline"], tmp_path / "file" / "out")


def test_classifiers_one_after_the_other_and_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(cases, "cas", lambda *given, **_: asked.append(given[5].classifiers))
    one, both = run_suite(SMALL, ["scoring"])["rows"]
    assert one["ratio"] == 1
    assert both["ratio"] == pytest.approx(one["median"] / both["median"])
    assert asked == [1, 1, 1, 1, 1, 5] * (1 + SMALL.few)


@pytest.mark.parametrize(("given", "expected"), [(None, "100000"), ("7", "7")])
def test_waiting_threads_spin_briefly(
    given: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the user has said how long."""
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    if given is not None:
        monkeypatch.setenv("GOMP_SPINCOUNT", given)
    code = "import sys, os, scalespace; assert 'torch' not in sys.modules; "
    code += "print(os.environ['GOMP_SPINCOUNT'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_sections_have_headings() -> None:
    assert all((section.__doc__ or "").strip() for section in SECTIONS.values())
