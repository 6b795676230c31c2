"""Fields of a process that change nothing where they are given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import tiny
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.methods.cascaded import UPSCALER
from scalespace.methods.cascaded_own import OWN
from scalespace.methods.small import SMALL
from scalespace.methods.vae import AUTOENCODER
from scalespace.stages.base import Models, Stage, StageModel
from scalespace.stages.diffusion import DiffusionStage
from scalespace.stages.heeded import check_heeded

INFO = DataInfo("mnist", ("a", "b", "c"), 12, 12, 0.5, 0.4)
Built = list[tuple[Stage[Any], StageModel]]


def built(stage: DiffusionStage, **process: Any) -> tuple[Stage[Any], StageModel]:
    recipe = replace(tiny.RECIPE, process=replace(tiny.PROCESS, **process))
    small = Models({"small": SMALL.build(tiny.RECIPE, INFO)})
    return stage, stage.build(recipe, INFO, small)


@pytest.fixture
def cascade() -> Built:
    """The small stage heeds none of them, the upscaler all."""
    heeding = {"sampler": "ddim", "steps": 2}
    _, upscaler = built(UPSCALER, **heeding)
    (leg,) = upscaler.legs()
    guided = replace(leg, guidance=replace(leg.guidance, strength=1.0))
    upscaler.legs = lambda: (guided,)  # type: ignore[method-assign]
    return [built(SMALL), (UPSCALER, upscaler)]


FIELDS = {"eta": 0.5, "spacing": "snr", "guidance_states": [1, 2]}


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_is_looked_for_where_it_is_given(field: str, cascade: Built) -> None:
    given = {"process": {field: FIELDS[field]}}
    check_heeded(given, cascade)
    check_heeded({"stages": {"upscaler": given}}, cascade)
    check_heeded({"stages": {"nowhere": given, "small": None}}, cascade)
    with pytest.raises(InputError, match=rf"^x: stages\.small\.process\.{field} changes nothing: "):
        check_heeded(given | {"stages": {"small": given}}, cascade, "x: ")
    with pytest.raises(InputError, match=rf"^process\.{field} changes nothing: "):
        check_heeded(given, cascade[:1])


def test_a_stage_hears_what_is_given_for_the_one_it_is_like() -> None:
    given = {"stages": {"upscaler": {"process": {"eta": 0.5}}}}
    check_heeded(given, [built(UPSCALER), built(OWN, sampler="ddim")])
    with pytest.raises(InputError, match="changes nothing"):
        check_heeded(given, [built(UPSCALER), built(OWN)])


class NoLegs(DiffusionStage):
    """No process that anything is known of."""

    def build(self, *given: Any) -> Any:
        model = super().build(*given)
        model.legs = lambda: ()  # type: ignore[method-assign]
        return model


class Idle(NoLegs):
    """One that does not read `process`."""

    idle = ("process",)


def test_a_stage_without_legs_may_heed_what_it_reads() -> None:
    given = {"process": {"eta": 0.5}}
    check_heeded(given, [built(NoLegs("own", 4))])
    vae = AUTOENCODER.build(tiny.RECIPES["vae"], INFO)
    for one in (built(Idle("own", 4)), (AUTOENCODER, vae)):
        with pytest.raises(InputError, match=r"process\.eta changes nothing"):
            check_heeded(given, [one])


def test_nothing_is_built_where_nothing_is_asked() -> None:
    def never() -> Iterator[tuple[Stage[Any], StageModel]]:
        raise AssertionError
        yield

    check_heeded({"train": {"lr": 1}, "process": {"sampler": "ddim"}}, never())
    with pytest.raises(AssertionError):
        check_heeded({"process": {"eta": 1}}, never())
