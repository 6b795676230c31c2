"""Which states a sampler calls the network in, where it does not call it in all.

Training fixes the states of a segment, or lets the network know the times between them; sampling
may visit any falling choice of them. A way begins in the last state and ends in the data, or where
the next segment takes over; the network is called in every state but the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch

from scalespace.core.contraction import kept_variance
from scalespace.core.schedule import Schedule
from scalespace.core.solvers import Solver
from scalespace.errors import InputError

EXPONENT, SHARE = 1.1, 0.5
"""Of a class's spectrum, as a power law: fitted to MNIST's and near to Fashion-MNIST's."""


Spacing = Callable[[Schedule, int, float, bool], tuple[float, ...]]
"""Chooses so many states, falling from the last, above the end; whole ones unless told."""


def by_state(
    schedule: Schedule, calls: int, end: float = 0, between: bool = False
) -> tuple[float, ...]:
    """States at equal distances.

    Args:
        schedule: whose last state is the first of them.
        calls: how many; whole states allow at most last - end.
        end: where the way ends.
        between: times between the states may be chosen, too.
    """
    last = schedule.last
    wanted = [last - (last - end) * k / calls for k in range(calls)]
    return tuple(wanted) if between else _whole(wanted, end)


def by_snr(
    schedule: Schedule, calls: int, end: float = 0, between: bool = False
) -> tuple[float, ...]:
    """States at equal distances in the logarithm of the signal-to-noise ratio.

    From the last state to the first one above the end: in the data itself it is infinite.
    Arguments as for `by_state`.
    """
    # on a grid fine enough to invert it by; noise without any image is taken to be at -20
    times = np.linspace(math.floor(end) + 1, schedule.last, 20 * schedule.last + 1)
    levels = np.array([max(schedule.half_log_snr(float(t)), -20.0) for t in times])
    wanted = np.linspace(levels[-1], levels[0], calls)
    found = [float(t) for t in np.interp(wanted, levels[::-1], times[::-1])]
    return tuple(found) if between else _whole(found, end)


def spectrum(numbers: int, components: int = 24) -> tuple[tuple[float, float], ...]:
    """Variances of the principal components of a class of images, and how many there are of each.

    The k-th of images of so many standardised numbers is taken to be proportional to k^-1.1, half
    of the variance being within the classes. At 14x14 that gives 21 for the first one (15 on MNIST)
    and 0.28 for the 50th (0.17), at 28x28 72 (70) and 0.97 (1.13).

    Args:
        numbers: of an image, or a latent.
        components: neighbours are put together until so many are left.
    """
    k = np.arange(1, numbers + 1)
    v = k**-EXPONENT
    v *= SHARE * numbers / v.sum()
    ends = np.unique(np.geomspace(1, numbers + 1, min(components, numbers) + 1).astype(int))
    parts = [v[i - 1 : j - 1] for i, j in pairwise(ends)]
    return tuple((float(part.mean()), float(len(part))) for part in parts)


def by_variance(
    schedule: Schedule,
    calls: int,
    end: float = 0,
    between: bool = False,
    *,
    solver: Solver,
    components: Sequence[tuple[float, float]],
    temperature: float = 1.0,
) -> tuple[float, ...]:
    """The whole states that keep most of the variance of normally distributed data.

    Least is the sum over the components of v (1 - sqrt(kept))^2, the squared Wasserstein distance
    of what is made from what it should be. Three choices are improved a state at a time, and the
    best is taken: the two even ones, and one that grows from a single call. With second-order
    solvers there are many local minima, so the best of all is not promised.

    Args:
        schedule, calls, end, between: as for `by_state`. Times between states are never chosen:
            more calls than states are put at equal distances.
        solver: the one that will visit them.
        components: variances, and how many components have each; see `spectrum`.
        temperature: deviation of the noise that sampling starts from.
    """
    if calls > schedule.last - math.floor(end):
        return by_state(schedule, calls, end, between)
    v, weight = torch.tensor(components, dtype=torch.float64).T
    first, known = schedule.last, dict[tuple[float, ...], float]()

    def loss(states: tuple[float, ...]) -> float:
        if states not in known:
            kept = kept_variance(solver(schedule, (*states, end)), schedule, v, temperature)
            known[states] = float((weight * v * (1 - kept.sqrt()) ** 2).sum())
        return known[states]

    def settled(states: tuple[float, ...]) -> tuple[float, ...]:
        """Its states moved one at a time, while that helps."""
        before = math.inf
        while loss(states) < before:
            before = loss(states)
            for k in range(1, len(states)):
                below = states[k + 1] if k + 1 < len(states) else math.floor(end)
                free = range(int(below) + 1, int(states[k - 1]))
                states = min(((*states[:k], t, *states[k + 1 :]) for t in free), key=loss)
        return states

    grown: tuple[float, ...] = (first,)
    for _ in range(1, calls):
        free = [t for t in range(math.floor(end) + 1, first) if t not in grown]
        grown = settled(min((tuple(sorted((*grown, t), reverse=True)) for t in free), key=loss))
    even = [settled(choice(schedule, calls, end)) for choice in (by_state, by_snr)]
    return min((grown, *even), key=loss)


@dataclass(frozen=True)
class Visits:
    """The states that a segment's sampler calls the network in.

    Args:
        name: of the segment, for errors.
        schedule: its states.
        steps: None for all of them, a number of calls, or the states themselves, falling.
        spacing: puts a number of calls into their places.
        continuous: the network knows the times between the states.

    Raises:
        InputError: more calls than states, or states that are none or do not fall from the last.
    """

    name: str
    schedule: Schedule
    steps: int | tuple[float, ...] | None = None
    spacing: Spacing = by_state
    continuous: bool = False
    _chosen: dict[float, tuple[float, ...]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        last, steps = self.schedule.last, self.steps
        if isinstance(steps, tuple):
            if not steps or steps[0] != last or any(s >= t for t, s in pairwise(steps)):
                raise InputError(
                    f"the steps of '{self.name}' must fall from its last state, {last}, on: got "
                    f"{_listed(steps)}"
                )
            if not steps[-1] > 0:
                raise InputError(
                    f"the steps of '{self.name}' must lie above 0, which is the finished image: "
                    f"got {_listed(steps)}"
                )
            if not self.continuous and any(t != int(t) for t in steps):
                raise InputError(
                    f"'{self.name}' knows its states 1 to {last} and no time between them, got "
                    f"{_listed(steps)}: train it with process.continuous=true"
                )
        self.check(0)

    def check(self, end: float) -> None:
        """`InputError` if there are not so many states above `end`."""
        states = self.schedule.last - math.floor(end)
        if isinstance(self.steps, int) and self.steps > states and not self.continuous:
            raise InputError(
                f"'{self.name}' has {states} states to call its network in, and {self.steps} calls "
                "are asked for: more need a network that was trained with process.continuous=true"
            )

    def __call__(self, end: float = 0) -> tuple[float, ...]:
        """The states, falling from the last, of a way that ends in state `end`.

        Raises:
            InputError: as from `check`.
        """
        last = self.schedule.last
        if self.steps is None:
            return tuple(range(last, math.floor(end), -1))
        if isinstance(self.steps, tuple):
            return tuple(t for t in self.steps if t > end)
        if end not in self._chosen:
            self.check(end)
            between = self.steps > last - math.floor(end)
            self._chosen[end] = self.spacing(self.schedule, self.steps, end, between)
        return self._chosen[end]


def _listed(states: Sequence[float]) -> str:
    return ", ".join(f"{t:g}" for t in states) or "none"


def _whole(wanted: Sequence[float], end: float) -> tuple[float, ...]:
    """The nearest whole states, all different and above the end."""
    states: list[float] = []
    for k, t in enumerate(wanted):
        least = math.floor(end) + len(wanted) - k  # room for those still to come
        most = states[-1] - 1 if states else math.inf
        states.append(int(max(least, min(math.floor(t + 0.5), most))))
    return tuple(states)
