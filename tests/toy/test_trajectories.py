from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from scipy import stats
from torch import Tensor

from scalespace.core.denoiser import Condition
from scalespace.core.sampling import run
from scalespace.core.schedule import Schedule, cosine
from scalespace.core.segment import Segment
from scalespace.core.solvers import Solve, ancestral, ddim
from scalespace.toy.mixture import Mixture
from scalespace.toy.strays import astray
from scalespace.toy.trajectories import draw_noise, forward, reverse

THREE = Mixture((-1.5, 0.25, 2.0))


def scales(schedule: Schedule, t: float) -> tuple[float, float]:
    alpha_bar = float(schedule.alpha_bar[int(t)])
    return math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)


def fits(x: Tensor, mixture: Mixture, a: float, b: float) -> float:
    """Kolmogorov-Smirnov: the chance of x being as far from the closed form as it is."""
    return float(
        stats.kstest(x.numpy(), lambda v: mixture.cdf(torch.as_tensor(v), a, b).numpy()).pvalue
    )


def test_the_forward_chain_has_the_marginals_of_the_closed_form() -> None:
    schedule = cosine(20)
    x = forward(THREE, schedule, 4000, seed=0)
    assert x.shape == (20, 4000)
    assert set(x[0].tolist()) == set(THREE.points)
    for t in range(1, 20):
        assert fits(x[t], THREE, *scales(schedule, t)) > 1e-3
    # a chain, and not a fresh draw in each state: neighbours resemble one another
    assert float(torch.corrcoef(x[9:11])[0, 1]) > 0.9


def test_a_reverse_process_by_bayes_rule_is_the_forward_one_backwards() -> None:
    """Estimates drawn from P(x0 | x_t), not averaged over it, make the ancestral sampler exact.

    So what is wrong with few states and an exact eps* is the average alone: each step takes a
    mixture of Gaussians for one Gaussian.
    """
    schedule, n = cosine(6), 4000
    segment = Segment("toy", schedule, (1,))
    rng = torch.Generator().manual_seed(0)
    points = torch.tensor(THREE.points, dtype=torch.float64)

    def draw(x: Tensor, t: float, told: Condition) -> Tensor:
        p = THREE.probabilities(x[:, 0], *scales(schedule, t))
        return points[torch.multinomial(p, 1, generator=rng)]

    x, _ = reverse(ancestral, draw, segment, draw_noise(0, n, 6))
    for t in range(1, 6):
        assert fits(x[t], THREE, *scales(schedule, t)) > 1e-3
    assert not astray(x[0], THREE, 1e-6).any()
    for point in THREE.points:
        share = float((x[0] == point).double().mean())
        assert share == pytest.approx(1 / 3, abs=5 * math.sqrt(2 / 9 / n))

    def average(x: Tensor, t: float, told: Condition) -> Tensor:
        return THREE.mean(x, *scales(schedule, t))

    x, _ = reverse(ancestral, average, segment, draw_noise(0, n, 6))
    assert float(astray(x[0], THREE).double().mean()) > 0.01
    assert min(fits(x[t], THREE, *scales(schedule, t)) for t in range(1, 6)) < 1e-6


class Rows:
    """Noise that is known: a row at a time."""

    def __init__(self, noise: Tensor) -> None:
        self.rows = iter(noise)

    def normal(self, shape: Sequence[int]) -> Tensor:
        return next(self.rows)


@pytest.mark.parametrize("solver", [ancestral, ddim])
def test_rows_are_states(solver: Solve) -> None:
    segment, noise = Segment("toy", cosine(5), (1,)), draw_noise(3, 7, 5)

    def denoise(x: Tensor, t: float, told: Condition) -> Tensor:
        return torch.full_like(x, float(t))

    tables = segment.tables(solver, range(4, -1, -1))
    steps = list(run(denoise, segment, tables, noise[0], Condition(), Rows(noise[1:])))
    x, x0_hat = reverse(solver, denoise, segment, noise)
    assert x.shape == (5, 7)
    for step in steps:
        torch.testing.assert_close(x[step.t], step.x[:, 0])
    torch.testing.assert_close(x[4], noise[0, :, 0])
    # row t-1 is the estimate made in state t
    assert x0_hat[:, 0].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_noise_belongs_to_seed_and_index() -> None:
    nine = draw_noise(5, 9, 20)
    assert nine.shape == (19, 9, 1)
    assert nine.dtype == torch.float64
    torch.testing.assert_close(draw_noise(5, 4, 20), nine[:, :4])
    assert not torch.equal(draw_noise(6, 9, 20), nine)
    flat = nine.flatten().numpy()
    assert stats.kstest(draw_noise(0, 500, 20).flatten().numpy(), "norm").pvalue > 1e-3
    assert len(set(flat.tolist())) == flat.size
