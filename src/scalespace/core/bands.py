"""Two bands in one image: means of blocks, and the detail within them, which fades on its own.

With P the means of blocks, enlarged, and Q = I - P the detail (Haar's, for blocks of 2x2),

    x_t = a (P x_0 + d Q x_0) + s eps,      a^2 + s^2 = 1,

where d falls from 1 in the data to (nearly) 0 in the last state. White noise is white in each band,
so both are Gaussian processes of their own: the means with signal a, the detail with signal a d,
both under noise s. Divided by u = sqrt((a d)^2 + s^2) the detail has unit variance and a `Schedule`
like any other, so every solver acts on it with a table of its own.

After Zhang et al. 2022 ("Dimensionality-varying diffusion process"), with an exact jump between
scales (`core/jumps.Exact`) in place of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from scalespace.core.scale import down, enlarge
from scalespace.core.schedule import Schedule, broadcast
from scalespace.core.segment import Segment
from scalespace.errors import InputError


@dataclass(frozen=True, eq=False)
class Fade(Schedule):
    """The schedule of the detail in unit variance: alpha_bar = (a d)^2 / ((a d)^2 + s^2).

    d is a function of the means' angle arccos(a), linear between the angles at which it is given:
    an interpolated angle of the detail would make d jump where the data begin. So it is the same
    between some of the states as between all of them.

    Args:
        alpha_bar: in each state.
        means: the schedule of the block means, which has a and s.
        angles: of the means, float64 [K], rising.
        detail: d at each of `angles`, float64 [K].
    """

    means: Schedule
    angles: Tensor
    detail: Tensor

    @cached_property
    def _knots(self) -> tuple[list[float], list[float]]:
        return self.angles.tolist(), self.detail.tolist()

    @cached_property
    def _shares(self) -> Tensor:
        """d in each state: float64 [S]."""
        return self._share(self.means.angle)

    def _share(self, angle: Tensor) -> Tensor:
        """d where the means have that angle, [n]."""
        angles, detail = broadcast(self.angles, angle), broadcast(self.detail, angle)
        above = torch.searchsorted(angles, angle).clamp(1, len(angles) - 1)
        low, high = angles[above - 1], angles[above]
        part = ((angle - low) / (high - low)).clamp(0, 1)
        return torch.lerp(detail[above - 1], detail[above], part)

    def alpha_bar_at(self, t: float) -> float:
        """As any `Schedule`."""
        a, s = self.means.scales(t)
        signal = (a * float(np.interp(math.atan2(s, a), *self._knots))) ** 2
        return signal / (signal + s**2)

    def signal_and_noise(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """As any `Schedule`."""
        a, s = self.means.signal_and_noise(t, like)
        if t.is_floating_point():
            d = self._share(torch.atan2(s, a).flatten())
        else:
            d = broadcast(self._shares, like)[t]
        d = d.view(a.shape)
        unit = torch.hypot(a * d, s)
        return a * d / unit, s / unit

    def among(self, states: Sequence[int]) -> Fade:
        """As any `Schedule`."""
        return replace(self, alpha_bar=self.alpha_bar[list(states)], means=self.means.among(states))


def fading(schedule: Schedule, detail: Sequence[float]) -> Fade:
    """The schedule of the detail.

    Args:
        schedule: of the block means, in S states.
        detail: d in each of them.

    Raises:
        InputError: another number of d than states, a first one other than 1, or one that rises or
            is not above 0.
    """
    d = torch.tensor(list(detail), dtype=torch.float64)
    if len(d) != schedule.states or d[0] != 1 or bool((d[1:] > d[:-1]).any()) or not d[-1] > 0:
        raise InputError(
            f"the detail's share must fall from 1 to above 0 over {schedule.states} states, got "
            f"{[round(float(one), 4) for one in d]}"
        )
    signal = schedule.alpha_bar * d.square()
    return Fade(signal / (signal + 1 - schedule.alpha_bar), schedule, schedule.angle, d)


@dataclass(frozen=True, eq=False)
class Fading(Segment):
    """A `Segment` whose detail has a schedule of its own.

    Args:
        blocks: side of the blocks in pixels.
        fade: the detail's schedule, made by `fading`; None if it does not fade.
    """

    plain: ClassVar[bool] = False

    blocks: int = 2
    fade: Schedule | None = None

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """Of the block means, and of the detail."""
        return self.schedule, self.schedule if self.fade is None else self.fade

    @property
    def sizes(self) -> tuple[int, ...]:
        """A mean for each block, and what is left."""
        numbers = math.prod(self.shape)
        means = numbers // self.blocks**2
        return means, numbers - means

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Block means, enlarged, and detail."""
        means = enlarge(down(x, self.blocks), self.blocks)
        return means, x - means

    def among(self, states: Sequence[int]) -> Fading:
        """As any `Segment`."""
        fade = None if self.fade is None else self.fade.among(states)
        return replace(super().among(states), fade=fade)


def onward(alpha_bar: float, states: int) -> Schedule:
    """From `alpha_bar` in the last state to 1 in the first, at equal distances of the angle.

    The angle is arccos(sqrt(alpha_bar)), as in the cosine schedule.

    Raises:
        InputError: fewer than two states, or alpha_bar not in (0, 1).
    """
    if states < 2 or not 0 < alpha_bar < 1:
        raise InputError(
            f"a schedule goes on from an alpha_bar in (0, 1) through at least 2 states, got "
            f"{alpha_bar} and {states}"
        )
    angle = torch.linspace(0, math.acos(math.sqrt(alpha_bar)), states, dtype=torch.float64)
    table = angle.cos().square()
    table[0], table[-1] = 1.0, alpha_bar  # whatever the rounding
    return Schedule(table)
