"""Stages that go on from a coarser image."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import tiny
from scalespace.config import FadeConfig, FadingRecipe, JumpConfig, JumpRecipe, ProcessConfig
from scalespace.core.bands import Fading
from scalespace.core.jumps import Approximate, Exact, Renoised
from scalespace.core.process import Process
from scalespace.core.schedule import cosine
from scalespace.core.segment import Segment
from scalespace.data import DataSplits
from scalespace.errors import InputError
from scalespace.stages.onward import FadingStage, RenoisedStage
from scalespace.training.training import chosen

STAGE = FadingStage("fine", states=10)
RECIPE = FadingRecipe(tiny.NET, ProcessConfig(predict="v"), tiny.TRAIN)


def shares(segment: Segment) -> list[float]:
    """d in each state."""
    found = []
    for t in range(segment.schedule.states):
        means, detail = segment.levels(t)
        found.append(detail.unit * detail.a / means.a)
    return found


def test_the_detail_comes_in_as_the_recipe_says(splits: DataSplits) -> None:
    segment = STAGE.segment(RECIPE, splits.info)
    assert isinstance(segment, Fading)
    assert type(segment.jump) is Exact
    assert float(segment.schedule.alpha_bar[-1]) == pytest.approx(0.5)
    expected = torch.linspace(1, 0.001, 10, dtype=torch.float64)
    torch.testing.assert_close(torch.tensor(shares(segment)), expected.float())
    recipe = replace(
        RECIPE, jump=JumpConfig(0.2), fade=FadeConfig(power=2, left=0.25), process=ProcessConfig(5)
    )
    segment = STAGE.segment(recipe, splits.info)
    assert isinstance(segment.jump, Approximate)
    assert float(segment.schedule.alpha_bar[-1]) == pytest.approx(0.2)
    assert shares(segment) == pytest.approx([1 - 0.75 * (t / 4) ** 2 for t in range(5)])


@pytest.mark.parametrize("whole", [0.9, 0.7, 0.55])
def test_the_detail_is_whole_soon_enough_for_another_scale(
    splits: DataSplits, whole: float
) -> None:
    """At the time of that alpha_bar, which may lie between two states, nothing is missing."""
    half = FadingStage("half", states=40, scale=2)
    recipe = replace(RECIPE, fade=FadeConfig(whole=whole))
    segment = half.segment(recipe, splits.info)
    means, detail = segment.levels(segment.schedule.time_of(whole))
    assert detail.unit * detail.a == pytest.approx(means.a, abs=1e-6)
    assert shares(segment)[-1] == pytest.approx(0.001)


def test_fresh_noise_is_a_matter_of_sampling(splits: DataSplits) -> None:
    recipe = replace(RECIPE, jump=JumpConfig(0.2, fresh=0.5))
    segment = STAGE.segment(recipe, splits.info)
    assert isinstance(segment.jump, Exact)
    assert segment.jump.fresh == 0.5
    assert chosen(recipe) == chosen(replace(RECIPE, jump=JumpConfig(0.2)))  # one training
    renoised = RenoisedStage("fine", states=7)
    with pytest.raises(InputError, match="'fine': all noise of its jump is fresh"):
        renoised.segment(recipe, splits.info)


def test_a_scale_that_is_taken_over_too_soon(splits: DataSplits) -> None:
    """Half of the detail at 14x14 would be missing for good."""
    coarse = Segment("coarse", cosine(10), (1, 3, 3), 4)
    half = FadingStage("half", states=10, scale=2)
    fine = STAGE.segment(RECIPE, splits.info)
    recipe = replace(RECIPE, jump=JumpConfig(0.3))
    with pytest.raises(InputError, match="'fine' takes over images of 'half' that still lack"):
        Process((coarse, half.segment(recipe, splits.info), fine))
    recipe = replace(recipe, fade=FadeConfig(whole=0.8))
    Process((coarse, half.segment(recipe, splits.info), fine))
    recipe = replace(recipe, fade=FadeConfig(whole=0.31))
    with pytest.raises(InputError, match=r"'half': between jump\.begin=0\.3 and fade\.whole=0\.31"):
        half.segment(recipe, splits.info)


def test_the_renoised_scale_has_no_state_beyond_its_first(splits: DataSplits) -> None:
    recipe = JumpRecipe(tiny.NET, ProcessConfig(), tiny.TRAIN, jump=JumpConfig(0.3))
    segment = RenoisedStage("fine", states=7).segment(recipe, splits.info)
    assert isinstance(segment.jump, Renoised)
    assert segment.first == segment.schedule.last == 6
    assert float(segment.schedule.alpha_bar[-1]) == pytest.approx(0.3)
    assert segment.shape == (1, tiny.SIDE, tiny.SIDE)


@pytest.mark.parametrize("stage", [STAGE, RenoisedStage("fine", states=4)])
def test_the_images_must_have_a_coarser_scale(stage: FadingStage, splits: DataSplits) -> None:
    odd = replace(splits.info, height=13)
    with pytest.raises(InputError, match="'fine' takes images down by a factor of 2"):
        stage.segment(RECIPE, odd)


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        (JumpConfig, {"begin": 0.0}, "jump.begin must lie between 0 and 1"),
        (JumpConfig, {"begin": 1.0}, "jump.begin must lie between 0 and 1"),
        (JumpConfig, {"begin": float("nan")}, "jump.begin"),
        (JumpConfig, {"fresh": -0.1}, r"jump.fresh must lie in 0 \.\. 1"),
        (JumpConfig, {"fresh": 1.1}, "jump.fresh"),
        (FadeConfig, {"power": 0.0}, "fade.power must be positive"),
        (FadeConfig, {"power": 101.0}, "at most 100"),
        (FadeConfig, {"left": 0.0}, "fade.left must lie in"),
        (FadeConfig, {"left": 1.5}, "fade.left must lie in"),
        (FadeConfig, {"whole": 0.0}, "fade.whole must lie in"),
    ],
)
def test_bad_recipes(kind: type, fields: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kind(**fields)


def test_a_preview_begins_with_real_images(splits: DataSplits) -> None:
    """Noise alone is no state of such a scale; with a perfect network they come back."""
    model = STAGE.build(RECIPE, splits.info).eval()
    images = splits.info.standardize(splits.train.unit()[:4])
    model.denoise = lambda x, t, condition: images  # type: ignore[method-assign,assignment]
    shown = model.preview(model.prepare(images), splits.train.labels[:4], seed=0)
    torch.testing.assert_close(shown, images, atol=1e-4, rtol=0)
