"""The closed forms against brute force: counting, quadrature and finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from scalespace.core.schedule import cosine
from scalespace.errors import InputError
from scalespace.toy.mixture import Mixture

TWO, SHIFTED = Mixture((-1, 1)), Mixture((0, 2))
THREE = Mixture((2.0, -1.5, 0.25))
Densities = Callable[[float], np.ndarray]
MIXTURES = pytest.mark.parametrize("mixture", [TWO, SHIFTED, THREE], ids=["two", "shifted", "3"])
LEVELS = pytest.mark.parametrize("b", [0.1, 0.4, 0.8, 0.99])


def by_hand(mixture: Mixture, b: float) -> tuple[float, np.ndarray, Densities]:
    """a, the points and the normal densities of x_t about each of them, with scipy."""
    a = math.sqrt(1 - b * b)
    points = np.array(mixture.points)

    def densities(x: float) -> np.ndarray:
        return stats.norm.pdf(x, a * points, b)

    return a, points, densities


def grid(a: float, n: int = 41) -> Tensor:
    return torch.linspace(-3 * a - 0.5, 3 * a + 0.5, n, dtype=torch.float64)


@MIXTURES
@LEVELS
def test_bayes_rule_term_by_term(mixture: Mixture, b: float) -> None:
    a, points, densities = by_hand(mixture, b)
    x = torch.linspace(-2.2, 2.5, 23, dtype=torch.float64)
    for value, p, m, e in zip(
        x,
        mixture.probabilities(x, a, b),
        mixture.mean(x, a, b),
        mixture.eps(x, a, b),
        strict=True,
    ):
        joint = densities(float(value))
        bayes = joint / joint.sum()
        np.testing.assert_allclose(p, bayes, rtol=1e-8, atol=1e-12)
        assert float(m) == pytest.approx(float(bayes @ points), abs=1e-9)
        noise = (float(value) - a * points) / b
        assert float(e) == pytest.approx(float(bayes @ noise), abs=1e-7)


@MIXTURES
@pytest.mark.parametrize("b", [0.3, 0.8])
def test_monte_carlo_bayes(mixture: Mixture, b: float) -> None:
    """Draw x0 and eps, keep the draws that fall near an x_t, and average what made them."""
    a, rng, n = math.sqrt(1 - b * b), np.random.default_rng(0), 2_000_000
    x0 = rng.choice(mixture.points, size=n)
    noise = rng.standard_normal(n)
    x_t = a * x0 + b * noise
    for at in (-0.3, 0.2, 0.9):
        near = np.abs(x_t - at) < 0.01
        count = int(near.sum())
        assert count > 200
        here = torch.tensor([at], dtype=torch.float64)
        for exact, drawn in ((mixture.mean(here, a, b), x0), (mixture.eps(here, a, b), noise)):
            error = 5 * float(drawn[near].std()) / math.sqrt(count) + 0.01 / b
            assert float(exact) == pytest.approx(float(drawn[near].mean()), abs=error)
        density = float(mixture.log_density(here, a, b).exp())
        assert density == pytest.approx(count / n / 0.02, rel=5 / math.sqrt(count) + 0.01)


@MIXTURES
@LEVELS
def test_density_integrates_to_the_cdf(mixture: Mixture, b: float) -> None:
    a = math.sqrt(1 - b * b)
    for end in (-0.7, 0.4, 9.0):
        x = torch.linspace(-9, end, 100_001, dtype=torch.float64)
        area = float(torch.trapezoid(mixture.log_density(x, a, b).exp(), x))
        exact = float(np.mean([stats.norm.cdf(end, a * p, b) for p in mixture.points]))
        assert area == pytest.approx(exact, abs=1e-6)
        assert float(mixture.cdf(x[-1], a, b)) == pytest.approx(exact, abs=1e-9)


@MIXTURES
@LEVELS
def test_eps_is_the_slope_of_the_log_density(mixture: Mixture, b: float) -> None:
    a, h = math.sqrt(1 - b * b), 1e-5
    x = grid(a)
    slope = (mixture.log_density(x + h, a, b) - mixture.log_density(x - h, a, b)) / (2 * h)
    torch.testing.assert_close(-mixture.eps(x, a, b) / b, slope, rtol=1e-5, atol=1e-4)


@LEVELS
def test_two_equal_points_are_a_hyperbolic_tangent(b: float) -> None:
    a = math.sqrt(1 - b * b)
    x = grid(a)
    torch.testing.assert_close(TWO.mean(x, a, b), torch.tanh(a * x / b**2), rtol=0, atol=1e-12)
    # the same process seen from elsewhere: {0, 2} is {-1, 1} moved by 1, x_t by a
    torch.testing.assert_close(SHIFTED.mean(x + a, a, b), TWO.mean(x, a, b) + 1)
    torch.testing.assert_close(SHIFTED.eps(x + a, a, b), TWO.eps(x, a, b), rtol=1e-9, atol=1e-9)


@MIXTURES
def test_the_noise_of_least_squared_error(mixture: Mixture) -> None:
    """Any other function of x_t predicts the noise worse; so do the best one's neighbours."""
    a, b, n = 0.8, 0.6, 200_000
    rng = torch.Generator().manual_seed(1)
    x0 = mixture.draw(n, rng)
    noise = torch.randn(n, 1, generator=rng, dtype=torch.float64)
    x = a * x0 + b * noise
    best = mixture.eps(x, a, b)
    least = float((best - noise).square().mean())
    for change in (0.1, -0.1):
        for other in (best + change, best * (1 + change), best + change * torch.sin(3 * x)):
            assert float((other - noise).square().mean()) > least + 1e-4


@given(
    points=st.lists(st.floats(-50, 50), min_size=2, max_size=5, unique=True),
    x=st.floats(-1e4, 1e4),
    t=st.integers(1, 19),
)
def test_nothing_overflows(points: list[float], x: float, t: int) -> None:
    mixture, alpha_bar = Mixture(tuple(points)), float(cosine(20).alpha_bar[t])
    a, b = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    at = torch.tensor([x], dtype=torch.float64)
    p = mixture.probabilities(at, a, b)
    assert float(p.sum()) == pytest.approx(1)
    low, high = mixture.domain
    assert low - 1e-9 <= float(mixture.mean(at, a, b)) <= high + 1e-9
    for value in (mixture.eps(at, a, b), mixture.log_density(at, a, b)):
        assert bool(torch.isfinite(value).all())


def test_far_away_the_nearest_point_is_certain() -> None:
    p = THREE.probabilities(torch.tensor([-500.0, 500.0]), 0.9, 0.05)
    torch.testing.assert_close(p, torch.tensor([[1.0, 0, 0], [0, 0, 1]], dtype=torch.float64))


def test_scales_may_differ_from_sample_to_sample() -> None:
    x = torch.tensor([[0.3], [-0.2]], dtype=torch.float64)
    a, b = torch.tensor([[0.8], [0.6]]).double(), torch.tensor([[0.6], [0.8]]).double()
    for name in ("mean", "eps", "log_density", "cdf"):
        both = getattr(THREE, name)(x, a, b)
        for k, (one_a, one_b) in enumerate([(0.8, 0.6), (0.6, 0.8)]):
            one = getattr(THREE, name)(x[k : k + 1], one_a, one_b)
            torch.testing.assert_close(both[k : k + 1], one)


def test_no_signal_leaves_the_prior() -> None:
    x = torch.linspace(-3, 3, 7).double()
    mean, _ = THREE.moments
    torch.testing.assert_close(THREE.mean(x, 0.0, 1.0), torch.full_like(x, mean))
    torch.testing.assert_close(THREE.eps(x, 0.0, 1.0), x)


def test_what_a_mixture_tells_of_itself() -> None:
    assert THREE.points == (-1.5, 0.25, 2.0)
    assert THREE.domain == (-1.5, 2.0)
    assert THREE.half_gap == 0.875
    assert TWO.moments == (0.0, 1.0)
    assert SHIFTED.moments == (1.0, 1.0)
    mean, std = THREE.moments
    drawn = THREE.draw(100_000, torch.Generator().manual_seed(0))
    assert drawn.shape == (100_000, 1)
    assert float(drawn.mean()) == pytest.approx(mean, abs=5 * std / math.sqrt(100_000))
    assert float(drawn.std()) == pytest.approx(std, rel=0.02)


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ((), "at least two different points, got none"),
        ((1.0,), "at least two different points, got 1"),
        ((1.0, 1.0), "at least two different points, got 1, 1"),
        ((1.0, math.nan), "at least two different points"),
        ((1.0, math.inf), "at least two different points"),
    ],
)
def test_bad_mixtures_are_refused(points: tuple[float, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Mixture(points)
