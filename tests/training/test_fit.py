"""Training a stage."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from a_training import STEPS, outcome, run, same_tensors, training
from PIL import Image

import tiny
from scalespace import settings
from scalespace.config import BlurringRecipe, ConditionConfig, Recipe, TrainConfig
from scalespace.config.kinds import BlurConfig
from scalespace.data import DataSplits
from scalespace.methods import METHODS
from scalespace.methods.baseline import BASELINE
from scalespace.methods.cascaded import UPSCALER
from scalespace.stages.base import Models
from scalespace.stages.latent import LatentDiffusion
from scalespace.training import fit, load_stage, loop
from scalespace.training.loop import learning_rate
from scalespace.training.metrics import read_metrics
from scalespace.training.training import FEW_STEPS, chosen, hurried


def test_the_loss_falls(splits: DataSplits, tmp_path: Path) -> None:
    job = training(splits, epochs=12)
    stage = run(job, splits, tmp_path)
    rows = read_metrics(job.folder(tmp_path) / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert [row["step"] for row in rows] == [5 * k for k in range(1, 13)]
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
    assert rows[-1]["val_loss"] < 0.7 * rows[0]["val_loss"]
    for row in rows:
        assert len(row["val_loss_per_t"]) == 2
        assert row["val_loss"] == pytest.approx(sum(row["val_loss_per_t"]) / 2)
    assert stage.record["val_loss"] == rows[-1]["val_loss"]
    assert stage.record["images"] == 12 * 95


def test_each_epoch_has_an_order_of_its_own(
    splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[int]] = []
    take_step = loop.Loop.take_step

    def note(self: Any, batch: torch.Tensor) -> None:
        batches.append(batch.tolist())
        take_step(self, batch)

    monkeypatch.setattr(loop.Loop, "take_step", note)
    for seed in (0, 1):
        run(training(splits, seed=seed), splits, tmp_path)
    assert {len(batch) for batch in batches} == {19}
    epochs = [list(chain(*batches[k : k + 5])) for k in range(0, len(batches), 5)]
    assert len(epochs) == 4
    for epoch in epochs:
        assert len(set(epoch)) == 95
        assert set(epoch) <= set(range(99))
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_validation_and_grids_as_often_as_asked(splits: DataSplits, tmp_path: Path) -> None:
    job = training(splits, epochs=5, validate_every=2, grid_every=3)
    run(job, splits, tmp_path)
    rows = read_metrics(job.folder(tmp_path) / "metrics.jsonl")
    assert ["val_loss" in row for row in rows] == [False, True, False, True, True]
    grids = sorted(path.name for path in (job.folder(tmp_path) / "grids").iterdir())
    assert grids == ["epoch-0003.png", "epoch-0005.png"]


def test_a_grid_of_the_classes_that_are_held_out(splits: DataSplits, tmp_path: Path) -> None:
    """With so few images to validate with some classes have none."""
    job = training(splits, epochs=1, grid_every=1, validate_images=2)
    run(job, splits, tmp_path)
    with Image.open(job.folder(tmp_path) / "grids" / "epoch-0001.png") as grid:
        wide, high = grid.size
    assert round(4 * wide / high) <= 2  # four of each below each other, of two classes at most


def test_more_validation_images_than_there_are(splits: DataSplits, tmp_path: Path) -> None:
    assert run(training(splits, validate_images=256), splits, tmp_path).record["val_loss"] > 0


def test_a_batch_larger_than_the_data(splits: DataSplits, tmp_path: Path) -> None:
    assert run(training(splits, batch_size=1000), splits, tmp_path).record["images"] == 2 * 99


def test_seeds(splits: DataSplits, tmp_path: Path) -> None:
    jobs = [training(splits), training(splits), training(splits, seed=1)]
    first, again, other = (run(job, splits, tmp_path / str(k)) for k, job in enumerate(jobs))
    assert outcome(jobs[0], tmp_path / "0")[1:] == outcome(jobs[1], tmp_path / "1")[1:]
    for kept in ("ema", "raw"):
        assert same_tensors(getattr(first, kept), getattr(again, kept))
        pairs = zip(getattr(first, kept).values(), getattr(other, kept).values(), strict=True)
        assert not any(torch.equal(a, b) for a, b in pairs)


def test_the_global_generator_is_left_alone(splits: DataSplits, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(training(splits), splits, tmp_path)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_identity(splits: DataSplits) -> None:
    same = [training(splits), training(splits)]
    others = [
        training(splits, seed=1),
        training(splits, lr=1e-4),
        replace(same[0], stage=BASELINE),
        replace(same[0], recipe=replace(tiny.RECIPE, net=replace(tiny.NET, residual=True))),
        replace(same[0], data=replace(splits.info, fingerprint="another")),
    ]
    same.append(training(splits, grid_every=3, validate_every=7))  # looked at in other epochs
    blurred = replace(tiny.RECIPE, condition=ConditionConfig("blur"))
    same.append(replace(same[0], recipe=blurred))  # it has no condition
    assert len({job.identity for job in same}) == 1
    others += [replace(job, stage=UPSCALER) for job in (same[0], same[-1])]
    assert len({job.identity for job in [*same, *others]}) == 1 + len(others)


def test_a_default_that_changed_names_no_other_training() -> None:
    """2 pixels are the default since 20 were: the names of both stay what they were."""
    assert chosen(BlurringRecipe(blur=BlurConfig(most=20.0))) == {}
    assert chosen(BlurringRecipe()) == {"blur": {"most": 2.0}}
    assert chosen(BlurringRecipe(blur=BlurConfig(most=5.0))) == {"blur": {"most": 5.0}}


def test_learning_rate_shapes() -> None:
    config, steps = TrainConfig(lr=0.5), 100
    assert {learning_rate(config, step, steps) for step in range(steps)} == {0.5}
    warm = replace(config, warmup=10)
    assert [learning_rate(warm, k, steps) for k in range(12)] == pytest.approx(
        [0.05 * min(k + 1, 10) for k in range(12)]
    )
    linear = replace(config, decay="linear")
    assert learning_rate(linear, 0, steps) == 0.5
    assert learning_rate(linear, 50, steps) == pytest.approx(0.25)
    assert learning_rate(linear, 99, steps) == pytest.approx(0.005)
    cosine = replace(config, decay="cosine")
    assert learning_rate(cosine, 0, steps) == 0.5
    assert learning_rate(cosine, 50, steps) == pytest.approx(0.25)
    assert learning_rate(cosine, 25, steps) == pytest.approx(0.25 * (1 + 0.5**0.5))
    both = replace(linear, warmup=10)
    assert learning_rate(both, 4, steps) == pytest.approx(0.5 * 0.5 * 0.96)
    for shape in (linear, cosine):
        rates = [learning_rate(shape, k, steps) for k in range(steps)]
        assert rates == sorted(rates, reverse=True)
        assert min(rates) > 0


def test_the_optimiser_is_given_that_rate(splits: DataSplits, tmp_path: Path) -> None:
    job = training(splits, warmup=4, decay="linear")
    run(job, splits, tmp_path)
    rows = read_metrics(job.folder(tmp_path) / "metrics.jsonl")
    assert [row["lr"] for row in rows] == [
        learning_rate(job.recipe.train, step, STEPS) for step in (4, 9)
    ]


def test_one_step_of_adam_moves_by_the_rate(splits: DataSplits, tmp_path: Path) -> None:
    """Adam's first step is lr times the gradient's sign, which no other optimiser's is."""
    job = training(splits, epochs=1, batch_size=100, lr=0.01)
    before = job.build().state_dict()
    after = run(job, splits, tmp_path).raw
    moves = torch.cat([(after[key] - before[key]).flatten().abs() for key in after])
    assert float(moves.max()) <= 0.01 * 1.001
    assert float((moves > 0.0099).float().mean()) > 0.9


def test_half_precision(splits: DataSplits, tmp_path: Path) -> None:
    job = training(splits, epochs=6)
    runtime = replace(tiny.CPU, precision="bf16-mixed")
    half = fit(job, splits, tmp_path / "half", runtime)
    full = run(job, splits, tmp_path / "full")
    assert {value.dtype for value in half.raw.values()} == {torch.float32}
    assert half.record["loss"] == pytest.approx(full.record["loss"], rel=0.05)
    assert not same_tensors(half.raw, full.raw)


def test_without_an_average_both_weights_are_the_same(splits: DataSplits, tmp_path: Path) -> None:
    stage = run(training(splits, ema=0.0), splits, tmp_path)
    assert same_tensors(stage.ema, stage.raw)


def test_default_recipe_is_the_papers() -> None:
    assert Recipe().net.channels == (16, 32, 64)
    assert (Recipe().process.power, Recipe().process.predict) == (1.5, "noise")


def test_hurried_teachers_are_told_once(splits: DataSplits) -> None:
    config = replace(tiny.CONFIG, train=replace(tiny.TRAIN, epochs=1))
    fast = settings.make_trainings(config, METHODS["cascaded-fast"], 0, splits.info)
    names = [told.split()[0] for told in hurried(fast, splits)]
    assert sorted(names) == ["small", "small-student", "upscaler", "upscaler-student"]


def test_a_hurried_training_is_told_with_what_would_be_enough(splits: DataSplits) -> None:
    few = training(splits)
    (told,) = hurried([few], splits)
    assert told.startswith(f"small learns for {STEPS} steps only")
    enough = int(told.split("--stages.small.train.epochs=")[1].split()[0])
    assert not list(hurried([training(splits, epochs=enough)], splits))
    assert list(hurried([training(splits, epochs=enough - 1)], splits))
    batch, steps = training(splits, epochs=enough).steps(len(splits.train))
    assert batch == few.recipe.train.batch_size
    assert steps >= FEW_STEPS > steps - steps // enough


def test_a_student_in_latents_learns_with_the_trained_autoencoder(
    splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Models] = []
    init = loop.Loop.__init__

    def noted(self: loop.Loop, *args: Any) -> None:
        given.append(args[-1])
        init(self, *args)

    monkeypatch.setattr(loop.Loop, "__init__", noted)
    *_, training = settings.make_trainings(tiny.CONFIG, METHODS["latent-flow-fast"], 0, splits.info)
    fit(training, splits, tmp_path, tiny.CPU)
    needs = given[-1]
    teacher, autoencoder = needs["latent-flow"], needs["vae"]
    assert isinstance(teacher, LatentDiffusion)
    assert teacher.autoencoder is autoencoder
    assert not autoencoder.training
    vae = load_stage(training.needs[0], tmp_path)
    for name, tensor in autoencoder.state_dict().items():
        torch.testing.assert_close(tensor, vae.ema[name], rtol=0, atol=0)
