"""Studies by the command line on schedulers of their own processes: interrupted, killed, shared."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from studies import untimed

pytestmark = pytest.mark.slow

DASK = [sys.executable, "-m"]
SLURM = """
jobs: 2
cores: 2
threads: 2
memory: 2GB
interface: lo
job_script_prologue: [echo prologue >> prologue.txt]
"""
SBATCH = """#!/bin/sh
# starts the job's script in the background, and answers as SLURM does
SLURM_NTASKS=1 SLURM_JOB_NAME=dask-worker SLURM_JOB_ID=$$ sh "$@" > /dev/null 2>&1 &
echo "$@" >> "$(dirname "$0")/submitted"
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/cancelled"
for job in "$@"; do pkill -TERM -P "$job"; done
"""


def processes(words: str) -> dict[int, str]:
    """The processes whose command has these words."""
    listed = ["ps", "-ww", "-eo", "pid,args"]
    found = subprocess.run(listed, capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=1) for line in found.splitlines()[1:]]
    return {int(line[0]): line[1] for line in lines if len(line) > 1 and words in line[1]}


def gone(words: str) -> bool:
    """Whether such processes end within a while."""
    deadline = time.monotonic() + 120
    while processes(words):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def command(out: Path, data_dir: Path, preset: Path, cluster: str, *more: str) -> list[str]:
    words = [sys.executable, "-m", "scalespace", "study", "--preset", str(preset), "--quiet"]
    words += ["--data-dir", str(data_dir), "--device", "cpu", "--out", str(out)]
    words += ["--study.methods=small", "--study.seeds=0"]
    return [*words, *(["--cluster", cluster] if cluster else []), *more]


def rows(out: Path) -> list[dict[str, object]]:
    lines = (out / "results.jsonl").read_text().splitlines()
    return untimed([json.loads(line) for line in lines])


def until(study: subprocess.Popen[str], pattern: str) -> str:
    """Reads what a study tells until a line is like this."""
    assert study.stderr is not None
    told = []
    for line in study.stderr:
        told.append(line)
        if re.search(pattern, line):
            return line
    raise AssertionError("".join(told))


def start_scheduler(place: Path) -> tuple[str, list[subprocess.Popen[bytes]]]:
    """The address of a scheduler with a worker of two threads, and their processes."""
    file = place / "scheduler.json"
    where = ["--scheduler-file", str(file)]
    ends = [*where, "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    worker = [*where, "--nworkers", "1", "--nthreads", "2"]
    started = [
        subprocess.Popen([*DASK, f"distributed.cli.dask_{name}", *words], cwd=place)
        for name, words in (("scheduler", ends), ("worker", worker))
    ]
    deadline = time.monotonic() + 120
    while True:  # it writes its address once it listens
        with suppress(OSError, ValueError):
            return json.loads(file.read_text())["address"], started
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of such a scheduler."""
    address, started = start_scheduler(tmp_path)
    yield address
    for process in started:
        process.terminate()
    for process in started:
        process.wait(60)


@contextmanager
def study(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


ENDLESS = "--train.epochs=1000000"
AT_WORK = r"^train .*, process \d+"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_the_end_of_a_study_ends_its_tasks_and_leaves_the_scheduler_to_others(
    how: signal.Signals, scheduler: str, data_dir: Path, preset: Path, tmp_path: Path
) -> None:
    """Killed, it cannot say so itself."""
    long = command(tmp_path / "long", data_dir, preset, scheduler, ENDLESS)
    short = command(tmp_path / "short", data_dir, preset, scheduler)
    with study(long) as first:
        until(first, AT_WORK)
        # another study gets its turn meanwhile, and the first goes on
        done = subprocess.run(short, capture_output=True, text=True, check=True)
        assert "[8/8]" in done.stderr
        assert gone(f"scalespace.studies.workers {tmp_path / 'short'}")
        assert processes(f"scalespace.studies.workers {tmp_path / 'long'}")
        first.send_signal(how)
        first.wait()
        assert first.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert gone(f"scalespace.studies.workers {tmp_path / 'long'}")
    again = command(tmp_path / "again", data_dir, preset, scheduler)
    subprocess.run(again, capture_output=True, check=True)
    assert rows(tmp_path / "again") == rows(tmp_path / "short")


def test_a_task_that_fails_ends_the_study_with_its_line(
    scheduler: str, data_dir: Path, preset: Path, tmp_path: Path
) -> None:
    words = command(tmp_path / "out", data_dir, preset, scheduler, "--train.lr=1e30")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.match(
        r"scalespace: train small-seed0 failed: .*diverged", done.stderr.splitlines()[-1]
    )
    assert "Traceback" not in done.stderr
    assert gone(f"scalespace.studies.workers {tmp_path / 'out'}")


def test_a_task_whose_process_is_killed_is_done_again(
    scheduler: str, data_dir: Path, preset: Path, tmp_path: Path
) -> None:
    with study(command(tmp_path / "out", data_dir, preset, scheduler)) as process:
        line = until(process, AT_WORK)
        os.kill(int(re.findall(r"process (\d+)", line)[0]), signal.SIGKILL)
        _, told = process.communicate()
        assert re.search(AT_WORK, told, re.MULTILINE)
        assert process.returncode == 0


def test_a_scheduler_that_dies(data_dir: Path, preset: Path, tmp_path: Path) -> None:
    address, started = start_scheduler(tmp_path)
    with study(command(tmp_path / "out", data_dir, preset, address, ENDLESS)) as process:
        until(process, AT_WORK)
        for one in started:
            one.kill()
            one.wait()
        assert process.stderr is not None
        told = process.stderr.read()
        assert process.wait() == 2
        assert "the scheduler is gone" in told or "the cluster has dropped it" in told
        assert "Traceback" not in told
        assert " - distributed" not in told  # dask's own log
    assert gone(f"scalespace.studies.workers {tmp_path / 'out'}")


def test_interrupted_workers_of_this_machine_end(
    data_dir: Path, preset: Path, tmp_path: Path
) -> None:
    with study(command(tmp_path / "out", data_dir, preset, "local:2", ENDLESS)) as process:
        until(process, AT_WORK)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
        assert process.wait() == 130
    assert gone(str(tmp_path / "out"))


def test_jobs_of_slurm(
    data_dir: Path, preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an sbatch of our own, which starts the job in the background."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, script in {"sbatch": SBATCH, "scancel": SCANCEL}.items():
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slurm.yaml").write_text(SLURM)
    words = command(tmp_path / "out", data_dir, preset, "slurm:slurm.yaml")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[8/8]" in done.stderr
    assert "threads: 2" in done.stderr  # the prologue's word goes before this process's own
    assert len((tools / "submitted").read_text().splitlines()) == 2
    assert (tmp_path / "prologue.txt").read_text() == "prologue\n" * 2
    assert gone("distributed.cli.dask_worker tcp://127.0.0.1")
    one = command(tmp_path / "one", data_dir, preset, "")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # sums of more threads are in another order
    subprocess.run(one, capture_output=True, check=True)
    assert rows(tmp_path / "out") == rows(tmp_path / "one")
