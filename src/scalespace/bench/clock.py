"""Times several pieces of work in turns, so that other load on the machine meets all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from scalespace.progress import bar

Work = Callable[[], object]
"""Does something once; whatever it starts on a GPU, it waits for."""


@dataclass(frozen=True)
class Seconds:
    """How long one piece of work takes: mean, median and quartiles of n times, in seconds."""

    mean: float
    median: float
    q1: float
    q3: float
    n: int


def in_turns(
    works: Mapping[str, Work],
    rounds: int,
    what: str,
    progress: bool = False,
    warmup: int = 1,
    least: float = 0.0,
) -> dict[str, Seconds]:
    """The times of each piece of work.

    Args:
        works: by name.
        rounds: times that each is done.
        what: names them all, for the progress bar.
        progress: show one.
        warmup: times that each is done first, which do not count.
        least: seconds that a turn lasts at least: it does the work again and again, and counts the
            mean. What takes milliseconds would else find the caches full of the others' data.
    """
    for work in works.values():
        for _ in range(warmup):
            work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    with bar(rounds, what, "round", shown=progress) as shown:
        for _ in range(rounds):
            for name, work in works.items():
                seconds[name].append(_turn(work, least))
            shown.update()
    return {name: summary(times) for name, times in seconds.items()}


def _turn(work: Work, least: float) -> float:
    began, times = time.perf_counter(), 0
    while True:
        work()
        times += 1
        if (passed := time.perf_counter() - began) >= least:
            return passed / times


def summary(times: list[float]) -> Seconds:
    """Their mean, median and quartiles."""
    q1, median, q3 = (float(q) for q in np.percentile(times, [25, 50, 75]))
    return Seconds(float(np.mean(times)), median, q1, q3, len(times))
