"""Stages of a model that need no training any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from scalespace.config import Config
from scalespace.data import DataSplits
from scalespace.methods import get_method
from scalespace.model import Model, train
from scalespace.settings import make_trainings, vary
from scalespace.training.loop import Loop
from scalespace.training.reuse import adopt, why_not
from scalespace.training.training import Training, load_stage


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the stages that are trained from now on."""
    names: list[str] = []
    run = Loop.run

    def noted(self: Loop) -> None:
        names.append(self.training.stage.name)
        run(self)

    monkeypatch.setattr(Loop, "run", noted)
    return names


def wanted(method: str, splits: DataSplits, config: Config, seed: int = 0) -> tuple[Training, ...]:
    return make_trainings(config, get_method(method), seed, splits.info)


def test_only_the_other_stages_are_trained(
    trained: Callable[[str], Model], splits: DataSplits, tmp_path: Path, learnt: list[str]
) -> None:
    small = trained("small")
    path = small.save(tmp_path / "small", averaged_only=True)  # as a model is shared
    learnt.clear()
    made = train(
        "cascaded", splits, tiny.CONFIG, tmp_path / "t", 0, tiny.CPU, reuse=[Model.load(path)]
    )
    assert learnt == ["upscaler"]
    for name, own in made.stages["small"].ema.items():
        torch.testing.assert_close(own, small.stages["small"].ema[name], rtol=0, atol=0)
    # as if it had been trained here: the same images as without
    alone = train("cascaded", splits, tiny.CONFIG, tmp_path / "u", 0, tiny.CPU)
    images = (one.sample([0, 1, 2], seed=5).images for one in (made, alone))
    np.testing.assert_allclose(*images, atol=1e-5)
    # it lies there for the next one, which needs no model any more
    learnt.clear()
    train("small", splits, tiny.CONFIG, tmp_path / "t", 0, tiny.CPU)
    assert learnt == []


def test_a_student_finds_its_teacher(
    trained: Callable[[str], Model], splits: DataSplits, tmp_path: Path, learnt: list[str]
) -> None:
    models = [trained("small"), trained("vae")]
    learnt.clear()
    train("cascaded-fast", splits, tiny.CONFIG, tmp_path, 0, tiny.CPU, reuse=models)
    assert learnt == ["small-student", "upscaler", "upscaler-student"]


def test_what_is_there_stays(
    trained: Callable[[str], Model], splits: DataSplits, tmp_path: Path
) -> None:
    stage = trained("small").stages["small"]
    plan = wanted("small", splits, tiny.CONFIG)
    assert adopt([stage], plan, tmp_path) == [stage]
    changed = replace(stage, ema={name: own + 1 for name, own in stage.ema.items()})
    assert adopt([changed], plan, tmp_path) == [changed]
    there = load_stage(plan[0], tmp_path)
    assert there.record["identity"] == plan[0].identity
    for name, own in there.ema.items():
        torch.testing.assert_close(own, stage.ema[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changes", "seed", "reason"),
    [
        ({}, 0, ""),
        ({"process.steps": 1, "process.eta": 0.5}, 0, ""),  # how it is sampled
        ({}, 3, "it has seed 0, and 3 is wanted"),
        ({"train.epochs": 5}, 0, "it has train.epochs = 2, and 5 is wanted"),
        (
            {"objective.target": "mean"},
            0,
            "it has objective.target = sample, and mean is wanted",
        ),
        ({"condition.most": 2}, 0, ""),  # it has no condition
    ],
)
def test_what_must_agree(
    changes: dict[str, object],
    seed: int,
    reason: str,
    trained: Callable[[str], Model],
    splits: DataSplits,
    tmp_path: Path,
) -> None:
    stage = trained("small").stages["small"]
    plan = wanted("small", splits, vary(tiny.CONFIG, changes), seed)
    assert why_not(stage, plan) == reason
    assert bool(adopt([stage], plan, tmp_path)) == (not reason)
    assert any(tmp_path.iterdir()) == (not reason)


def test_other_reasons(trained: Callable[[str], Model], splits: DataSplits) -> None:
    plan = wanted("cascaded-fast", splits, tiny.CONFIG)
    assert why_not(trained("vae").stages["vae"], plan) == "no such stage is needed"
    other = replace(plan[0].needs[0], data=replace(splits.info, fingerprint="0" * 12))
    stage = replace(trained("small").stages["small"], training=other)
    assert why_not(stage, plan) == "it has learnt other data"
    student = trained("cascaded-fast").stages["small-student"]
    slower = wanted("cascaded-fast", splits, vary(tiny.CONFIG, {"stages.small.train.epochs": 5}))
    own = replace(slower[0], recipe=student.training.recipe)  # all but the teacher
    assert why_not(student, [own]) == "what it builds on differs"
