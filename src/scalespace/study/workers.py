"""The processes that carry out a study's tasks side by side.

A worker reads the study's settings once, and is then given one task after another: a line on its
standard input, answered by a line on its standard output. Starting a process for each task would
take longer than many tasks do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Self

import torch

from scalespace.config import Config
from scalespace.config.build import build
from scalespace.data import load
from scalespace.errors import InputError
from scalespace.files import read_json
from scalespace.study.folder import SETTINGS
from scalespace.study.plan import Task, make_plan
from scalespace.study.tasks import Context, run_task
from scalespace.training.runtime import Runtime

ANSWER = "done"
VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpus(runtime: Runtime) -> list[str]:
    """The GPUs that workers are shared out among, as `CUDA_VISIBLE_DEVICES` names them.

    Empty where there is nothing to share out: no second GPU, or trainings that take several each.
    Workers on one GPU take turns there: a network as small as these leaves most of it idle.
    """
    if runtime.torch_device.type != "cuda" or runtime.devices > 1:
        return []
    n = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return (named or [str(k) for k in range(n)])[:n] if n > 1 else []


class Workers:
    """As many processes as there are tasks at a time; each serves until the end.

    Args:
        folder: the study's.
        gpus: given to the workers in turn; see `gpus`.
    """

    def __init__(self, folder: Path, gpus: Sequence[str] = ()) -> None:
        self.folder = folder
        self.places: Iterator[str | None] = cycle(gpus or [None])
        self.every: list[Worker] = []
        self.idle: list[Worker] = []
        self.stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.every:
            worker.close()

    def run(self, task: Task, beside: int) -> None:
        """Runs one task by an idle worker, or a new one. May be called from several threads.

        Args:
            task: what to do.
            beside: tasks that share the cores with it, itself included.

        Raises:
            InputError: the task failed; its last line.
        """
        try:
            worker = self.idle.pop()
        except IndexError:
            worker = Worker(self.folder, next(self.places))
            self.every.append(worker)
        if self.stopped:
            worker.process.terminate()
        worker.run(task, beside)
        self.idle.append(worker)

    def stop(self) -> None:
        """Ends all workers, whatever they do, and those about to start."""
        self.stopped = True
        for worker in tuple(self.every):
            worker.process.terminate()


class Worker:
    """One process; it ends with the first task that fails.

    Args:
        folder: the study's.
        gpu: the one that it sees; None for all that this process sees.
    """

    def __init__(self, folder: Path, gpu: str | None = None) -> None:
        command = [sys.executable, "-m", "scalespace.study.workers", str(folder), str(os.getpid())]
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=None if gpu is None else {**os.environ, VISIBLE: gpu},
        )

    def run(self, task: Task, beside: int) -> None:
        """Runs one task; `InputError` with the last line of its errors if it fails."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            print(task.id, beside, file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except OSError:  # it has ended
            answer = ""
        if answer.strip() == ANSWER:
            return
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        raise InputError(f"{task.kind} {task.name} failed: {(lines or ['no message'])[-1]}")

    def close(self) -> None:
        """Lets it end, which it does when there are no more tasks."""
        try:
            self.process.communicate()
        except (OSError, ValueError):  # it has ended, in the middle of a line
            self.process.wait()
        self.errors.close()


def _serve(folder: str, parent: str) -> None:
    """Does tasks until there are no more; the process ends if the study's does."""
    threading.Thread(target=_leave_with, args=(int(parent),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a task prints is no answer
    settings = read_json(Path(folder) / SETTINGS, "study settings")
    config = build(Config, settings["config"])
    runtime = Runtime(**{**settings["runtime"], "progress": False})
    splits = load(config.data, settings["data_dir"], size=config.size)
    plan = make_plan(config, splits.info)
    context = Context(Path(folder), config, splits, plan, runtime)
    for line in sys.stdin:
        task, beside = line.split()
        if not os.environ.get("OMP_NUM_THREADS"):  # the user's choice, if set
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // int(beside)))
        run_task(context, plan.task(task))
        print(ANSWER, file=answers, flush=True)


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    try:
        _serve(*sys.argv[1:])
    except InputError as error:
        sys.exit(str(error))
