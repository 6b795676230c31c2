"""A process that carries out a study's tasks, one after another; `processes.py` starts it."""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path

import torch

from scalespace import plugins
from scalespace.config import Config
from scalespace.config.build import build
from scalespace.data import load
from scalespace.errors import InputError, one_line
from scalespace.files import locked, read_json
from scalespace.studies.folder import LAG, LOCKS, SETTINGS
from scalespace.studies.logs import log_path, logged
from scalespace.studies.plan import make_plan
from scalespace.studies.processes import DONE, FAILED
from scalespace.studies.tasks import Context, run_task
from scalespace.training.runtime import Runtime


def serve(folder: Path, parent: int) -> None:
    """Does tasks until there are no more; the process ends if the one that started it does."""
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever else is printed is no answer
    context: Context | None = None
    for line in sys.stdin:
        task_id, threads = line.split()
        try:
            with logged(log_path(folder, task_id)):
                answer = DONE
                try:
                    _use_threads(int(threads))
                    _say(
                        f"on {platform.node()}, process {os.getpid()}, "
                        f"threads: {torch.get_num_threads()}"
                    )
                    began = time.monotonic()
                    context = context or _context(folder)
                    _carry_out(context, task_id)
                    _say(f"done in {time.monotonic() - began:.1f} s")
                except InputError as error:
                    answer = FAILED + one_line(error)
                    _say(answer)
                except Exception as error:
                    traceback.print_exc()
                    answer = f"{FAILED}{type(error).__name__}: {one_line(error)}"
        except InputError as error:  # there can be no log
            answer = FAILED + one_line(error)
        print(answer, file=answers, flush=True)


def _carry_out(context: Context, task_id: str) -> None:
    task = next((task for task in context.plan.tasks if task.id == task_id), None)
    if task is None:
        raise InputError(
            f"scalespace, or a file that its settings name, is another on {platform.node()} than "
            "where the study was started: its tasks have other names there"
        )
    # whoever had the task before may take a second to notice that the program above it is gone
    lock = context.folder / LOCKS / task_id
    with locked(lock, "task", patience=LAG):
        run_task(context, task)
    with suppress(OSError):  # a process that was killed leaves its folder behind
        lock.rmdir()


def _context(folder: Path) -> Context:
    for line in plugins.load():
        _say(line)
    settings = read_json(folder / SETTINGS, "study settings")
    config = build(Config, settings["config"])
    splits = load(config.data, settings["data_dir"], size=config.size)
    plan = make_plan(config, splits.info, splits.mark(config.study.part))
    return Context(folder, config, splits, plan, Runtime(**settings["runtime"]))


def _use_threads(threads: int) -> None:
    """Takes so many, or the user's choice if OMP_NUM_THREADS is set.

    That is said anew, for dask sets MKL's number to 1, which torch would take instead.
    """
    own = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    torch.set_num_threads(int(own) if own.isdecimal() and int(own) else threads)


def _say(what: str) -> None:
    """Writes a line into the task's log, from where it reaches the terminal."""
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    try:
        serve(Path(sys.argv[1]), int(sys.argv[2]))
    except KeyboardInterrupt:  # a terminal's Ctrl-C reaches every process
        sys.exit(130)
