"""Where a study's tasks are carried out: here, or in processes side by side.

A cluster (`cluster.py`) is the third kind. `schedule.py` gives them the tasks that can run.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, Self

import torch

from scalespace.errors import InputError
from scalespace.machine import cores
from scalespace.studies.brought import plug_ins
from scalespace.studies.plan import Task
from scalespace.studies.processes import VISIBLE, LostError, Processes
from scalespace.studies.tasks import Context, run_task
from scalespace.training.runtime import Runtime


class Executor(Protocol):
    """Carries out tasks, some at a time, as a context.

    A task's results are files in the study's folder: its future says only that it is done, or
    raises the `InputError` that says why it is not. When an exception ends the context, no new
    task starts.
    """

    @property
    def slots(self) -> int:
        """How many tasks it takes at a time by now."""

    def submit(self, task: Task) -> Future[None]:
        """Begins a task whose needs are done."""

    def news(self) -> list[str]:
        """What is to be told of it since the last call, a line each."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Here:
    """In this process, one after another."""

    slots = 1

    def __init__(self, context: Context) -> None:
        self.context = context

    def submit(self, task: Task) -> Future[None]:
        """Returns when the task is done."""
        run_task(self.context, task)
        future: Future[None] = Future()
        future.set_result(None)
        return future

    def news(self) -> list[str]:
        return []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class SideBySide:
    """In processes of their own on this machine; see `Processes`.

    When a task fails, the running ones still finish. An interruption ends them: a terminal's Ctrl-C
    reaches all processes, but a signal from elsewhere only this one.
    """

    def __init__(self, context: Context, jobs: int) -> None:
        self.slots = jobs
        self.processes = Processes(
            context.folder, gpus=gpus(context.runtime), modules=plug_ins(context)
        )
        self.threads = ThreadPoolExecutor(jobs)

    def submit(self, task: Task) -> Future[None]:
        return self.threads.submit(self._run, task)

    def _run(self, task: Task) -> None:
        beside = 1 if task.alone else self.slots  # this many share the cores
        try:
            self.processes.run(task.id, max(1, cores() // beside))
        except (InputError, LostError) as error:
            raise failed(task, str(error)) from error

    def news(self) -> list[str]:
        return []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        if kind is not None and not issubclass(kind, Exception):
            self.processes.stop()
        self.threads.shutdown()
        self.processes.close()


def failed(task: Task, why: str) -> InputError:
    """The error that ends a study when a task fails."""
    return InputError(f"{task.kind} {task.name} failed: {why}")


def gpus(runtime: Runtime) -> list[str]:
    """The GPUs that processes are shared out among, as `CUDA_VISIBLE_DEVICES` names them.

    Empty where there is nothing to share out: no second GPU, or trainings that take several each.
    Processes on one GPU take turns there: a network as small as these leaves most of it idle.
    """
    if runtime.torch_device.type != "cuda" or runtime.devices > 1:
        return []
    n = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return (named or [str(k) for k in range(n)])[:n] if n > 1 else []
