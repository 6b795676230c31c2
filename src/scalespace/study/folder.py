"""What a study's folder holds, and where.

study.json        what was asked: methods, stages, recipes, seeds, machine
settings.json     config, data and runtime, for the study's own processes
results.jsonl     a row a measurement: all that a report reads, with the files that it names
trainings/        trained stages, by the hash of their training
units/            a folder a task: result.json and its files
cache/            what many tasks need: features of the real images
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scalespace.errors import InputError

FORMAT = 1  # of study.json
ABOUT, SETTINGS, RESULTS = "study.json", "settings.json", "results.jsonl"
TRAININGS, TASKS, CACHE = "trainings", "units", "cache"
DONE = "result.json"
"""A task writes it last and whole: where it is present, the task is done."""


@contextmanager
def made_anew(path: Path) -> Iterator[None]:
    """Adds to an `InputError` about a task's file how to make the file anew."""
    try:
        yield
    except InputError as error:
        first = "delete it and run" if path.exists() else "run"
        raise InputError(f"{error} ({first} the study again to make it anew)") from error
