"""Which states a sampler calls the network in, where it does not call it in all.

Training fixes the states of a segment, or also covers the times between them; sampling may visit
any falling choice of them. A way begins in the last state and ends in the data, or where the next
segment takes over; the network is called in every state but the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from scalespace.core.contraction import kept_variance
from scalespace.core.schedule import Schedule
from scalespace.core.solvers import Solve, Table
from scalespace.core.spectrum import Components
from scalespace.errors import InputError, listed

Spacing = Callable[[Schedule, int, float, bool], tuple[float, ...]]
"""(schedule, calls, end, between) to so many states, falling from the last and above the end."""

MOST_TRIED = 64
"""How many lowest states `by_correlation` tries; of more, it tries a geometric choice."""


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
    """States at equal distances in log SNR, from the last state to the lowest one above the end.

    In the data the log SNR is infinite, and in pure noise minus infinite: a last state of pure
    noise is one call, and the others are placed from the state before it on. Arguments as for
    `by_state`.
    """
    last, lowest = schedule.last, math.floor(end) + 1
    pure = schedule.half_log_snr(last) == -math.inf
    highest = last - 1 if pure else last
    if calls == 1 or highest < lowest:
        return by_state(schedule, calls, end, between)
    # inverted on a fine grid
    times = np.linspace(lowest, highest, 20 * highest + 1)
    levels = np.array([schedule.half_log_snr(float(t)) for t in times])
    wanted = np.linspace(levels[-1], levels[0], calls - pure)
    found = [float(t) for t in np.interp(wanted, levels[::-1], times[::-1])]
    found = [float(last), *found] if pure else found
    return tuple(found) if between else _whole(found, end)


Band = tuple[Schedule, Components]
"""Components of the images, and the schedule that they share."""


def correlation(bands: Sequence[Band], times: np.ndarray) -> np.ndarray:
    """The correlation of x_t with x_0, averaged over the components by their variance.

    Along a component of variance v it is a sqrt(v) / sqrt(a^2 v + b^2) (a^2 = alpha_bar_t of its
    band, b^2 = 1 - a^2), if the data are normally distributed: 1 in the image, 0 in pure noise.

    Args:
        bands: of the images.
        times: states, or times between them: float [n].

    Returns:
        float64 [n].
    """
    found, whole = np.zeros(len(times)), 0.0
    for schedule, components in bands:
        v, number = np.array(components).T
        scales = schedule.signal_and_noise(torch.from_numpy(times), torch.empty(0).double())
        a, b = (scale.numpy() for scale in scales)
        each = a[:, None] * np.sqrt(v) / np.sqrt(np.outer(a**2, v) + b[:, None] ** 2)
        found += each @ (v * number)
        whole += float(v @ number)
    return found / whole


def by_correlation(
    schedule: Schedule,
    calls: int,
    end: float = 0,
    between: bool = False,
    *,
    solver: Solve,
    bands: Sequence[Band],
    temperature: float = 1.0,
    carried: bool = False,
) -> tuple[float, ...]:
    """Whole states at equal distances in the correlation of x_t with x_0.

    Every step but the last raises it by the same amount. The lowest state is the one whose samples
    come nearest to normally distributed data: it minimises the sum over the components of
    (deviation made - deviation wanted)^2, the squared Wasserstein distance.

    Args:
        schedule, calls, end, between: as for `by_state`, which also places more calls than states.
        solver: the one that will visit them.
        bands: of the images; for the components see `core/spectrum.py`.
        temperature: standard deviation of the initial noise.
        carried: the first state holds a coarser image, not noise alone.
    """
    last, lowest = schedule.last, math.floor(end) + 1
    highest = last - calls + 1
    if calls == 1 or highest < lowest:
        return by_state(schedule, calls, end, between)
    times = np.linspace(lowest, last, 20 * last + 1)
    known = correlation(bands, times)
    parts = [(own, *torch.tensor(components, dtype=torch.float64).T) for own, components in bands]

    def choice(lowest: int) -> tuple[float, ...]:
        levels = np.linspace(known[-1], np.interp(lowest, times, known), calls)
        return _whole([float(t) for t in np.interp(-levels, -known, times)], end)

    def distance(states: tuple[float, ...]) -> float:
        return sum(
            _distance(solver(own, (*states, end)), own, v, number, temperature, carried)
            for own, v, number in parts
        )

    tried = np.geomspace(lowest, highest, MOST_TRIED).astype(int)
    every = range(lowest, highest + 1) if highest - lowest < MOST_TRIED else np.unique(tried)
    return min((choice(int(t)) for t in every), key=distance)


def _distance(
    table: Table,
    schedule: Schedule,
    v: Tensor,
    number: Tensor,
    temperature: float,
    carried: bool,
) -> float:
    """The squared distance of a sampler's images from normally distributed ones, in one band."""

    def variance(t: float, temperature: float = 1.0) -> Tensor:
        a, b = schedule.scales(t)
        return a**2 * v + (temperature * b) ** 2

    first, *_, end = table.states
    start = variance(first, temperature) if carried else None
    made = (v * kept_variance(table, schedule, v, temperature, start)).sqrt()
    return float((number * (made - variance(end).sqrt()) ** 2).sum())


@dataclass(frozen=True)
class Visits:
    """The states that a segment's sampler calls the network in.

    Args:
        name: of the segment, for errors.
        schedule: its states.
        steps: None for all of them, a number of calls, or the states themselves, falling.
        spacing: chooses the states for a number of calls.
        continuous: the network was trained at the times between states, too.
        more: what more calls than there are states would need, for errors.

    Raises:
        InputError: `steps` are more calls than there are states, or states that do not fall from
            the last, end at 0, or lie between states that alone were trained.
    """

    name: str
    schedule: Schedule
    steps: int | tuple[float, ...] | None = None
    spacing: Spacing = by_state
    continuous: bool = False
    more: str = "a network that was trained with process.continuous=true"
    _chosen: dict[float, tuple[float, ...]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        last, steps = self.schedule.last, self.steps
        if isinstance(steps, tuple):
            if not steps or steps[0] != last or any(s >= t for t, s in pairwise(steps)):
                raise InputError(
                    f"the steps of '{self.name}' must fall from its last state, {last}, on: got "
                    f"{listed(steps)}"
                )
            if not steps[-1] > 0:
                raise InputError(
                    f"the steps of '{self.name}' must lie above 0, which is the finished image: "
                    f"got {listed(steps)}"
                )
            if not self.continuous and any(t != int(t) for t in steps):
                raise InputError(
                    f"'{self.name}' knows its states 1 to {last} and no time between them, got "
                    f"{listed(steps)}: train it with process.continuous=true"
                )
        self.check(0)

    def few(self, calls: int) -> tuple[float, ...]:
        """The states for that many calls to the end, chosen as its own are."""
        return replace(self, steps=calls, _chosen={})()

    def check(self, end: float) -> None:
        """Raises `InputError` if there are fewer states above `end` than calls asked for."""
        states = self.schedule.last - math.floor(end)
        if isinstance(self.steps, int) and self.steps > states and not self.continuous:
            raise InputError(
                f"'{self.name}' has {states} {'state' if states == 1 else 'states'} to call its "
                f"network in, and {self.steps} calls are asked for: more need {self.more}"
            )

    def __call__(self, end: float = 0) -> tuple[float, ...]:
        """The states to call the network in on the way to `end`, falling from the last.

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


def _whole(wanted: Sequence[float], end: float) -> tuple[float, ...]:
    """The nearest whole states, all different and above the end."""
    states: list[float] = []
    for k, t in enumerate(wanted):
        least = math.floor(end) + len(wanted) - k  # room for those still to come
        most = states[-1] - 1 if states else math.inf
        states.append(int(max(least, min(math.floor(t + 0.5), most))))
    return tuple(states)
