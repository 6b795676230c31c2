"""Forward and reverse trajectories of points on a line, as tables over states and samples."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from scalespace.core.noise import NoiseStreams, derive_seed
from scalespace.core.samplers import Denoiser, Sampler
from scalespace.core.schedule import Schedule
from scalespace.toy.mixture import Mixture


def draw_noise(seed: int, n: int, states: int) -> Tensor:
    """The noises that one reverse process takes: float64 [S-1, n, 1].

    The learnt and the exact process are given the same ones, so that their trajectories can be
    compared one by one.

    Args:
        seed: with a trajectory's index, fixes its noises.
        n: trajectories.
        states: S.
    """
    streams = NoiseStreams(seed, range(n), "toy")
    return streams.normal((states - 1, 1)).double().transpose(0, 1)


def reverse(
    sampler: Sampler, denoise: Denoiser, schedule: Schedule, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Reverse trajectories and their estimates: x [S, n] and x0_hat [S-1, n].

    Row t of x is state t, and row t-1 of x0_hat the estimate made in state t.

    Args:
        sampler: of `core.samplers`.
        denoise: of one run: estimates may build on one another.
        schedule: the process.
        noise: [S-1, n, 1]; the first row is the initial state.
    """
    rows: Iterator[Tensor] = iter(noise)
    x, x0_hat = [], []
    for step in sampler(denoise, schedule, lambda: next(rows)):
        x.append(step.x[:, 0])
        if step.x0_hat is not None:
            x0_hat.append(step.x0_hat[:, 0])
    return torch.stack(x[::-1]), torch.stack(x0_hat[::-1])


def forward(mixture: Mixture, schedule: Schedule, n: int, seed: int) -> Tensor:
    """Trajectories of the forward chain, float64 [S, n] (Ho et al. 2020, equation 2)."""
    rng = torch.Generator().manual_seed(derive_seed(seed, "toy", "forward"))
    x = [mixture.draw(n, rng)[:, 0]]
    for beta in schedule.beta.tolist():
        noise = torch.randn(n, generator=rng, dtype=torch.float64)
        x.append((1 - beta) ** 0.5 * x[-1] + beta**0.5 * noise)
    return torch.stack(x)
