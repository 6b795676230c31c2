from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from scalespace.toy.mixture import Mixture
from scalespace.toy.strays import (
    astray,
    distance,
    gaps,
    nearest,
    outside,
    share,
    split,
    undecided,
    wilson,
)

TWO, SHIFTED, WIDE = Mixture((-1, 1)), Mixture((0, 2)), Mixture((-3, 0, 10))


@given(st.integers(1, 40_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(case: tuple[int, int]) -> None:
    count, n = case
    found = wilson(count, n)
    theirs = binomtest(count, n).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-7)
    assert 0 <= found.low <= found.share == count / n <= found.high <= 1


def test_wilson_covers_the_truth_as_often_as_it_says() -> None:
    """Exactly, by summing the binomial distribution; the naive interval has 0.63 here."""
    n, p = 100, 0.01
    covers = [wilson(k, n).low <= p <= wilson(k, n).high for k in range(n + 1)]
    chance = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k, hit in enumerate(covers) if hit)
    assert 0.91 < chance < 0.99


@pytest.mark.parametrize("mixture", [TWO, SHIFTED, WIDE], ids=["two", "shifted", "wide"])
@given(x=st.floats(-20, 20), tolerance=st.sampled_from([0.05, 0.1, 0.5]))
def test_a_stray_is_far_from_every_point(mixture: Mixture, x: float, tolerance: float) -> None:
    half = min(b - a for a, b in zip(mixture.points, mixture.points[1:], strict=False)) / 2
    away = [abs(x - p) / half for p in mixture.points]
    at = torch.tensor([x], dtype=torch.float64)
    assert float(distance(at, mixture)) == pytest.approx(min(away), abs=1e-12)
    assert away[int(nearest(at, mixture))] == min(away)
    assert bool(astray(at, mixture, tolerance)) == (min(away) > tolerance)
    far_out = x < mixture.points[0] - tolerance * half or x > mixture.points[-1] + tolerance * half
    assert bool(outside(at, mixture, tolerance)) == far_out


def test_the_papers_two_strays_are_strays() -> None:
    x = torch.tensor([-0.55, -0.75, -1.0, 1.05, 0.97])
    assert astray(x, TWO).tolist() == [True, True, False, False, False]
    assert astray(x + 1, SHIFTED).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_went_astray(bad: float) -> None:
    x = torch.tensor([bad])
    assert astray(x, TWO).tolist() == [True]
    assert outside(x, TWO).tolist() == [True]


def test_undecided_is_between_two_trails() -> None:
    a, b = 0.8, 0.1  # trails of half-width 0.3 about -0.8 and 0.8
    assert gaps(TWO, a, b) == [(pytest.approx(-0.5), pytest.approx(0.5))]
    x = torch.tensor([-1.2, -0.8, -0.51, -0.49, 0.0, 0.49, 0.51, 1.3])
    expected = [False, False, False, True, True, True, False, False]
    assert undecided(x, TWO, a, b).tolist() == expected
    # state 0 has no noise, and what is no stray has decided
    assert gaps(TWO, 1.0, 0.0, 0.1) == [(pytest.approx(-0.9), pytest.approx(0.9))]
    assert undecided(torch.tensor([-0.95, -0.85, 1.2]), TWO, 1.0, 0.0).tolist() == [0, 1, 0]


def test_trails_that_overlap_leave_nothing_between() -> None:
    assert gaps(TWO, 0.5, 0.5) == []
    assert not undecided(torch.linspace(-2, 2, 9), TWO, 0.5, 0.5).any()
    # only the wide gap is open, and only its middle
    assert gaps(WIDE, 1.0, 0.8) == [(pytest.approx(2.4), pytest.approx(7.6))]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_split_is_the_two_by_two_table(pairs: list[tuple[bool, bool]]) -> None:
    learnt, exact = (torch.tensor([pair[k] for pair in pairs]) for k in (0, 1))
    found = split(learnt, exact)
    assert found.both == pairs.count((True, True))
    assert found.only_learnt == pairs.count((True, False))
    assert found.only_exact == pairs.count((False, True))
    assert found.neither == pairs.count((False, False))
    assert share(learnt).count == found.both + found.only_learnt
