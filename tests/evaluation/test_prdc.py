from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from scalespace.errors import InputError
from scalespace.evaluation.prdc import PRDC, prdc


def brute_force(fake: np.ndarray, real: np.ndarray, k: int) -> PRDC:
    """The definitions, a point at a time, on all distances at once."""

    def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sqrt(((a[:, None].astype(np.float64) - b[None]) ** 2).sum(axis=2))

    def reach(a: np.ndarray) -> np.ndarray:
        d = distances(a, a)
        return np.array([np.sort(np.delete(row, i))[k - 1] for i, row in enumerate(d)])

    d, real_reach, fake_reach = distances(real, fake), reach(real), reach(fake)
    m, n = len(real), len(fake)
    return PRDC(
        precision=sum(any(d[i, j] < real_reach[i] for i in range(m)) for j in range(n)) / n,
        recall=sum(any(d[i, j] < fake_reach[j] for j in range(n)) for i in range(m)) / m,
        density=sum(d[i, j] < real_reach[i] for i in range(m) for j in range(n)) / (k * n),
        coverage=sum(min(d[i]) < real_reach[i] for i in range(m)) / m,
    )


def draws(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, d)) + shift).astype(np.float32)


def found(fake: np.ndarray, real: np.ndarray, **options: int) -> PRDC:
    return prdc(torch.from_numpy(fake), torch.from_numpy(real), **options)


def assert_same(a: PRDC, b: PRDC) -> None:
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@given(
    n=st.integers(6, 25),
    m=st.integers(6, 25),
    d=st.integers(1, 5),
    k=st.integers(1, 5),
    chunk=st.integers(1, 30),
    shift=st.sampled_from([0.0, 0.5, 2.0]),
    seed=st.integers(0, 10**6),
)
def test_brute_force(n: int, m: int, d: int, k: int, chunk: int, shift: float, seed: int) -> None:
    fake, real = draws(n, d, seed, shift), draws(m, d, seed + 1)
    assert_same(found(fake, real, k=k, chunk=chunk), brute_force(fake, real, k))


@given(
    n=st.integers(4, 20),
    d=st.integers(1, 3),
    k=st.integers(1, 3),
    chunk=st.integers(1, 20),
    scale=st.sampled_from([1.0, 0.1, 1000.0]),
    seed=st.integers(0, 10**6),
)
def test_ties_and_duplicates(n: int, d: int, k: int, chunk: int, scale: float, seed: int) -> None:
    """Points of a small grid, far from the origin: most distances occur more than once.

    The grid's own distances are exact, so that brute force knows a tie when it sees one.
    """
    rng = np.random.default_rng(seed)
    fake, real = (rng.integers(0, 4, (n, d)).astype(np.float64) for _ in range(2))
    expected = brute_force(fake, real, k)
    assert_same(found(scale * fake + 7, scale * real + 7, k=k, chunk=chunk), expected)


@pytest.mark.parametrize("chunk", [1, 7, 64, 199, 200, 201, 10**6])
def test_chunks_make_no_difference(chunk: int) -> None:
    """Not even where half of the images are from the reference and their distances tie."""
    real = draws(200, 40, 0)
    fake = np.concatenate([real[:100], draws(60, 40, 1)])
    assert found(fake, real, chunk=chunk) == found(fake, real, chunk=50)


def test_far_from_the_origin() -> None:
    fake, real = draws(60, 5, 13).astype(np.float64), draws(50, 5, 14).astype(np.float64)
    assert_same(found(fake + 1e6, real + 1e6), brute_force(fake, real, 5))


def test_no_more_distances_at_once_than_asked() -> None:
    sizes: list[int] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            for one in out if isinstance(out, tuple | list) else [out]:
                if isinstance(one, torch.Tensor):
                    sizes.append(one.numel())
            return out

    with Watch():
        found(draws(60, 2, 2), draws(80, 2, 3), chunk=10)
    assert max(sizes) == 10 * 80


@pytest.mark.parametrize("k", [1, 5])
def test_a_set_and_itself(k: int) -> None:
    """A point is in its own ball and in those of which it is a nearer than the k-th neighbour."""
    x = draws(120, 20, 4)
    same = found(x, x[::-1].copy(), k=k)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    assert same.density == pytest.approx(1)


def test_one_distribution() -> None:
    same = found(draws(1500, 8, 5), draws(1500, 8, 6))
    assert same.precision == pytest.approx(same.recall, abs=0.05)
    assert same.density == pytest.approx(1, abs=0.05)
    # 1 - 2^-k is expected at equal sizes (Naeem et al. 2020, lemma 2)
    assert same.coverage == pytest.approx(1 - 2**-5, abs=0.02)


def test_sets_far_apart() -> None:
    assert found(draws(50, 3, 7, 100.0), draws(60, 3, 8)) == (0, 0, 0, 0)


def test_fidelity_and_diversity_are_told_apart() -> None:
    real = np.concatenate([draws(100, 4, 9), draws(100, 4, 10, 50.0)])
    half = found(draws(200, 4, 11), real)
    assert half.precision > 0.8
    assert 0.3 < half.recall < 0.55
    assert 0.3 < half.coverage <= 0.5
    assert half.density == pytest.approx(1, abs=0.1)
    # the other way round: half of what is generated is nowhere
    wild = found(real, draws(200, 4, 11))
    assert 0.3 < wild.precision < 0.55
    assert wild.recall > 0.8


def test_images_all_alike_reach_nothing() -> None:
    collapsed = found(np.zeros((30, 3), np.float32), draws(100, 3, 12))
    assert collapsed.recall == 0
    assert collapsed.coverage < 0.5


@pytest.mark.parametrize(
    ("n", "m", "message"),
    [
        (5, 20, "features: 5 rows are too few, at least 6"),
        (20, 5, "reference: 5 rows are too few, at least 6"),
    ],
)
def test_too_few_rows_for_k(n: int, m: int, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        found(draws(n, 2, 0), draws(m, 2, 1), k=5)
    assert "\n" not in str(error.value)


def test_features_that_will_not_do() -> None:
    with pytest.raises(InputError, match="reference: 9 of 9 rows are not finite"):
        found(draws(9, 2, 0), draws(9, 2, 1) * np.float32(np.inf))
