from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scalespace.cli import main
from scalespace.errors import InputError
from scalespace.toy import experiment as whole
from scalespace.toy import figures
from scalespace.toy import model as module
from scalespace.toy.config import CURES, PAPER, ToyConfig
from scalespace.toy.experiment import STATE_COUNTS, exact_by_states, experiment

TINY = ToyConfig(epochs=1, batches=3, batch_size=8, hidden=4)
PICTURES = {"toy-forward", "toy-reverse", "toy-eps", "toy-strays", "toy-causes"}
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A tiny run with all cures and two seeds."""
    out = tmp_path_factory.mktemp("toy") / "new" / "run"
    return out, experiment(out, TINY, seeds=(0, 3), samples=40, progress=False)


def test_files(done: tuple[Path, dict[str, Any]]) -> None:
    out, results = done
    assert json.loads((out / "toy.json").read_text()) == json.loads(json.dumps(results))
    assert {path.name for path in out.iterdir()} == {
        *("toy.json", "toy.md", "trained"),
        *(f"{name}.png" for name in PICTURES),
    }
    for name in PICTURES:
        with Image.open(out / f"{name}.png") as picture:
            assert min(picture.size) > 200
            assert len(set(picture.convert("L").resize((50, 50)).tobytes())) > 5  # not blank
    # what two arms have in common was trained once
    trained = list((out / "trained").iterdir())
    assert len(trained) == 2 * (
        len(results["arms"]) - len({"clip", "dynamic", "barrier", "ddim"}) - 1
    )


def test_every_arm_has_its_seeds_its_control_and_its_row(
    done: tuple[Path, dict[str, Any]],
) -> None:
    out, results = done
    page = (out / "toy.md").read_text()
    assert results["arms"].keys() == {PAPER, "moved", "moved-stop-short", *CURES}
    for arm in results["arms"].values():
        assert arm["n"] == 80
        assert arm["seeds"].keys() == {"0", "3"}
        for kind in ("learnt", "exact"):
            strays = [one[kind]["strays"]["count"] for one in arm["seeds"].values()]
            assert arm[kind]["strays"]["count"] == sum(strays)
        assert sum(arm["split"].values()) == 80
        # the exact process depends on a seed by its noise alone, and no two seeds share theirs
        assert arm["seeds"]["0"]["exact"] != arm["seeds"]["3"]["exact"]
        count = f"| {arm['split']['both']} | {arm['split']['only_learnt']} |"
        assert any(f"| {arm['title']} |" in line and count in line for line in page.splitlines())
        assert len(next(iter(arm["seeds"].values()))["x0_error"]) == 19
    settings = results["settings"]
    assert (settings["seeds"], settings["samples"], settings["tolerance"]) == ([0, 3], 40, 0.1)
    for part in ("late", "early"):
        assert [found["n"] for found in results["blame"][part]] == [80] * 20
    for name in PICTURES:
        assert f"({name}.png)" in page


def test_the_exact_process_is_the_same_wherever_the_cure_is_in_training(
    done: tuple[Path, dict[str, Any]],
) -> None:
    """Common random numbers: cures of the training leave the control's every figure alone."""
    arms = done[1]["arms"]
    trained = ("unroll-2", "unroll-4", "perturb", "mean", "min-snr", "self-condition", "x0", "v")
    trained += ("unroll-4-mean", "perturb-mean")
    for name in (*trained, "lr", "clip", "dynamic"):
        assert arms[name]["exact"] == arms[PAPER]["exact"]
        assert arms[name]["learnt"] != arms[PAPER]["learnt"]  # and each does something
    for name in ("ddim", "stop-short", "zero-terminal", "barrier"):
        assert arms[name]["exact"] != arms[PAPER]["exact"]


def test_in_one_dimension_dynamic_thresholding_is_clipping(
    done: tuple[Path, dict[str, Any]],
) -> None:
    """The quantile over the one pixel of a sample is that pixel."""
    arms = done[1]["arms"]
    dynamic, clip, paper = (arms[name]["learnt"] for name in ("dynamic", "clip", PAPER))
    for name in ("strays", "strays_by_tolerance", "landed", "x0_hat_left_domain"):
        assert dynamic[name] == clip[name]
    assert dynamic["x0_hat_largest"] == pytest.approx(clip["x0_hat_largest"])
    assert clip["x0_hat_left_domain"] != paper["x0_hat_left_domain"]


def test_a_second_run_trains_nothing_and_says_the_same(
    done: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, results = done

    def refuse(*_: object) -> float:
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "_train", refuse)
    monkeypatch.setattr(figures, "draw", lambda *_: {})  # they take a while
    again = experiment(out, TINY, seeds=(0, 3), samples=40, cures=False, progress=False)
    for name in again["arms"]:
        assert again["arms"][name] == results["arms"][name]
    with pytest.raises(AssertionError, match="trained again"):
        experiment(out, TINY, seeds=(1,), samples=40, cures=False, progress=False)


def test_discretisation_vanishes_with_more_states() -> None:
    rows = exact_by_states(ToyConfig(), seeds=(0,), samples=300, tolerance=0.1)
    assert [row["states"] for row in rows] == list(STATE_COUNTS)
    for sampler in ("ancestral", "ddim"):
        counts = [row[sampler]["count"] for row in rows]
        assert counts[0] > 10
        assert counts[-3:] == [0, 0, 0]


@pytest.mark.slow
def test_the_papers_training_leaves_strays_that_are_learnt(tmp_path: Path) -> None:
    """About half a minute: appendix 3.8 to the letter, and the strays of Figure 4."""
    results = experiment(tmp_path, ToyConfig(), seeds=(0,), cures=False, progress=False)
    arm = results["arms"][PAPER]
    assert 0.002 < arm["learnt"]["strays"]["share"] < 0.1
    assert arm["exact"]["strays"]["count"] == 0
    for landed in arm["learnt"]["landed"]:
        assert 0.4 < landed["share"] < 0.6


# The command


def run(capsys: Capture, *words: str) -> str:
    capsys.readouterr()
    main(["toy", *words])
    return capsys.readouterr().out


def test_command(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "draw", lambda *_: {})
    monkeypatch.setattr(whole, "STATE_COUNTS", STATE_COUNTS[:2])
    common = ["--epochs", "1", "--samples", "30", "--quiet", "--no-cures"]
    words = ["--out", str(tmp_path / "a"), "--points", "-2,1,3", "--seeds", "4,5", *common]
    out = run(capsys, *words)
    assert "| the paper's settings | " in out
    assert str(tmp_path / "a" / "toy.md") in out
    found = json.loads(run(capsys, *words, "--json"))
    assert found["settings"]["points"] == [-2, 1, 3]
    assert found["settings"]["seeds"] == [4, 5]
    assert found == json.loads((tmp_path / "a" / "toy.json").read_text())
    assert "{−2, 1, 3}" in (tmp_path / "a" / "toy.md").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--points", "1"], "at least two different points, got 1"),
        (["--points=1,1"], "at least two different points"),
        (["--points", "-1,one"], "--points takes numbers, as in -1,0.5: got '-1,one'"),
        (["--points", "0,nan"], "--points takes numbers"),
        (["--seeds", "0,x"], "--seeds takes whole numbers"),
        (["--seeds", "0,0"], "--seeds must be different numbers >= 0"),
        (["--seeds=-1"], "--seeds must be different numbers >= 0"),
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--samples", "0"], "--samples must lie between 1 and 1,000,000"),
        (["--samples", "1000000000000"], "--samples must lie between 1 and 1,000,000"),
        (["--samples", "many"], "samples"),
        (["--tolerance", "0"], "--tolerance must lie between 0 and 1"),
        (["--tolerance", "nan"], "tolerance"),
        (["--pionts", "1,2"], "did you mean --points?"),
    ],
)
def test_bad_input_is_refused(words: list[str], says: str, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        main(["toy", "--out", str(out), *words])
    told = capsys.readouterr()
    assert stop.value.code == 2
    assert told.err.startswith("scalespace: ")
    assert told.err.count("\n") == 1
    assert says in told.err
    assert told.out == ""
    assert not out.exists()


def test_a_file_in_the_way_is_refused(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SystemExit) as stop:
        main(["toy", "--out", str(tmp_path / "file"), "--quiet"])
    assert stop.value.code == 2
    assert "file" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_bad_settings_of_the_function(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--seeds must be different"):
        experiment(tmp_path / "x", TINY, seeds=())
    assert not (tmp_path / "x").exists()
