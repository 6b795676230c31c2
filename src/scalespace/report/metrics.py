"""The metrics of a study as reports show them, also those that are not known here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from scalespace.config.build import build
from scalespace.evaluation.evaluate import METRICS
from scalespace.report import words

FOREMOST = ("fd", "cas")
"""The first to decide what is best: FD separates more."""


@dataclass(frozen=True)
class MetricInfo:
    """A metric that a study asked for; the fields are those of `Metric`.

    Args:
        figures: the values that it gives, and their titles in tables.
    """

    name: str
    figures: dict[str, str] = field(default_factory=dict)
    floor: bool = True
    judged: bool = False
    better: int = 0
    share: bool = False

    @property
    def title(self) -> str:
        """What it is called in sentences: 'FD', or what one of one's own calls itself."""
        return self.figures.get(self.name, self.name)

    def rank(self, value: float) -> float:
        """A number that is the higher, the better the value is."""
        return self.better * value

    def spread(self, mean: float, sd: float) -> str:
        """A mean with its deviation, if that is known."""
        return words.spread(mean, sd, share=self.share)

    def difference(self, mean: float, sd: float) -> str:
        """A difference with its deviation, signed."""
        return words.difference(mean, sd, share=self.share)


def metrics_of(asked: Sequence[str], told: Mapping[str, Any]) -> dict[str, MetricInfo]:
    """The metrics of a study by name: those known here in the order of `METRICS`, then others.

    Args:
        asked: their names.
        told: what `study.json` says of each; nothing in studies of early versions. It holds where
            the metric is not known here: its figures are then shown all the same.
    """
    facts = {name: metric.facts for name, metric in METRICS.items() if name in asked}
    for name in asked:
        if name not in facts:
            facts[name] = told.get(name, {"figures": {name: name}})
    return {name: build(MetricInfo, {"name": name, **own}) for name, own in facts.items()}


def foremost(metrics: Iterable[MetricInfo]) -> list[MetricInfo]:
    """The order in which metrics decide what is best: FD, CAS, then the others as they come."""

    def place(metric: MetricInfo) -> int:
        return FOREMOST.index(metric.name) if metric.name in FOREMOST else len(FOREMOST)

    return sorted(metrics, key=place)


def of_all(studies: Iterable[Iterable[MetricInfo]]) -> list[MetricInfo]:
    """The metrics of several studies, each once, foremost first."""
    found: dict[str, MetricInfo] = {}
    for metric in chain.from_iterable(studies):
        found.setdefault(metric.name, metric)
    return foremost(found.values())
