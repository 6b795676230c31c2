"""A study whose files are gone or damaged, and two processes at one study."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from studies import ABOUT, quiet, run, untimed

import tiny
from scalespace.cli import main
from scalespace.data import DataSplits
from scalespace.errors import InputError
from scalespace.files import locked
from scalespace.report.page import build
from scalespace.report.results import Results
from scalespace.report.study import study
from scalespace.studies import executors
from scalespace.studies.runner import run_tasks

pytestmark = pytest.mark.usefixtures("quick_pictures")
SMALL: dict[str, Any] = {"study": replace(tiny.CONFIG.study, methods=("small",), seeds=(0,))}


@pytest.fixture(scope="module")
def little(splits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of one method and one seed, to be copied."""
    folder = tmp_path_factory.mktemp("little")
    run(folder, splits, **SMALL)
    return folder


@pytest.fixture
def harmed(little: Path, tmp_path: Path) -> Path:
    """A copy of it, to do harm to."""
    return shutil.copytree(little, tmp_path / "harmed")


def mended(
    folder: Path, little: Path, splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The tasks that a run does again, after which the study is as it was."""
    done: list[str] = []
    run_task = executors.run_task

    def noted(context: Any, task: Any) -> None:
        run_task(context, task)
        done.append(f"{task.kind} {task.name}")

    with monkeypatch.context() as patch:
        patch.setattr(executors, "run_task", noted)
        found = run(folder, splits, **SMALL)
    before = (little / "results.jsonl").read_text().splitlines()
    assert untimed(found) == untimed([json.loads(line) for line in before])
    for path in little.rglob("*"):
        assert (folder / path.relative_to(little)).exists()
    return done


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"rows": 3}', '{"rows": [3]}'])
def test_a_damaged_result_is_made_again(
    content: str, harmed: Path, little: Path, splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = next((harmed / "units").glob("score-cas-small-*")) / "result.json"
    result.write_text(content)
    assert mended(harmed, little, splits, monkeypatch) == ["score cas-small"]
    assert mended(harmed, little, splits, monkeypatch) == []


def test_an_edited_result_is_made_again(
    harmed: Path, little: Path, splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A better score by hand does not survive; a result of a version without checksums does."""
    path = next((harmed / "units").glob("score-cas-small-*")) / "result.json"
    result = json.loads(path.read_text())
    result["rows"][0]["value"] = 0.999
    path.write_text(json.dumps(result))
    assert mended(harmed, little, splits, monkeypatch) == ["score cas-small"]
    result = json.loads(path.read_text())
    del result["checksum"]
    path.write_text(json.dumps(result))
    assert mended(harmed, little, splits, monkeypatch) == []


def test_a_study_tells_which_versions_made_what_is_done(harmed: Path, splits: DataSplits) -> None:
    path = next((harmed / "units").glob("score-cas-small-*")) / "result.json"
    result = json.loads(path.read_text())
    for row in result["rows"]:
        row["versions"]["scalespace"] = "0.0.7"
    path.write_text(json.dumps({key: result[key] for key in ("unit", "rows")}))
    said: list[str] = []
    run_tasks(harmed, replace(tiny.CONFIG, **SMALL), splits, tiny.CPU, 1, ABOUT, said.append)
    assert any("done by scalespace 0.0.7, and this is" in line for line in said)


def test_a_result_that_may_not_be_read_is_not_made_again(harmed: Path, splits: DataSplits) -> None:
    """It may be whole: nothing is cleared away."""
    result = next((harmed / "units").glob("score-cas-small-*")) / "result.json"
    result.unlink()
    result.mkdir()
    with pytest.raises(InputError, match=r"cannot read task result .*result\.json"):
        run(harmed, splits, **SMALL)
    assert result.is_dir()


@pytest.mark.parametrize(
    ("gone", "task"),
    [
        ("units/sample-*/samples.npz", "sample small-seed0"),
        ("units/sample-*/trajectory.npz", "sample small-seed0"),
        ("units/sample-*", "sample small-seed0"),
        ("units/real-real-down-up-*/samples.npz", "real real-down-up"),
        ("trainings/*/metrics.jsonl", "train small-seed0"),
        ("trainings/*/stage.safetensors", "train small-seed0"),
        ("trainings", "train small-seed0"),
    ],
)
def test_a_file_that_is_gone_is_made_again(
    gone: str,
    task: str,
    harmed: Path,
    little: Path,
    splits: DataSplits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [path] = harmed.glob(gone)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert mended(harmed, little, splits, monkeypatch) == [task]
    assert mended(harmed, little, splits, monkeypatch) == []


def test_lost_metrics_need_no_training(
    harmed: Path, little: Path, splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a report shows of them is in the stage's own record."""
    [path], [stage] = harmed.glob("trainings/*/metrics.jsonl"), harmed.glob("trainings/*/stage.*")
    before, weights = Results(harmed).epochs("small", 0), stage.stat().st_mtime_ns
    path.unlink()
    mended(harmed, little, splits, monkeypatch)
    after = Results(harmed).epochs("small", 0)
    assert stage.stat().st_mtime_ns == weights
    assert [(row["epoch"], row["loss"], row["val_loss"]) for row in after] == [
        (row["epoch"], row["loss"], row["val_loss"]) for row in before
    ]
    assert after[-1]["val_loss_per_t"] == before[-1]["val_loss_per_t"]
    build(harmed)


@pytest.mark.parametrize(
    ("damaged", "reader"),
    [
        ("trainings/*/stage.safetensors", "sample-small-*"),
        ("units/sample-*/samples.npz", "score-cas-small-*"),
    ],
)
def test_a_damaged_file_is_to_be_deleted(
    damaged: str,
    reader: str,
    harmed: Path,
    little: Path,
    splits: DataSplits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is found out when it is read; after what the message says, all is well."""
    [path] = harmed.glob(damaged)
    path.write_bytes(path.read_bytes()[:50])
    shutil.rmtree(next((harmed / "units").glob(reader)))
    with pytest.raises(InputError, match=rf"{path.name} .*delete it (to|and)") as caught:
        run(harmed, splits, **SMALL)
    assert "\n" not in str(caught.value)
    path.unlink()
    assert len(mended(harmed, little, splits, monkeypatch)) == 2


@pytest.mark.parametrize(
    "name", ["sample-*/samples.npz", "sample-*/trajectory.npz", "../trainings/*/metrics.jsonl"]
)
def test_a_report_says_how_to_mend_what_it_cannot_read(name: str, harmed: Path) -> None:
    [path] = (harmed / "units").glob(name)
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="delete it and run the study again to make it anew"):
        build(harmed)
    path.unlink()
    with pytest.raises(InputError, match=r"not found: .*\(run the study again to make it anew"):
        build(harmed)


def test_two_processes_do_not_work_on_one_study(
    harmed: Path,
    splits: DataSplits,
    data_dir: Path,
    preset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The second is refused before it has changed anything; who only reads is not."""
    next((harmed / "units").glob("sample-*/result.json")).unlink()
    before = {path: path.stat().st_mtime_ns for path in harmed.rglob("*") if path.name != ".lock"}
    words = ["study", "--preset", str(preset), "--data-dir", str(data_dir), "--quiet"]
    words += ["--study.methods=small", "--out", str(harmed), "--device", "cpu"]
    with locked(harmed, "study"):
        for jobs in ("1", "2"):
            with pytest.raises(SystemExit) as left:
                main([*words, "--jobs", jobs])
            assert left.value.code == 2
            assert capsys.readouterr().err.splitlines()[-1] == (
                f"scalespace: {harmed}: another process works on this study (pid {os.getpid()}): "
                "wait for it, or choose another --out"
            )
        assert before == {path: path.stat().st_mtime_ns for path in before}
        main(["plot", "samples", str(harmed), "--out", str(tmp_path / "samples.png")])
        build(harmed)
    run(harmed, splits, **SMALL)


def test_the_report_is_made_before_another_process_may_work(
    harmed: Path, splits: DataSplits
) -> None:
    reported = []

    def report(folder: Path) -> None:
        with pytest.raises(InputError, match="another process"), locked(folder, "study"):
            pass
        reported.append(folder)

    config = replace(tiny.CONFIG, **SMALL)
    run_tasks(harmed, config, splits, tiny.CPU, about=ABOUT, say=quiet, report=report)
    assert reported == [harmed]


def test_a_study_that_cannot_be_done_writes_nothing(data_dir: Path, tmp_path: Path) -> None:
    few = replace(tiny.CONFIG.study, images=5, metrics=("prdc",))
    with pytest.raises(InputError, match=r"study\.images=5 is too few for prdc"):
        study(tmp_path / "few", replace(tiny.CONFIG, study=few), data_dir=data_dir)
    odd = replace(tiny.CONFIG.study, variants={1: {}, 2: {"train.epochs": 1}})
    with pytest.raises(InputError, match=r"study\.variants: a name must be text, got 1"):
        study(tmp_path / "odd", replace(tiny.CONFIG, study=odd), data_dir=data_dir)
    assert not list(tmp_path.iterdir())


def test_jobs_must_be_positive(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--jobs must be at least 1"):
        study(tmp_path, tiny.CONFIG, data_dir=data_dir, jobs=0)
    assert not list(tmp_path.iterdir())


def test_locks_of_killed_tasks_are_removed_and_held_ones_are_not(
    harmed: Path, splits: DataSplits
) -> None:
    """Also where nothing is left to do: the last task may end just after its study was killed."""
    stale = harmed / ".running" / "bench-seed0"
    stale.mkdir(parents=True)
    (stale / ".lock").write_text("1\n")
    held = harmed / ".running" / "train-small"
    with locked(held, "task"):
        run(harmed, splits, **SMALL)
        assert not stale.exists()
        assert (held / ".lock").exists()
    (harmed / ".running").mkdir(exist_ok=True)
    run(harmed, splits, **SMALL)
    assert not (harmed / ".running").exists()
