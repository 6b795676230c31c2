from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import tiny
from scalespace.data import DataSplits, ImageSet
from scalespace.evaluation.judge import Judge
from scalespace.evaluation.normality import inside
from scalespace.settings import make_training
from scalespace.stages.judge import JUDGE, JudgeModel
from scalespace.training import Training, fit, loop
from scalespace.training.judge import train_judge
from scalespace.training.metrics import read_metrics


def training(splits: DataSplits, **fields: object) -> Training:
    job = make_training(tiny.CONFIG, JUDGE, 0, splits.info)
    train = replace(job.recipe.train, **fields)
    return replace(job, recipe=replace(job.recipe, train=train))


@pytest.fixture
def model(splits: DataSplits) -> JudgeModel:
    built = training(splits).build()
    assert isinstance(built, JudgeModel)
    return built


def pixels(images: ImageSet) -> set[bytes]:
    return {image.tobytes() for image in images.images.numpy()}


def test_it_trains_on_all_training_images_and_is_watched_on_the_test_part(
    splits: DataSplits, tmp_path: Path
) -> None:
    train, watched = JUDGE.parts(splits)
    assert pixels(train) == pixels(splits.train) | pixels(splits.val)
    assert len(train) == 120
    assert pixels(watched) == pixels(splits.test())
    assert not pixels(train) & pixels(watched)
    run = loop.Loop(training(splits, validate_images=60), splits, tmp_path, tiny.CPU)
    for (found,), of in ((run.data, train), (run.held_out, watched)):
        padded = F.pad(of.unit(), (2, 2, 2, 2))
        ours, theirs = (sorted(image.sum().item() for image in part) for part in (found, padded))
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_batches_are_pixels_in_the_middle_of_black(model: JudgeModel, splits: DataSplits) -> None:
    unit = splits.train.unit()[:5]
    [x] = model.prepare(splits.info.standardize(unit))
    torch.testing.assert_close(x, F.pad(unit, (2, 2, 2, 2)), atol=1e-6, rtol=0)


def test_dropout_is_the_steps_own(model: JudgeModel, splits: DataSplits) -> None:
    """Half of the features, the rest doubled, from the generator that the step is given."""
    batch = model.prepare(splits.info.standardize(splits.train.unit()))
    labels = splits.train.labels
    layers = model.net.layers
    h = layers[:10](batch[0])
    mask = torch.rand(h.shape, generator=torch.Generator().manual_seed(4)) < 0.5
    assert 0.4 < float(mask.float().mean()) < 0.6
    expected = F.cross_entropy(layers[11](torch.where(mask, 2 * h, 0)), labels, reduction="none")
    found = model(batch, labels, torch.Generator().manual_seed(4))
    torch.testing.assert_close(found, expected)
    # on average it changes nothing that is linear
    rng, n = torch.Generator().manual_seed(0), 400
    mean = sum(
        F.linear(2 * (torch.rand(h.shape, generator=rng) < 0.5) * h, layers[11].weight)
        for _ in range(n)
    )
    spread = float(h.detach().square().sum(dim=1).sqrt().max())
    gap = (mean / n - F.linear(h, layers[11].weight)).abs().max()
    assert float(gap.detach()) < 5 * spread / n**0.5


def test_validation_is_without_dropout(model: JudgeModel, splits: DataSplits) -> None:
    batch = model.train().prepare(splits.info.standardize(splits.train.unit()))
    found = model.validate(batch, splits.train.labels, torch.Generator())
    logits = model.net.eval()(batch[0])
    expected = F.cross_entropy(logits, splits.train.labels, reduction="none")
    torch.testing.assert_close(found, expected[:, None])


def test_it_is_no_process(model: JudgeModel, splits: DataSplits) -> None:
    batch = model.prepare(splits.info.standardize(splits.val.unit()))
    assert model.facts() == {"kind": "judge"}
    assert model.preview(batch, splits.val.labels, seed=0) is None


def test_a_judge_shows_what_its_network_does(judge: Judge, splits: DataSplits) -> None:
    shown = judge.inspect(splits.val)
    direct = inside(judge.net, splits.val.unit(), splits.val.labels, 3)
    history = {f"history_{key}" for key in ("epoch", "loss", "val_loss")}
    assert shown.keys() == direct.keys() | history
    for name, array in direct.items():
        np.testing.assert_array_equal(shown[name], array)
    assert shown["history_epoch"].tolist() == [row["epoch"] for row in judge.record["history"]]


def test_no_grid_of_what_makes_no_images(splits: DataSplits, tmp_path: Path) -> None:
    job = training(splits, grid_every=1, epochs=1)
    fit(job, splits, tmp_path, tiny.CPU)
    assert not list(tmp_path.rglob("*.png"))


# With its record


def test_training_a_judge(judge: Judge, splits: DataSplits, trainings: Path) -> None:
    job = training(splits)
    rows = read_metrics(job.folder(trainings) / "metrics.jsonl")
    record = judge.record
    assert judge.data == splits.info
    assert (record["identity"], record["seed"]) == (job.identity, 0)
    assert record["recipe"]["train"]["epochs"] == 3
    assert [row["epoch"] for row in record["history"]] == [1, 2, 3]
    for row, whole in zip(record["history"], rows, strict=True):
        assert row == {name: whole[name] for name in ("epoch", "loss", "val_loss")}
    assert rows[-1]["val_loss"] < rows[0]["val_loss"]
    # its accuracies, counted by hand with its averaged weights
    for name, part in (("train", splits.whole), ("test", splits.test())):
        with torch.no_grad():
            answers = judge.net(F.pad(part.unit(), (2, 2, 2, 2))).argmax(dim=1)
        share = sum(int(a == b) for a, b in zip(answers, part.labels, strict=True)) / len(part)
        assert record["accuracy"][name] == pytest.approx(share)
    assert record["accuracy"]["test"] > 0.8
    assert 0 <= record["last_step_accuracy"] <= 1


def test_training_it_again_loads_it(judge: Judge, splits: DataSplits, trainings: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in trainings.rglob("*.safetensors")}
    again = train_judge(training(splits), splits, trainings, tiny.CPU)
    assert again.hash == judge.hash
    assert again.record == judge.record
    after = {path: path.stat().st_mtime_ns for path in trainings.rglob("*.safetensors")}
    assert after == before


def test_another_seed_is_another_judge(judge: Judge, splits: DataSplits, tmp_path: Path) -> None:
    other = replace(training(splits), seed=1)
    assert train_judge(other, splits, tmp_path, tiny.CPU).hash != judge.hash
