"""From a recipe's fields to the parts of a process."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args, get_type_hints

import pytest
import torch

import tiny
from scalespace.config import ProcessConfig
from scalespace.core.jumps import Renoised
from scalespace.core.schedule import Schedule, cosine
from scalespace.core.segment import FromNoise, Segment
from scalespace.data import DataSplits
from scalespace.methods.small import SMALL
from scalespace.stages.from_recipe import make_guidance, make_visits

HINTS = get_type_hints(ProcessConfig)


@pytest.mark.parametrize("name", ["schedule", "predict", "x0", "sampler", "spacing"])
def test_whatever_a_config_may_ask_for_can_be_made(name: str, splits: DataSplits) -> None:
    for value in get_args(HINTS[name]):
        process = ProcessConfig(**{"predict": "v", "steps": 2, name: value})
        model = SMALL.build(replace(tiny.RECIPE, process=process), splits.info).eval()
        *_, last = tiny.alone(model, torch.tensor([0, 1]))
        assert bool(last.x.isfinite().all())


@pytest.mark.parametrize("spacing", get_args(HINTS["spacing"]))
def test_a_segment_that_begins_between_is_called_from_there_on(spacing: str) -> None:
    whole = Segment("s", cosine(20), (1, 4, 4), 1, FromNoise())
    between = Segment("s", cosine(20), (1, 4, 4), 1, Renoised(2, 8))
    config = ProcessConfig(steps=3, spacing=spacing)  # type: ignore[arg-type]
    assert make_visits(config, whole)()[0] == 19
    states = make_visits(config, between)()
    assert len(states) == 3
    assert states[0] == 8
    assert make_visits(ProcessConfig(), between)() == tuple(range(8, 0, -1))


def test_a_segment_that_begins_with_an_image_is_called_near_the_data() -> None:
    """Not as if state 4 were noise alone, from which the middle would be the best."""
    config = ProcessConfig(steps=2, sampler="dpm2m")
    after = Segment("s", cosine(20), (1, 28, 28), 1, Renoised(2, 4))
    assert make_visits(config, after)() == (4, 1)
    alone = Segment("s", Schedule(cosine(20).alpha_bar[:5]), (1, 28, 28))
    assert make_visits(config, alone)() == (4, 3)


def test_guidance_acts_everywhere_unless_told() -> None:
    always = make_guidance(ProcessConfig(guidance=2.0))
    assert always.acts(1)
    assert always.acts(1000)
    some = make_guidance(ProcessConfig(guidance=2.0, guidance_states=(3, 5)))
    assert [some.acts(t) for t in (2, 3, 5, 6)] == [False, True, True, False]
    assert not make_guidance(ProcessConfig()).acts(3)
