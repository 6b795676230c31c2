"""Runs a study. Results are cached: a killed study resumes."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scalespace import __version__, plugins
from scalespace.config import Config
from scalespace.data import DataSplits
from scalespace.errors import InputError
from scalespace.files import locked, read_json, write_json
from scalespace.studies.about import describe
from scalespace.studies.brought import brought, plug_ins
from scalespace.studies.cluster import Cluster
from scalespace.studies.executors import Executor, Here, SideBySide
from scalespace.studies.folder import ABOUT, DONE, SETTINGS, clear_locks
from scalespace.studies.places import Place
from scalespace.studies.plan import Task, make_plan
from scalespace.studies.rows import collect, other_versions, rows_of
from scalespace.studies.schedule import Done, Say, carry_out
from scalespace.studies.tasks import Context
from scalespace.training.runtime import Runtime
from scalespace.training.training import hurried

Watch = Callable[[Context, Sequence[Task]], AbstractContextManager[Done]]
"""Is told of the tasks left and, while its context lasts, of each that is done."""


def run_tasks(
    folder: Path,
    config: Config,
    splits: DataSplits,
    runtime: Runtime,
    jobs: int = 1,
    about: dict[str, Any] | None = None,
    say: Say = print,
    report: Callable[[Path], Any] | None = None,
    cluster: Place | None = None,
    watch: Watch = lambda context, left: nullcontext(lambda task: None),
) -> Path:
    """Runs a study and collects its rows; finished tasks are not repeated.

    A lock keeps other processes out of the folder meanwhile: they would do all work twice, and
    delete what this one makes.

    Args:
        folder: the study's; an unfinished study resumes.
        runtime: device, precision and number of devices.
        jobs: tasks at a time; with more than one, each runs in its own process.
        about: further entries of `study.json`: preset and command.
        say: called with each line about progress.
        report: makes the report on the folder, while it is still locked.
        cluster: where to run the tasks instead.
        watch: is told how far the study is, while the folder is locked.

    Returns:
        the path of `results.jsonl`.

    Raises:
        InputError: a task failed, another process works on the study, or the folder cannot be
            written.
    """
    plan = make_plan(config, splits.info, splits.mark(config.study.part))
    context = Context(folder, config, splits, plan, runtime)
    with locked(folder, "study"):
        if left := _prepare(context, about or {}, say):
            with watch(context, left) as done:
                carry_out(context, left, _executor(context, jobs, cluster), say, done)
        clear_locks(folder)
        results = collect(context)
        if report:
            report(folder)
    return results


def _prepare(context: Context, about: dict[str, Any], say: Say) -> list[Task]:
    """Writes what the study is asked, and returns the tasks that are not done."""
    folder, plan, splits = context.folder, context.plan, context.splits
    runtime, modules = _before(folder, "runtime"), _before(folder, "modules")
    own = plugins.digests(dict(brought(context)))
    write_json(folder / ABOUT, describe(context, about))
    settings = {
        "run": secrets.token_hex(8),  # tells other machines this folder from any other
        "config": asdict(context.config),
        "data_dir": None if splits.data_dir is None else str(splits.data_dir),
        "runtime": asdict(context.runtime),
        "modules": own,
    }
    write_json(folder / SETTINGS, settings)

    found = {task.id: rows_of(context, task) for task in plan.tasks}
    left = [task for task in plan.tasks if found[task.id] is None]
    if len(left) < len(plan.tasks):
        say(f"{len(plan.tasks) - len(left)} of {len(plan.tasks)} tasks are done already")
        if others := other_versions(found.values()):
            say(
                f"some of them were done by scalespace {', '.join(others)}, and this is "
                f"{__version__}: to do all with this one, give another --out"
            )
        for sentence in _otherwise(runtime, asdict(context.runtime)):
            say(sentence)
        for sentence in _edited(modules, own):
            say(sentence)
    if again := [task for task in left if (context.place(task) / DONE).exists()]:
        say(
            f"{len(again)} of {len(plan.tasks)} tasks are done again: their files are gone or "
            "damaged"
        )
    coming = {one.stage for task in left if task.kind == "train" for one in plan.trainings[task.id]}
    for sentence in hurried((one for one in plan.shown.values() if one.stage in coming), splits):
        say(sentence)
    return left


def _before(folder: Path, part: str) -> dict[str, Any]:
    """A part of the settings of the run before; {} if there was none, or it cannot be read."""
    try:
        return dict(read_json(folder / SETTINGS, "study settings")[part])
    except (InputError, KeyError, TypeError, ValueError):
        return {}


def _otherwise(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """A sentence on each choice that is another now, and that results were made by."""
    for name in ("device", "precision", "engine"):
        if name in before and before[name] != now[name]:
            yield (
                f"some of them were done with --{name} {before[name]}, and this is {now[name]}: "
                "to do all with this one, give another --out"
            )


def _edited(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """A sentence on each plug-in that is another now: a task's name does not tell its code."""
    for module, digest in now.items():
        if before.get(module, digest) != digest:
            yield (
                f"{module} has been edited since some of them were done: to do all with it as it "
                "is now, give another --out"
            )


def _executor(context: Context, jobs: int, cluster: Place | None) -> Executor:
    if cluster:
        return Cluster(context.folder, cluster, modules=plug_ins(context))
    return Here(context) if jobs == 1 else SideBySide(context, jobs)
