"""Differences between two variants of a method, paired by training seed.

With the same seed, two variants share the initial weights, the order of the data, the noise and the
classifiers' initial weights. What is left is the change, and chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalespace.evaluation.cas import sample_sd
from scalespace.report.metrics import MetricInfo
from scalespace.report.results import Results
from scalespace.studies.variants import ALL_RIGHT, ALL_WRONG, only_right, only_wrong

CERTAIN = 0.05  # the p below which a difference is not called chance


@dataclass(frozen=True)
class Paired:
    """Differences in a metric of two variants, one for each seed that both have: [n], n >= 1."""

    metric: MetricInfo
    values: NDArray[np.float64]

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def sd(self) -> float:
        """Sample standard deviation over the seeds; NaN for a single one."""
        return sample_sd(self.values)

    @property
    def p(self) -> float:
        """p of a two-sided t test that the mean is 0; 1 for a single seed."""
        from scipy import stats  # takes seconds to import

        if len(self.values) < 2 or not self.values.any():
            return 1.0
        with np.errstate(divide="ignore"):  # equal differences: no spread at all
            return 0.0 if self.sd == 0 else float(stats.ttest_1samp(self.values, 0.0).pvalue)

    @property
    def certain(self) -> bool:
        """Whether chance does not explain it; never for a single seed."""
        return self.p < CERTAIN

    def __str__(self) -> str:
        return self.metric.difference(self.mean, self.sd)

    def __neg__(self) -> Paired:
        return Paired(self.metric, -self.values)


def paired(
    results: Results, metric: MetricInfo, method: str, variant: str, base: str
) -> Paired | None:
    """A variant's score minus that of `base`; None if they have no seed in common."""
    own, its = (results.by_seed(metric.name, method, name) for name in (variant, base))
    gaps = (own - its).dropna()
    return Paired(metric, np.array(gaps, dtype=np.float64)) if len(gaps) else None


def right_alone(results: Results, metric: MetricInfo, method: str, switch: str) -> Paired | None:
    """The effect of turning one switch right alone."""
    return paired(results, metric, method, only_right(switch), ALL_WRONG)


def wrong_alone(results: Results, metric: MetricInfo, method: str, switch: str) -> Paired | None:
    """The effect of leaving one switch wrong alone."""
    return paired(results, metric, method, only_wrong(switch), ALL_RIGHT)


def all_right(results: Results, metric: MetricInfo, method: str) -> Paired | None:
    """The effect of turning all switches right."""
    return paired(results, metric, method, ALL_RIGHT, ALL_WRONG)
