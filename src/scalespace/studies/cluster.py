"""Carries out a study's tasks on a cluster, through dask.

The cluster's workers and this program share the study's folder: what goes over the network are the
names of tasks, and whether they are done. See `remote.py` for the other end.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

from scalespace import __version__
from scalespace.errors import InputError, one_line
from scalespace.files import read_json
from scalespace.studies.executors import failed
from scalespace.studies.folder import DONE, LAG, SETTINGS, TASKS, appears
from scalespace.studies.places import ANSWER_SECONDS, Place
from scalespace.studies.plan import Task
from scalespace.studies.remote import Ticket, leave, run_remotely

AGAIN = 3
"""How often a task is begun anew whose process was ended; dask counts lost workers likewise."""


class Cluster:
    """An `Executor` of the tasks of one study; several may share a scheduler.

    It takes as many tasks as the cluster has threads, so that studies that share one get their
    turns. A lost worker's tasks go to others. When a task fails, or the study is interrupted, the
    others are ended: a training goes on from its last checkpoint.

    Args:
        folder: the study's, with its settings.
        place: which cluster.
        patience: seconds to wait for files of other machines.
        modules: the plug-ins that the study needs.
    """

    def __init__(
        self, folder: Path, place: Place, patience: float = LAG, modules: Sequence[str] = ()
    ) -> None:
        self.folder, self.place = folder.absolute(), place
        run = read_json(folder / SETTINGS, "study settings")["run"]
        self.ticket = Ticket(
            str(self.folder), run, __version__, os.getcwd(), patience, tuple(modules)
        )
        self.threads: dict[str, int] = {}
        self.futures: dict[str, Any] = {}
        self.told: set[str] = set()
        self.client: Any = None
        self.opened = ExitStack()

    def __enter__(self) -> Self:
        from distributed import Client

        with ExitStack() as opened:
            opened.enter_context(_quiet())
            if cluster := self.place.open(self.folder):
                opened.callback(_close, cluster)
            try:
                self.client = Client(
                    cluster or self.place.address,
                    timeout=ANSWER_SECONDS,
                    set_as_default=False,
                    name="scalespace",
                )
            except (OSError, ValueError) as error:
                raise InputError(
                    f"no scheduler answers at {self.place.address}: {one_line(error)}"
                ) from error
            opened.callback(_close, self.client)
            self.opened = opened.pop_all()
        return self

    @property
    def slots(self) -> int:
        """The threads of all workers that are there by now."""
        try:
            self.threads = self.client.nthreads()
        except (OSError, RuntimeError, TimeoutError) as error:
            raise InputError(
                f"the scheduler is gone ({one_line(error)}): run the study again to go on"
            ) from error
        return sum(self.threads.values())

    def news(self) -> list[str]:
        """How many workers there are, if some have come or gone."""
        here = set(self.threads)
        gone = len(self.told - here)
        if here == self.told:
            return []
        self.told = here
        now = f"cluster: workers: {len(here)}, tasks at a time: {sum(self.threads.values())}"
        return [f"{now}; lost workers: {gone}, whose tasks are done again" if gone else now]

    def submit(self, task: Task) -> Future[None]:
        done: Future[None] = Future()
        future = self.client.submit(
            run_remotely,
            self.ticket,
            task.id,
            [need.id for need in task.needs],
            key=f"{task.id}-{self.ticket.run}",
            retries=AGAIN,
            pure=False,
        )
        self.futures[task.id] = future  # dask forgets a task of which nobody holds the future
        future.add_done_callback(partial(self._settle, task, done))
        return done

    def _settle(self, task: Task, done: Future[None], future: Any) -> None:
        """Passes on how a task has ended."""
        self.futures.pop(task.id, None)
        why = _why(future)
        if not why and not appears(self.folder / TASKS / task.id / DONE, self.ticket.patience):
            why = (
                f"a worker has done it, but its files are not in {self.folder} here: the folder "
                "must be on a drive that all workers share"
            )
        if why:
            done.set_exception(failed(task, why))
        else:
            done.set_result(None)

    def __exit__(self, *_: object) -> None:
        futures = list(self.futures.values())
        with self.opened:
            # a scheduler that is gone has nothing to be told, and its answer would be waited for
            if self.client.status == "running":
                with suppress(OSError, RuntimeError, TimeoutError):
                    self.client.cancel(futures)
                    self.client.run(leave, self.ticket.run, on_error="ignore")


def _close(one: Any) -> None:
    """Closes a client or a cluster of dask, also one whose other end is gone."""
    with suppress(OSError, RuntimeError, TimeoutError):
        one.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps to itself what dask logs: what matters of it is told in a line."""
    handlers = [(one, one.level) for one in logging.getLogger("distributed").handlers]
    for one, _ in handlers:
        one.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for one, level in handlers:
            one.setLevel(level)


def _why(future: Any) -> str:
    """Why a task of dask has failed, in one line; empty if it has not."""
    if future.status == "finished":
        return str(future.result())
    if future.status == "error":
        error = future.exception()
        if type(error).__name__ == "KilledWorker":
            return "every worker that began it was lost: is there too little memory?"
        if isinstance(error, ImportError):
            return f"a worker cannot import scalespace {__version__}: {one_line(error)}"
        return one_line(error)
    return f"the cluster has dropped it ({future.status})"
