"""The logs of tasks that run in processes of their own: a file a task, followed as it grows."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scalespace.errors import InputError
from scalespace.files import os_reason
from scalespace.studies.folder import LOGS

LONGEST = 300
"""Characters of a line that is told."""


def log_path(folder: Path, task_id: str) -> Path:
    """Where a task of a study is logged."""
    return folder / LOGS / f"{task_id}.log"


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Appends to a file all that this process prints meanwhile, by whatever library.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise InputError(f"cannot write {path}: {os_reason(error)}") from error
    kept = os.dup(1), os.dup(2)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)
    try:
        yield
    finally:
        for text in (sys.stdout, sys.stderr):
            text.flush()
        for stream, own in enumerate(kept, 1):
            os.dup2(own, stream)
            os.close(own)


class Tail:
    """Tells what is new in the logs of a study's tasks.

    Progress bars stay in the logs: their lines, which they begin anew with a carriage return, would
    drown all others.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.read: dict[str, int] = {}

    def follow(self, task_id: str) -> None:
        """Leaves out what there is by now: an earlier run has told it."""
        path = log_path(self.folder, task_id)
        self.read[task_id] = path.stat().st_size if path.exists() else 0

    def lines(self, task_id: str) -> list[str]:
        """The whole lines since the last call."""
        try:
            with open(log_path(self.folder, task_id), "rb") as file:
                file.seek(self.read[task_id])
                content = file.read()
        except OSError:  # it has printed nothing yet
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self.read[task_id] += len(whole)
        lines = whole.decode(errors="replace").split("\n")
        return [line.rstrip()[:LONGEST] for line in lines if line.strip() and "\r" not in line]
