"""Whether chance may explain that one score is better than another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from scalespace.report.results import Results

K = TypeVar("K")

LISTED = 3
"""So many that are too close to call are named in a headline; of more, the first and how many."""


class Known(NamedTuple):
    """A score, and its deviation: NaN if that is not known."""

    value: float
    sd: float

    def chance(self, other: Known) -> float:
        """Two standard deviations of the difference; NaN if either one's is not known."""
        return 2 * math.hypot(self.sd, other.sd)


def deviation(results: Results, metric: str, method: str) -> float:
    """The larger of a score's own deviation and that over training seeds; NaN if unknown."""
    if metric == "cas":
        score = results.score(method)
        own = None if score is None else score.sd
    else:
        row = results.measurement(metric, method)
        own = None if row is None else row.get("se")
    over_seeds = float(results.by_seed(metric, method).std())
    known = [sd for sd in (own, over_seeds) if sd is not None and not math.isnan(sd)]
    return max(known, default=math.nan)


def leaders(scores: Mapping[K, Known]) -> list[K]:
    """Those that are too close to the first to call, itself among them.

    None if a deviation is not known.

    Args:
        scores: the best first.
    """
    if any(math.isnan(one.sd) for one in scores.values()):
        return []
    first = next(iter(scores.values()))
    return [
        name for name, one in scores.items() if abs(one.value - first.value) <= first.chance(one)
    ]
