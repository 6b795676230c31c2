"""Nested fields, as presets and command lines have them: put over one another, and hashed."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from scalespace.errors import InputError


def digest(value: Any) -> str:
    """A short hash (12 hex digits) of a JSON value or dataclass, the same on every machine."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    """Returns `value` if it is a mapping; otherwise raises an `InputError` that names `where`."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where} must be a mapping of fields, got {value!r}")
    return value


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the leaves of `over` put over it; neither is changed."""
    out = dict(base)
    for key, value in over.items():
        below = out.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        out[key] = merge(below or {}, value) if both else copy.deepcopy(value)
    return out


def without(base: Any, leaves: Mapping[str, Any]) -> Any:
    """A copy of `base` without the leaves that `leaves` also has."""
    if not isinstance(base, Mapping):
        return base
    out = {}
    for key, value in base.items():
        other = leaves.get(key)
        if key not in leaves:
            out[key] = value
        elif isinstance(value, Mapping) and isinstance(other, Mapping):
            out[key] = without(value, other)
    return out


def put_over(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The config fields of `base`, overridden by those of `own`; neither is changed.

    A field given for all stages also replaces what `base` sets for a single stage.
    """
    stages = base.get("stages")
    if isinstance(stages, Mapping):
        base = {**base, "stages": {stage: without(part, own) for stage, part in stages.items()}}
    return merge(base, own)


def nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} as {"a": {"b": 1}}, at any depth."""
    out: dict[str, Any] = {}
    for key, value in dotted.items():
        if isinstance(value, Mapping):
            value = nested(value)
        for part in reversed(str(key).split(".")):
            value = {part: value}
        out = merge(out, value)
    return out
