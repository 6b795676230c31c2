"""Pieces of work on the threads of one CPU: one thread each, rather than all threads for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(Exception):
    """Another piece of work failed, or the program was interrupted."""


def side_by_side(
    work: Callable[[Item, Callable[[], None]], Result], items: Sequence[Item], workers: int
) -> Iterator[Result]:
    """The result of each item, in order; torch's threads are shared out among the workers.

    What does not fill the workers comes last, with more threads each.

    Small convolutions gain little from a second thread, and torch lets go of Python's lock in them.

    Args:
        work: takes an item, and a function that it should call now and then: it raises `Stopped`
            once there is no more use in going on.
        items: what to work on.
        workers: at most so many at a time.
    """
    if rest := len(items) % workers:
        if whole := items[:-rest]:
            yield from side_by_side(work, whole, workers)
        items, workers = items[-rest:], rest
    threads, stop = torch.get_num_threads(), Event()

    def go_on() -> None:
        if stop.is_set():
            raise Stopped

    own = (max(1, threads // workers),)
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=own) as pool:
        try:
            yield from pool.map(lambda item: work(item, go_on), items)
        finally:
            stop.set()  # before the pool waits for its workers
            torch.set_num_threads(threads)  # which theirs changed for every later thread
