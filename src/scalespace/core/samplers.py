"""Samplers: generators of `Step`. The last step is the sample, the list of steps its trajectory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from torch import Tensor

from scalespace.core.schedule import Schedule


class Step(NamedTuple):
    """One state of a reverse process.

    `t` is the state's index, `x` the images in that state [n, ...], and `x0_hat` the estimate of
    the final image that led there (None where no network call did: the noise that it starts from,
    or an image that is only enlarged).
    """

    t: int
    x: Tensor
    x0_hat: Tensor | None


# Gives the estimate of x0 [n, ...] for images x_t [n, ...] that are all in state t.
Denoiser = Callable[[Tensor, int], Tensor]
Noise = Callable[[], Tensor]
Sampler = Callable[[Denoiser, Schedule, Noise], Iterator[Step]]


def ancestral(denoise: Denoiser, schedule: Schedule, noise: Noise) -> Iterator[Step]:
    """Ho et al. 2020, Algorithm 2, with the true posterior q(x_{t-1} | x_t, x0_hat).

    Args:
        denoise: the trained denoiser.
        schedule: the process; S states make S-1 calls.
        noise: gives standard normal noise [n, ...] at each call; the first is the initial state.
    """
    x = noise()
    yield Step(schedule.last, x, None)
    for t in range(schedule.last, 0, -1):
        x0_hat = denoise(x, t)
        q = schedule.posterior(t, t - 1)
        x = q.x0_weight * x0_hat + q.xt_weight * x
        if q.std > 0:
            x = x + q.std * noise()
        yield Step(t - 1, x, x0_hat)


def ddim(denoise: Denoiser, schedule: Schedule, noise: Noise, eta: float = 0.0) -> Iterator[Step]:
    """The sampler of Song et al. 2021 (DDIM, equations 12 and 16), for any share of new noise.

    Of the noise in state t-1, sigma = eta times the posterior's deviation is drawn anew and the
    rest kept from state t. Every choice has the same marginals where x0_hat is exact: eta = 0 is
    deterministic once it has begun, 1 is `ancestral`, and beyond that more is drawn, up to all of
    it, which forgets x_t but for the estimate.

    Args:
        denoise, schedule, noise: as for `ancestral`.
        eta: at least 0.
    """
    x = noise()
    yield Step(schedule.last, x, None)
    for t in range(schedule.last, 0, -1):
        x0_hat = denoise(x, t)
        ab_t, ab_s = float(schedule.alpha_bar[t]), float(schedule.alpha_bar[t - 1])
        eps = (x - math.sqrt(ab_t) * x0_hat) / math.sqrt(1 - ab_t)
        sigma = min(eta * schedule.posterior(t, t - 1).std, math.sqrt(1 - ab_s))
        kept = math.sqrt(max(0.0, 1 - ab_s - sigma**2))  # below 0 by rounding, where it is capped
        x = math.sqrt(ab_s) * x0_hat + kept * eps
        if sigma > 0:
            x = x + sigma * noise()
        yield Step(t - 1, x, x0_hat)


def dpm2m(denoise: Denoiser, schedule: Schedule, noise: Noise, eta: float = 0.0) -> Iterator[Step]:
    """DPM-Solver++(2M) of Lu et al. 2022 (arXiv:2211.01095): `ddim` of second order.

    Between two states the estimate of x0 is taken to go on changing, in the logarithm of the
    signal-to-noise ratio, as it did over the step before, where `ddim` takes it to stand still.
    The first step, which has none before it, and the last, into the data, are of first order.

    Args:
        denoise, schedule, noise: as for `ancestral`.
        eta: at least 0. 0 is the deterministic solver (their Algorithm 2), 1 the one of the
            stochastic equation (SDE-DPM-Solver++(2M), their appendix), which draws as much new
            noise as `ancestral`; others draw eta^2 times its rate.
    """
    x = noise()
    yield Step(schedule.last, x, None)
    before, h_before = None, math.inf
    for t in range(schedule.last, 0, -1):
        x0_hat = denoise(x, t)
        ab_t, ab_s = float(schedule.alpha_bar[t]), float(schedule.alpha_bar[t - 1])
        h = _half_log_snr(ab_s) - _half_log_snr(ab_t)
        forgotten = eta**2 * h if eta else 0.0  # of x_t, what new noise takes the place of
        ahead = x0_hat
        if before is not None and math.isfinite(h):
            ahead = x0_hat + h / (2 * h_before) * (x0_hat - before)
        kept = math.sqrt((1 - ab_s) / (1 - ab_t)) * math.exp(-forgotten)
        sigma = math.sqrt(1 - ab_s) * math.sqrt(-math.expm1(-2 * forgotten))
        x = kept * x - math.sqrt(ab_s) * math.expm1(-h - forgotten) * ahead
        if sigma > 0:
            x = x + sigma * noise()
        before, h_before = x0_hat, h
        yield Step(t - 1, x, x0_hat)


def _half_log_snr(alpha_bar: float) -> float:
    """lambda = log(sqrt(alpha_bar) / sqrt(1 - alpha_bar)), infinite at either end."""
    if alpha_bar in (0.0, 1.0):
        return math.inf if alpha_bar else -math.inf
    return math.log(alpha_bar / (1 - alpha_bar)) / 2


SAMPLERS: dict[str, Callable[..., Iterator[Step]]] = {
    "ancestral": ancestral,
    "ddim": ddim,
    "dpm2m": dpm2m,
}


def make_sampler(name: str, eta: float = 0.0) -> Sampler:
    """The sampler of that name; `eta` is ddim's and dpm2m's."""
    return ancestral if name == "ancestral" else partial(SAMPLERS[name], eta=eta)
