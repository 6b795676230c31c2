"""Progress bars: live in a terminal, an occasional line elsewhere."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

LOG_SECONDS = 30.0
"""Seconds between two lines outside a terminal."""


def bar(total: int, what: str, unit: str, *, shown: bool, done: int = 0) -> tqdm[Any]:
    """A bar on standard error.

    Args:
        total: units of work.
        what: the words before it.
        unit: of the work: step, image.
        done: units that are done already.
    """
    live = sys.stderr is not None and sys.stderr.isatty()
    seconds = 0.5 if live else LOG_SECONDS
    return tqdm(
        total=total,
        initial=done,
        desc=what,
        unit=unit,
        disable=not shown,
        dynamic_ncols=live,
        mininterval=seconds,
        maxinterval=max(10.0, seconds),
    )
