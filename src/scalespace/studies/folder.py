"""What a study's folder holds, and where.

study.json        what was asked: methods, stages, recipes, seeds, machine
settings.json     config, data and runtime, for the study's own processes; hashes of plug-ins
results.jsonl     a row a measurement: all that a report reads, with the files that it names
trainings/        trained stages, by the hash of their training
units/            a folder a task: result.json and its files
logs/             what the tasks printed that ran in processes of their own, a file a task
cache/            what many tasks need: features of the real images
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scalespace.errors import InputError
from scalespace.files import locked

FORMAT = 1  # of study.json
ABOUT, SETTINGS, RESULTS = "study.json", "settings.json", "results.jsonl"
TRAININGS, TASKS, LOGS, CACHE = "trainings", "units", "logs", "cache"
LOCKS = ".running"
"""Below it is a lock for each task that runs in a process of its own."""
DONE = "result.json"
"""A task writes it last and whole: where it is present, the task is done."""
LAG = 90.0
"""Seconds after which what one machine has written must be seen by all: network drives may keep for
a minute what they know of a folder."""


@contextmanager
def made_anew(path: Path) -> Iterator[None]:
    """Adds to an `InputError` about a task's file how to make the file anew."""
    try:
        yield
    except InputError as error:
        first = "delete it and run" if path.exists() else "run"
        raise InputError(f"{error} ({first} the study again to make it anew)") from error


def appears(path: Path, seconds: float = LAG) -> bool:
    """Whether a file, which another machine may have written, is there within some seconds."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() >= deadline:
            return False
        with suppress(OSError):
            os.listdir(path.parent)  # a network drive then looks again
        time.sleep(0.2)
    return True


def clear_locks(folder: Path) -> None:
    """Removes the locks of tasks that were killed; nobody may start one meanwhile."""
    for lock in (folder / LOCKS).glob("*"):
        with suppress(InputError, OSError):  # somebody holds it
            with locked(lock, "task"):
                pass
            lock.rmdir()
    with suppress(OSError):
        (folder / LOCKS).rmdir()
