"""What a worker of a cluster does for a study. A worker of dask runs this, and imports no torch.

Each task runs in a process of its own below the worker (`Processes`), as it would on the machine
of the study. So the worker can end a task, answers the scheduler while one computes, and outlives
one that is killed.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalespace import __version__
from scalespace.errors import InputError
from scalespace.files import read_json
from scalespace.machine import cores
from scalespace.studies.folder import DONE, SETTINGS, TASKS, appears
from scalespace.studies.processes import LostError, Processes

IDLE_SECONDS = 30.0
"""How long a process waits for a task: if the study is killed, nobody else tells it to end."""


@dataclass(frozen=True)
class Ticket:
    """How a worker recognises a study.

    Args:
        folder: the study's, as a whole path.
        run: the random word that the study has written into its settings.
        version: of this package.
        place: where relative paths are from, if the worker has that folder.
        patience: seconds to wait for files of other machines.
        modules: the plug-ins that the study needs.
    """

    folder: str
    run: str
    version: str
    place: str
    patience: float
    modules: tuple[str, ...] = ()

    def check(self, needs: Sequence[str]) -> None:
        """Raises `InputError` unless this machine can carry out a task with such needs."""
        folder, host = Path(self.folder), platform.node()
        if self.version != __version__:
            raise InputError(
                f"{host} has scalespace {__version__}, and the study was started by {self.version}"
            )
        settings = folder / SETTINGS
        if not appears(settings, self.patience):
            raise InputError(
                f"{host} does not see {settings}: the study's folder must be on a drive that all "
                "workers share, at the same path"
            )
        if read_json(settings, "study settings").get("run") != self.run:
            raise InputError(
                f"{folder} is another folder on {host} than where the study was started: it must "
                "be on a drive that all workers share"
            )
        for need in needs:
            if not appears(folder / TASKS / need / DONE, self.patience):
                raise InputError(f"{host} does not see what task {need} has written")


_studies: dict[str, Processes] = {}
"""The processes of each study on this worker, by its ticket's `run`."""
_lock = threading.Lock()


def run_remotely(ticket: Ticket, task_id: str, needs: Sequence[str]) -> str:
    """Carries out a task on the worker that calls it.

    Args:
        needs: the ids of the tasks whose results it reads.

    Returns:
        why it failed, in one line; empty if it did not. Raising it would make dask try again.

    Raises:
        LostError: the task's process was ended by something else.
    """
    from distributed import get_worker

    worker = get_worker()
    try:
        ticket.check(needs)
        with _until(_given_up(worker, worker.get_current_task())) as stop:
            try:
                _processes(ticket).run(task_id, _threads(worker), stop)
            except LostError:
                if not stop.is_set():
                    raise
    except InputError as error:
        return str(error)
    return ""


def leave(run: str) -> None:
    """Ends all that this worker does for a study."""
    with _lock:
        processes = _studies.pop(run, None)
    if processes:
        processes.stop()


def _processes(ticket: Ticket) -> Processes:
    with _lock:
        if ticket.run not in _studies:
            place = Path(ticket.place) if os.path.isdir(ticket.place) else None
            _studies[ticket.run] = Processes(
                Path(ticket.folder), place, IDLE_SECONDS, modules=ticket.modules
            )
        return _studies[ticket.run]


def _threads(worker: Any) -> int:
    """A task's share of the cores that this worker may use."""
    return max(1, cores() // worker.state.nthreads)


def _given_up(worker: Any, key: str) -> Callable[[], bool]:
    """Whether the study wants a task no more: dask lets a task that runs go on, but notes it."""

    def given_up() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state in ("cancelled", "resumed")

    return given_up


@contextmanager
def _until(given_up: Callable[[], bool]) -> Iterator[threading.Event]:
    """An event that is set once the function says so."""
    stop, over = threading.Event(), threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            if given_up():
                stop.set()
                return

    threading.Thread(target=look, daemon=True).start()
    try:
        yield stop
    finally:
        over.set()
