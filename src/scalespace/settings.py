"""From a preset and a user's own fields to a checked `Config`, and to the recipe of a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from scalespace.config import Config, Recipe
from scalespace.errors import InputError, unknown
from scalespace.methods import METHODS, get_method
from scalespace.presets import build, merge, nested, read_preset, without


def load_config(preset: str = "default", overrides: Mapping[str, Any] | None = None) -> Config:
    """A preset with fields of its own, checked.

    Args:
        preset: a name from `scalespace.presets.names()` or the path of a YAML file.
        overrides: nested fields ({"train": {"epochs": 3}}) or dotted ones ({"train.epochs": 3}).
            A field given for all stages also replaces what the preset has for one of them; one
            given for a stage ({"stages.small.train.epochs": 3}) holds for that stage.

    Raises:
        InputError: an unknown preset or field, or a value of the wrong type or range.
    """
    base, own = read_preset(preset), nested(overrides or {})
    if isinstance(base.get("stages"), Mapping):
        base["stages"] = {stage: without(part, own) for stage, part in base["stages"].items()}
    config = build(Config, merge(base, own))
    stages = {stage.name for method in METHODS.values() for stage in method.stages}
    for stage in config.stages:
        if stage not in stages:
            raise unknown("stage", stage, stages)
        stage_recipe(config, stage)
    for method in config.study.methods:
        get_method(method)
    return config


def stage_recipe(config: Config, stage: str) -> Recipe:
    """The recipe of one stage: the config's, with what `config.stages` says of that stage."""
    common = {part.name: asdict(getattr(config, part.name)) for part in fields(Recipe)}
    own = config.stages.get(stage) or {}
    if not isinstance(own, dict):
        raise InputError(f"stages.{stage} must be a mapping of fields, got {own!r}")
    return build(Recipe, merge(common, own), where=f"stages.{stage}: ")
