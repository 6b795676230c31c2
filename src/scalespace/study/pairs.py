"""Two arms of a study beside each other, seed by seed.

A difference is paired: the two arms of a seed share the seed of their weights, orders and noise,
and the starts of the classifiers, so that what is left is the change itself and chance. Its
interval is Student's, at 95 %, over the seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalespace.evaluation.cas import sample_sd
from scalespace.study.arms import ALL_RIGHT, ALL_WRONG, only_right, only_wrong
from scalespace.study.results import Results

STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5 % quantiles of Student's t with 1 to 9 degrees of freedom; for more, that of 9 is safe."""


@dataclass(frozen=True)
class Paired:
    """Differences of two arms, one for each seed that both have: [n], n >= 1."""

    values: NDArray[np.float64]

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def sd(self) -> float:
        """Sample standard deviation over the seeds; NaN for a single one."""
        return sample_sd(self.values)

    @property
    def certain(self) -> bool:
        """Whether the 95 % interval of the mean leaves out 0; never for a single seed."""
        n = len(self.values)
        if n < 2:
            return False
        half = STUDENT[min(n - 1, len(STUDENT)) - 1] * self.sd / math.sqrt(n)
        return abs(self.mean) > half

    @property
    def turned(self) -> Paired:
        """The same differences, seen from the other arm."""
        return Paired(-self.values)


def by_seed(results: Results, metric: str, method: str, variant: str) -> dict[int, float]:
    """A metric's figure of each training seed of an arm, as far as it is known."""
    view, seeds = results.of(variant), results.study.seeds
    alone = len(seeds) > 1  # a study of one seed has its score without a seed's number
    found: dict[int, float] = {}
    for seed in seeds:
        if metric == "cas":
            score = view.score(method, seed if alone else None)
            if score is not None:
                found[seed] = score.mean
        elif row := view.figure(metric, method, seed if alone else None):
            found[seed] = float(row["value"])
    return found


def paired(results: Results, metric: str, method: str, variant: str, base: str) -> Paired | None:
    """How an arm's score differs from that of another variant: None without a seed in common."""
    own, its = (by_seed(results, metric, method, name) for name in (variant, base))
    common = [seed for seed in own if seed in its]
    return Paired(np.array([own[s] - its[s] for s in common])) if common else None


def two_sided(
    results: Results, metric: str, method: str, switch: str
) -> tuple[Paired | None, Paired | None]:
    """What a switch brings turned right alone, and what it costs left wrong alone."""
    return (
        paired(results, metric, method, only_right(switch), ALL_WRONG),
        paired(results, metric, method, only_wrong(switch), ALL_RIGHT),
    )


def both_ends(results: Results, metric: str, method: str) -> Paired | None:
    """What all switches bring, turned right together."""
    return paired(results, metric, method, ALL_RIGHT, ALL_WRONG)
