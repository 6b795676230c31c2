"""One network for several scales."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
from scalespace.config import AblationConfig, FadingRecipe, ProcessConfig
from scalespace.data import DataSplits
from scalespace.errors import InputError
from scalespace.methods.pyramid import PYRAMID
from scalespace.methods.scale_space import SHARED
from scalespace.model import Model, train
from scalespace.report.figures import FIGURES
from scalespace.report.results import Results
from scalespace.report.study import study
from scalespace.settings import load_config
from scalespace.stages.diffusion import DiffusionStage
from scalespace.stages.shared import Shared, SharedStage

RECIPE = FadingRecipe(tiny.NET, tiny.PROCESS, tiny.TRAIN)
both = pytest.mark.parametrize("stage", [PYRAMID, SHARED], ids=lambda stage: stage.name)


def built(stage: SharedStage, splits: DataSplits) -> Shared:
    kind = stage.defaults["net"]["kind"]
    return stage.build(replace(RECIPE, net=replace(tiny.NET, kind=kind)), splits.info)


def prepared(
    model: Shared, splits: DataSplits, n: int = 9
) -> tuple[list[torch.Tensor], torch.Tensor]:
    part = splits.train
    images = splits.info.standardize(part.unit()[:n])
    return list(model.prepare(images)), part.labels[:n]


@both
def test_one_network_is_registered_once(stage: SharedStage, splits: DataSplits) -> None:
    model = built(stage, splits)
    names = [name for name, _ in model.named_parameters()]
    assert all(name.startswith("net.") for name in names)
    assert set(model.state_dict()) >= set(names)
    first, second = (part.net for part in model.parts)
    assert first is second is model.net


@both
def test_a_batch_is_dealt_out_in_equal_parts(stage: SharedStage, splits: DataSplits) -> None:
    """Each image's loss is that of its scale's own objective, drawn from one stream in turn."""
    model = built(stage, splits)
    batch, labels = prepared(model, splits)
    found = model(batch, labels, torch.Generator().manual_seed(0))
    coarse, fine = model.parts
    rng = torch.Generator().manual_seed(0)
    expected = [
        coarse([batch[0][:4]], labels[:4], rng),
        fine([batch[1][4:]], labels[4:], rng),
    ]
    torch.testing.assert_close(found, torch.cat(expected))
    assert (
        model(  # no scale is left out by a batch of one, and none is asked about nothing
            [one[:1] for one in batch], labels[:1], torch.Generator().manual_seed(0)
        ).shape
        == (1,)
    )
    found.mean().backward()
    assert all(p.grad is not None for p in model.parameters())


@both
def test_validation_has_every_state_of_every_scale(stage: SharedStage, splits: DataSplits) -> None:
    model = built(stage, splits).eval()
    batch, labels = prepared(model, splits)
    losses = model.validate(batch, labels, torch.Generator().manual_seed(0))
    assert losses.shape == (9, 2 + 2)
    (only, *_) = model.parts
    own = only.validate(batch[:1], labels, torch.Generator().manual_seed(0))
    torch.testing.assert_close(losses[:, :2], own)


def test_scales_that_show_different_things_share_nothing(splits: DataSplits) -> None:
    coarse = DiffusionStage("a", states=3, scale=2)
    fine = DiffusionStage("b", states=3, conditioned=3)
    with pytest.raises(InputError, match="'ab': its scales show their network different things"):
        SharedStage("ab", (coarse, fine)).build(RECIPE, splits.info)


def test_its_units_are_its_scales(splits: DataSplits) -> None:
    recipe = replace(tiny.RECIPES["pyramid"], ablation=AblationConfig(unit_range=True))
    for stage in (PYRAMID, SHARED):
        assert stage.units(tiny.RECIPES[stage.name], splits.info) == splits.info
        in_unit_range = stage.units(recipe, splits.info)
        assert (in_unit_range.mean, in_unit_range.std) == (0, 1)


def test_a_batch_without_an_image_for_each_scale(splits: DataSplits) -> None:
    recipe = replace(RECIPE, train=replace(tiny.TRAIN, batch_size=1))
    with pytest.raises(InputError, match=r"'pyramid': train.batch_size must be at least 2"):
        PYRAMID.build(recipe, splits.info)


def test_steps_by_scale(splits: DataSplits, tmp_path: Path) -> None:
    config = replace(tiny.CONFIG, process=ProcessConfig(states=5, predict="v", x0="clip"))
    model = train("pyramid", splits, config, tmp_path, 0, tiny.CPU)
    assert model.steps == {"pyramid-half": [4, 3, 2, 1], "pyramid-full": [4, 3, 2, 1]}
    assert {k: len(v) for k, v in model.stepped(2).steps.items()} == {
        "pyramid-half": 2,
        "pyramid-full": 2,
    }
    few = model.stepped({"pyramid-half": 3})
    assert [len(states) for states in few.steps.values()] == [3, 4]
    fewer = few.stepped({"pyramid-full": [4, 1]})
    assert [len(states) for states in fewer.steps.values()] == [3, 2]
    assert fewer.steps["pyramid-full"] == [4, 1]
    assert fewer.stepped({"pyramid": "all"}).steps == model.steps
    again = Model.load(fewer.save(tmp_path / "model"))
    assert again.steps == fewer.steps
    with pytest.raises(InputError, match=r"of stage 'pyramid'.*'half'"):
        model.resampled({"stages.pyramid.process.steps": {"half": 2}})
    with pytest.raises(InputError, match="stage"):
        model.stepped({"quarter": 1})


@pytest.mark.usefixtures("quick_pictures")
def test_a_study_shows_each_scale(data_dir: Path, preset: Path, tmp_path: Path) -> None:
    changes = {
        "study.methods": ["scale-space", "pyramid", "pyramid-fast"],
        "study.seeds": [0],
        "study.metrics": ["cas"],
    }
    config = load_config(preset, changes)
    study(tmp_path, config, data_dir=data_dir, runtime=tiny.CPU, say=lambda line: None)
    results = Results(tmp_path)
    names = {picture.name for picture in FIGURES["forward"](results)}
    for segment in ("small", "detail", "pyramid-half", "pyramid-full"):
        assert {f"forward-{segment}", f"schedule-{segment}"} <= names
    assert not any("student" in name for name in names)  # it has its teacher's states
    page = re.sub(r"<[^>]*>", "", (tmp_path / "report.html").read_text(encoding="utf-8"))
    text = " ".join(page.split())
    for words in (
        "an image mixed with noise by its schedule. Other processes take the image apart",
        "A segment that goes on from the coarser image (detail and pyramid-full) has it",
        "where a finer scale goes on from the coarser image (detail and pyramid-full), that is",
        "√ᾱ = 0.7071 at its last state, which holds the coarser image; predicts",
    ):
        assert words in text
    assert "pure noise" not in text
    assert "only shown the coarser image" not in text
