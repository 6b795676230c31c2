"""The rows of a study's tasks: read, checked, and collected into `results.jsonl`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from scalespace import __version__
from scalespace.fields import digest
from scalespace.files import parse_json, read_bytes, write_rows
from scalespace.studies.folder import DONE, RESULTS
from scalespace.studies.plan import Task
from scalespace.studies.tasks import Context, Row
from scalespace.training.training import FINISHED


def other_versions(found: Iterable[list[Row] | None]) -> list[str]:
    """Other versions of this package that made results."""
    made_by = {
        str((row.get("versions") or {}).get("scalespace", __version__))
        for rows in found
        for row in rows or ()
    }
    return sorted(made_by - {__version__})


def collect(context: Context) -> Path:
    """Writes the rows of all done tasks, in the plan's order, to `results.jsonl`.

    A row that serves several variants is written once for each, with its name as `variant`.
    """
    rows = []
    for task in context.plan.tasks:
        if (found := rows_of(context, task)) is not None:
            variants = context.plan.serves.get(task.id)
            rows += [
                row | {"task": task.id} | ({"variant": name} if name else {})
                for name in variants or ("",)
                for row in found
            ]
    path = context.folder / RESULTS
    write_rows(path, rows)
    return path


def rows_of(context: Context, task: Task) -> list[Row] | None:
    """The rows of a done task; None if its result is absent or damaged, or one of its files absent.

    Files are not read, which would take long.

    Raises:
        InputError: the result is there, but the system does not let it be read.
    """
    path = context.place(task) / DONE
    if not path.exists():
        return None
    content = read_bytes(path, "task result")
    try:
        result = parse_json(content)
    except (ValueError, RecursionError):
        return None
    rows = result.get("rows") if isinstance(result, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    if "checksum" in result and result["checksum"] != digest(rows):
        return None  # edited, or damaged
    files = [
        context.folder / str(row.get("path")) for row in rows if row.get("metric") == "artefact"
    ]
    if task.kind == "train":  # its rows do not name the weights, which other tasks need
        files.append(context.training(task).folder(context.trainings) / FINISHED)
    return rows if all(file.is_file() for file in files) else None
