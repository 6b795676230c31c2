from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import tiny
from scalespace.config import CASConfig, TrainConfig, TrainRecipe
from scalespace.data import DataSplits, Samples, load
from scalespace.errors import InputError
from scalespace.evaluation import evaluate as module
from scalespace.evaluation.cas import cas
from scalespace.evaluation.controls import control
from scalespace.evaluation.copies import copies, nearest_two
from scalespace.evaluation.evaluate import METRICS, Metric, Real, evaluate
from scalespace.evaluation.frechet import Frechet
from scalespace.evaluation.judge import Judge
from scalespace.evaluation.kid import kid
from scalespace.evaluation.prdc import prdc
from scalespace.evaluation.variety import components, variety
from scalespace.stages.judge import JUDGE
from scalespace.training import Training
from scalespace.training.judge import train_judge

CONFIG = CASConfig(classifiers=1, epochs=3, batch_size=10)
EVERY = ("cas", "fd", "kid", "prdc", "copies", "variety", "c2st")


def samples(n: int = 60, side: int = tiny.SIDE) -> Samples:
    images, labels = tiny.pictures(n, side)
    return Samples((images / 255).astype(np.float32), labels)


@pytest.fixture(scope="module")
def real(splits: DataSplits, judge: Judge) -> Real:
    return Real(splits, CONFIG, judge)


# CAS


def test_it_is_cas_on_the_test_part(splits: DataSplits, real: Real) -> None:
    given = samples()
    found = evaluate(given, real, ["cas"])
    direct = cas(given.images, given.labels, splits.test(), splits.mean, splits.std, CONFIG)
    told = {"cas": {**direct.as_dict(), "absent": []}}
    assert found == told == evaluate(given, real)
    assert np.sum(found["cas"]["confusion"]) == len(splits.test()) == 60
    # real test images are what it tests on: as a floor they would be no fair comparison
    assert evaluate(given, real, ["cas"], floor=True) == found


def test_cas_names_the_classes_that_images_lack(real: Real) -> None:
    given = samples()
    of_one = Samples(given.images[given.labels == 1], given.labels[given.labels == 1])
    assert evaluate(of_one, real, ["cas"])["cas"]["absent"] == [0, 2]


def test_a_search_is_scored_by_the_validation_part(
    splits: DataSplits, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against metrics computed by hand from the validation and the training part alone."""
    own = Real(splits, tiny.CONFIG.cas, judge, part="validation")
    made = samples()
    expected = cas(made.images, made.labels, splits.val, splits.mean, splits.std, tiny.CONFIG.cas)

    def forbidden(self: DataSplits) -> None:
        raise AssertionError("the test part was read")

    monkeypatch.setattr(DataSplits, "test", forbidden)
    found = evaluate(made, own, ("cas", "fd"), floor=True)
    assert found["cas"]["accuracy"] == expected.accuracy.tolist()
    reference, floor = (judge.features(part.unit()).pooled for part in (splits.train, splits.val))
    distance = Frechet(reference).distance(floor)
    assert found["fd"]["floor"]["fd"] == pytest.approx(distance, rel=1e-4)
    assert found["fd"]["reference_n"] == len(splits.train)


def test_real_images_beat_noise_and_wrong_labels(real: Real) -> None:
    given, rng = samples(), np.random.default_rng(0)
    noise = Samples(rng.random(given.images.shape, dtype=np.float32), given.labels)
    wrong = Samples(given.images, (given.labels + 1) % tiny.CLASSES)
    good, chance, bad = (evaluate(one, real)["cas"]["cas"] for one in (given, noise, wrong))
    assert good > 0.9
    assert chance < 0.8
    assert bad < 0.1


def test_no_cas_of_images_without_classes(real: Real) -> None:
    blind = Samples(samples().images, samples().labels, {"conditional": False})
    with pytest.raises(InputError, match=r"made without classes.*cas does not apply") as caught:
        evaluate(blind, real, ["cas"])
    assert "\n" not in str(caught.value)
    assert set(evaluate(blind, real, EVERY[1:])) == set(EVERY[1:])
    evaluate(replace(blind, meta={"conditional": True}), real, ["cas"])


# What each metric is of


def test_each_metric_is_what_its_module_says(splits: DataSplits, real: Real, judge: Judge) -> None:
    given = samples(45)
    found = evaluate(given, real, EVERY)
    assert list(found) == list(EVERY)
    # the reference is all of the training files' images, those of validation included
    reference = torch.cat([splits.train.unit(), splits.val.unit()])
    ours, theirs = judge.features(given.images), judge.features(reference)
    about = {"n": 45, "reference_n": 120, "judge": judge.hash}

    def distance(kind: str) -> dict[str, float]:
        frechet = Frechet(getattr(theirs, kind))
        value, se = (f(getattr(ours, kind)) for f in (frechet.distance, frechet.standard_error))
        low, high = max(0, value - 1.96 * se), value + 1.96 * se
        return {"fd": value, "se": se, "low": low, "high": high}

    assert found["fd"].pop("before_relu") == pytest.approx(distance("linear"))
    assert found["fd"] == pytest.approx({**distance("pooled"), **about})
    mean, sd = kid(ours.pooled, theirs.pooled)
    assert found["kid"] == pytest.approx({"kid": mean, "sd": sd, **about})
    near = copies(nearest_two(torch.from_numpy(given.images), reference[:, 0]))
    assert found["copies"] == pytest.approx({**near._asdict(), "reference_n": 120})
    labels = torch.from_numpy(splits.whole.labels.numpy())
    within = components(splits.whole.unit(), labels)
    varied = variety(torch.from_numpy(given.images), torch.from_numpy(given.labels), within)
    assert found["variety"] == pytest.approx({**varied._asdict(), "reference_n": 120})
    json.dumps(found, allow_nan=False)


def test_precision_and_recall_are_of_sets_of_one_size(
    splits: DataSplits, real: Real, judge: Judge
) -> None:
    """As many training images as there are samples, balanced by class."""
    given = samples(45)
    seen: list[int] = []
    whole = judge.features(splits.whole.unit()).pooled

    def note(features: torch.Tensor, reference: torch.Tensor) -> Any:
        seen.append(len(reference))
        rows = [int((whole == row).all(dim=1).nonzero()[0]) for row in reference]
        assert np.bincount(splits.whole.labels[rows]).tolist() == [15, 15, 15]
        assert len(set(rows)) == 45
        return prdc(features, reference)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "prdc", note)
        found = evaluate(given, real, ["prdc"])["prdc"]
    assert seen == [45]
    assert (found["n"], found["reference_n"]) == (45, 45)
    # more samples than training images: all of those
    assert evaluate(samples(130), real, ["prdc"])["prdc"]["reference_n"] == 120


def test_figures_are_among_what_is_found(real: Real) -> None:
    found = evaluate(samples(), real, EVERY)
    for name, metric in METRICS.items():
        assert metric.figures.keys() <= found[name].keys()
        assert all(isinstance(found[name][figure], float) for figure in metric.figures)
        assert found[name]["n"] == 60
        assert ("judge" in found[name]) == metric.judged


def test_the_floor_is_as_many_real_test_images(splits: DataSplits, real: Real) -> None:
    found = evaluate(samples(30), real, EVERY, floor=True)
    assert "floor" not in found["cas"]
    test = splits.test()
    for name in EVERY[1:]:
        floor = found[name].pop("floor")
        assert floor["n"] == 30
        assert floor.keys() == found[name].keys()
    # if there are no more than all of them, it is all of them
    whole = evaluate(samples(90), real, ["fd", "copies"], floor=True)
    every = Samples(test.unit()[:, 0].numpy(), test.labels.numpy())
    own = evaluate(every, real, ["fd", "copies"])
    for name in own:
        assert whole[name]["floor"]["n"] == 60
        assert _plain(whole[name]["floor"]) == pytest.approx(_plain(own[name]), abs=1e-4)
    assert evaluate(samples(30), real, EVERY) == found


@pytest.mark.parametrize("metric", ["variety", "c2st"])
def test_the_floor_of_images_without_classes_has_none_either(
    metric: str, splits: DataSplits, real: Real
) -> None:
    every = control("real-test", splits, 10**6)
    blind = replace(every, meta={"conditional": False})
    found = evaluate(blind, real, [metric], floor=True)[metric]
    floor = found.pop("floor")
    assert found == floor
    assert found != evaluate(every, real, [metric])[metric]


def _plain(found: dict[str, Any]) -> dict[str, float]:
    """What does not depend on the images' order: not the bootstrap."""
    return {key: found[key] for key in ("fd", "copies", "median_distance", "n") if key in found}


def test_what_several_sets_need_is_computed_once(
    splits: DataSplits, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    features = Judge.features

    def count(self: Judge, images: Any, device: Any = "cpu") -> Any:
        calls.append(len(images))
        return features(self, images, device)

    monkeypatch.setattr(Judge, "features", count)
    real = Real(splits, CONFIG, judge)
    for _ in range(2):
        evaluate(samples(30), real, ["kid", "prdc"])
    assert sorted(calls) == [30, 30, 120]  # both metrics of a set share its features


# What is refused


@pytest.mark.parametrize("metrics", [["fid"], ["cas", "cass"], [""], ["fd", "FD"]])
def test_unknown_metric(metrics: list[str], real: Real) -> None:
    with pytest.raises(
        InputError, match=r"unknown metric.*known: c2st, cas, copies, fd, kid, prdc, variety"
    ):
        evaluate(samples(), real, metrics)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"ink": 0.1}, "its n is None"),
        ({"n": 3}, "its ink is None"),
        ({"ink": torch.ones(()), "n": 3}, "its ink is tensor"),
        (0.1, "must give ink, n as plain numbers in a dict"),
    ],
)
def test_a_metric_must_give_what_it_says(
    found: object, words: str, real: Real, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METRICS, "ink", Metric(lambda *_: found, {"ink": "Ink"}))
    with pytest.raises(InputError, match=f"metric ink must give.*{words}|{words}"):
        evaluate(samples(), real, ["ink"])


def test_a_metric_that_decides_has_a_value_of_its_name(
    real: Real, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> dict[str, float]:
        raise AssertionError("measured in vain")

    monkeypatch.setitem(METRICS, "ink", Metric(never, {"mean": "Ink"}, better=1))
    with pytest.raises(InputError, match="its value 'ink', which must be one of its figures"):
        evaluate(samples(), real, ["ink"])


def test_samples_that_do_not_fit(real: Real) -> None:
    with pytest.raises(InputError, match="12 x 12 are needed"):
        evaluate(samples(side=14), real)
    strange = Samples(samples().images, samples().labels + 1)
    with pytest.raises(InputError, match="less than 3"):
        evaluate(strange, real)


def test_samples_are_checked_again(real: Real) -> None:
    """Arrays handed over in Python went through no file reader."""
    bright = Samples(samples().images * 255, samples().labels)
    with pytest.raises(InputError, match=r"must lie in \[0, 1\]"):
        evaluate(bright, real)


@pytest.mark.parametrize("metric", ["fd", "kid", "prdc"])
def test_metrics_that_see_need_a_judge(metric: str, splits: DataSplits, judge_dir: Path) -> None:
    with pytest.raises(InputError, match=r"no judge for mnist \(own files\) ships"):
        evaluate(samples(), Real(splits, CONFIG), [metric])
    evaluate(samples(), Real(splits, CONFIG, judge_dir), [metric])
    evaluate(samples(), Real(splits, CONFIG, str(judge_dir)), [metric])
    evaluate(samples(), Real(splits, CONFIG), ["cas", "copies"])


@pytest.mark.parametrize(("metric", "n"), [("fd", 1), ("kid", 1), ("prdc", 5)])
def test_too_few_images(metric: str, n: int, real: Real) -> None:
    with pytest.raises(InputError, match="too few"):
        evaluate(samples(n), real, [metric])


# On handwritten digits, with a judge trained here


@pytest.fixture(scope="module")
def digits() -> DataSplits:
    return load("digits")


@pytest.fixture(scope="module")
def seeing(digits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Real:
    """The embedded digits, seen by a judge of a few epochs."""
    train = TrainConfig(epochs=4, batch_size=100, lr=5e-3, ema=0.9, validate_images=100)
    training = Training(JUDGE, TrainRecipe(train), 0, digits.info)
    judge = train_judge(training, digits, tmp_path_factory.mktemp("judge"), tiny.CPU)
    assert judge.record["accuracy"]["test"] > 0.85
    return Real(digits, CONFIG, judge)


@pytest.fixture
def quick_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the bootstrap, which is most of the time."""
    monkeypatch.setattr(Frechet, "standard_error", lambda *_: 0.0)


def blurred(images: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(images)[:, None]
    return F.avg_pool2d(x, 5, stride=1, padding=2, count_include_pad=True)[:, 0].numpy()


@pytest.mark.usefixtures("quick_errors")
def test_worse_images_are_further_from_the_training_part(digits: DataSplits, seeing: Real) -> None:
    test, n = digits.test(), 400
    unit, rng = test.unit()[:n, 0].numpy(), np.random.default_rng(0)
    noisy = np.clip(unit + 0.3 * rng.normal(size=unit.shape), 0, 1).astype(np.float32)
    train = digits.train
    ones = train.unit()[train.labels == 1][:n, 0].numpy()
    few = np.concatenate([train.unit()[train.labels == c][:4, 0].numpy() for c in range(10)])
    sets = {
        "real": unit,
        "blurred": blurred(unit),
        "noisy": noisy,
        "one class": ones,
        "noise": rng.random(unit.shape, dtype=np.float32),
    }
    found = {
        name: evaluate(Samples(x, np.zeros(len(x), np.int64)), seeing, ["fd", "kid"])
        for name, x in sets.items()
    }
    for name in ("blurred", "noisy", "one class", "noise"):
        for metric in ("fd", "kid"):
            assert found[name][metric][metric] > 3 * abs(found["real"][metric][metric])
        linear = found[name]["fd"]["before_relu"]["fd"]
        assert linear > 3 * found["real"]["fd"]["before_relu"]["fd"]
    assert found["noise"]["fd"]["fd"] > found["noisy"]["fd"]["fd"]

    def told(x: np.ndarray) -> dict[str, float]:
        given = Samples(x, np.zeros(len(x), np.int64))
        return evaluate(given, seeing, ["prdc"])["prdc"]

    # real: both; one class, or forty images again and again: all of it real, little of the rest
    whole, single, repeated = told(unit), told(ones), told(np.repeat(few, 10, axis=0))
    assert whole["precision"] > 0.8
    assert whole["recall"] > 0.8
    assert single["precision"] > 0.8
    assert single["coverage"] < 0.3 < 0.7 < whole["coverage"]
    assert repeated["precision"] > 0.7
    assert repeated["coverage"] < whole["coverage"] - 0.3
    assert repeated["recall"] < 0.05  # ten copies of each: balls without extent
    assert told(sets["noise"])["precision"] < 0.2


@pytest.mark.usefixtures("quick_errors")
def test_the_training_images_are_at_no_distance_from_themselves(
    digits: DataSplits, seeing: Real
) -> None:
    whole = digits.whole
    given = Samples(whole.unit()[:, 0].numpy(), whole.labels.numpy())
    found = evaluate(given, seeing, ["fd"])["fd"]
    spread = float(seeing.features.pooled.var(dim=0).sum())
    assert found["fd"] < 1e-5 * spread
    assert found["n"] == found["reference_n"] == len(whole)


def test_copies_are_found(digits: DataSplits, seeing: Real) -> None:
    train, test = (part.unit()[:150, 0].numpy() for part in (digits.train, digits.test()))
    val = digits.val.unit()[:50, 0].numpy()

    def share(images: np.ndarray) -> float:
        given = Samples(images, np.zeros(len(images), np.int64))
        found = evaluate(given, seeing, ["copies"])["copies"]
        assert found["reference_n"] == len(digits.whole)
        return float(found["copies"])

    assert share(train) == 1
    assert share(val) == 1  # the training files' images are all of them
    own = share(test)
    assert own < 0.05
    assert share(np.concatenate([train, test])) == pytest.approx((1 + own) / 2)
    rng = np.random.default_rng(0)
    nearly = np.clip(train + 0.02 * rng.normal(size=train.shape), 0, 1).astype(np.float32)
    assert share(nearly) > 0.9


def test_features_of_real_images_are_computed_once(
    judge: Judge, splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whichever process comes first; others read them, unless they are damaged."""
    given = samples(30)

    def fd(**more: Any) -> Any:
        return evaluate(given, Real(splits, judge=judge, cache=tmp_path, **more), ["fd"])

    expected = evaluate(given, Real(splits, judge=judge), ["fd"])
    assert fd() == expected
    [path] = tmp_path.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(module, "_keep", None)  # it would be called to write them again
        assert fd() == expected
    assert fd(part="validation") != expected
    assert len(list(tmp_path.iterdir())) == 2
    content = path.read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"junk"):
        path.write_bytes(damaged)
        assert fd() == expected
        assert path.read_bytes() == content
