"""The noise schedule: one validated table of alpha_bar over the states of a segment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from scalespace.errors import InputError

MAX_BETA = 0.999  # keeps the last alpha_bar above 0


class Posterior(NamedTuple):
    """q(x_s | x_t, x_0) = N(x0_weight x_0 + xt_weight x_t, std^2), all plain floats."""

    x0_weight: float
    xt_weight: float
    std: float


@dataclass(frozen=True, eq=False)
class Schedule:
    """`alpha_bar[t]` for the S states t = 0 .. S-1 of a segment: float64 [S], on the CPU.

    State 0 is the data (`alpha_bar[0] == 1`), so no formula needs a special case for the step into
    it. S states have S-1 transitions, hence S-1 network calls a sample. The last state alone may be
    pure noise (`alpha_bar[-1] == 0`); then x0 cannot be recovered from a predicted noise.

    Raises:
        InputError: fewer than two states, `alpha_bar[0] != 1`, or a beta outside (0, 1).
    """

    alpha_bar: Tensor

    def __post_init__(self) -> None:
        table = torch.as_tensor(self.alpha_bar, dtype=torch.float64).cpu()
        if table.ndim != 1 or len(table) < 2:
            raise InputError(f"a schedule needs at least 2 states, got shape {tuple(table.shape)}")
        if table[0] != 1:
            raise InputError(f"alpha_bar[0] must be 1 (state 0 is the data), got {table[0]:g}")
        beta = 1 - table[1:] / table[:-1]
        if not bool((beta > 0).all() and (beta[:-1] < 1).all() and beta[-1] <= 1):
            raise InputError(
                "every beta must lie in (0, 1): alpha_bar must fall and stay above 0 "
                "(its last entry alone may be 0)"
            )
        object.__setattr__(self, "alpha_bar", table)

    @cached_property
    def states(self) -> int:
        """S, the number of states, the data included."""
        return len(self.alpha_bar)

    @property
    def last(self) -> int:
        """T = S-1: the index of the last state."""
        return self.states - 1

    @property
    def beta(self) -> Tensor:
        """beta[t] = 1 - alpha_bar[t] / alpha_bar[t-1] for t = 1 .. S-1: float64 [S-1]."""
        return 1 - self.alpha_bar[1:] / self.alpha_bar[:-1]

    @property
    def last_signal(self) -> float:
        """sqrt(alpha_bar) at the last state: what is left of the image where sampling begins."""
        return math.sqrt(float(self.alpha_bar[-1]))

    def among(self, states: Sequence[int]) -> Schedule:
        """The same process in some of its states alone, which become its states 0, 1, 2 ...

        Args:
            states: rising from 0.
        """
        return Schedule(self.alpha_bar[list(states)])

    def posterior(self, t: float, s: float) -> Posterior:
        """The weights of q(x_s | x_t, x_0) for s < t (Ho et al. 2020, equations 6 and 7).

        With s = t-1 it is the paper's posterior; s = 0 gives x_0 itself (weight 1, std 0).

        Raises:
            ValueError: not 0 <= s < t <= S-1.
        """
        if not 0 <= s < t <= self.last:
            raise ValueError(f"need 0 <= s < t <= {self.last}, got s={s}, t={t}")
        ab_t, ab_s = self.alpha_bar_at(t), self.alpha_bar_at(s)
        alpha = ab_t / ab_s
        beta = 1 - alpha
        return Posterior(
            x0_weight=math.sqrt(ab_s) * beta / (1 - ab_t),
            xt_weight=math.sqrt(alpha) * (1 - ab_s) / (1 - ab_t),
            std=math.sqrt(beta * (1 - ab_s) / (1 - ab_t)),
        )

    def half_log_snr(self, t: float) -> float:
        """lambda = log(a / b) at time t: infinity in the data, minus infinity in pure noise."""
        a, b = self.scales(t)
        if not a or not b:
            return math.inf if a else -math.inf
        return math.log(a / b)

    @cached_property
    def angle(self) -> Tensor:
        """arccos(sqrt(alpha_bar)): float64 [S], 0 in the data and at most pi/2 in noise."""
        return torch.acos(self.alpha_bar.sqrt().clamp(max=1))

    @cached_property
    def _scales(self) -> tuple[Tensor, Tensor]:
        return self.alpha_bar.sqrt(), (1 - self.alpha_bar).sqrt()

    @cached_property
    def _alpha_bars(self) -> list[float]:  # reading one number of a tensor is slow
        return self.alpha_bar.tolist()

    @cached_property
    def _angles(self) -> list[float]:
        return self.angle.tolist()

    def alpha_bar_at(self, t: float) -> float:
        """alpha_bar at time t: the table's entry at a state.

        Between two states the angle arccos(sqrt(alpha_bar)), finite at both ends, is interpolated
        linearly.

        Args:
            t: from 0 to S-1; a whole number is a state.

        Raises:
            ValueError: t lies outside.
        """
        if not 0 <= t <= self.last:
            raise ValueError(f"need 0 <= t <= {self.last}, got {t}")
        below = math.floor(t)
        if below == t:
            return self._alpha_bars[below]
        low, high = self._angles[below], self._angles[below + 1]
        return math.cos(low + (t - below) * (high - low)) ** 2

    def time_of(self, alpha_bar: float) -> float:
        """The time of that alpha_bar, from 0 to S-1: the inverse of `alpha_bar_at`.

        S-1 where the last state has more.
        """
        angle = math.acos(math.sqrt(alpha_bar))
        t = float(np.interp(angle, self._angles, range(self.states)))
        rounding = math.isclose(t, round(t), abs_tol=1e-6)
        return round(t) if rounding else t

    def scales(self, t: float) -> tuple[float, float]:
        """a = sqrt(alpha_bar) and b = sqrt(1 - alpha_bar) at time t: x_t = a x_0 + b eps.

        Raises:
            ValueError: t lies outside.
        """
        alpha_bar = self.alpha_bar_at(t)
        return math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)

    def signal_and_noise(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """`scales` of many times at once: [n, 1, ...] each, to broadcast against `like`.

        Args:
            t: states, int64 [n], or times between them, float [n].
            like: images [n, ...]; gives dtype, device and number of dimensions.
        """
        if not t.is_floating_point():
            a, b = (broadcast(table, like)[t] for table in self._scales)
        else:
            angle, below = broadcast(self.angle, like), t.long().clamp(max=self.last - 1)
            mixed = torch.lerp(angle[below], angle[below + 1], (t - below).to(like.dtype))
            a, b = mixed.cos(), mixed.sin()
        shape = (-1, *[1] * (like.ndim - 1))
        return a.view(shape), b.view(shape)

    def q_sample(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """x_t ~ q(x_t | x_0) from its noise (Ho et al. 2020, equation 4).

        Args:
            x0: images [n, ...].
            t: states, int64 [n], or times between them, float [n].
            eps: standard normal noise, shaped as `x0`.
        """
        a, b = self.signal_and_noise(t, x0)
        return a * x0 + b * eps


_THERE: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
"""The copies of a table on other devices, by table."""


def broadcast(table: Tensor, like: Tensor) -> Tensor:
    """A table in the type and on the device of `like`.

    Args:
        table: float64, on the CPU; a GPU's copy of it is kept, for no CUDA graph can fetch one.
        like: any tensor.
    """
    if like.device == table.device:
        return table.to(like.dtype)
    copies = _THERE.setdefault(table, {})
    key = like.dtype, like.device
    if key not in copies:
        with torch.inference_mode(False):  # whoever comes next may be learning
            # rounded first: not every device knows float64
            copies[key] = table.to(like.dtype).to(like.device)
    return copies[key]


def cosine(
    states: int, power: float = 1.5, offset: float = 0.008, stop_short: bool = False
) -> Schedule:
    """The cosine schedule of Nichol & Dhariwal 2021 (equation 17) with a free exponent.

    alpha_bar(u) = f(u) / f(0), f(u) = cos((u + offset) / (1 + offset) pi/2) ** power, and
    u = t / (S-1). They use power 2; the seed paper 1.5. Betas are clipped at 0.999 as there, which
    keeps the last alpha_bar above 0.

    Args:
        states: S, at least 2.
        power: the exponent of the cosine.
        offset: their small s, which keeps the first betas from vanishing.
        stop_short: u = t / S instead, as in the code published with the seed paper, whose process
            never visits the last state and begins where some of the image is left.

    Raises:
        InputError: fewer than two states, or a power that is not positive.
    """
    _check_states(states)
    if not power > 0:
        raise InputError(f"the power of the cosine must be positive, got {power}")
    u = torch.arange(states, dtype=torch.float64) / (states if stop_short else states - 1)
    angle = (u + offset) / (1 + offset) * (math.pi / 2)
    f = torch.cos(angle) ** power
    if not stop_short:
        # cos(pi/2) comes out as 6e-17, which a small power makes large, or just below 0, where the
        # power is NaN
        f[-1] = 0.0
    return _from_beta(1 - f[1:] / f[:-1])


def linear(states: int, beta_first: float = 1e-4, beta_last: float = 0.02) -> Schedule:
    """Betas that rise linearly (Ho et al. 2020, section 4), for any number of states.

    Their betas are for 1,000 transitions; with fewer, each is larger in proportion, clipped at
    0.999 (as in Nichol & Dhariwal 2021). The process ends in an alpha_bar of 4e-5 with 1,000
    states, 9e-7 with 30 and 1e-3 with 3.

    Raises:
        InputError: fewer than three states: one beta is no line.
    """
    if states < 3:
        raise InputError(f"linear betas need at least 3 states, got {states}")
    factor = 1000 / (states - 1)
    beta = factor * torch.linspace(beta_first, beta_last, states - 1, dtype=torch.float64)
    return _from_beta(beta)


def flow(states: int) -> Schedule:
    """The straight path of flow matching (Lipman et al. 2023; Liu et al. 2023), in unit variance.

    Its states z_u = (1-u) x_0 + u eps, u = t / (S-1), divided by their standard deviation for data
    of unit variance, are those of a variance-preserving process with
    alpha_bar(u) = (1-u)^2 / ((1-u)^2 + u^2). Betas are clipped at 0.999, which keeps the last
    alpha_bar above 0, as in `cosine`.

    Raises:
        InputError: fewer than two states.
    """
    _check_states(states)
    u = torch.linspace(0, 1, states, dtype=torch.float64)
    alpha_bar = (1 - u) ** 2 / ((1 - u) ** 2 + u**2)
    return _from_beta(1 - alpha_bar[1:] / alpha_bar[:-1])


def zero_terminal(schedule: Schedule) -> Schedule:
    """Makes the last state pure noise, as sampling takes it to be (Lin et al. 2024, Algorithm 1).

    sqrt(alpha_bar) is shifted and stretched to run from 1 to 0.
    """
    root = schedule.alpha_bar.sqrt()
    table = ((root - root[-1]) / (1 - root[-1])).square()
    table[0], table[-1] = 1.0, 0.0  # whatever the rounding
    return Schedule(table)


def _check_states(states: int) -> None:
    if states < 2:
        raise InputError(f"a schedule needs at least 2 states, got {states}")


def _from_beta(beta: Tensor) -> Schedule:
    """Betas [S-1], clipped at 0.999 (Nichol & Dhariwal 2021, section 3.2), as a schedule."""
    alpha = 1 - beta.clamp(max=MAX_BETA)
    return Schedule(torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(alpha, dim=0)]))
