"""Images that stand for all: properties over random rows, and cases that are known."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.cluster.vq import kmeans2

from scalespace.evaluation.medoids import ROUNDS, medoids


@given(
    n=st.integers(0, 30),
    count=st.integers(0, 35),
    side=st.integers(1, 3),
    levels=st.sampled_from([1, 2, 1000]),  # with one or two, most rows are alike
    seed=st.integers(0, 10_000),
)
def test_as_many_rows_as_asked(n: int, count: int, side: int, levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, levels, (n, side, side)).astype(np.float32)
    rows = medoids(x, count, seed)
    assert len(rows) == min(count, n)
    assert (np.diff(rows) > 0).all()
    assert set(rows.tolist()) <= set(range(n))
    np.testing.assert_array_equal(rows, medoids(x, count, seed))


def test_one_row_is_that_nearest_to_the_mean() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3, 3))
    distances = [np.linalg.norm(row - x.mean(axis=0)) for row in x]
    assert medoids(x, 1).tolist() == [int(np.argmin(distances))]


def test_usual_rows_are_thinned() -> None:
    """Nine in ten rows lie in a small ball; fewer of those that are kept do."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(0, 0.05, (900, 2)), rng.normal(0, 1, (100, 2))])
    assert (medoids(x, 100) < 900).mean() < 0.85


@given(n=st.integers(8, 40), count=st.integers(1, 6), seed=st.integers(0, 1000))
def test_of_each_cluster_the_row_nearest_to_its_mean(n: int, count: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(n, 3))
    means, cluster = kmeans2(x, count, iter=ROUNDS, minit="points", seed=seed)
    assume(len(set(cluster.tolist())) == count)
    rows = medoids(x, count, seed)
    away = np.linalg.norm(x - means[cluster], axis=1)
    assert sorted(cluster[rows].tolist()) == list(range(count))
    for row in rows:  # two rows of a cluster are equally far from their mean, up to rounding
        assert away[row] <= away[cluster == cluster[row]].min() + 1e-12
