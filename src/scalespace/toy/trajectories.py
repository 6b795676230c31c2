"""Forward and reverse trajectories of points on a line, as tables over states and samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scalespace.core.denoiser import Condition, Denoiser
from scalespace.core.noise import NoiseStreams, derive_seed
from scalespace.core.sampling import run
from scalespace.core.schedule import Schedule
from scalespace.core.segment import Segment
from scalespace.core.solvers import Solve
from scalespace.toy.mixture import Mixture


def draw_noise(seed: int, n: int, states: int) -> Tensor:
    """The noise of one reverse process: float64 [S-1, n, 1].

    The learnt and the exact process get the same one, and so comparable trajectories.

    Args:
        seed: with a trajectory's index, fixes its noises.
        n: trajectories.
        states: S.
    """
    streams = NoiseStreams(seed, range(n), "toy")
    return streams.normal((states - 1, 1)).double().transpose(0, 1)


class _Rows:
    """Noise that was drawn before, a row at a time: a `Stream`."""

    def __init__(self, noise: Tensor) -> None:
        self._rows = iter(noise)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """The next row."""
        return next(self._rows)


def reverse(
    solver: Solve, denoise: Denoiser, segment: Segment, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Reverse trajectories and their estimates: x [S, n] and x0_hat [S-1, n].

    Row t of x is state t, and row t-1 of x0_hat the estimate made in state t.

    Args:
        solver: of `core.solvers`.
        denoise: the learnt one, or the exact one.
        segment: the process.
        noise: [S-1, n, 1]; the first row is the initial state.
    """
    rows = _Rows(noise)
    tables = segment.tables(solver, range(segment.schedule.last, -1, -1))
    x, x0_hat = [], []
    for step in run(denoise, segment, tables, rows.normal((1,)), Condition(), rows):
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
