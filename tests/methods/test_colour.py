"""Coloured images go through every method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from scalespace.config import CASConfig
from scalespace.data import DataSplits, ImageSet, Samples
from scalespace.errors import InputError
from scalespace.evaluation.cas import cas
from scalespace.evaluation.judge import Judge, load_judge
from scalespace.methods import METHODS
from scalespace.model import Model
from scalespace.settings import make_training, make_trainings
from scalespace.stages.base import Models
from scalespace.stages.judge import JUDGE
from scalespace.training.training import TrainedStage

LABELS = [2, 0, 1]


@pytest.fixture(scope="module")
def coloured(splits: DataSplits) -> DataSplits:
    """The tiny data set, each class in a colour of its own."""

    def painted(part: ImageSet) -> ImageSet:
        shade = torch.tensor([[255, 60, 0], [0, 255, 60], [60, 0, 255]])[part.labels]
        images = part.images * shade[:, :, None, None] // 255
        return ImageSet(images.to(torch.uint8), part.labels, part.classes, part.name)

    return replace(splits, train=painted(splits.train), val=painted(splits.val))


@pytest.mark.parametrize("name", METHODS)
def test_every_method(name: str, coloured: DataSplits) -> None:
    """Untrained, but whole: losses, samples, the model's own sampling, its folder's pictures."""
    method, stages, needs = METHODS[name], {}, Models()
    for training in make_trainings(tiny.CONFIG, method, 0, coloured.info):
        needs = Models({one.stage.name: one.build() for one in training.every_need})
        model = training.build(needs)
        part = coloured.train
        images = coloured.info.standardize(part.unit()[:6])
        batch = model.prepare(images, part.labels[:6])
        model.begin(batch, part.labels[:6])
        losses = model(batch, part.labels[:6], torch.Generator().manual_seed(0))
        assert losses.shape == (6,)
        assert bool(torch.isfinite(losses).all())
        weights = model.kept()
        record = {"history": [], "seconds": 1.0, "steps": 1, "val_loss": 1.0}
        stages[training.stage.name] = TrainedStage(training, weights, weights, record)
    model = Model(method, stages, torch.device("cpu"))
    samples = model.sample(LABELS)
    assert samples.images.shape == (3, tiny.SIDE, tiny.SIDE, 3)
    assert np.isfinite(samples.images).all()
    steps = list(model.trajectory(LABELS))
    x = steps[-1].x
    assert x.shape == (3, 3, tiny.SIDE, tiny.SIDE)


def test_a_judge_of_colours_is_written_and_read(coloured: DataSplits, tmp_path: Path) -> None:
    training = make_training(tiny.CONFIG, JUDGE, 0, coloured.info)
    judge = Judge(training.build().net.state_dict(), coloured.info, {"accuracy": {}})
    again = load_judge(judge.save(tmp_path / "judge"))
    images = coloured.train.unit()[:5]
    torch.testing.assert_close(again.features(images).pooled, judge.features(images).pooled)
    arrays = images.permute(0, 2, 3, 1).numpy()
    torch.testing.assert_close(again.features(arrays).pooled, judge.features(images).pooled)
    with pytest.raises(InputError, match="the judge sees coloured images, and these are not"):
        judge.features(arrays[..., 0])


def test_the_judge_and_the_classifiers_see_colours(coloured: DataSplits) -> None:
    model = make_training(tiny.CONFIG, JUDGE, 0, coloured.info).build()
    part = coloured.train
    (batch,) = model.prepare(coloured.info.standardize(part.unit()[:6]))
    assert model([batch], part.labels[:6], torch.Generator().manual_seed(0)).shape == (6,)
    # only the colour tells the classes apart here
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    flat = np.zeros((90, tiny.SIDE, tiny.SIDE, 3), dtype=np.float32)
    flat[np.arange(90), :, :, labels] = rng.uniform(0.5, 1, (90, 1, 1))
    made = Samples(flat, labels)
    images = torch.from_numpy((flat * 255).astype(np.uint8)).permute(0, 3, 1, 2)
    test = ImageSet(images.contiguous(), torch.from_numpy(labels), part.classes, "colours")
    found = cas(made.images, made.labels, test, 0.3, 0.3, CASConfig(1, epochs=20, batch_size=30))
    assert found.accuracy[0] == 1
