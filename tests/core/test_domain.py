from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scalespace.core.domain import BARRIER, X0_RULES, barrier, clip, dynamic, keep

images = hnp.arrays(np.float64, (3, 1, 4, 5), elements=st.floats(-50, 50))
ends = st.tuples(st.floats(-3, 0), st.floats(0.1, 4))


def test_the_rules_by_name() -> None:
    assert {"none": keep, "clip": clip, "dynamic": dynamic, "barrier": barrier} == X0_RULES


@given(images, ends)
def test_none_changes_nothing(x: np.ndarray, ends: tuple[float, float]) -> None:
    np.testing.assert_array_equal(keep(torch.from_numpy(x), *ends).numpy(), x)


@given(images, ends)
def test_clip(x: np.ndarray, ends: tuple[float, float]) -> None:
    found = clip(torch.from_numpy(x), *ends).numpy()
    np.testing.assert_array_equal(found, np.clip(x, *ends))


@given(images, ends, st.sampled_from([0.5, 0.9, 0.995, 1.0]))
def test_dynamic_against_numpy(x: np.ndarray, ends: tuple[float, float], quantile: float) -> None:
    low, high = ends
    expected = np.empty_like(x)
    for i, image in enumerate(x):
        unit = 2 * (image - low) / (high - low) - 1
        size = max(1.0, np.quantile(np.abs(unit), quantile))
        expected[i] = (np.clip(unit, -size, size) / size + 1) / 2 * (high - low) + low
    found = dynamic(torch.from_numpy(x), low, high, quantile=quantile).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    tolerance = 1e-5 * (high - low)
    assert found.min() >= low - tolerance
    assert found.max() <= high + tolerance


@given(images, ends, st.sampled_from([0.01, 0.3, 1.0]))
def test_barrier_is_the_minimum_that_it_claims(
    x: np.ndarray, ends: tuple[float, float], variance: float
) -> None:
    """Against bisection of the derivative, which rises from -inf to inf inside the domain."""
    low, high = ends
    y = 2 * (x - low) / (high - low) - 1
    left, right = np.full_like(y, -1), np.full_like(y, 1)
    for _ in range(60):
        u = (left + right) / 2
        with np.errstate(divide="ignore"):
            slope = u - y - BARRIER * variance * (1 / (1 + u) - 1 / (1 - u))
        left, right = np.where(slope < 0, u, left), np.where(slope < 0, right, u)
    found = barrier(torch.from_numpy(x), low, high, variance).numpy()
    np.testing.assert_allclose(found, (left + 1) / 2 * (high - low) + low, atol=1e-6)
    assert found.min() >= low - 1e-9
    assert found.max() <= high + 1e-9


def test_barrier_is_white_or_black_however_far_the_estimate() -> None:
    """In the precision of a run: the closed form alone would make grey of what has run away."""
    far = torch.logspace(0.5, 6, 2000)
    for sign in (-1, 1):
        found = barrier(sign * far, -1.0, 1.0, 1.0)
        assert float((found - sign).abs().max()) < 1e-3


@pytest.mark.parametrize("rule", [keep, clip, dynamic])
def test_an_image_in_the_domain_stays(rule: object) -> None:
    x = torch.rand(4, 1, 6, 6) * 3 - 1
    torch.testing.assert_close(rule(x, low=-1.0, high=2.0), x)  # type: ignore[operator]


def test_dynamic_treats_each_image_alone() -> None:
    x = torch.randn(4, 1, 6, 6) * 5
    alone = torch.cat([dynamic(image[None], -1.0, 1.0) for image in x])
    torch.testing.assert_close(dynamic(x, -1.0, 1.0), alone)
