"""How far a study is that has not finished."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from scalespace.report.words import join

REFRESH_SECONDS = 30
"""Between two looks of a browser at the page of a running study."""
SILENT_SECONDS = 300
"""A running study's page is never older than this: one that is has been killed."""
REFRESH_HERE, STATUS_HERE = "<!-- refresh -->", "<!-- status -->"
"""Where the page of a running study says how often to look, and how far it is."""


@dataclass(frozen=True)
class Status:
    """What the page of a running study says of it.

    Args:
        done: tasks that are.
        pending: the others, in words that begin with their kind.
        stopped: why it no longer runs; empty while it does.
    """

    done: int
    pending: tuple[str, ...]
    stopped: str = ""

    @property
    def total(self) -> int:
        """All tasks."""
        return self.done + len(self.pending)

    @property
    def kinds(self) -> str:
        """What is pending, by kind: '3 train, 9 score'."""
        counted = Counter(words.partition(" ")[0] for words in self.pending)
        return join(f"{n:,} {kind}" for kind, n in counted.items())
