from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from scalespace.config import CASConfig
from scalespace.data import ImageSet
from scalespace.evaluation import cas as module
from scalespace.evaluation.cas import CASResult, cas
from scalespace.nets.classifier import CASClassifier

NAMES = ("left", "right", "top")
CONFIG = CASConfig(classifiers=2, epochs=4, batch_size=20)


def image_set(n: int, seed: int = 1, classes: tuple[str, ...] = NAMES) -> ImageSet:
    images, labels = tiny.pictures(n, seed=seed)
    return ImageSet(
        torch.from_numpy(images)[:, None], torch.from_numpy(labels), classes, "pictures"
    )


def score(
    images: np.ndarray,
    labels: np.ndarray,
    test: ImageSet | None = None,
    seed: int = 0,
    batched: bool | None = None,
    **fields: object,
) -> CASResult:
    config = replace(CONFIG, **fields)  # type: ignore[arg-type]
    return cas(images, labels, test or image_set(90), 0.5, 0.4, config, seed=seed, batched=batched)


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    images, labels = tiny.pictures(240)
    return (images / 255).astype(np.float32), labels


@pytest.fixture(scope="module")
def hard() -> tuple[np.ndarray, np.ndarray, ImageSet]:
    """Nothing but noise, in training and test alike, so that no two classifiers agree on all."""
    rng = np.random.default_rng(3)
    images, labels = rng.random((100, 12, 12), dtype=np.float32), rng.integers(0, 3, 100)
    pixels = rng.integers(0, 256, (200, 1, 12, 12), dtype=np.uint8)
    truth = torch.from_numpy(rng.integers(0, 3, 200))
    return images, labels, ImageSet(torch.from_numpy(pixels), truth, NAMES, "noise")


Pictures = tuple[np.ndarray, np.ndarray]
Hard = tuple[np.ndarray, np.ndarray, ImageSet]


def test_classes_that_are_easy_to_tell(pictures: Pictures) -> None:
    result = score(*pictures)
    assert result.mean > 0.97
    assert result.n == 240


def test_shuffled_labels_score_by_chance(pictures: Pictures) -> None:
    images, labels = pictures
    wrong = np.random.default_rng(0).permutation(labels)
    # 0.333 expected; two classifiers on 90 images, which may all fall for the same accident
    assert score(images, wrong, epochs=1).mean < 0.75
    assert score(images, (labels + 1) % 3).mean < 0.03


def test_one_seed_one_result(hard: Hard) -> None:
    first, again, other = (score(*hard, epochs=1, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.confusion, again.confusion)
    assert (first.confusion != other.confusion).any()
    assert (first.confusion[0] != first.confusion[1]).any()
    # classifier k does not depend on how many there are
    alone = score(*hard, epochs=1, classifiers=1)
    np.testing.assert_array_equal(alone.confusion[0], first.confusion[0])


def test_confusion_counts_true_classes_in_rows(hard: Hard) -> None:
    test = hard[2]
    result = score(*hard, epochs=1)
    assert result.confusion.shape == (2, 3, 3)
    counts = np.bincount(test.labels.numpy())
    for confusion in result.confusion:
        np.testing.assert_array_equal(confusion.sum(axis=1), counts)


def test_figures_from_a_confusion_by_hand() -> None:
    one = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])
    two = np.array([[10, 0, 0], [2, 2, 0], [0, 0, 0]])
    result = CASResult(np.stack([one, two]), n=7)
    np.testing.assert_allclose(result.accuracy, [11 / 14, 12 / 14])
    assert result.mean == pytest.approx(23 / 28)
    assert result.sd == pytest.approx((1 / 14) / 2**0.5)
    np.testing.assert_allclose(result.per_class, [[0.8, 0.75, np.nan], [1.0, 0.5, np.nan]])
    assert np.isnan(CASResult(one[None], n=7).sd)  # of one there is no telling
    assert CASResult(one[None], n=7).as_dict()["sd"] is None
    about = result.as_dict()
    assert about["confusion"] == (one + two).tolist()
    assert about["per_class"][:2] == pytest.approx([0.9, 0.625])
    assert about["n"] == 7


@pytest.mark.filterwarnings("error")
def test_a_class_without_test_images_makes_no_noise() -> None:
    about = CASResult(np.array([[[3, 1, 0], [0, 4, 0], [0, 0, 0]]]), n=8).as_dict()
    text = json.dumps(about, allow_nan=False)
    assert json.loads(text)["per_class"] == [0.75, 1.0, None]


@pytest.mark.parametrize(
    "change",
    [{"standardize": False}, {"shuffle": False}, {"lr": 0.003}, {"batch_size": 7}, {"epochs": 2}],
)
def test_settings_of_the_protocol_matter(hard: Hard, change: dict) -> None:
    assert (
        score(*hard, **{"epochs": 1, **change}).confusion != score(*hard, epochs=1).confusion
    ).any()


def test_the_global_generator_is_left_alone(pictures: Pictures) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    score(*pictures, epochs=1)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


Trained = Callable[[list[int]], list[CASClassifier]]


def trainer(n: int, side: tuple[int, int], channels: int, config: CASConfig) -> Trained:
    """Trains classifiers of those seeds on n random images, as one model if there are several."""
    rng = torch.Generator().manual_seed(2)
    x = torch.randn(n, channels, *side, generator=rng)
    y = torch.randint(0, 2, (n,), generator=rng) * 2  # no image is of class 1
    pixels = torch.zeros(3, channels, *side, dtype=torch.uint8)
    test = ImageSet(pixels, torch.arange(3), NAMES, "random")

    def trained(seeds: list[int]) -> list[CASClassifier]:
        nets = module._untrained(seeds, test, torch.device("cpu"))
        module._train(seeds, nets, x, y, config, lambda: None)
        return nets

    return trained


@pytest.mark.parametrize(
    ("n", "side", "channels", "change"),
    [
        (100, (12, 12), 1, {}),  # batches of 30, 30, 30 and 10
        (91, (12, 12), 1, {}),  # the last of one image
        (20, (12, 12), 1, {}),  # all in one, smaller than a batch
        (60, (12, 12), 1, {"shuffle": False}),
        (40, (28, 28), 1, {"epochs": 1}),
        (40, (8, 17), 3, {}),
    ],
)
def test_classifiers_trained_as_one_model_are_those_trained_alone(
    n: int, side: tuple[int, int], channels: int, change: dict
) -> None:
    """Each has its own first weights and its own order of the images."""
    config = replace(CONFIG, **{"epochs": 2, "batch_size": 30, "lr": 1e-4, **change})
    trained, seeds = trainer(n, side, channels, config), [5, 6, 7]
    together, alone = trained(seeds), [trained([seed])[0] for seed in seeds]
    for one, other in zip(together, alone, strict=True):
        for name, weight in one.state_dict().items():
            torch.testing.assert_close(weight, other.state_dict()[name], atol=1e-5, rtol=0)
    first = together[0].state_dict()["fc1.weight"]
    assert float((first - together[1].state_dict()["fc1.weight"]).detach().abs().max()) > 0.01


@pytest.mark.parametrize("classifiers", [1, 3])
def test_scores_of_one_model_and_of_one_after_another(hard: Hard, classifiers: int) -> None:
    one, each = (
        score(*hard, epochs=2, lr=1e-4, batch_size=30, classifiers=classifiers, batched=batched)
        for batched in (True, False)
    )
    assert one.confusion.shape == each.confusion.shape == (classifiers, 3, 3)
    assert np.abs(one.confusion - each.confusion).sum() <= 0.02 * each.confusion.sum()


def test_a_gpu_trains_them_as_one_model(hard: Hard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device alone decides, unless one is told."""
    sizes: list[int] = []
    train = module._train

    def watched(seeds: list[int], *given: Any) -> None:
        sizes.append(len(seeds))
        train(seeds, *given)

    monkeypatch.setattr(module, "_train", watched)
    assert module.as_one(torch.device("cuda", 1))
    assert not module.as_one(torch.device("cpu"))
    score(*hard, epochs=1)
    assert sizes == [1, 1]
    score(*hard, epochs=1, batched=True)
    assert sizes == [1, 1, 2]
    monkeypatch.setattr(module, "as_one", lambda device: True)
    score(*hard, epochs=1)
    assert sizes == [1, 1, 2, 2]
    score(*hard, epochs=1, batched=False)
    assert sizes == [1, 1, 2, 2, 1, 1]


def test_how_they_are_trained_leaves_no_trace(hard: Hard) -> None:
    """Progress is counted in steps of one classifier, also where a step moves all of them."""
    shown: list[int] = []

    class Bar:
        def __init__(self, steps: int, *_: Any, **__: Any) -> None:
            shown.append(-steps)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, steps: int = 1) -> None:
            shown.append(steps)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "bar", Bar)
        for batched in (True, False):
            shown.clear()
            score(*hard, classifiers=3, epochs=2, batch_size=30, batched=batched)
            assert sum(shown) == 0
            assert len(shown) == 1 + (8 if batched else 24)


def test_classifiers_share_out_the_threads(hard: Hard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scores do not depend on it, and torch has its threads back."""
    images, labels, test = hard
    seen, train = set(), module._train

    def watched(*given: Any) -> None:
        seen.add((threading.get_ident(), torch.get_num_threads()))
        time.sleep(0.1)  # so that one worker does not take all
        train(*given)

    monkeypatch.setattr(module, "_train", watched)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = score(images, labels, test, classifiers=4, epochs=1)
        assert {threads for _, threads in seen} == {1}
        assert len(seen) == 1
        seen.clear()
        torch.set_num_threads(4)
        four = score(images, labels, test, classifiers=2, epochs=1)
        assert {threads for _, threads in seen} == {2}
        assert len(seen) == 2
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
    assert np.abs(one.confusion[:2] - four.confusion).sum() <= 0.02 * four.confusion.sum()


def test_a_classifier_that_fails_stops_the_others(
    hard: Hard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not waited for until they have finished."""
    images, labels, test = hard
    alone, steps = module._alone, []

    def failing(net: CASClassifier) -> Any:
        loss_of, weights = alone(net)
        bad = not steps
        steps.append(0)

        def loss(*given: torch.Tensor) -> torch.Tensor:
            if bad:
                raise MemoryError
            steps.append(1)
            return loss_of(*given)

        return loss, weights

    monkeypatch.setattr(module, "_alone", failing)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with pytest.raises(MemoryError):
            score(images, labels, test, classifiers=2, epochs=100_000)
    finally:
        torch.set_num_threads(before)
    assert sum(steps) < 100_000
