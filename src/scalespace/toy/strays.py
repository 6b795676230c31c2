"""Which trajectories went astray, how many, and with what confidence.

A final x is a **stray** if it is further than `tolerance` half-gaps from every point. A half-gap is
half the distance between the two nearest points: 1 for {-1, 1} and {0, 2}. The default is 0.1.
The paper calls -0.55 and -0.75 "far outside the intended support" of {-1, 1}, so the tolerance must
be below 0.25. The last step of its process turns an error e of the predicted noise into an error of
0.08 e in x (sqrt(1 - alpha_bar_1) / sqrt(alpha_bar_1) = 0.08), so at 0.1 a trajectory that had
decided becomes a stray only by an error above the noise's own deviation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scalespace.toy.mixture import Mixture

TOLERANCE = 0.1
Z95 = 1.959964  # of a normal distribution, both sides
TRAIL = 3.0  # standard deviations of the forward process that make a trail's half-width


@dataclass(frozen=True)
class Share:
    """`count` of `n`, with the 95% interval of Wilson 1927 from `low` to `high`."""

    count: int
    n: int
    share: float
    low: float
    high: float


def wilson(count: int, n: int) -> Share:
    """The share count / n and its 95% score interval (Wilson 1927).

    Unlike p +- 1.96 sqrt(p (1-p) / n), the interval is sound for counts at and near 0, where a cure
    should end up.
    """
    p, z2 = count / n, Z95**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # exact at the ends, whatever the rounding
    low = 0.0 if count == 0 else middle - half
    high = 1.0 if count == n else middle + half
    return Share(count, n, p, low, high)


def share(chosen: Tensor) -> Share:
    """The share of True in a bool tensor."""
    return wilson(int(chosen.sum()), chosen.numel())


def distance(x: Tensor, mixture: Mixture) -> Tensor:
    """Distance to the nearest point in half-gaps, shaped as x; NaN is infinitely far."""
    points = torch.tensor(mixture.points, dtype=torch.float64)
    away = (x.double()[..., None] - points).abs().amin(dim=-1) / mixture.half_gap
    return away.nan_to_num(nan=math.inf)


def astray(x: Tensor, mixture: Mixture, tolerance: float = TOLERANCE) -> Tensor:
    """Which final x are strays: bool, shaped as x."""
    return distance(x, mixture) > tolerance


def outside(x: Tensor, mixture: Mixture, tolerance: float = 0.0) -> Tensor:
    """Which x lie outside the domain by more than `tolerance` half-gaps: bool, shaped as x."""
    (low, high), far = mixture.domain, tolerance * mixture.half_gap
    return ~((x >= low - far) & (x <= high + far))  # so that NaN counts as outside


def nearest(x: Tensor, mixture: Mixture) -> Tensor:
    """The index of the nearest point: int64, shaped as x."""
    points = torch.tensor(mixture.points, dtype=torch.float64)
    return (x.double()[..., None] - points).abs().argmin(dim=-1)


def gaps(
    mixture: Mixture, a: float, b: float, tolerance: float = TOLERANCE
) -> list[tuple[float, float]]:
    """The intervals between neighbouring trails in one state, where the trails do not overlap.

    The trail of a point p is a p +- max(3 b, tolerance half-gaps): it holds nearly all of the
    forward process, and in state 0, where b = 0, all that is no stray.
    """
    wide = max(TRAIL * b, tolerance * mixture.half_gap)
    pairs = zip(mixture.points, mixture.points[1:], strict=False)
    found = [(a * p + wide, a * q - wide) for p, q in pairs]
    return [(low, high) for low, high in found if low < high]


def undecided(
    x: Tensor, mixture: Mixture, a: float, b: float, tolerance: float = TOLERANCE
) -> Tensor:
    """Which x_t of one state lie between two trails (the paper's Figure 4): bool, shaped as x."""
    found = torch.zeros(x.shape, dtype=torch.bool)
    for low, high in gaps(mixture, a, b, tolerance):
        found |= (x > low) & (x < high)
    return found


@dataclass(frozen=True)
class Split:
    """Strays of the learnt and of the exact process under the same noise, trajectory by trajectory.

    `both` are due to discretisation, `only_learnt` to learning; `only_exact` were saved by the
    network's own errors.
    """

    both: int
    only_learnt: int
    only_exact: int
    neither: int


def split(learnt: Tensor, exact: Tensor) -> Split:
    """The table of two bool tensors of one shape."""
    return Split(
        both=int((learnt & exact).sum()),
        only_learnt=int((learnt & ~exact).sum()),
        only_exact=int((~learnt & exact).sum()),
        neither=int((~learnt & ~exact).sum()),
    )
