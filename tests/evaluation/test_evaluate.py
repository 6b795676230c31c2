from __future__ import annotations

import numpy as np
import pytest

import tiny
from scalespace.config import CASConfig
from scalespace.data import DataSplits, Samples
from scalespace.errors import InputError
from scalespace.evaluation.cas import cas
from scalespace.evaluation.evaluate import evaluate

CONFIG = CASConfig(classifiers=1, epochs=3, batch_size=10)


def samples(n: int = 60, side: int = tiny.SIDE) -> Samples:
    images, labels = tiny.pictures(n, side)
    return Samples((images / 255).astype(np.float32), labels)


def test_it_is_cas_on_the_test_part(splits: DataSplits) -> None:
    given = samples()
    found = evaluate(given, splits, ["cas"], CONFIG)
    direct = cas(given.images, given.labels, splits.test(), splits.mean, splits.std, CONFIG)
    assert found == {"cas": direct.as_dict()}
    assert np.sum(found["cas"]["confusion"]) == len(splits.test()) == 60


def test_real_images_beat_noise_and_wrong_labels(splits: DataSplits) -> None:
    real, rng = samples(), np.random.default_rng(0)
    noise = Samples(rng.random(real.images.shape, dtype=np.float32), real.labels)
    wrong = Samples(real.images, (real.labels + 1) % tiny.CLASSES)
    good, chance, bad = (
        evaluate(one, splits, config=CONFIG)["cas"]["cas"] for one in (real, noise, wrong)
    )
    assert good > 0.9
    assert chance < 0.8
    assert bad < 0.1


@pytest.mark.parametrize("metrics", [["fid"], ["cas", "cass"], [""]])
def test_unknown_metric(metrics: list[str], splits: DataSplits) -> None:
    with pytest.raises(InputError, match=r"unknown metric.*known: cas"):
        evaluate(samples(), splits, metrics, CONFIG)


def test_samples_that_do_not_fit(splits: DataSplits) -> None:
    with pytest.raises(InputError, match="12 x 12 are needed"):
        evaluate(samples(side=14), splits, config=CONFIG)
    strange = Samples(samples().images, samples().labels + 1)
    with pytest.raises(InputError, match="less than 3"):
        evaluate(strange, splits, config=CONFIG)


def test_samples_are_checked_again(splits: DataSplits) -> None:
    """Arrays handed over in Python went through no file reader."""
    bright = Samples(samples().images * 255, samples().labels)
    with pytest.raises(InputError, match=r"must lie in \[0, 1\]"):
        evaluate(bright, splits, config=CONFIG)
