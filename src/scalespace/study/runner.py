"""Runs a study's tasks, in order or in parallel. Results are cached: a killed study resumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scalespace import __version__
from scalespace.config import Config
from scalespace.data import DataSplits
from scalespace.fields import digest
from scalespace.files import locked, parse_json, read_bytes, write_json, write_rows
from scalespace.machine import machine, versions
from scalespace.nets.unet import parameters
from scalespace.stages.base import Models, Stage
from scalespace.study.folder import ABOUT, DONE, FORMAT, RESULTS, SETTINGS
from scalespace.study.plan import Plan, Task, make_plan
from scalespace.study.tasks import Context, Row, run_task
from scalespace.study.workers import Workers, gpus
from scalespace.training.metrics import METRICS_FILE, read_metrics
from scalespace.training.runtime import Runtime
from scalespace.training.training import FINISHED

STATUS_SECONDS = 30.0  # between lines that say how far the running tasks are

Say = Callable[[str], None]


def run_tasks(
    folder: Path,
    config: Config,
    splits: DataSplits,
    runtime: Runtime,
    jobs: int = 1,
    about: dict[str, Any] | None = None,
    say: Say = print,
    report: Callable[[Path], Any] | None = None,
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

    Returns:
        the path of `results.jsonl`.

    Raises:
        InputError: a task failed, another process works on the study, or the folder cannot be
            written.
    """
    plan = make_plan(config, splits.info)
    context = Context(folder, config, splits, plan, runtime)
    with locked(folder, "study"):
        _carry_out(context, jobs, about or {}, say)
        results = collect(context)
        if report:
            report(folder)
    return results


def _carry_out(context: Context, jobs: int, about: dict[str, Any], say: Say) -> None:
    """Runs all tasks that are not done."""
    folder, plan, splits = context.folder, context.plan, context.splits
    write_json(folder / ABOUT, describe(context, about))
    settings = {
        "config": asdict(context.config),
        "data_dir": None if splits.data_dir is None else str(splits.data_dir),
        "runtime": asdict(context.runtime),
    }
    write_json(folder / SETTINGS, settings)

    found = {task.id: _rows(context, task) for task in plan.tasks}
    left = [task for task in plan.tasks if found[task.id] is None]
    if len(left) < len(plan.tasks):
        say(f"{len(plan.tasks) - len(left)} of {len(plan.tasks)} tasks are done already")
    if others := _other_versions(found.values()):
        say(
            f"some of them were done by scalespace {', '.join(others)}, and this is {__version__}: "
            f"to do all with this one, give another --out"
        )
    if again := [task for task in left if (context.place(task) / DONE).exists()]:
        say(
            f"{len(again)} of {len(plan.tasks)} tasks are done again: their files are gone or "
            "damaged"
        )
    if jobs == 1:
        for k, task in enumerate(left, 1):
            began = time.monotonic()
            say(f"[{k}/{len(left)}] {_title(plan, task)}")
            run_task(context, task)
            say(f"[{k}/{len(left)}] {_title(plan, task)}: {time.monotonic() - began:.0f} s")
    else:
        _run_side_by_side(context, left, jobs, say)


def _other_versions(found: Iterable[list[Row] | None]) -> list[str]:
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
        if (found := _rows(context, task)) is not None:
            variants = context.plan.serves.get(task.id)
            rows += [
                row | {"task": task.id} | ({"variant": name} if name else {})
                for name in variants or ("",)
                for row in found
            ]
    path = context.folder / RESULTS
    write_rows(path, rows)
    return path


def _rows(context: Context, task: Task) -> list[Row] | None:
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


def describe(context: Context, about: dict[str, Any]) -> dict[str, Any]:
    """The content of `study.json`: all that the report says besides the measurements.

    Methods, stages and recipes are those of the first variant.
    """
    config, data, trainings = context.config, context.splits.info, context.plan.shown
    models = Models({name: training.build() for name, training in trainings.items()})
    return {
        "format": FORMAT,
        "data": asdict(data),
        "config": asdict(config),
        "recipes": {name: asdict(training.recipe) for name, training in trainings.items()},
        "methods": [
            {
                "name": arm.method.name,
                "title": arm.method.title,
                "doc": " ".join((arm.method.__doc__ or "").split()),
                "calls": arm.method.calls(models),
                "conditional": arm.conditional,
                "stages": [stage.name for stage in arm.method.stages],
            }
            for arm in context.plan.first
        ],
        "stages": [
            {
                "name": name,
                **_shown(training.stage),
                "kind": "other",
                **models[name].facts(),
                "parameters": parameters(models[name]),
            }
            for name, training in trainings.items()
        ],
        "seeds": list(config.study.seeds),
        "tasks": {task.id: _title(context.plan, task) for task in context.plan.tasks},
        "machine": machine(context.runtime.torch_device),
        "versions": versions(),
        **about,
    }


def _shown(stage: Stage) -> dict[str, Any]:
    """The fields of a stage that a report shows, and the names of the stages it needs."""
    kinds = {"scale": int, "conditioned": bool}
    own = {key: kind(getattr(stage, key)) for key, kind in kinds.items() if hasattr(stage, key)}
    return {**own, "needs": [need.name for need in stage.needs]}


def _run_side_by_side(context: Context, left: list[Task], jobs: int, say: Say) -> None:
    """Runs at most `jobs` tasks at a time, in processes of their own; see `Workers`.

    When a task fails, the running ones still finish. An interruption ends them: a terminal's Ctrl-C
    reaches all processes, but a signal from elsewhere only this one.
    """
    waiting = {task.id: task for task in left}
    running: dict[Future[None], Task] = {}
    total, done = len(left), 0
    shared = gpus(context.runtime)
    with Workers(context.folder, shared) as workers, ThreadPoolExecutor(jobs) as pool:
        try:
            while waiting or running:
                for task in list(waiting.values()):
                    blocked = any(n.id in waiting or n in running.values() for n in task.needs)
                    alone = task.alone or any(other.alone for other in running.values())
                    if blocked or len(running) >= jobs or (alone and running):
                        continue
                    del waiting[task.id]
                    say(f"start {_title(context.plan, task)}")
                    beside = 1 if task.alone else jobs  # this many share the cores
                    running[pool.submit(workers.run, task, beside)] = task
                finished, _ = wait(running, STATUS_SECONDS, return_when=FIRST_COMPLETED)
                if not finished:
                    say("; ".join(_status(context, task) for task in running.values()))
                for future in finished:
                    task = running.pop(future)
                    future.result()
                    done += 1
                    say(f"[{done}/{total}] {_title(context.plan, task)}")
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if not isinstance(error, Exception):
                workers.stop()
            raise


def _title(plan: Plan, task: Task) -> str:
    """A task in words, with the variants that it serves."""
    names = plan.serves.get(task.id, ())
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{task.kind} {task.name}" + (f" ({names[0]}{more})" if names else "")


def _status(context: Context, task: Task) -> str:
    """How far a running task is, judging by its files."""
    name = _title(context.plan, task)
    if task.kind != "train":
        return name
    training = context.training(task)
    rows = read_metrics(training.folder(context.trainings) / METRICS_FILE)
    epochs = training.recipe.train.epochs
    return f"{name}: epoch {rows[-1]['epoch'] if rows else 0} of {epochs}"
