"""What a report says of forward processes, for every kind of segment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fake import make_study

import tiny
from scalespace.config import BlurringRecipe, FadeConfig, FadingRecipe, JumpConfig, ProcessConfig
from scalespace.core.jumps import Renoised
from scalespace.core.schedule import cosine
from scalespace.core.segment import Segment
from scalespace.data import DataSplits
from scalespace.report import page as report
from scalespace.report.figures import forward as module
from scalespace.report.figures.forward import kinds
from scalespace.report.results import Results
from scalespace.stages.blurring import BlurringStage
from scalespace.stages.diffusion import DiffusionStage
from scalespace.stages.onward import FadingStage, RenoisedStage

PROCESS = ProcessConfig(predict="v")
RECIPE = FadingRecipe(tiny.NET, PROCESS, tiny.TRAIN)
ONWARD = "The segment goes on from the coarser image in {}, which need not be noise."


def caption(segment: Segment, process: ProcessConfig = PROCESS) -> str:
    return module._schedule_curve(segment, process, "the image").caption


def test_a_segment_that_begins_with_noise(splits: DataSplits) -> None:
    segment = DiffusionStage("plain", states=10).segment(RECIPE, splits.info)
    left = f"{segment.schedule.last_signal:.3f}"
    assert caption(segment) == (
        f"10 states. At the last state, a share of √ᾱ = {left} of the image is left."
    )


def test_a_segment_whose_detail_fades(splits: DataSplits) -> None:
    """Its means are left in the last state on purpose; how much of the detail, the recipe says."""
    recipe = replace(RECIPE, jump=JumpConfig(0.5), fade=FadeConfig(left=0.25))
    segment = FadingStage("fine", states=10).segment(recipe, splits.info)
    assert caption(segment) == (
        "10 states. At the last state, a share of √ᾱ = 0.707 of the block means and 0.177 of the "
        f"detail is left. {ONWARD.format('its last state')}"
    )
    picture = module._schedule_curve(segment, PROCESS, "the image")
    assert picture.alt == "The signal falls from 1 to 0.707 and the noise rises to 0.707."


@pytest.mark.parametrize("schedule", ["cosine", "linear", "flow"])
def test_a_schedule_that_the_recipe_does_not_name_is_not_called_by_it(
    schedule: str, splits: DataSplits
) -> None:
    recipe = replace(RECIPE, jump=JumpConfig(0.08), process=replace(PROCESS, schedule=schedule))
    for states in (2, 10):  # linear betas need three
        segment = RenoisedStage("full", states=states).segment(recipe, splits.info)
        assert caption(segment, recipe.process) == (
            f"{states} states. At the last state, a share of √ᾱ = 0.283 of the image is left. "
            f"{ONWARD.format('its last state')}"
        )
    plain = DiffusionStage("plain", states=10).segment(recipe, splits.info)
    assert caption(plain, recipe.process).startswith(module.SCHEDULES.get(schedule, "10 states."))


def test_a_segment_that_begins_between(splits: DataSplits) -> None:
    segment = Segment("between", cosine(10), (1, 4, 4), jump=Renoised(2, 6))
    a, _ = segment.schedule.scales(6)
    assert caption(segment) == (
        f"10 states. In state 6, where sampling begins, a share of √ᾱ = {a:.3f} of the image is "
        f"left. {ONWARD.format('state 6')}"
    )


def test_a_segment_of_many_bands_names_each_kind_once(
    splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Sequence[Any]] = []
    monkeypatch.setattr(module, "curves", lambda lines, *_, **__: seen.append(lines))
    process = replace(PROCESS, stop_short=True)  # so that something is left
    recipe = BlurringRecipe(tiny.NET, process, tiny.TRAIN)
    recipe = replace(recipe, blur=replace(recipe.blur, most=1.0))
    segment = BlurringStage("blur", states=10).segment(recipe, splits.info)
    assert len(segment.schedules) > 3
    found = [level.unit * level.a for level in segment.levels(9)]
    assert max(found[1:]) > min(found[1:]) + 0.01
    span = f"{min(found[1:]):.3f} to {max(found[1:]):.3f}"
    assert caption(segment) == (
        f"10 states. At the last state, a share of √ᾱ = {found[0]:.3f} of the image's mean and "
        f"{span} of the frequencies is left."
    )
    labels = [line.label for line in seen[0] if line.label]
    assert labels == ["ᾱ of the image's mean", "ᾱ of the frequencies", "signal √ᾱ", "noise √(1−ᾱ)"]
    assert len(seen[0]) == len(segment.schedules) + 2


@dataclass(frozen=True, eq=False)
class Strange(Segment):
    """States of its own, of which nothing is known."""

    plain: ClassVar[bool] = False


def test_a_segment_of_ones_own() -> None:
    assert caption(Strange("own", cosine(10), (1, 4, 4))) == "10 states."


def test_what_all_processes_have_in_common(tmp_path: Path) -> None:
    results = Results(make_study(tmp_path / "s", pictures=False))
    found = kinds(results)
    assert (found.whole, found.cosine, found.bands) == (True, True, False)
    assert found.shown == ("upscaler",)
    assert found.carried == found.onward == found.apart == ()


@pytest.mark.parametrize("bands", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_the_page_tells_of_the_processes_that_a_study_has(
    whole: bool, bands: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results(make_study(tmp_path / "s", methods=("small",), pictures=False))

    def text(**changes: Any) -> str:
        found = replace(kinds(results), whole=whole, bands=bands, **changes)
        monkeypatch.setattr(report, "kinds", lambda _: found)
        html = report.page(results, pictures=False)
        return " ".join(re.sub(r"<[^>]*>", "", html).split())

    told = text()
    assert ("xt = √ᾱt x0 + √(1−ᾱt) ε, an image mixed with noise by its cosine sch" in told) == whole
    assert ("Other processes take the image apart and" in told) == (whole and bands)
    assert ("the image is taken apart, and each part" in told) == (bands and not whole)
    assert ("What a stage learns to undo: an image on its" in told) == (not bands and not whole)
    assert "Sampling begins with noise alone, so the less of the image" in told
    assert "coarser image (" not in told
    told = text(carried=("fine",), shown=("finer",))
    assert "Where sampling begins with noise alone, the less of the image" in told
    assert "goes on from the coarser image (fine) has it in the state that it begins in" in told
    assert "goes on from the coarser image (fine), that is enlarged and noise is added." in told
    assert "only shown the coarser image (finer), it starts with noise alone again." in told
