"""Gives an executor the tasks of a study, each once those that it needs are done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from graphlib import TopologicalSorter

from scalespace.studies.executors import Executor
from scalespace.studies.folder import LOCKS
from scalespace.studies.logs import Tail
from scalespace.studies.plan import Task
from scalespace.studies.tasks import Context
from scalespace.training.metrics import METRICS_FILE, read_metrics

STATUS_SECONDS = 30.0  # between lines that say how far the running tasks are
LOOK_SECONDS = 0.5  # between looks whether a task has finished
LOG_SECONDS = 2.0  # between looks at all logs
TOLD = 8  # running tasks in such a line

Say = Callable[[str], None]
Done = Callable[[Task], None]


def carry_out(
    context: Context, tasks: Iterable[Task], executor: Executor, say: Say, done: Done
) -> None:
    """Carries out tasks in the plan's order, as far as what they need allows.

    Args:
        context: of the study.
        tasks: the ones that are left.
        executor: what runs them.
        say: called with each line about progress.
        done: called with each task once it is done.

    Raises:
        InputError: a task failed, or the executor did.
    """
    left = {task.id: task for task in tasks}
    order = {task_id: k for k, task_id in enumerate(left)}
    graph = TopologicalSorter(
        {task.id: [need.id for need in task.needs if need.id in left] for task in left.values()}
    )
    graph.prepare()
    ready: list[str] = []
    running: dict[Future[None], _Running] = {}
    news = _News(context, executor, say)
    count = 0
    # there from the beginning to the end, so that no task removes it while another enters
    (context.folder / LOCKS).mkdir(exist_ok=True)
    try:
        with executor:
            while graph.is_active():
                ready = sorted([*ready, *graph.get_ready()], key=order.__getitem__)
                for task in startable(
                    [left[name] for name in ready],
                    [one.task for one in running.values()],
                    executor.slots,
                ):
                    ready.remove(task.id)
                    one = news.start(task)
                    running[executor.submit(task)] = one
                finished = _finished(running)
                news.tell(running.values(), quiet=bool(finished))
                for future in finished:
                    one = running.pop(future)
                    news.tell_log(one)
                    future.result()
                    graph.done(one.task.id)
                    count += 1
                    say(f"[{count}/{len(left)}] {one.title}: {one.seconds:.0f} s")
                    done(one.task)
    finally:
        with suppress(OSError):
            (context.folder / LOCKS).rmdir()


class _Running:
    """A task since it was started."""

    def __init__(self, task: Task, title: str) -> None:
        self.task, self.title = task, title
        self.began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


def startable(ready: Iterable[Task], running: Sequence[Task], slots: int) -> list[Task]:
    """Which of the tasks that could start do, in order."""
    chosen: list[Task] = []
    if any(task.alone for task in running):
        return chosen
    for task in ready:
        if len(running) + len(chosen) >= slots:
            break
        if not task.alone:
            chosen.append(task)
        elif not running and not chosen:
            return [task]
    return chosen


def _finished(running: dict[Future[None], _Running]) -> list[Future[None]]:
    """The tasks that have finished, or do so soon; in the order in which they were started."""
    seconds = min(LOOK_SECONDS, STATUS_SECONDS)
    if not running:  # the executor has no room yet
        time.sleep(seconds)
    finished, _ = wait(running, seconds, return_when=FIRST_COMPLETED)
    return [future for future in running if future in finished]


class _News:
    """What a study tells of its tasks while they run."""

    def __init__(self, context: Context, executor: Executor, say: Say) -> None:
        self.context, self.executor, self.say = context, executor, say
        self.tail = Tail(context.folder)
        self.looked = self.told = time.monotonic()

    def start(self, task: Task) -> _Running:
        one = _Running(task, self.context.plan.title(task))
        self.tail.follow(task.id)
        self.say(f"start {one.title}")
        return one

    def tell(self, running: Iterable[_Running], quiet: bool) -> None:
        """Passes on what is new; now and then, unless `quiet`, also how far the tasks are."""
        now = time.monotonic()
        for line in self.executor.news():
            self.say(line)
        if now - self.looked >= LOG_SECONDS:
            self.looked = now
            for one in running:
                self.tell_log(one)
        if quiet:
            self.told = now
        elif now - self.told >= STATUS_SECONDS:
            self.told = now
            self.say(self._status(list(running)))

    def tell_log(self, one: _Running) -> None:
        for line in self.tail.lines(one.task.id):
            self.say(f"{one.title}: {line}")

    def _status(self, running: list[_Running]) -> str:
        if not running:
            return "no task runs: there is no worker"
        shown = [f"{one.title}{self._progress(one.task)}" for one in running[:TOLD]]
        more = [f"and {len(running) - TOLD} more"] if len(running) > TOLD else []
        return "; ".join([*shown, *more])

    def _progress(self, task: Task) -> str:
        """How far a training is, judging by its files."""
        if task.kind != "train":
            return ""
        training = self.context.training(task)
        rows = read_metrics(training.folder(self.context.trainings) / METRICS_FILE)
        epochs = training.recipe.train.epochs
        return f": epoch {rows[-1]['epoch'] if rows else 0} of {epochs}"
