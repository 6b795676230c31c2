"""The images of several trainings, pooled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from scalespace.data import Samples
from scalespace.studies.tasks import pool


def part(seed: int, n: int) -> Samples:
    """Images that tell their part in the first digit and their label in the second."""
    labels = np.random.default_rng(seed).permutation(np.arange(n) % 3)
    images = (seed / 10 + labels / 100).astype(np.float32)[:, None, None]
    return Samples(images, labels, {"seed": seed})


def test_a_pool_knows_whether_its_labels_mean_anything() -> None:
    """Else the variety of unlabelled images would be measured within classes drawn by lot."""
    told, untold = part(1, 30), part(2, 30)
    untold.meta["conditional"] = False
    assert pool([told], 30).meta["conditional"] is True
    assert pool([told, untold], 30).meta["conditional"] is False
    assert pool([untold], 30).meta["conditional"] is False


def test_pool_takes_equally_of_each_and_keeps_labels() -> None:
    pooled = pool([part(1, 30), part(2, 30), part(3, 30)], 45)
    assert len(pooled) == 45
    parts, labels = np.divmod(np.round(pooled.images[:, 0, 0] * 100).astype(int), 10)
    np.testing.assert_array_equal(labels, pooled.labels)
    assert parts.tolist() != sorted(parts)  # shuffled
    assert Counter(parts.tolist()) == {
        1: 15,
        2: 15,
        3: 15,
    }
    assert [one["seed"] for one in pooled.meta["parts"]] == [1, 2, 3]


@pytest.mark.parametrize("n", [1, 10, 31])
def test_pool_of_a_number_that_does_not_divide(n: int) -> None:
    pooled = pool([part(1, 30), part(2, 30), part(3, 30)], n)
    assert len(pooled) == len(pooled.images) == n
    again: Callable[[], Samples] = lambda: pool([part(1, 30), part(2, 30), part(3, 30)], n)  # noqa: E731
    np.testing.assert_array_equal(again().labels, pooled.labels)
