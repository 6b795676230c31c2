from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from scalespace.core.noise import derive_seed
from scalespace.errors import InputError
from scalespace.evaluation.frechet import Frechet


def closed_form(x: np.ndarray, y: np.ndarray) -> float:
    """The formula as it is written, with scipy's square root of a matrix."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    shift = x.mean(axis=0) - y.mean(axis=0)
    return float(shift @ shift + np.trace(a + b) - 2 * np.trace(scipy.linalg.sqrtm(a @ b)).real)


def by_singular_values(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The same without a square root of anything, for singular covariances; and their traces.

    With centred rows A and B, S1 = A'A and S2 = B'B, and tr (S1 S2)^(1/2) is the sum of the
    singular values of A B'.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    a, b = ((v - v.mean(axis=0)) / np.sqrt(len(v) - 1) for v in (x, y))
    shift = x.mean(axis=0) - y.mean(axis=0)
    traces = float((a**2).sum() + (b**2).sum())
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(shift @ shift + traces - 2 * root), traces


def features(n: int, d: int, seed: int, dtype: type = np.float32) -> np.ndarray:
    """Correlated features of unequal scales."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(1000 + seed).normal(size=(d, d)) / d**0.5
    return (rng.normal(size=(n, d)) @ mix + rng.normal(size=d)).astype(dtype)


def distance(x: np.ndarray, y: np.ndarray) -> float:
    return Frechet(torch.from_numpy(y)).distance(torch.from_numpy(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "m", "d"), [(50, 80, 3), (400, 300, 20), (500, 700, 64), (9, 7, 1)])
def test_the_closed_form(n: int, m: int, d: int, dtype: type) -> None:
    x, y = features(n, d, 0, dtype), features(m, d, 1, dtype)
    expected = by_singular_values(x, y)[0]
    assert distance(x, y) == pytest.approx(expected, rel=1e-6)
    if d > 1:
        assert closed_form(x, y) == pytest.approx(expected, rel=1e-6)


def dead(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x[:, ::3] = 0
    return x


def repeated(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, x[:, :5] - 2 * x[:, 5:10], x[:, :1]], axis=1)


def steep(x: np.ndarray) -> np.ndarray:
    return x * np.logspace(0, -9, x.shape[1])


@pytest.mark.parametrize("spoil", [dead, repeated, steep, lambda x: x[:12], lambda x: x[:2]])
def test_badly_conditioned(spoil) -> None:
    x, y = spoil(features(500, 30, 2)), spoil(features(400, 30, 3))
    expected, traces = by_singular_values(x, y)
    assert distance(x, y) == pytest.approx(expected, abs=1e-6 * traces)
    assert expected > 0.01 * traces


def test_constant_features_leave_the_means() -> None:
    x, y = np.full((5, 4), 3.0), np.full((6, 4), 1.0)
    assert distance(x, y) == pytest.approx(16.0, rel=1e-12)
    assert distance(x, x) == 0


def test_gaussians_with_known_moments() -> None:
    """Of N(0, I) and N(s, c^2 I): d (s^2 + (1 - c)^2). Moments are exact, so is the distance."""
    d, shift, scale = 6, 0.7, 1.5
    white = np.random.default_rng(4).normal(size=(100, d))
    white -= white.mean(axis=0)
    white = white @ np.linalg.inv(np.linalg.cholesky(np.cov(white, rowvar=False))).T
    expected = d * (shift**2 + (1 - scale) ** 2)
    assert distance(scale * white + shift, white) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("offset", [0.0, 100.0, 1e6])
def test_a_shift_of_both_changes_nothing(offset: float) -> None:
    """Sums of raw squares would have lost this distance at 1e6."""
    x, y = features(300, 8, 5, np.float64), features(300, 8, 6, np.float64)
    expected = by_singular_values(x, y)[0]
    assert distance(x + offset, y + offset) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("d", [1, 10, 128])
@pytest.mark.parametrize("spoil", [lambda x: x, dead, lambda x: x[:60]])
def test_a_set_is_at_0_from_itself(d: int, spoil) -> None:
    x = spoil(features(500, d, 7))
    assert 0 <= distance(x, x) <= 1e-6 * by_singular_values(x, x)[1]


def test_order_of_rows_and_sides() -> None:
    x, y = features(200, 10, 8), features(150, 10, 9)
    rng = np.random.default_rng(0)
    expected = distance(x, y)
    assert distance(rng.permutation(x), rng.permutation(y)) == pytest.approx(expected, rel=1e-9)
    assert distance(y, x) == pytest.approx(expected, rel=1e-9)


def test_it_grows_with_the_shift() -> None:
    x = features(300, 5, 10)
    found = [distance(x + shift, x) for shift in (0.0, 0.1, 0.3, 1.0)]
    np.testing.assert_allclose(found, [0, 0.05, 0.45, 5], rtol=1e-4, atol=1e-5)


def test_one_reference_serves_many_sets() -> None:
    y, sets = features(100, 6, 11), [features(80, 6, seed) for seed in (12, 13, 12)]
    frechet = Frechet(torch.from_numpy(y))
    first, other, again = (frechet.distance(torch.from_numpy(x)) for x in sets)
    assert first == again != other
    frechet.standard_error(torch.from_numpy(sets[1]), resamples=3)
    assert frechet.distance(torch.from_numpy(sets[0])) == first


@pytest.mark.parametrize(("shift", "low", "high"), [(0.5, 0.75, 1.33), (0.0, 1.3, 2.3)])
def test_standard_error_is_the_spread_over_fresh_draws(
    shift: float, low: float, high: float
) -> None:
    """And too large by about 3^(1/2) where the distance is but bias, as its docstring says."""
    rng = torch.Generator().manual_seed(0)
    frechet = Frechet(torch.randn(20000, 8, generator=rng))
    draws = [torch.randn(500, 8, generator=rng) + shift for _ in range(200)]
    spread = np.std([frechet.distance(x) for x in draws], ddof=1)
    error = np.mean([frechet.standard_error(x, resamples=40) for x in draws[:8]])
    assert low < error / spread < high


def test_standard_error_is_the_deviation_over_resamples() -> None:
    frechet, x = Frechet(torch.from_numpy(features(30, 3, 14))), features(40, 3, 15)
    rng = torch.Generator().manual_seed(derive_seed(7, "bootstrap"))
    drawn = [x[torch.randint(40, (40,), generator=rng).numpy()] for _ in range(3)]
    distances = [frechet.distance(torch.from_numpy(one)) for one in drawn]
    error = frechet.standard_error(torch.from_numpy(x), resamples=3, seed=7)
    assert error == pytest.approx(np.std(distances, ddof=1), rel=1e-9)


def test_standard_error_is_repeatable() -> None:
    frechet, x = (
        Frechet(torch.from_numpy(features(90, 4, 14))),
        torch.from_numpy(features(50, 4, 15)),
    )
    torch.manual_seed(1)
    first = frechet.standard_error(x, resamples=10)
    torch.manual_seed(2)
    expected = torch.random.get_rng_state()
    assert frechet.standard_error(x, resamples=10) == first > 0
    assert torch.equal(torch.random.get_rng_state(), expected)
    assert frechet.standard_error(x, resamples=10, seed=1) != first
    assert frechet.standard_error(x, resamples=11) != first


def test_standard_error_of_images_all_alike() -> None:
    frechet = Frechet(torch.from_numpy(features(90, 4, 16)))
    assert frechet.standard_error(torch.ones(20, 4), resamples=5) < 1e-12


GOOD = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))


def spoiled(value: float) -> torch.Tensor:
    x = GOOD.clone()
    x[3, 1] = value
    return x


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (GOOD[:1], "1 rows are too few, at least 2 are needed"),
        (GOOD[:0], "0 rows are too few"),
        (spoiled(float("nan")), "1 of 10 rows are not finite"),
        (spoiled(float("-inf")), "1 of 10 rows are not finite"),
    ],
)
def test_features_that_will_not_do(given: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message) as found:
        Frechet(given)
    assert "\n" not in str(found.value)
    assert str(found.value).startswith("reference")
    frechet = Frechet(GOOD)
    for measure in (frechet.distance, frechet.standard_error):
        with pytest.raises(InputError, match=message):
            measure(given)
