"""The forward process, and the loss that trains a network to undo it (Ho et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scalespace.core.parametrization import Parametrization
from scalespace.core.schedule import Schedule


def at_state(table: Tensor, t: Tensor, like: Tensor) -> Tensor:
    """The entries t int64 [n] of a table over the states, shaped to broadcast against `like`."""
    # rounded before it moves: not every device knows float64
    return table.to(like.dtype).to(t.device)[t].view(-1, *[1] * (like.ndim - 1))


def signal_and_noise(schedule: Schedule, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(alpha_bar[t]) and sqrt(1 - alpha_bar[t]), shaped to broadcast against `like`.

    Args:
        schedule: the process.
        t: states, int64 [n].
        like: images [n, ...]; gives dtype, device and number of dimensions.
    """
    return (
        at_state(schedule.alpha_bar.sqrt(), t, like),
        at_state((1 - schedule.alpha_bar).sqrt(), t, like),
    )


def q_sample(schedule: Schedule, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """x_t ~ q(x_t | x_0) from its noise (Ho et al. 2020, equation 4).

    Args:
        schedule: the process.
        x0: images [n, ...].
        t: states 0 .. S-1, int64 [n].
        eps: standard normal noise, shaped as `x0`.
    """
    a, b = signal_and_noise(schedule, t, x0)
    return a * x0 + b * eps


def loss(
    network: Callable[[Tensor, Tensor], Tensor],
    schedule: Schedule,
    parametrization: Parametrization,
    x0: Tensor,
    t: Tensor,
    eps: Tensor,
) -> Tensor:
    """The squared error of each image in a batch (Ho et al. 2020, Algorithm 1): float [n].

    Args:
        network: maps (x_t [n, ...], t / (S-1) float [n]) to a prediction shaped as x_t.
        schedule: the process.
        parametrization: what the prediction stands for.
        x0: images [n, ...].
        t: states 1 .. S-1, int64 [n].
        eps: standard normal noise, shaped as `x0`.
    """
    a, b = signal_and_noise(schedule, t, x0)
    prediction = network(a * x0 + b * eps, t.to(x0.dtype) / schedule.last)
    error = prediction.to(x0.dtype) - parametrization.target(x0, eps, a, b)
    return error.square().flatten(1).mean(dim=1)


def draw(schedule: Schedule, x0: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """The random part of Algorithm 1: t uniform on 1 .. S-1 (int64 [n]), and noise like `x0`."""
    t = torch.randint(1, schedule.states, (len(x0),), generator=rng, device=x0.device)
    eps = torch.randn(x0.shape, generator=rng, device=x0.device, dtype=x0.dtype)
    return t, eps
