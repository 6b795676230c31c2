"""Solvers: from a schedule and the states to visit to the table of a linear recurrence.

Every sampler here is linear in the image, in the estimate of x_0, in the estimate before it, and in
fresh noise. From state t to the next state s,

    x_s = x x_t + x0 x0_hat + before x0_hat_before + std eps,

so a solver is no more than four numbers a step. One loop runs all of them (`core/sampling.py`);
unrolled training and the kept variance read the same table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from scalespace.core.schedule import Schedule
from scalespace.errors import unknown
from scalespace.plugins import HINT


class Row(NamedTuple):
    """One step: the weights of x_t, x0_hat, the x0_hat of the step before, and fresh noise."""

    x: float
    x0: float
    before: float = 0.0
    std: float = 0.0

    def apply(self, x: Tensor, x0_hat: Tensor, before: Tensor | None, eps: Tensor | None) -> Tensor:
        """x_s; `before` is None in the first step, `eps` where nothing is drawn."""
        out = self.x * x + self.x0 * x0_hat
        if self.before and before is not None:
            out = out + self.before * before
        return out + self.std * eps if self.std and eps is not None else out


@dataclass(frozen=True)
class Table:
    """A solver's numbers for one way through the states.

    Args:
        states: k+1 of them, falling; the network is called in all but the last.
        rows: k of them; row i leads from `states[i]` to `states[i + 1]`.
    """

    states: tuple[float, ...]
    rows: tuple[Row, ...]

    def columns(self) -> Tensor:
        """The four weights as a tensor: float64 [4, k]."""
        return torch.tensor(self.rows, dtype=torch.float64).T


Solve = Callable[[Schedule, Sequence[float]], Table]
"""Makes the table of one way through the states of a schedule."""


@dataclass(frozen=True)
class Solver:
    """A solver as a process asks for it; called as `Solve`.

    Args:
        name: what `process.sampler` calls it.
        make: `Solve`, with `eta` as a third argument where it takes one.
        eta: how much new noise a step draws; None for one that does not let it be chosen.
        draws: whether it draws new noise, where that is not chosen.
    """

    name: str
    make: Callable[..., Table]
    eta: float | None = None
    draws: bool = True

    def __call__(self, schedule: Schedule, states: Sequence[float]) -> Table:
        return self.make(schedule, states, *(() if self.eta is None else (self.eta,)))

    def without_noise(self) -> Solver:
        """The same, drawing no fresh noise; `ddim` for one that cannot do without."""
        if self.eta is not None:
            return replace(self, eta=0.0)
        return SOLVERS["ddim"] if self.draws else self


def _table(
    schedule: Schedule, states: Sequence[float], row: Callable[[float, float], Row]
) -> Table:
    """Checks the states, and makes the table whose rows `row(t, s)` gives."""
    way = tuple(states)
    if len(way) < 2 or any(s >= t for t, s in pairwise(way)):
        raise ValueError(f"the states of a sampler must fall, and be two at least: got {way}")
    if not 0 <= way[-1] < way[0] <= schedule.last:
        raise ValueError(f"the states of a sampler must lie in 0 .. {schedule.last}, got {way}")
    return Table(way, tuple(row(t, s) for t, s in pairwise(way)))


def ancestral(schedule: Schedule, states: Sequence[float]) -> Table:
    """Ho et al. 2020, Algorithm 2, with the true posterior q(x_s | x_t, x0_hat) for any s < t.

    Args:
        schedule: of the segment.
        states: to visit, falling.

    Raises:
        ValueError: they do not fall, or the schedule does not have them.
    """

    def row(t: float, s: float) -> Row:
        q = schedule.posterior(t, s)
        return Row(q.xt_weight, q.x0_weight, std=q.std)

    return _table(schedule, states, row)


def ddim(schedule: Schedule, states: Sequence[float], eta: float = 0.0) -> Table:
    """DDIM (Song et al. 2021, equations 12 and 16), for any share of new noise.

    Of the noise in state s, a part of deviation sigma = eta times the posterior's is drawn anew,
    and the rest is kept from state t. With an exact x0_hat the marginals are the same for every
    eta: 0 is deterministic after the initial noise, 1 is `ancestral`, and more draws more, up to
    all of the noise; then only x0_hat depends on x_t.

    Args:
        schedule, states: as for `ancestral`.
        eta: at least 0.
    """

    def row(t: float, s: float) -> Row:
        (a_t, b_t), (a_s, b_s) = schedule.scales(t), schedule.scales(s)
        sigma = min(eta * schedule.posterior(t, s).std, b_s)
        kept = math.sqrt(max(0.0, b_s**2 - sigma**2))  # below 0 by rounding, where it is capped
        return Row(kept / b_t, a_s - kept * a_t / b_t, std=sigma)

    return _table(schedule, states, row)


LONGER = 1e6
"""How many times longer than the previous step a second-order step may be."""


def dpm2m(schedule: Schedule, states: Sequence[float], eta: float = 0.0) -> Table:
    """DPM-Solver++(2M) of Lu et al. 2022 (arXiv:2211.01095): `ddim` of second order.

    Within a step, x0_hat is extrapolated linearly in log SNR from the last two estimates, where
    `ddim` holds it constant. The first step and the last, into the data, are of first order.

    Args:
        schedule, states: as for `ancestral`.
        eta: at least 0. 0 is the deterministic solver (their Algorithm 2); 1 is the stochastic one
            (SDE-DPM-Solver++(2M), their appendix), which draws as much new noise as `ancestral`;
            others draw eta^2 times its rate.
    """
    h_before: float | None = None

    def row(t: float, s: float) -> Row:
        nonlocal h_before
        (_, b_t), (a_s, b_s) = schedule.scales(t), schedule.scales(s)
        h = schedule.half_log_snr(s) - schedule.half_log_snr(t)
        forgotten = eta**2 * h if eta else 0.0  # of x_t, to be replaced by new noise
        weight = -a_s * math.expm1(-h - forgotten)
        # a previous step so much shorter than this one is rounding, and gives no slope
        ahead = h / (2 * h_before) if h_before and h < LONGER * h_before else 0.0
        h_before = h
        return Row(
            b_s / b_t * math.exp(-forgotten),
            weight * (1 + ahead),
            -weight * ahead,
            b_s * math.sqrt(-math.expm1(-2 * forgotten)),
        )

    return _table(schedule, states, row)


def euler(schedule: Schedule, states: Sequence[float]) -> Table:
    """Euler steps along the velocity of the straight path (flow matching, Lipman et al. 2023).

    On that path z = x / (a + b) is reached at time u = b / (a + b), with velocity
    dz/du = eps - x0. For a constant estimate the path is straight, so up to rounding this is `ddim`
    with eta = 0.

    Args:
        schedule, states: as for `ancestral`.
    """

    def row(t: float, s: float) -> Row:
        (a_t, b_t), (a_s, b_s) = schedule.scales(t), schedule.scales(s)
        move = b_s / (a_s + b_s) - b_t / (a_t + b_t)  # u' - u
        # eps - x0 = x / b - (a + b) / b x0
        along_x, along_x0 = move / b_t, -move * (a_t + b_t) / b_t
        size = a_s + b_s
        return Row(size * (1 / (a_t + b_t) + along_x), size * along_x0)

    return _table(schedule, states, row)


def renoise(schedule: Schedule, states: Sequence[float]) -> Table:
    """x_s ~ q(x_s | x0_hat): the estimate under fresh noise, whatever x_t was.

    The code published with the seed paper does this in place of the posterior q(x_s | x_t, x0_hat),
    and so discards in every step what x_t knows besides the estimate. Consistency models sample
    this way by design (Song et al. 2023, Algorithm 1).

    Args:
        schedule, states: as for `ancestral`.
    """

    def row(t: float, s: float) -> Row:
        a, b = schedule.scales(s)
        return Row(0.0, a, std=b)

    return _table(schedule, states, row)


SOLVERS = {
    solver.name: solver
    for solver in (
        Solver("ancestral", ancestral),
        Solver("ddim", ddim, eta=0.0),
        Solver("dpm2m", dpm2m, eta=0.0),
        Solver("euler", euler, draws=False),
        Solver("renoise", renoise),
    )
}
"""Every solver by name: what `process.sampler` may be."""


def make_solver(name: str, eta: float = 0.0) -> Solver:
    """The solver of that name; `eta` is for those that let it be chosen.

    Raises:
        InputError: there is none.
    """
    if name not in SOLVERS:
        raise unknown("process.sampler", name, SOLVERS, HINT)
    solver = SOLVERS[name]
    return solver if solver.eta is None else replace(solver, eta=eta)
