"""What a perfect network would predict, in closed form for data that are a few points.

With x_t = a x0 + b eps, a = sqrt(alpha_bar_t) and b = sqrt(1 - alpha_bar_t), Bayes' rule gives the
probability of each of n equally likely points p_k, w_k = 1 / n,

    P(x0 = p_k | x_t) = w_k N(x_t; a p_k, b^2) / q(x_t),   q(x_t) = sum_j w_j N(x_t; a p_j, b^2),

and everything else is an expectation over it. For two points -1 and 1,
E[x0 | x_t] = tanh(a x_t / b^2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scalespace.errors import InputError, listed

Scale = Tensor | float  # a or b: a float, or a tensor that broadcasts against x_t


@dataclass(frozen=True)
class Mixture:
    """Points on a line, each equally likely.

    Args:
        points: at least two different, finite numbers; kept in rising order.

    Raises:
        InputError: points that are anything else.
    """

    points: tuple[float, ...]

    def __post_init__(self) -> None:
        points = sorted(float(point) for point in self.points)
        if len(points) < 2 or len(set(points)) < len(points) or not all(map(math.isfinite, points)):
            raise InputError(
                f"need at least two different points, got {listed(points)} (finite ones count)"
            )
        object.__setattr__(self, "points", tuple(points))

    @property
    def domain(self) -> tuple[float, float]:
        """The convex hull of the points: the least and the greatest."""
        return self.points[0], self.points[-1]

    @property
    def half_gap(self) -> float:
        """Half the distance between the two nearest points."""
        return min(b - a for a, b in zip(self.points, self.points[1:], strict=False)) / 2

    @property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation."""
        p, w = self._tables()
        mean = (w * p).sum()
        return float(mean), float((w * (p - mean).square()).sum().sqrt())

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """Points at random: float64 [n, 1]."""
        p, w = self._tables()
        return p[torch.multinomial(w, n, replacement=True, generator=rng)][:, None]

    def probabilities(self, x: Tensor, a: Scale, b: Scale) -> Tensor:
        """P(x0 = p_k | x_t = x) for every point p_k: float64 [*x.shape, k].

        Args:
            x: x_t, any shape.
            a: sqrt(alpha_bar_t), >= 0.
            b: sqrt(1 - alpha_bar_t), > 0.
        """
        return self._log_joint(x, a, b).softmax(dim=-1)

    def mean(self, x: Tensor, a: Scale, b: Scale) -> Tensor:
        """E[x0 | x_t = x], shaped as x: the x0_hat of least squared error."""
        return (self.probabilities(x, a, b) * self._tables()[0]).sum(dim=-1)

    def eps(self, x: Tensor, a: Scale, b: Scale) -> Tensor:
        """eps*(x_t) = E[eps | x_t] = (x_t - a E[x0 | x_t]) / b, shaped as x.

        It minimises the squared error of Ho et al. 2020, equation 14.
        """
        return (x.double() - a * self.mean(x, a, b)) / b

    def log_density(self, x: Tensor, a: Scale, b: Scale) -> Tensor:
        """log q(x_t = x), shaped as x."""
        scale = torch.as_tensor(b, dtype=torch.float64).log() + 0.5 * math.log(2 * math.pi)
        return self._log_joint(x, a, b).logsumexp(dim=-1) - scale

    def cdf(self, x: Tensor, a: Scale, b: Scale) -> Tensor:
        """P(x_t <= x) in the forward process, shaped as x."""
        p, w = self._tables()
        z = (x.double()[..., None] - _last(a) * p) / _last(b)
        return (w * torch.special.ndtr(z)).sum(dim=-1)

    def _log_joint(self, x: Tensor, a: Scale, b: Scale) -> Tensor:
        """log w_k - (x - a p_k)^2 / (2 b^2): float64 [*x.shape, k].

        It is exponentiated only after its maximum is subtracted (softmax, logsumexp), so that an x
        far from all points neither underflows nor divides 0 by 0.
        """
        p, w = self._tables()
        z = (x.double()[..., None] - _last(a) * p) / _last(b)
        return w.log() - 0.5 * z.square()

    def _tables(self) -> tuple[Tensor, Tensor]:
        points = torch.tensor(self.points, dtype=torch.float64)
        return points, torch.full_like(points, 1 / len(points))


def _last(scale: Scale) -> Scale:
    """Gives a scale that broadcasts against x_t a last dimension for the points."""
    return scale.double()[..., None] if isinstance(scale, Tensor) else scale
