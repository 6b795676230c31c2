"""Progress bars: live in a terminal, and a line now and then where there is none."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

LOG_SECONDS = 30.0
"""Between two lines of a bar that goes into a file."""


def bar(total: int, what: str, unit: str, *, shown: bool, done: int = 0) -> tqdm[Any]:
    """A bar on standard error.

    Args:
        total: units of work.
        what: words that stand before it.
        unit: of the work: step, image.
        shown: without it, nothing is.
        done: units that were done before.
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
