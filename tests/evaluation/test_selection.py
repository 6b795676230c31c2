"""Which images are chosen: the rule against a slow one, and what is told of the chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import scalespace as sc
from scalespace.config import SelectionConfig
from scalespace.data import Samples
from scalespace.errors import InputError
from scalespace.evaluation.judge import Judge
from scalespace.evaluation.medoids import medoids
from scalespace.evaluation.selection import Selector, choose
from scalespace.model import Model


def by_the_book(
    labels: np.ndarray, sure: np.ndarray, config: SelectionConfig
) -> dict[int, set[int]]:
    """What is kept of each class, an image after the other."""
    kept: dict[int, set[int]] = {}
    for label in set(labels.tolist()):
        rows = [k for k in range(len(labels)) if labels[k] == label]
        right = [k for k in rows if max(range(sure.shape[1]), key=lambda c: sure[k, c]) == label]
        count = len(rows) // config.candidates
        own = sorted(right, key=lambda k: sure[k, label])[: round(config.hard * count)]
        own += [k for k in right if k not in own][: count - len(own)]
        wrong = sorted(set(rows) - set(right), key=lambda k: -sure[k, label])
        kept[label] = set(own + wrong[: count - len(own)])
    return kept


@given(
    st.integers(2, 5),
    st.integers(1, 4),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    st.integers(0, 10_000),
)
def test_the_rule(classes: int, each: int, candidates: int, hard: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(classes), each * candidates))
    sure = rng.dirichlet(np.ones(classes), len(labels))
    config = SelectionConfig(candidates, hard)
    chosen = choose(labels, sure, config, rng.random((len(labels), 2, 2)))
    assert len(set(chosen.tolist())) == classes * each
    assert labels[chosen].tolist() == list(range(classes)) * each  # in turn
    expected = by_the_book(labels, sure, config)
    for label in range(classes):
        assert {k for k in chosen.tolist() if labels[k] == label} == expected[label]


def test_the_hardest_that_are_read_right() -> None:
    sure = np.array([[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.2, 0.8], [0.45, 0.55], [0.7, 0.3]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    images = np.zeros((6, 2, 2))
    assert choose(labels, sure, SelectionConfig(3), images).tolist() == [1, 4]
    assert choose(labels, sure, SelectionConfig(3, hard=0), images).tolist() == [0, 3]


def test_where_a_class_has_too_few_that_are_read_right() -> None:
    sure = np.array([[0.1, 0.9], [0.3, 0.7], [0.2, 0.8], [0.6, 0.4]])
    labels = np.zeros(4, dtype=np.int64)
    images = np.zeros((4, 2, 2))
    assert choose(labels, sure, SelectionConfig(2), images).tolist() == [1, 3]
    even = SelectionConfig(2, hard=0, others="even")
    assert choose(labels, sure, even, images).tolist() == [1, 3]


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 0.5]), st.integers(2, 6))
def test_others_may_be_spread_evenly(seed: int, hard: float, candidates: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1], 8 * candidates))
    images = rng.normal(size=(len(labels), 2, 2))
    sure = rng.dirichlet([4, 4], len(labels))
    config = SelectionConfig(candidates, hard, "even")
    chosen = choose(labels, sure, config, images)
    for label in (0, 1):
        right = np.flatnonzero((labels == label) & (sure.argmax(axis=1) == label))
        hardest = sorted(right, key=lambda k: sure[k, label])[: round(hard * 8)]
        left = np.array([k for k in right if k not in hardest], dtype=np.int64)
        expected = {*hardest, *left[medoids(images[left], 8 - len(hardest))]}
        assume(len(expected) == 8)
        assert {k for k in chosen.tolist() if labels[k] == label} == expected


def test_the_chosen_images_can_be_made_again(trained: Callable[[str], Model], judge: Judge) -> None:
    model, selector = trained("cascaded"), Selector(judge, SelectionConfig(4))
    made = model.sample(selector.asked([0, 1, 2, 0]), seed=5, first=7)
    found = selector.select(made)
    assert found.labels.tolist() == [0, 1, 2, 0]
    again = model.sample(found.labels.tolist(), seed=5, indices=found.meta["indices"])
    np.testing.assert_allclose(again.images, found.images, atol=1e-5)  # batches differ
    about = found.meta["selection"]
    assert about.pop("read_otherwise") == pytest.approx(
        (judge.probabilities(made.images).argmax(dim=1).numpy() != made.labels).mean()
    )
    assert about == {"candidates": 4, "hard": 1.0, "others": "any", "judge": judge.hash}
    assert "first" not in found.meta


def test_real_images_are_chosen_likewise(judge: Judge) -> None:
    rng = np.random.default_rng(0)
    images = rng.random((12, 12, 12), dtype=np.float32)
    labels = np.arange(12) % 3
    found = sc.select(Samples(images, labels, {"method": "real"}), 2, judge=judge)
    sure = judge.probabilities(images).numpy()
    rows = choose(labels, sure, SelectionConfig(2), images)
    np.testing.assert_array_equal(found.images, images[rows])
    assert "indices" not in found.meta
    even = sc.select(Samples(images, labels), 2, hard=0, judge=judge, others="even")
    rows = choose(labels, sure, SelectionConfig(2, 0, "even"), images)
    np.testing.assert_array_equal(even.images, images[rows])
    assert even.meta["selection"]["others"] == "even"


@pytest.mark.parametrize(
    ("candidates", "hard", "said"),
    [
        (5, 1.0, "no multiple of 5"),
        (0, 1.0, "selection.candidates must lie between 1 and 1000"),
        (2, 1.5, "selection.hard must lie between 0 and 1"),
        (2, float("nan"), "hard must be a finite number"),
    ],
)
def test_refusals(judge: Judge, candidates: int, hard: float, said: str) -> None:
    samples = Samples(np.zeros((12, 12, 12), np.float32), np.arange(12) % 3)
    with pytest.raises(InputError, match=said):
        sc.select(samples, candidates, hard, judge)


def test_others_where_there_are_none(judge: Judge) -> None:
    samples = Samples(np.zeros((12, 12, 12), np.float32), np.arange(12) % 3)
    with pytest.raises(InputError, match=r"no others are kept .* a share below 1"):
        sc.select(samples, 2, judge=judge, others="even")


def test_a_judge_of_other_images(judge: Judge) -> None:
    samples = Samples(np.zeros((4, 28, 28), np.float32), np.array([0, 0, 1, 1]))
    with pytest.raises(InputError, match="the judge sees 12x12 images"):
        sc.select(samples, 2, judge=judge)
    labelled = Samples(np.zeros((4, 12, 12), np.float32), np.array([0, 0, 7, 7]))
    with pytest.raises(InputError, match="7"):
        sc.select(labelled, 2, judge=judge)


def test_images_are_kept_in_the_order_asked_for(judge: Judge) -> None:
    labels = [2, 0, 2, 1]
    selector = Selector(judge, SelectionConfig(3))
    rng = np.random.default_rng(0)
    asked = np.array(selector.asked(labels))
    samples = Samples(rng.random((12, 12, 12), dtype=np.float32), asked, {"seed": 1})
    in_turn, in_order = selector.select(samples), selector.select(samples, labels)
    assert in_order.labels.tolist() == labels
    for label in range(3):
        one, other = (found.images[found.labels == label] for found in (in_turn, in_order))
        np.testing.assert_array_equal(one, other)
    rows = in_order.meta["indices"]
    np.testing.assert_array_equal(in_order.images, samples.images[rows])


def test_one_candidate_for_each_leaves_all_as_they_are(judge: Judge) -> None:
    samples = Samples(np.zeros((4, 12, 12), np.float32), np.array([2, 0, 2, 1]), {"seed": 1})
    assert sc.select(samples, 1, judge=judge).labels.tolist() == [2, 0, 2, 1]


def test_a_judge_of_other_classes_does_not_choose(judge: Judge) -> None:
    selector = Selector(judge, SelectionConfig(2))
    selector.check(judge.data)
    other = replace(judge.data, classes=("cat", "dog", "owl"))
    with pytest.raises(InputError, match=r"of the classes that it reads .* are cat, dog, owl"):
        selector.check(other)
