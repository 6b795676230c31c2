"""Tasks side by side in processes of their own, and what happens when one is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from studies import ABOUT, MEASURED, Row, run, untimed

import tiny
from scalespace.cli import main
from scalespace.data import DataSplits
from scalespace.errors import InputError
from scalespace.studies import executors, processes, schedule
from scalespace.studies.runner import run_tasks
from scalespace.training.runtime import Runtime
from undrawn import undrawn


@pytest.mark.slow
def test_side_by_side_is_as_one_after_another(
    splits: DataSplits, rows: list[Row], tmp_path: Path
) -> None:
    assert untimed(run(tmp_path, splits, jobs=2)) == untimed(rows)


@pytest.mark.slow
def test_side_by_side_by_every_metric(splits: DataSplits, tmp_path: Path) -> None:
    study = replace(MEASURED.study, methods=("small",), seeds=(0,))
    found = [
        run(tmp_path / str(jobs), splits, jobs, stages=MEASURED.stages, study=study)
        for jobs in (1, 2)
    ]
    assert untimed(found[0]) == untimed(found[1])
    assert len(list(tmp_path.glob("2/trainings/judge-*"))) == 1


@pytest.mark.slow
def test_a_unit_that_fails_in_its_own_process(splits: DataSplits, tmp_path: Path) -> None:
    """Its last line is the message, and what the others did is kept."""
    # its control, which would take the same rate, is not to fail before it
    rates = {"upscaler": 1e30, "upscaler-own": 1e-3}
    config = {"stages": {name: {"train": {"lr": rate}} for name, rate in rates.items()}}
    with pytest.raises(InputError, match=r"train upscaler-seed\d failed: .*diverged"):
        run(tmp_path, splits, jobs=2, **config)
    done = [path.parent.name for path in (tmp_path / "units").glob("*/result.json")]
    assert any(name.startswith("train") for name in done)


def test_an_interruption_ends_the_running_units(
    splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that reaches the study's own process alone, as from `kill -INT`."""
    started = []

    class Worker(subprocess.Popen[str]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)

    def interrupt(_: str) -> None:
        if started:
            raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Worker)
    monkeypatch.setattr(schedule, "STATUS_SECONDS", 0.1)
    long = replace(tiny.CONFIG, train=replace(tiny.CONFIG.train, epochs=100_000))
    with pytest.raises(KeyboardInterrupt):
        run_tasks(tmp_path, long, splits, tiny.CPU, 2, ABOUT, interrupt)
    assert [worker.returncode for worker in started] == [-signal.SIGTERM] * len(started)
    assert not list(tmp_path.rglob("result.json"))


@pytest.mark.parametrize(
    ("count", "visible", "devices", "expected"),
    [
        (0, None, 1, []),
        (1, None, 1, []),
        (1, "3", 1, []),
        (3, None, 1, ["0", "1", "2"]),
        (2, "4, GPU-5a", 1, ["4", "GPU-5a"]),
        (1, "4,99", 1, []),  # what lies behind a GPU that is not there does not count
        (2, "4,5,99,6", 1, ["4", "5"]),
        (2, None, 2, []),  # each training takes both
    ],
)
def test_gpus_to_share_out(
    count: int,
    visible: str | None,
    devices: int,
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # back to this afterwards
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    runtime = Runtime(device="cuda" if count else "cpu", devices=devices)
    assert executors.gpus(runtime) == expected


@pytest.mark.parametrize(("given", "expected"), [(["0", "7"], ["0", "7", "0"]), ([], ["mine"] * 3)])
def test_workers_are_given_gpus_in_turn(
    given: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A GPU each; without several, whatever the study's own process sees."""
    code = "import os; input(); print('done'); print(os.environ['CUDA_VISIBLE_DEVICES'])"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "mine")
    popen = subprocess.Popen
    monkeypatch.setattr(
        processes.subprocess,
        "Popen",
        lambda _, **given: popen([sys.executable, "-c", code], **given),
    )
    seen = []
    pool = processes.Processes(tmp_path, gpus=given)
    for _ in range(3):
        pool.run("train-x", 1)
        pool.free.clear()  # so that the next task takes another
    for one in pool.every:
        assert one.process.stdout is not None
        seen.append(one.process.stdout.readline().strip())
    pool.close()
    assert seen == expected


def study_command(data_dir: Path, preset: Path, out: Path, *more: str) -> list[str]:
    command = [sys.executable, "-m", "scalespace.cli", "study", "--preset", str(preset)]
    command += ["--data-dir", str(data_dir), "--device", "cpu", "--jobs", "2", "--quiet"]
    return [*command, "--out", str(out), "--study.methods=small", "--study.seeds=0", *more]


def workers_of(out: Path) -> list[int]:
    """The processes of a study's tasks."""
    words = ["ps", "-ww", "-eo", "pid,args"]  # -ww: whole lines
    found = subprocess.run(words, capture_output=True, text=True, check=True)
    lines = [line.split(maxsplit=1) for line in found.stdout.splitlines()]
    return [
        int(pid)
        for pid, words in lines
        if "scalespace.studies.workers" in words and str(out) in words
    ]


def seen(out: Path) -> list[int]:
    """The same, once there are any."""
    while not (workers := workers_of(out)):
        time.sleep(0.05)
    return workers


def started(study: subprocess.Popen[str]) -> None:
    """Returns when its first tasks have been started."""
    assert study.stderr is not None
    for line in study.stderr:
        if line.startswith("start"):
            return


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 4.0], ids=["at once", "at work"])
def test_a_study_that_is_killed_leaves_no_task_running(
    seconds: float, data_dir: Path, preset: Path, tmp_path: Path
) -> None:
    """Killed alone, so that nobody is left to end them; at once, while a task still starts."""
    command = study_command(data_dir, preset, tmp_path / "out", "--train.epochs=100000")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as study:
        started(study)
        seen(tmp_path / "out")
        time.sleep(seconds)
        study.kill()
    deadline = time.monotonic() + 60
    while left := workers_of(tmp_path / "out"):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.mark.slow
def test_a_task_that_is_killed_alone_is_told_of_and_done_again(
    data_dir: Path, preset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = study_command(data_dir, preset, out)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as study:
        started(study)
        os.kill(seen(out)[0], signal.SIGKILL)
        _, errors = study.communicate()
    assert study.returncode == 2
    assert "failed" in errors.splitlines()[-1]
    assert not workers_of(out)
    subprocess.run(command, check=True, capture_output=True)
    whole = study_command(data_dir, preset, tmp_path / "whole")
    subprocess.run(whole, check=True, capture_output=True)
    found = [
        untimed([json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()])
        for folder in (out, tmp_path / "whole")
    ]
    assert found[0] == found[1]
    assert not [path for path in out.rglob("*") if ".part" in path.name or path.name == ".lock"]


def test_by_the_command_line(
    data_dir: Path,
    preset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["study", "--preset", str(preset), "--data-dir", str(data_dir), "--quiet"]
    words += ["--study.seeds=0,1", "--study.methods=small", "--out", str(tmp_path / "study")]
    main([*words, "--device", "cpu"])
    out, err = capsys.readouterr()
    assert f"report: {tmp_path / 'study' / 'report.html'}" in out
    assert "Small, upscaled" in out
    assert "[1/" in err
    assert str(data_dir) not in (tmp_path / "study" / "report.html").read_text()
    with undrawn():  # it has been drawn before
        main([*words, "--device", "cpu"])
    again, err = capsys.readouterr()
    assert again == out
    assert "tasks are done already" in err

    def read_text(path: Path, encoding: str | None = None, errors: str | None = None) -> str:
        return path.read_bytes().decode(encoding or "latin-1", errors or "strict")

    monkeypatch.setattr(Path, "read_text", read_text)  # a machine whose own text is not UTF-8
    with undrawn():
        main([*words, "--device", "cpu"])
    assert "±" in again
    assert capsys.readouterr().out == again
