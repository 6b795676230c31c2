"""A study on a cluster of real worker processes of this machine, and what can go wrong there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from studies import ABOUT, run, untimed

import tiny
from scalespace import __version__
from scalespace.data import DataSplits
from scalespace.errors import InputError
from scalespace.files import write_json
from scalespace.report.study import study
from scalespace.studies import cluster, places, remote
from scalespace.studies.cluster import Cluster
from scalespace.studies.places import Place
from scalespace.studies.plan import Task
from scalespace.studies.remote import Ticket
from scalespace.studies.runner import run_tasks

SMALL = replace(tiny.CONFIG.study, methods=("small",), seeds=(0,))


def parent(pid: int) -> int:
    found = subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, check=True)
    return int(found.stdout)


def test_results_are_those_of_one_process_though_a_worker_is_killed(
    splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    config = replace(tiny.CONFIG, study=SMALL, train=replace(tiny.TRAIN, epochs=12))
    told: list[str] = []
    killed: list[int] = []

    def kill_the_first(line: str) -> None:
        told.append(line)
        if not killed and (found := re.search(r"^train .* process (\d+)", line)):
            killed.append(int(found[1]))
            os.kill(parent(killed[0]), signal.SIGKILL)

    path = run_tasks(
        *(tmp_path / "two", config, splits, tiny.CPU, 1, ABOUT, kill_the_first),
        cluster=Place.read("local:2"),
    )
    begun = [line for line in told if re.search(r"^train .* process \d+", line)]
    assert len(begun) == 2  # it was done again
    assert killed[0] not in [int(line.split("process ")[1].split(",")[0]) for line in begun[1:]]
    assert any("workers: 2, tasks at a time: 2" in line for line in told)
    assert any(line.startswith("[8/8]") for line in told)
    one = run(tmp_path / "one", splits, study=SMALL, train=config.train)
    two = [line for line in path.read_text().splitlines() if line]
    assert untimed([json.loads(line) for line in two]) == untimed(one)
    left = [p for p in (tmp_path / "two").rglob("*") if ".part" in p.name or p.name == ".lock"]
    assert left == []
    assert {p.name for p in (tmp_path / "two").iterdir()} >= {"logs", "units"}
    assert not (tmp_path / "two" / ".running").exists()


@pytest.mark.parametrize(
    "text",
    ["", "local", "local:0", "local:-1", "local:two", "local:99999", "tcp:", "tcp://here",
     "http://here:80", "slurm:", "pbs", "localhost:8786"],
)  # fmt: skip
def test_words_that_name_no_cluster(text: str) -> None:
    with pytest.raises(InputError, match=r"--cluster takes local:N .*: got '"):
        Place.read(text)


@pytest.mark.parametrize("text", ["local:2", "tcp://here:8786"])
def test_jobs_beside_a_cluster_that_has_its_own_number(text: str) -> None:
    with pytest.raises(InputError, match="--jobs goes with --cluster slurm alone"):
        Place.read(text, jobs=2)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"needs distributed: pip install 'scalespace\[cluster\]'"):
        study(tmp_path / "out", tiny.CONFIG, cluster="local:2")
    assert not (tmp_path / "out").exists()


def test_an_address_where_nobody_answers(
    splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 0.5)
    config = replace(tiny.CONFIG, study=SMALL)
    place = Place.read("tcp://127.0.0.1:1")
    with pytest.raises(InputError, match=r"no scheduler answers at tcp://127.0.0.1:1: \S") as found:
        run_tasks(tmp_path, config, splits, tiny.CPU, 1, ABOUT, print, cluster=place)
    assert "\n" not in str(found.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["settings.json", "study.json"]


@pytest.fixture
def ticket(tmp_path: Path) -> Ticket:
    write_json(tmp_path / "settings.json", {"run": "abc"})
    return Ticket(str(tmp_path), "abc", __version__, str(tmp_path), patience=0.0)


def test_a_worker_checks_that_it_has_the_same_folder(ticket: Ticket, tmp_path: Path) -> None:
    ticket.check([])
    with pytest.raises(InputError, match=r"does not see .*must be on a drive that all workers sh"):
        replace(ticket, folder="/not/there").check([])
    with pytest.raises(InputError, match=r"is another folder on .* than where the study was sta"):
        replace(ticket, run="other").check([])
    with pytest.raises(InputError, match="does not see what task train-a has written"):
        ticket.check(["train-a"])
    write_json(tmp_path / "units" / "train-a" / "result.json", {})
    ticket.check(["train-a"])


def test_a_worker_waits_for_a_drive_that_lags(ticket: Ticket, tmp_path: Path) -> None:
    late = threading.Timer(0.3, write_json, (tmp_path / "units" / "a" / "result.json", {}))
    late.start()
    replace(ticket, patience=60.0).check(["a"])
    late.join()


def test_a_worker_with_another_version(ticket: Ticket) -> None:
    with pytest.raises(InputError, match=r"has scalespace \S+, and the study was started by 9.9"):
        replace(ticket, version="9.9").check([])


TASK = Task("train", "a", {})


def settled(tmp_path: Path, **future: Any) -> Future[None]:
    write_json(tmp_path / "settings.json", {"run": "abc"})
    executor = Cluster(tmp_path, Place("address"), patience=0.0)
    done: Future[None] = Future()
    executor._settle(TASK, done, SimpleNamespace(**future))
    return done


def test_a_done_task_whose_files_are_elsewhere(tmp_path: Path) -> None:
    done = settled(tmp_path, status="finished", result=lambda: "")
    with pytest.raises(InputError, match=r"train a failed: a worker has done it, but its files"):
        done.result()
    write_json(tmp_path / "units" / TASK.id / "result.json", {})
    assert settled(tmp_path, status="finished", result=lambda: "").result() is None


class KilledWorker(Exception):
    """By dask's name."""


@pytest.mark.parametrize(
    ("future", "line"),
    [
        ({"status": "finished", "result": lambda: "no images"}, "no images"),
        ({"status": "error", "exception": KilledWorker}, "every worker that began it was lost"),
        (
            {"status": "error", "exception": lambda: ModuleNotFoundError("No module 'scalespace'")},
            f"a worker cannot import scalespace {__version__}: No module",
        ),
        ({"status": "error", "exception": lambda: OSError("a\nb")}, "a b"),
        ({"status": "cancelled"}, r"the cluster has dropped it \(cancelled\)"),
        ({"status": "lost"}, r"the cluster has dropped it \(lost\)"),
    ],
)
def test_a_failure_is_one_line(future: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^train a failed: {line}") as found:
        settled(tmp_path, **future).result()
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("state", "given_up"),
    [
        ("executing", False),
        ("waiting", False),
        ("cancelled", True),
        ("resumed", True),
        (None, True),
    ],
)
def test_a_worker_knows_when_a_task_is_wanted_no_more(state: str | None, given_up: bool) -> None:
    tasks = {"key": SimpleNamespace(state=state)} if state else {}
    worker = SimpleNamespace(state=SimpleNamespace(tasks=tasks))
    assert remote._given_up(worker, "key")() is given_up


SLURM = {"cores": 8, "memory": "4GB", "walltime": "01:00:00"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "must be a mapping of settings"),
        ("1: 2", "must be a mapping of settings"),
        ("jobs: many", "jobs must be a whole number above 0, got 'many'"),
        ("jobs: 0", "jobs must be a whole number above 0, got 0"),
        ("cores: 2", "--cluster slurm needs sbatch"),
        ("a: [", "not valid YAML|YAML"),
    ],
)
def test_slurm_settings_that_are_wrong(
    content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places.shutil, "which", lambda _: None)
    path = tmp_path / "slurm.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        Place.read(f"slurm:{path}")
    with pytest.raises(InputError, match="not found"):
        Place.read("slurm:nowhere.yaml")


def test_threads_of_a_task_are_taken_from_a_jobs_cores() -> None:
    assert places._shared_out(SLURM) == SLURM
    found = places._shared_out({**SLURM, "threads": 3, "job_script_prologue": ["module load x"]})
    assert (found["cores"], found["job_cpu"]) == (2, 8)
    assert found["job_script_prologue"] == ["export OMP_NUM_THREADS=3", "module load x"]
    assert "threads" not in found
    for wrong in (0, 9, "two"):
        with pytest.raises(
            InputError, match=r"threads, .*, must be a whole number from 1 to cores"
        ):
            places._shared_out({**SLURM, "threads": wrong})
