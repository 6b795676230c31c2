"""How much of the data's variety few steps keep: exactly, for data that are normally distributed.

For x_0 ~ N(mu, Sigma) the best denoiser is linear, and along each principal component of Sigma the
whole sampler is a chain of numbers. What it makes has another variance than the data although no
network is involved and none could do better: that is the discretisation's own error.
"""

from __future__ import annotations

import math
from itertools import count

import torch
from torch import Tensor

from scalespace.core.samplers import Sampler
from scalespace.core.schedule import Schedule


def kept_variance(sampler: Sampler, schedule: Schedule, variances: Tensor) -> Tensor:
    """Variance of a sampler's images over that of the data, along principal components.

    The sampler is driven by E[x_0 | x_t] = a v / (a^2 v + b^2) x_t (a^2 = alpha_bar_t, b^2 =
    1 - a^2, the mean taken off), which is what a perfect network would answer. A linear chain's
    variance is the sum of squares of its answers to each noise drawn alone, so there is nothing
    random in the figure.

    Args:
        sampler: any that is linear in its noise and in the denoiser's answers.
        schedule: the process.
        variances: v of each component, positive: float [k].

    Returns:
        float64 [k]: 1 is all of it, less is too little variety.

    Raises:
        ValueError: a variance that is not positive and finite.
    """
    v = variances.double()
    if not bool(((v > 0) & v.isfinite()).all()):
        raise ValueError("variances must be positive and finite")
    draws = count()

    def noise() -> Tensor:
        alone = torch.zeros(schedule.states, len(v), dtype=torch.float64)
        alone[next(draws)] = 1
        return alone

    def denoise(x: Tensor, t: int) -> Tensor:
        alpha_bar = float(schedule.alpha_bar[t])
        return math.sqrt(alpha_bar) * v / (alpha_bar * v + 1 - alpha_bar) * x

    for step in sampler(denoise, schedule, noise):
        x = step.x
    return x.square().sum(dim=0) / v
