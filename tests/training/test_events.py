"""TensorBoard event files: read back by TensorBoard's own reader."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from scalespace.cli import main
from scalespace.data import DataSplits
from scalespace.errors import InputError
from scalespace.files import locked
from scalespace.methods.base import get_method
from scalespace.training import loop
from scalespace.training.events import EVENTS, write_events
from scalespace.training.fit import fit
from scalespace.training.metrics import read_metrics
from scalespace.training.runtime import Runtime
from scalespace.training.training import Training

accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
)
LOGGED = replace(tiny.CPU, logs="tensorboard")
ROWS = [
    {"epoch": 1, "step": 5, "loss": 0.5, "lr": 0.1, "seconds": 1.0},
    {"epoch": 2, "step": 10, "loss": 0.25, "lr": 0.05, "seconds": 2.5, "val_loss": 0.75}
    | {"val_loss_per_t": [0.5, 1.0]},
]


def training(splits: DataSplits, **fields: Any) -> Training:
    (stage,) = get_method("small").stages
    recipe = replace(tiny.RECIPE, train=replace(tiny.TRAIN, **fields))
    return Training(stage, recipe, 0, splits.info)


def events(folder: Path) -> Any:
    """What is in a folder's one event file, orphaned steps and all."""
    (file,) = folder.glob(EVENTS)
    sizes = {accumulator.SCALARS: 0, accumulator.IMAGES: 0}
    found = accumulator.EventAccumulator(str(file), sizes, purge_orphaned_data=False)
    return found.Reload()


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(one.step, one.value) for one in events(folder).Scalars(tag)]


def steps_and(name: str, rows: list[dict[str, Any]]) -> list[tuple[int, float]]:
    return [(row["step"], pytest.approx(row[name])) for row in rows if name in row]


def write_metrics(folder: Path, rows: list[dict[str, Any]], tail: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)
    return folder


def test_a_training_logs_what_its_metrics_say(splits: DataSplits, tmp_path: Path) -> None:
    job = training(splits, epochs=4, validate_every=2, grid_every=3)
    fit(job, splits, tmp_path, LOGGED)
    folder = job.folder(tmp_path)
    rows = read_metrics(folder / "metrics.jsonl")
    assert scalars(folder, "loss/training") == steps_and("loss", rows)
    assert scalars(folder, "loss/validation") == steps_and("val_loss", rows)
    assert [step for step, _ in scalars(folder, "loss/validation")] == [10, 20]
    assert scalars(folder, "learning rate") == steps_and("lr", rows)
    levels = len(rows[-1]["val_loss_per_t"])
    tags = [f"validation loss by level/{t:03d}" for t in range(1, levels + 1)]
    last = [scalars(folder, tag)[-1] for tag in tags]
    assert last == [(20, pytest.approx(loss)) for loss in rows[-1]["val_loss_per_t"]]
    assert [image.step for image in events(folder).Images("images")] == [15, 20]


def test_nothing_is_logged_unless_asked(splits: DataSplits, tmp_path: Path) -> None:
    job = training(splits)
    fit(job, splits, tmp_path, tiny.CPU)
    assert not list(job.folder(tmp_path).glob(EVENTS))
    fit(job, splits, tmp_path, LOGGED)  # a finished training gets the file all the same
    rows = read_metrics(job.folder(tmp_path) / "metrics.jsonl")
    assert scalars(job.folder(tmp_path), "loss/training") == steps_and("loss", rows)


@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_resumed_training_has_each_step_once(
    killed_after: int, splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is killed after a row was logged and before the checkpoint was written."""
    job = training(splits, epochs=4)
    save, saves = loop.Loop._save, []

    def killed(self: Any) -> None:
        saves.append(self.step)
        if len(saves) > killed_after:
            raise KeyboardInterrupt
        save(self)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(job, splits, tmp_path, LOGGED)
    folder = job.folder(tmp_path)
    assert [step for step, _ in scalars(folder, "loss/training")][-1] == saves[-1]
    fit(job, splits, tmp_path, LOGGED)
    rows = read_metrics(folder / "metrics.jsonl")
    assert scalars(folder, "loss/training") == steps_and("loss", rows)
    assert len(rows) == 4


def test_logging_changes_no_weight(splits: DataSplits, tmp_path: Path) -> None:
    job = training(splits)
    plain = fit(job, splits, tmp_path / "plain", tiny.CPU)
    logged = fit(job, splits, tmp_path / "logged", LOGGED)
    for name, tensor in plain.ema.items():
        np.testing.assert_array_equal(tensor, logged.ema[name])


def test_the_command_converts_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write_metrics(tmp_path / "runs" / "small-1", ROWS, tail='{"epoch": 3, "st')
    other = write_metrics(tmp_path / "runs" / "study" / "judge-2", ROWS[:1])
    for _ in range(2):  # the second time in place of the first
        main(["logs", str(tmp_path / "runs")])
        out = capsys.readouterr().out
        assert f"tensorboard --logdir {tmp_path / 'runs'}" in out
        assert scalars(one, "loss/training") == [(5, 0.5), (10, 0.25)]
        assert scalars(one, "validation loss by level/002") == [(10, 1.0)]
        assert scalars(other, "loss/training") == [(5, 0.5)]
    times = [event.wall_time for event in events(one).Scalars("loss/training")]
    assert times[1] - times[0] == pytest.approx(1.5)


def test_the_commands_log(preset: Path, data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["train", "small", "--preset", preset, "--data-dir", data_dir, "--out", out, "--quiet"]
    main([str(word) for word in [*words, "--logs", "tensorboard", "--train.epochs=1"]])
    (folder,) = (out / "trainings").iterdir()
    assert [step for step, _ in scalars(folder, "loss/training")] == [5]


def test_rows_that_hold_no_numbers(tmp_path: Path) -> None:
    odd = [{"epoch": 1, "loss": "x", "lr": None}, {"step": [], "val_loss_per_t": [None, 2]}]
    folder = write_metrics(tmp_path / "odd", [*odd, *ROWS])
    write_events(folder)
    assert scalars(folder, "loss/training") == [(5, 0.5), (10, 0.25)]


def test_what_cannot_be_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    write_metrics(tmp_path / "bad", [], tail="no json\n")
    for words, says in (
        ("none", "not found"),
        ("empty", "no metrics.jsonl in it or below it"),
        ("bad", "no epochs"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["logs", str(tmp_path / words)])
        assert stop.value.code == 2
        assert says in capsys.readouterr().err
    busy = write_metrics(tmp_path / "busy", ROWS)
    with locked(busy, "training"), pytest.raises(InputError, match="another process"):
        write_events(busy)
    assert not list(tmp_path.rglob(EVENTS))


def test_without_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="extra 'tensorboard'"):
        Runtime(logs="tensorboard")
