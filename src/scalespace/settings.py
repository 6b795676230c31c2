"""Makes a checked `Config` from a preset and a user's fields, and a stage's recipe from that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from scalespace.config import Config, Recipe
from scalespace.config.build import build
from scalespace.data.info import DataInfo
from scalespace.errors import InputError, unknown
from scalespace.fields import mapping, merge, nested, put_over
from scalespace.methods import Method, get_method, stages
from scalespace.nets.registry import trust
from scalespace.plugins import HINT
from scalespace.presets import read_preset
from scalespace.stages.base import Stage
from scalespace.stages.from_recipe import solver_of
from scalespace.training.training import Training


def load_config(
    preset: str | Path = "default", overrides: Mapping[str, Any] | None = None
) -> Config:
    """Reads a preset and overrides some of its fields.

    Args:
        preset: a name from `scalespace.presets.names()` or the path of a YAML file.
        overrides: nested fields ({"train": {"epochs": 3}}) or dotted ones ({"train.epochs": 3}).
            A field given for all stages also replaces what the preset sets for a single stage; one
            given for a stage ({"stages.small.train.epochs": 3}) holds for that stage alone.

    Raises:
        InputError: an unknown preset or field, or a value of the wrong type or range.
    """
    base, known = read_preset(preset), stages()
    own = nested(mapping({} if overrides is None else overrides, "overrides"))
    if isinstance(base.get("stages") or {}, Mapping):
        defaults = {name: stage_defaults(stage) for name, stage in known.items()}
        defaults = {name: fields for name, fields in defaults.items() if fields}
        base["stages"] = merge(defaults, base.get("stages") or {})
    return _checked(put_over(base, own))


def vary(config: Config, changes: Mapping[str, Any]) -> Config:
    """A config with some fields overridden, as `load_config` overrides those of a preset.

    Raises:
        InputError: an unknown field, or a value of the wrong type or range.
    """
    return _checked(put_over(asdict(config), nested(changes)))


def _checked(fields: Mapping[str, Any]) -> Config:
    config, known = build(Config, fields), stages()
    trust(config.net.kind)
    solver_of(config.process)
    for stage in config.stages:
        if stage not in known:
            raise unknown("stage", stage, known, HINT)
    # those that are like another come last: a bad field is then told of the stage that it is given
    for stage in sorted(config.stages, key=lambda name: known[name].like is not None):
        recipe = stage_recipe(config, known[stage])
        if isinstance(recipe, Recipe):
            trust(recipe.net.kind)
            solver_of(recipe.process)
    for method in config.study.methods:
        get_method(method)
    return config


def stage_defaults(stage: Stage) -> dict[str, Any]:
    """The stage's `defaults`, over those of the classes that it derives from."""
    merged: dict[str, Any] = {}
    for kind in reversed(type(stage).__mro__):
        merged = merge(merged, vars(kind).get("defaults", {}))
    return merged


def stage_recipe(config: Config, stage: Stage) -> Any:
    """The recipe of one stage: the config's fields, overridden by those in `config.stages`.

    A stage that is `like` another starts from those of its fields that it has too, and overrides
    them by its own.

    Raises:
        InputError: a field that the stage does not have, or a bad value.
    """
    parts = [part.name for part in fields(stage.recipe)]
    common = {name: asdict(getattr(config, name)) for name in parts if hasattr(config, name)}
    chain = [stage]  # the stage, what it is like, what that is like ...
    while (like := chain[-1].like) is not None:
        chain.append(like)
    for other in reversed(chain[1:]):
        theirs = _own_fields(config, other)
        common = merge(common, {name: theirs[name] for name in parts if name in theirs})
    common = merge(common, _alone(stage))
    common = merge(common, _own_fields(config, stage))
    return build(stage.recipe, common, where=f"stages.{stage.name}: ")


def _alone(stage: Stage) -> dict[str, Any]:
    """The stage's defaults that a field for all stages leaves as they are."""
    defaults = stage_defaults(stage)
    return nested({name: reduce(getitem, name.split("."), defaults) for name in stage.alone})


def _own_fields(config: Config, stage: Stage) -> Mapping[str, Any]:
    return mapping(config.stages.get(stage.name) or {}, f"stages.{stage.name}")


def make_training(config: Config, stage: Stage, seed: int, data: DataInfo) -> Training:
    """The training of a stage by a config, with the trainings of the stages that it needs.

    Raises:
        InputError: a seed below 0, or what `stage_recipe` raises.
    """
    if not isinstance(seed, int) or seed < 0:
        raise InputError(f"--seed must be at least 0 and whole, got {seed!r}")
    needs = tuple(make_training(config, need, seed, data) for need in stage.needs)
    recipe = stage_recipe(config, stage)
    return Training(stage, recipe, seed, stage.units(recipe, data), needs)


def make_trainings(
    config: Config, method: Method, seed: int, data: DataInfo
) -> tuple[Training, ...]:
    """The trainings of a method's stages, in order.

    Raises:
        InputError: as `make_training`, or the stages' images are in different units.
    """
    made = tuple(make_training(config, stage, seed, data) for stage in method.stages)
    if any(training.data != made[0].data for training in made):
        raise InputError(
            f"the stages of method '{method.name}' must have their images in the same units"
        )
    return made
