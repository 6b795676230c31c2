"""Stages that a model already has, put where trainings live, so that they are not trained again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

from scalespace.files import locked
from scalespace.training.training import FINISHED, TrainedStage, Training, save_stage, with_needs


def adopt(
    trained: Iterable[TrainedStage], wanted: Iterable[Training], root: Path, patience: float = 0.0
) -> list[TrainedStage]:
    """Writes those of some trained stages below `root` that are wanted there, and returns them.

    A training and what it builds on are wanted. Stage, recipe, seed and data must be the same; what
    `root` holds already stays. Of several processes that train together each calls this, so that
    none begins before the files are there.

    Args:
        trained: stages.
        wanted: trainings.
        root: folder of trainings.
        patience: seconds to wait for another process that writes there.

    Raises:
        InputError: the folder cannot be written, or another process trains there.
    """
    identities = {one.identity for one in with_needs(wanted)}
    taken = [stage for stage in trained if stage.training.identity in identities]
    for stage in taken:
        folder = stage.training.folder(root)
        if (folder / FINISHED).exists():
            continue
        with locked(folder, "training", patience):
            if not (folder / FINISHED).exists():
                save_stage(stage, folder)
    return taken


def why_not(stage: TrainedStage, wanted: Iterable[Training]) -> str:
    """Why a trained stage is none of those wanted, in a few words: how the one of its name differs.

    Empty if it is one of them.
    """
    every = {one.stage.name: one for one in with_needs(wanted)}
    theirs, ours = stage.training, every.get(stage.training.stage.name)
    if ours is None:
        return "no such stage is needed"
    if theirs.identity == ours.identity:
        return ""
    if theirs.data.identity != ours.data.identity:
        return "it has learnt other data"
    if theirs.seed != ours.seed:
        return f"it has seed {theirs.seed}, and {ours.seed} is wanted"
    own, other = (dict(_leaves(one.choices)) for one in (ours, theirs))
    for name in sorted({*own, *other}):
        if own.get(name) != other.get(name):
            has, asked = (attrgetter(name)(one.recipe) for one in (theirs, ours))
            return f"it has {name} = {has}, and {asked} is wanted"
    return "what it builds on differs"


def _leaves(fields: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Nested fields under dotted names."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
