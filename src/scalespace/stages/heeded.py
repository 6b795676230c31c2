"""Fields of a process that change nothing where they are given: said at once, not sampled twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

from scalespace.core.sampling import Leg
from scalespace.errors import InputError
from scalespace.stages.base import Stage, StageModel

NEEDS: dict[str, tuple[Callable[[Leg], bool], str]] = {
    "eta": (
        lambda leg: leg.solver.eta is not None,
        "no sampler here draws more noise or less",
    ),
    "spacing": (
        lambda leg: isinstance(leg.visits.steps, int),
        "it spreads a number of calls (process.steps=6), and none is given",
    ),
    "guidance_states": (
        lambda leg: leg.guidance.strength != 0,
        "nothing is guided",
    ),
}
"""Fields that only some ways of sampling heed: whether a leg's does, and what is said if none."""

Built = Iterable[tuple[Stage[Any], StageModel]]


def check_heeded(changes: Mapping[str, Any], built: Built, where: str = "") -> None:
    """Refuses a field of the process that none of the stages heeds which it is given for.

    Args:
        changes: nested fields, for all stages, and under `stages` for one and those that are like
            it. One for a stage that is not among those built is left alone.
        built: the stages, with their models as they will be sampled; none is asked for unless
            `changes` has fields to check.
        where: what an error begins with.

    Raises:
        InputError: the field, and why it changes nothing.
    """
    parts = {"": changes, **(changes.get("stages") or {})}
    asked = [(name, field) for name, part in parts.items() for field in _named(part)]
    every = list(built) if asked else []
    for name, field in asked:
        concerned = [one for one in every if not name or _is(one[0], name)]
        if concerned and not any(_heeds(*one, field) for one in concerned):
            path = f"stages.{name}.process.{field}" if name else f"process.{field}"
            raise InputError(f"{where}{path} changes nothing: {NEEDS[field][1]}")


def _named(part: Mapping[str, Any] | None) -> list[str]:
    """The fields of `NEEDS` among those of a stage."""
    return [field for field in (part or {}).get("process") or {} if field in NEEDS]


def _is(stage: Stage[Any] | None, name: str) -> bool:
    """Whether a stage has that name, or takes its fields from one that has."""
    return stage is not None and (stage.name == name or _is(stage.like, name))


def _heeds(stage: Stage[Any], model: StageModel, field: str) -> bool:
    """Whether the field may matter to a stage: to one without legs, unless its process is idle."""
    if legs := model.legs():
        return any(NEEDS[field][0](leg) for leg in legs)
    return "process" in {part.name for part in fields(stage.recipe)} - {*stage.idle}
