from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scalespace.data import images as module
from scalespace.data import origins
from scalespace.data.images import (
    ImageSet,
    balanced_sample,
    balanced_split,
    first_of_each,
    load,
)
from scalespace.errors import InputError

quickly = settings(max_examples=60, deadline=None)
label_lists = st.lists(st.integers(0, 6), min_size=1, max_size=200).map(np.array)
seeds = st.integers(0, 2**31)
# How many of each digit the 60,000 training images of MNIST hold.
MNIST_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def image_set(n: int = 6) -> ImageSet:
    pixels = torch.arange(n * 20, dtype=torch.uint8).reshape(n, 1, 4, 5)
    return ImageSet(pixels, torch.arange(n) % 3, ("a", "b", "c"), "toy")


# ImageSet


def test_image_set() -> None:
    whole = image_set()
    assert len(whole) == 6
    assert whole.shape == (4, 5)
    part = whole.subset(np.array([4, 0]))
    assert part.labels.tolist() == [1, 0]
    assert torch.equal(part.images, whole.images[[4, 0]])
    assert whole.subset(torch.tensor([1])).classes == whole.classes
    assert len(whole.subset(np.empty(0, np.int64))) == 0
    assert torch.equal(whole.to("cpu").images, whole.images)


def test_unit_images() -> None:
    pixels = torch.tensor([0, 51, 255, 128], dtype=torch.uint8).reshape(1, 1, 2, 2)
    unit = ImageSet(pixels, torch.zeros(1, dtype=torch.int64), ("a",), "toy").unit()
    assert unit.dtype == torch.float32
    torch.testing.assert_close(unit.flatten(), torch.tensor([0, 0.2, 1, 128 / 255]))


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2)),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)),
    ],
)
def test_wrong_tensors_are_refused(images: torch.Tensor, labels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="must be"):
        ImageSet(images, labels, ("a",), "toy")


def test_the_first_of_each_class() -> None:
    images = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((2, 3), np.uint8)
    found = first_of_each(images, np.array([1, 0, 1, 1, 0]), 3, 2)
    assert found.shape == (3, 2, 2, 3)
    assert found.dtype == np.float32
    assert found[..., 0, 0].tolist() == [[1, 4], [0, 2], [0, 0]]


@quickly
@given(pixels=st.lists(st.integers(0, 255), min_size=1, max_size=60))
def test_mean_and_deviation_are_exact(pixels: list[int]) -> None:
    """The nearest floating-point numbers, or next to them: they are part of a training's name."""
    mean, std = module._mean_std(torch.tensor(pixels, dtype=torch.uint8))
    exact = [Fraction(value, 255) for value in pixels]
    middle = sum(exact) / len(exact)
    variance = sum((value - middle) ** 2 for value in exact) / len(exact)
    assert mean == pytest.approx(float(middle), rel=3e-16, abs=0)
    assert std == pytest.approx(math.sqrt(variance), rel=5e-16, abs=0)


# The split


def test_mnist_gives_5000_a_class_and_10000_others() -> None:
    labels = np.repeat(np.arange(10), MNIST_COUNTS)
    train, val = balanced_split(labels, seed=0)
    assert np.bincount(labels[train]).tolist() == [5000] * 10
    assert len(val) == 10_000
    assert not np.array_equal(train, balanced_split(labels, seed=1)[0])


@quickly
@given(labels=label_lists, seed=seeds)
def test_split_uses_every_index_once_and_keeps_its_word(labels: np.ndarray, seed: int) -> None:
    train, val = balanced_split(labels, seed)
    assert sorted([*train, *val]) == list(range(len(labels)))
    classes, counts = np.unique(labels, return_counts=True)
    quota = int(len(labels) * 5 // (6 * len(classes)))
    for label, count in zip(classes, counts, strict=True):
        given_up = np.count_nonzero(labels[train] == label)
        assert given_up == max(1, min(quota, int(0.95 * count + 1e-9)))
        assert given_up < count or count == 1, "validation lost a class"
    again = balanced_split(torch.from_numpy(labels), seed)
    np.testing.assert_array_equal(train, again[0])
    np.testing.assert_array_equal(val, again[1])


def test_quota_does_not_fall_to_rounding() -> None:
    assert 100 * 0.29 < 29
    assert len(balanced_split(np.zeros(100, np.int64), seed=0, fraction=0.29)[0]) == 29


def test_split_of_sorted_labels_is_mixed() -> None:
    labels = np.repeat(np.arange(10), 100)
    for part in balanced_split(labels, seed=3):
        assert len(np.unique(labels[part[:60]])) == 10


# Balanced samples


@quickly
@given(labels=label_lists, seed=seeds, data=st.data())
def test_sample_is_as_balanced_as_can_be(
    labels: np.ndarray, seed: int, data: st.DataObject
) -> None:
    n = data.draw(st.integers(1, len(labels)))
    chosen = balanced_sample(labels, n, seed)
    assert len(chosen) == len(set(chosen.tolist())) == n
    classes, available = np.unique(labels, return_counts=True)
    taken = np.array([np.count_nonzero(labels[chosen] == label) for label in classes])
    assert (taken[taken < available] >= taken.max() - 1).all()
    np.testing.assert_array_equal(chosen, balanced_sample(labels, n, seed))


def test_sample_is_random_and_shuffled() -> None:
    labels = np.repeat(np.arange(10), 50)
    chosen = balanced_sample(labels, 105, seed=0)
    assert sorted(np.bincount(labels[chosen])) == [10] * 5 + [11] * 5
    assert len(np.unique(labels[chosen[:50]])) == 10
    assert set(chosen) != set(balanced_sample(labels, 105, seed=1))
    larger = {
        tuple(np.flatnonzero(np.bincount(labels[balanced_sample(labels, 105, seed)]) == 11))
        for seed in range(5)
    }
    assert len(larger) > 1, "the same classes always get one more"


@pytest.mark.parametrize("n", [0, -1, 6])
def test_impossible_samples_are_refused(n: int) -> None:
    with pytest.raises(InputError, match=f"cannot draw {n} of 5"):
        balanced_sample(np.zeros(5, np.int64), n, seed=0)


# load


def test_load_digits() -> None:
    data = load("digits", seed=0)
    assert torch.bincount(data.train.labels).tolist() == [333] * 10
    assert len(data.val) == 670
    assert data.train.images.shape[1:] == (1, 28, 28)
    assert data.train.classes == tuple("0123456789")
    unit = data.train.images.double() / 255
    assert data.mean == pytest.approx(unit.mean().item(), abs=1e-12)
    assert data.std == pytest.approx(unit.std(correction=0).item(), abs=1e-9)


def test_load_is_fixed_by_the_seed() -> None:
    first, again, other = load("digits", seed=4), load("digits", seed=4), load("digits", seed=5)
    assert torch.equal(first.train.images, again.train.images)
    assert torch.equal(first.val.labels, again.val.labels)
    assert not torch.equal(first.train.images, other.train.images)


def test_the_test_part_is_read_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = []
    real = origins.load_raw

    def note(name: str, part: str, data_dir: object) -> tuple[np.ndarray, np.ndarray]:
        parts.append(part)
        return real(name, part, data_dir)  # type: ignore[arg-type]

    monkeypatch.setattr(origins, "load_raw", note)
    data = load("digits")
    assert parts == ["train"]
    assert len(data.test()) == 1000
    assert parts == ["train", "test"]


def stub(monkeypatch: pytest.MonkeyPatch, images: np.ndarray, labels: list[int]) -> None:
    monkeypatch.setattr(origins, "load_raw", lambda *_: (images, np.array(labels, np.int64)))
    monkeypatch.setattr(origins, "has_own_files", lambda *_: True)


def test_a_subset_has_as_many_names_as_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    stub(monkeypatch, rng.integers(0, 256, (24, 8, 8), dtype=np.uint8), [0, 2, 11] * 8)
    data = load("emnist-letters")
    assert data.train.classes == tuple("ABCDEFGHIJKL")
    assert data.test().classes == data.train.classes
    assert data.info.labels == (0, 2, 11)
    assert data.info.absent == (1, 3, 4, 5, 6, 7, 8, 9, 10)
    assert data.info.title == "emnist-letters (own files)"


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.eye(4, dtype=np.uint8)[None].repeat(2, 0), [0, 1], "too few images.*2 in 2 classes"),
        (np.eye(4, dtype=np.uint8)[None].repeat(2, 0), [0, 0], "too few images"),
        (np.full((40, 4, 4), 7, np.uint8), [0, 1] * 20, "the same grey"),
    ],
)
def test_useless_data_is_refused(
    images: np.ndarray, labels: list[int], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(monkeypatch, images, labels)
    with pytest.raises(InputError, match=message):
        load("mnist")
