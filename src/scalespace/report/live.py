"""The report of a study that is still running: written again as results come in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from scalespace.errors import InputError, one_line
from scalespace.figures.album import Album
from scalespace.files import write_text
from scalespace.report.page import REPORT, page, status_block
from scalespace.report.results import Results
from scalespace.report.status import REFRESH_HERE, STATUS_HERE, Status
from scalespace.studies.plan import Task
from scalespace.studies.rows import collect
from scalespace.studies.tasks import Context

EVERY_SECONDS = 20.0
"""Results that come in sooner after a page was made wait for the next ones."""
SHARE = 0.05
"""The most of a study's time that making its pages may take."""
BEAT_SECONDS = 60.0
"""A running study tells the time in its page at least as often: one that is killed does not."""


@contextmanager
def live(
    context: Context, left: Sequence[Task], album: Album, say: Callable[[str], None]
) -> Iterator[Callable[[Task], None]]:
    """Keeps `report.html` up to date while a study's tasks are done.

    When the tasks come to a bad end, the page says so. After a good one, the finished report is
    still to be written.

    Args:
        context: the study's, whose folder is locked.
        left: the tasks that are not done.
        album: pictures that are drawn already.
        say: is told where the page is.

    Yields:
        what is to be called with each task that is done.
    """
    current = LivePage(context, left, album, say)
    current.begin()
    try:
        yield current.task_done
    except BaseException as error:
        current.stop(one_line(error) if isinstance(error, InputError) else _reason(error))
        raise
    else:
        current.end()


def _reason(error: BaseException) -> str:
    return "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__


class LivePage:
    """`report.html` of a running study; see `live`.

    How far the study is is written after each task. What was found is worked out at most every
    `EVERY_SECONDS`, and so seldom that it takes at most `SHARE` of the time; only pictures whose
    content has changed are drawn. While time is measured nothing is: what is known is drawn before.
    No failure of the page ends the study.
    """

    def __init__(
        self,
        context: Context,
        left: Sequence[Task],
        album: Album,
        say: Callable[[str], None],
    ) -> None:
        self.context, self.album, self.say = context, album, say
        self.path: Path = context.folder / REPORT
        self._left = {task.id: task for task in left}
        self._html = ""
        self._stale, self._next = True, 0.0
        self._making = threading.Lock()  # two threads make the page,
        self._lock = threading.Lock()  # and write it
        self._over = threading.Event()

    def begin(self) -> None:
        """Writes a first page at once; its pictures are drawn while the first task is done."""
        if self._measuring:
            self._renew()
        else:
            self._make(pictures=False)
        self._write()
        self.say(f"the report so far: {self.path}")
        threading.Thread(target=self._beat, daemon=True).start()

    def task_done(self, task: Task) -> None:
        """Writes how far the study is and, if it is time, what was found."""
        self._left.pop(task.id, None)
        self._stale = True
        self._renew()
        self._write()

    def stop(self, reason: str) -> None:
        """Writes why the study does not go on, and all that was found; browsers may rest."""
        with self._making:
            if self._stale:
                self._make(pictures=False)
            self._over.set()
        self._write(reason)

    def end(self) -> None:
        """Writes no more."""
        self._over.set()
        with self._making, self._lock:  # wait for a beat that is at it
            self._html = ""

    @property
    def _measuring(self) -> bool:
        """Whether all that is left measures time."""
        left = list(self._left.values())
        return bool(left) and all(task.alone for task in left)

    def _renew(self) -> None:
        """Makes the page anew if there is something new, and time for it."""
        with self._making:
            began = time.monotonic()
            if self._stale and not self._over.is_set() and (began >= self._next or self._measuring):
                self._stale = False
                self._make()
                ended = time.monotonic()
                self._next = ended + max(EVERY_SECONDS, (ended - began) * (1 / SHARE - 1))

    def _make(self, pictures: bool = True) -> None:
        try:
            collect(self.context)
            html = page(Results(self.context.folder), self.album, running=True, pictures=pictures)
        except Exception as error:  # hours of work must not be lost for a page
            self.say(f"{self.path} could not be made: {one_line(error)}")
            return
        if pictures:
            self.album.turn()
        with self._lock:
            self._html = html

    def _write(self, stopped: str = "") -> None:
        tasks = self.context.plan.tasks
        titles = [self.context.plan.title(task) for task in tasks if task.id in self._left]
        status = Status(len(tasks) - len(titles), tuple(titles), stopped)
        now = datetime.now().astimezone()
        with self._lock:
            if not self._html or (self._over.is_set() and not stopped):
                return
            refresh, told = status_block(status, now)
            html = self._html.replace(REFRESH_HERE, refresh).replace(STATUS_HERE, told)
            try:
                write_text(self.path, html)
            except InputError as error:
                self.say(str(error))

    def _beat(self) -> None:
        while True:
            if not self._measuring:
                self._renew()
            self._write()
            if self._over.wait(BEAT_SECONDS):
                return
