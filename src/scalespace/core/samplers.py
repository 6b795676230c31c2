"""Samplers: generators of `Step`. The last step is the sample, the list of steps its trajectory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor

from scalespace.core.schedule import Schedule


class Step(NamedTuple):
    """One state of a reverse process.

    `t` is the state's index, `x` the images in that state [n, ...], and `x0_hat` the estimate of
    the final image that led there (None for the noise that it starts from).
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


def ddim(denoise: Denoiser, schedule: Schedule, noise: Noise) -> Iterator[Step]:
    """The deterministic sampler of Song et al. 2021 (DDIM, equation 12 with sigma = 0).

    Arguments as for `ancestral`; only the initial state is random.
    """
    x = noise()
    yield Step(schedule.last, x, None)
    for t in range(schedule.last, 0, -1):
        x0_hat = denoise(x, t)
        ab_t, ab_s = float(schedule.alpha_bar[t]), float(schedule.alpha_bar[t - 1])
        eps = (x - math.sqrt(ab_t) * x0_hat) / math.sqrt(1 - ab_t)
        x = math.sqrt(ab_s) * x0_hat + math.sqrt(1 - ab_s) * eps
        yield Step(t - 1, x, x0_hat)


SAMPLERS: dict[str, Sampler] = {"ancestral": ancestral, "ddim": ddim}
