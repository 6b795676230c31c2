"""A student of a stage that shares one network among several scales shares one, too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
from scalespace.config import ConditionConfig, DistilConfig, FadingRecipe, StudentRecipe
from scalespace.data import DataSplits
from scalespace.errors import InputError
from scalespace.methods import stages
from scalespace.methods.pyramid import PYRAMID
from scalespace.methods.scale_space import SHARED
from scalespace.model import Model, train
from scalespace.settings import load_config, make_training, vary
from scalespace.stages.base import Models
from scalespace.stages.shared import Shared, SharedStage
from scalespace.stages.shared_student import SharedStudents, SharedStudentStage, student_of
from scalespace.stages.student import StudentStage
from scalespace.stages.vae import VAEStage
from scalespace.training.muon import kernels

PROCESS = replace(tiny.PROCESS, states=7, sampler="dpm2m", eta=1.0, temperature=1.1, steps=4)
LABELS = torch.tensor([0, 1, 2, 2, 1, 0])
both = pytest.mark.parametrize("stage", [PYRAMID, SHARED], ids=lambda stage: stage.name)


def pair(
    stage: SharedStage,
    splits: DataSplits,
    distil: DistilConfig | None = None,
    **more: ConditionConfig,
) -> tuple[Shared, SharedStudents]:
    """An untrained teacher, and its student as training begins."""
    torch.manual_seed(0)
    net = replace(tiny.NET, kind=stage.defaults["net"]["kind"])
    teacher = stage.build(FadingRecipe(net, PROCESS, tiny.TRAIN), splits.info).eval()
    own = student_of(stage)
    assert isinstance(own, SharedStudentStage)
    process = replace(PROCESS, **own.defaults["process"])
    recipe = StudentRecipe(net, process, tiny.TRAIN, distil=distil or DistilConfig(), **more)
    return teacher, own.build(recipe, splits.info, Models({stage.name: teacher}))


def prepared(
    student: SharedStudents, splits: DataSplits
) -> tuple[list[torch.Tensor], torch.Generator]:
    images = splits.info.standardize(splits.train.unit()[:6])
    batch = list(student.prepare(images, LABELS))
    student.begin(batch, LABELS)
    return batch, torch.Generator().manual_seed(0)


@both
@pytest.mark.parametrize("calls", [1, 2])
def test_each_scale_learns_from_its_own(stage: SharedStage, calls: int, splits: DataSplits) -> None:
    teacher, student = pair(stage, splits, DistilConfig(calls))
    assert student.calls == 2 * calls
    for own, known in zip(student.students, teacher.parts, strict=True):
        assert own.segment.name == f"{known.segment.name}-student"
        assert own.segment.stream == known.segment.stream  # they begin with the same noise
        for k, t in enumerate(reversed(own.marks)):
            theirs = known.segment.levels(t)
            assert all(
                one == pytest.approx(other)
                for one, other in zip(own.segment.levels(k), theirs, strict=True)
            )
    assert student.facts()["teacher"] == stage.name


@both
def test_it_is_one_network_and_begins_as_its_teacher(
    stage: SharedStage, splits: DataSplits
) -> None:
    teacher, student = pair(stage, splits)
    assert all(part.net is student.net for part in student.parts)
    assert all(name.startswith("net.") for name, _ in student.named_parameters())
    assert student.net is not teacher.net
    for ours, theirs in zip(student.net.parameters(), teacher.net.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@both
def test_the_loss_is_of_each_image_in_its_own_scale(stage: SharedStage, splits: DataSplits) -> None:
    """By hand: half of the batch at each scale, against the answer of that scale's teacher."""
    teacher, student = pair(stage, splits)
    batch, rng = prepared(student, splits)
    assert len(batch) == 4  # x_0 and the images' numbers, at either scale
    found = student(batch, LABELS, rng)
    for k, (own, known) in enumerate(zip(student.students, teacher.parts, strict=True)):
        rows = slice(3 * k, 3 * k + 3)
        x0, numbers = batch[2 * k][rows], batch[2 * k + 1][rows]
        assert x0.shape[1:] == known.segment.shape
        ways, told = own.ways((x0, numbers), LABELS[rows], numbers)
        x0_hat = own.estimate_in(ways[:, 0], torch.zeros(3, dtype=torch.int64), told)
        errors = (x0_hat - own.lessons(ways)[:, 0]).square().flatten(1).mean(dim=1)
        torch.testing.assert_close(found[rows], errors, rtol=1e-3, atol=0)  # ways are kept as half


@both
def test_each_scale_has_a_critic_of_its_own(stage: SharedStage, splits: DataSplits) -> None:
    _, student = pair(stage, splits, DistilConfig(adversary=0.05))
    before = set(student.kept())
    student.oppose()
    batch, rng = prepared(student, splits)
    student(batch, LABELS, rng).mean().backward()
    assert len(student.critics) == 2
    assert all(p.grad is not None for p in student.parameters())
    assert set(student.kept()) == before  # they do not outlive training
    assert not {id(p) for p in kernels(student)} & {id(p) for p in student.critics.parameters()}


def test_what_it_refuses(splits: DataSplits) -> None:
    config = vary(tiny.CONFIG, {"stages.pyramid-student.process.steps": {"pyramid-half": 1}})
    with pytest.raises(InputError, match=r"scale of stage 'pyramid-student'.*'pyramid-half'"):
        make_training(config, stages()["pyramid-student"], 0, splits.info).build()
    with pytest.raises(InputError, match=r"pyramid-full-student.*condition.truncate"):
        pair(PYRAMID, splits, condition=ConditionConfig("gaussian", most=3, truncate=True))


def test_the_student_of_a_stage() -> None:
    own = student_of(SHARED)
    assert isinstance(own, SharedStudentStage)
    assert (own.name, own.needs, own.like) == ("scale-space-shared-student", (SHARED,), SHARED)
    assert [one.name for one in own.scales] == ["shared-half-student", "shared-full-student"]
    plain = student_of(PYRAMID.scales[0])
    assert isinstance(plain, StudentStage)
    assert plain.teacher is PYRAMID.scales[0]
    assert student_of(VAEStage("vae")) is None


@pytest.mark.slow
@pytest.mark.parametrize("stage", [PYRAMID, SHARED], ids=lambda stage: stage.name)
def test_learning_brings_it_nearer(
    stage: SharedStage, splits: DataSplits, preset: Path, tmp_path: Path
) -> None:
    own = {"train": {"epochs": 24, "lr": 0.01, "ema": 0.9}, "distil": {"calls": 2, "noises": 2}}
    config = load_config(preset, {f"stages.{stage.name}-student": own})
    name = f"{stage.name}-fast"
    model = train(name, splits, config, tmp_path, 0, tiny.CPU)
    rows = model.stages[f"{stage.name}-student"].record["history"]
    assert rows[-1]["val_loss"] < 0.7 * rows[0]["val_loss"]
    assert model.calls == 4
    images = model.sample([0, 1, 2], seed=3).images
    again = Model.load(model.save(tmp_path / "model")).sample([0, 1, 2], seed=3).images
    torch.testing.assert_close(torch.from_numpy(again), torch.from_numpy(images))


@both
def test_its_preview_runs_through_all_scales(stage: SharedStage, splits: DataSplits) -> None:
    _, student = pair(stage, splits)
    batch, _ = prepared(student, splits)
    made = student.eval().preview(batch, LABELS, seed=1)
    assert made is not None
    assert made.shape == (6, 1, tiny.SIDE, tiny.SIDE)
