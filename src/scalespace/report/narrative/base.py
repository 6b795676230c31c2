"""What a study found, in sentences that are computed from its numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from scalespace.report.results import Results


@dataclass(frozen=True)
class Narrative(ABC):
    """The sentences about a study."""

    results: Results

    @property
    @abstractmethod
    def headline(self) -> str:
        """The main result in one sentence."""

    @property
    @abstractmethod
    def remarks(self) -> list[str]:
        """What else was found, a sentence or two each."""
