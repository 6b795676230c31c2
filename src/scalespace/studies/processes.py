"""Processes that carry out a study's tasks, seen from the program that starts them.

The program may be the study's own, or a worker of a cluster. A process reads the study's settings
once, and is then given one task after another: a line on its standard input, answered by a line on
its standard output. Starting a process for each task would take longer than many tasks do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path

from scalespace import plugins
from scalespace.errors import InputError

DONE, FAILED = "done", "failed "
"""What an answer is, or begins with."""
VISIBLE = "CUDA_VISIBLE_DEVICES"


class LostError(Exception):
    """A process ended before its task: it was killed, or the machine has no memory left."""


class Process:
    """One process, which serves until it is closed.

    Args:
        folder: the study's.
        place: the folder to work in; None for this program's own.
        gpu: the one that it sees; None for all that this process sees.
        modules: the plug-ins that it imports, from wherever this process finds modules.
    """

    def __init__(
        self,
        folder: Path,
        place: Path | None = None,
        gpu: str | None = None,
        modules: Sequence[str] = (),
    ) -> None:
        module = "scalespace.studies.workers"
        command = [sys.executable, "-m", module, str(folder), str(os.getpid())]
        env = dict(os.environ)
        if gpu is not None:
            env[VISIBLE] = gpu
        if modules:
            env[plugins.VARIABLE] = ",".join(modules)
            env["PYTHONPATH"] = os.pathsep.join(one or os.getcwd() for one in sys.path)
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            encoding="utf-8",
            errors="replace",
            cwd=place,
            env=env,
        )

    def run(self, task_id: str, threads: int) -> None:
        """Carries out one task.

        Args:
            threads: how many the task may use; the user's OMP_NUM_THREADS goes before it.

        Raises:
            InputError: the task failed; why, in one line.
            LostError: the process ended.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            print(task_id, threads, file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline().rstrip("\n")
        except (OSError, ValueError):  # it has ended
            answer = ""
        if answer.startswith(FAILED):
            raise InputError(answer.removeprefix(FAILED))
        if answer != DONE:
            raise LostError(self._last_words())

    def _last_words(self) -> str:
        code = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        how = f"signal {-code} ended its process" if code < 0 else f"its process ended with {code}"
        return f"{how}: {lines[-1]}" if lines else how

    def stop(self) -> None:
        """Ends it, whatever it does."""
        self.process.terminate()

    def close(self) -> None:
        """Lets it end, which it does when there are no more tasks."""
        with suppress(OSError, ValueError):  # it has ended, in the middle of a line
            self.process.communicate()
        self.process.wait()
        self.errors.close()


class Processes:
    """As many processes as there are tasks at a time.

    Args:
        folder: the study's.
        place: the folder they work in; None for this program's own.
        idle: seconds after which a process without a task ends; None for never.
        gpus: given to the processes in turn.
        modules: the plug-ins that each imports.
    """

    def __init__(
        self,
        folder: Path,
        place: Path | None = None,
        idle: float | None = None,
        gpus: Sequence[str] = (),
        modules: Sequence[str] = (),
    ) -> None:
        self.gpus: Iterator[str | None] = cycle(gpus or [None])
        self.folder, self.place, self.idle = folder, place, idle
        self.modules = tuple(modules)
        self.lock = threading.Lock()
        self.every: list[Process] = []
        self.free: dict[Process, threading.Timer | None] = {}
        self.stopped = False

    def close(self) -> None:
        """Lets all of them end."""
        with self.lock:
            every, self.every = self.every, []
            timers, self.free = self.free, {}
        for timer in filter(None, timers.values()):
            timer.cancel()
        for process in every:
            process.close()

    def run(self, task_id: str, threads: int, stop: threading.Event | None = None) -> None:
        """Carries out one task by a free process, or a new one. May be called by several threads.

        Args:
            threads: as for `Process.run`.
            stop: ends the task once it is set.

        Raises:
            InputError, LostError: as `Process.run`.
        """
        process = self._take()
        over = threading.Event()
        if stop:
            threading.Thread(target=_stop_at, args=(process, stop, over), daemon=True).start()
        try:
            process.run(task_id, threads)
        except LostError:
            with self.lock, suppress(ValueError):
                self.every.remove(process)
            process.close()
            raise
        except InputError:
            self._give_back(process)
            raise
        finally:
            over.set()
        self._give_back(process)

    def stop(self) -> None:
        """Ends all of them, whatever they do, and those about to start."""
        with self.lock:
            self.stopped = True
            every = tuple(self.every)
        for process in every:
            process.stop()

    def _take(self) -> Process:
        with self.lock:
            if self.free:
                process, timer = self.free.popitem()
                if timer:
                    timer.cancel()
                return process
            process = Process(self.folder, self.place, next(self.gpus), self.modules)
            self.every.append(process)
            if self.stopped:
                process.stop()
            return process

    def _give_back(self, process: Process) -> None:
        with self.lock:
            timer = None
            if self.idle is not None:
                timer = threading.Timer(self.idle, self._dismiss, (process,))
                timer.daemon = True
                timer.start()
            self.free[process] = timer

    def _dismiss(self, process: Process) -> None:
        with self.lock:
            if self.free.pop(process, None) is None:  # it has been taken meanwhile
                return
            self.every.remove(process)
        process.close()


def _stop_at(process: Process, stop: threading.Event, over: threading.Event) -> None:
    while not over.is_set():
        if stop.wait(0.2) and not over.is_set():
            process.stop()
            return
