from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalespace.core.noise import NoiseStreams, derive_seed


@given(
    st.integers(0, 2**40),
    st.lists(st.integers(0, 60), min_size=1, max_size=6),
    st.integers(1, 3),
)
def test_a_sample_is_the_same_in_any_company(seed: int, indices: list[int], draws: int) -> None:
    everyone, some = (NoiseStreams(seed, which, "small") for which in (range(61), indices))
    for _ in range(draws):
        torch.testing.assert_close(
            some.normal((1, 3, 3)), everyone.normal((1, 3, 3))[indices], rtol=0, atol=0
        )


def test_seeds_purposes_indices_and_draws_differ() -> None:
    def first(seed: int, index: int, purpose: str) -> NoiseStreams:
        return NoiseStreams(seed, [index], purpose)

    made = [
        *(first(seed, 0, "a").normal((4,)) for seed in range(5)),
        *(first(0, index, "a").normal((4,)) for index in range(1, 5)),
        *(first(0, 0, purpose).normal((4,)) for purpose in "bcd"),
    ]
    stream = first(0, 0, "e")
    made += [stream.normal((4,)) for _ in range(5)]
    assert len({tuple(x.flatten().tolist()) for x in made}) == len(made)


def test_it_is_standard_normal() -> None:
    x = NoiseStreams(7, range(300), "moments").normal((1, 20, 20)).numpy().astype(np.float64)
    n = x.size
    for power, expected, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert np.mean(x**power) == pytest.approx(expected, abs=5 * np.sqrt(variance / n))
    # streams of neighbouring indices are independent
    correlation = np.mean(x[1:] * x[:-1])
    assert abs(correlation) < 5 / np.sqrt(n)


def test_values_that_published_seeds_rely_on() -> None:
    x = NoiseStreams(0, [0, 7], "small").normal((3,))
    assert x.dtype == torch.float32
    expected = [[-0.8109183, 0.9346691, -0.0257866], [-0.3424726, 0.9311399, 0.2976016]]
    torch.testing.assert_close(x, torch.tensor(expected), rtol=0, atol=1e-6)


@given(st.integers(0, 2**63), st.text(max_size=10))
def test_derived_seeds_are_in_range(seed: int, purpose: str) -> None:
    found = derive_seed(seed, purpose)
    assert 0 <= found < 2**63
    assert found == derive_seed(seed, purpose)


def test_derived_seeds_are_distinct() -> None:
    purposes = [(seed, stage, "step", k) for seed in range(5) for stage in "ab" for k in range(500)]
    assert len({derive_seed(*purpose) for purpose in purposes}) == len(purposes)
    assert derive_seed(0, "small", "epoch", 3) == 8868364745350525405
