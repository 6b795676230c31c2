from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch

from scalespace.errors import InputError
from scalespace.evaluation.kid import KID, kid


def draws(n: int, d: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def by_pairs(x: torch.Tensor, y: torch.Tensor) -> float:
    """The unbiased estimate, a pair of points at a time (Bińkowski et al. 2018)."""

    def kernel(u: np.ndarray, v: np.ndarray) -> float:
        return (float(u @ v) / len(u) + 1) ** 3

    a, b = x.double().numpy(), y.double().numpy()
    within = [
        np.mean([kernel(u, v) for u, v in itertools.permutations(points, 2)]) for points in (a, b)
    ]
    across = np.mean([kernel(u, v) for u in a for v in b])
    return float(within[0] + within[1] - 2 * across)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_subset_that_is_the_whole_set(dtype: torch.dtype) -> None:
    x, y = draws(30, 5, 0).to(dtype), draws(30, 5, 1, 0.3).to(dtype)
    found = kid(x, y, subsets=1, subset_size=30)
    assert found.mean == pytest.approx(by_pairs(x, y), rel=1e-9)
    assert found.sd == 0


def test_subsets_are_cut_to_the_smaller_set() -> None:
    """All of the smaller set, then, and as many of the larger: here, of rows all alike."""
    x, y = draws(20, 4, 2), draws(1, 4, 3).expand(50, 4)
    expected = by_pairs(x, y[:20])
    assert kid(x, y, subsets=3).mean == pytest.approx(expected, rel=1e-9)
    assert kid(y, x, subsets=3).mean == pytest.approx(expected, rel=1e-9)


def test_mean_and_deviation_over_subsets() -> None:
    """Where subsets are pairs of rows, every value is one of a few."""
    x, y = draws(3, 2, 4), draws(3, 2, 5)
    pairs = [list(pair) for pair in itertools.combinations(range(3), 2)]
    values = [by_pairs(x[one], y[other]) for one in pairs for other in pairs]
    found = kid(x, y, subsets=3000, subset_size=2)
    assert found.mean == pytest.approx(np.mean(values), abs=5 * np.std(values) / 3000**0.5)
    assert found.sd == pytest.approx(np.std(values), rel=0.1)


def test_about_0_for_one_distribution() -> None:
    same = kid(draws(2000, 16, 6), draws(3000, 16, 7), subsets=20, subset_size=500)
    apart = kid(draws(2000, 16, 6, 0.2), draws(3000, 16, 7), subsets=20, subset_size=500)
    assert abs(same.mean) < 0.005
    assert apart.mean > 0.05
    assert apart.mean > 5 * apart.sd > 0


def test_one_seed_one_result_whatever_the_global_generator() -> None:
    x, y = draws(60, 4, 8), draws(70, 4, 9, 0.2)
    torch.manual_seed(1)
    first = kid(x, y, subsets=5, subset_size=20)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    assert kid(x, y, subsets=5, subset_size=20) == first
    assert torch.equal(torch.random.get_rng_state(), state)
    assert kid(x, y, subsets=5, subset_size=20, seed=1) != first


def test_it_says_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = kid(draws(9, 2, 0), draws(9, 2, 1), subsets=2, subset_size=4)
    assert isinstance(found, KID)
    assert all(type(value) is float for value in found)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (draws(1, 3, 0), draws(9, 3, 0), "features: 1 rows are too few"),
        (draws(9, 3, 0), draws(1, 3, 0), "reference: 1 rows are too few"),
        (draws(9, 3, 0) / 0, draws(9, 3, 0), "9 of 9 rows are not finite"),
    ],
)
def test_what_will_not_do(x: torch.Tensor, y: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message) as found:
        kid(x, y)
    assert "\n" not in str(found.value)
