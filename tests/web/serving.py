"""Servers of the page for tests: one in a thread, and work that never ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from scalespace.web.events import Event, Run, events, runs
from scalespace.web.library import Library
from scalespace.web.requests import Interpolating, Task
from scalespace.web.server import address, listen, make_server

LONG = 60.0
"""Seconds after which a test gives up; none takes anything near it."""


class Endless:
    """Work that goes on until it is closed, for requests of `Interpolating`."""

    def __init__(self) -> None:
        self.begun, self.steps, self.closed = 0, 0, 0
        self.end = threading.Event()

    def runs(self, task: Task, library: Library) -> Any:
        return self if isinstance(task, Interpolating) else runs(task, library)

    def events(self, found: list[Run] | Endless) -> Iterator[Event]:
        return self.go() if isinstance(found, Endless) else events(found)

    def go(self) -> Iterator[Event]:
        self.begun += 1
        try:
            while True:
                self.steps += 1
                yield ("wait", {"number": self.steps})
        finally:
            self.closed += 1
            self.end.set()


@contextmanager
def serving(library: Library) -> Iterator[SimpleNamespace]:
    """A server at work in a thread: its `place`, its `port`, and how to `stop` it."""
    with listen("127.0.0.1", 0) as listening:
        made = make_server(library, ["127.0.0.1"])
        thread = threading.Thread(target=made.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()

        def stop() -> None:
            made.should_exit = True
            thread.join(LONG)
            assert not thread.is_alive()

        place = address("127.0.0.1", listening)
        yield SimpleNamespace(place=place, port=listening.getsockname()[1], stop=stop)
        stop()
