"""Presets: YAML files of `scalespace.config` fields, and how fields become typed configs."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from scalespace.errors import InputError, one_line, unknown
from scalespace.files import read_text

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The presets that ship with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


MOST_TEXT, MOST_VALUES, DEEPEST = 1_000_000, 20_000, 50
"""Limits of a YAML document: characters, values (aliases expanded), levels of nesting."""


def read_yaml(text: str, where: str) -> Any:
    """Parses a YAML document; raises an `InputError` that begins with `where` if it is invalid."""
    if len(text) > MOST_TEXT:
        raise InputError(f"{where} is too long: {len(text):,} characters, {MOST_TEXT:,} at most")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node, where)
        return loader.construct_document(node)
    except InputError:
        raise
    except Exception as error:  # odd values make its constructors raise errors of any kind
        raise InputError(f"{where} is not valid YAML: {one_line(error)}") from error


def _check_size(node: yaml.Node, where: str) -> None:
    """Refuses a document that is too large, or contains itself, once its aliases are expanded."""
    left, values = [(node, 1)], 0
    while left:
        node, depth = left.pop()
        values += 1
        if values > MOST_VALUES or depth > DEEPEST:
            raise InputError(
                f"{where} is too large, or contains itself: at most {MOST_VALUES:,} values, "
                f"{DEEPEST} levels deep"
            )
        if isinstance(node, yaml.SequenceNode):
            left += [(inner, depth + 1) for inner in node.value]
        elif isinstance(node, yaml.MappingNode):
            left += [(inner, depth + 1) for pair in node.value for inner in pair]


class _Loader(yaml.SafeLoader):
    """Refuses a field that is given twice: YAML would silently drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        if twice := [name for name in names if isinstance(name, str) and names.count(name) > 1]:
            raise yaml.constructor.ConstructorError(
                None, None, f"'{twice[0]}' is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def read_preset(preset: str | Path) -> dict[str, Any]:
    """The fields that a preset sets; it is one of `names()` or the path of a YAML file.

    A preset with `base: NAME` overrides the fields of that preset, as `put_over` does.

    Raises:
        InputError: no such preset, or the file is no YAML mapping.
    """
    preset = os.fspath(preset)
    is_file = preset.endswith((".yaml", ".yml"))
    if not is_file and preset not in names():
        raise unknown("preset", preset, names())
    path = Path(preset) if is_file else FOLDER / f"{preset}.yaml"
    value = read_yaml(read_text(path, "preset"), f"preset {path}")
    if not isinstance(value, dict):
        raise InputError(f"preset {path} must be a mapping of fields, e.g. 'train: {{epochs: 3}}'")
    base = value.pop("base", None)
    if base is None:
        return value
    if base not in names() or base == preset:
        raise InputError(f"preset {path}: base must be another one of {', '.join(names())}")
    return put_over(read_preset(base), value)


def build(kind: type, value: Mapping[str, Any], where: str = "") -> Any:
    """Makes a config dataclass from nested fields, each checked against its type.

    Raises:
        InputError: an unknown field or a bad value.
    """
    _known_fields(kind, value, where)
    parser = _parser(kind)
    try:
        _check_numbers(value, "")
        made = parser.instantiate(parser.parse_object(copy.deepcopy(dict(value))))
        return kind(**{f.name: made[f.name] for f in fields(kind)})
    except (ArgumentError, ValueError, TypeError) as error:
        raise InputError(f"{where}{one_line(error)}") from error


LARGEST = 10**12
"""The largest whole number in any config; the config classes set tighter bounds."""


def _check_numbers(value: Any, where: str) -> None:
    """Raises `InputError` for a number that is not finite, or larger than `LARGEST`."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _check_numbers(inner, f"{where}{name}.")
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_numbers(inner, where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where.rstrip('.')} must be a finite number, got {value}")
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise InputError(f"{where.rstrip('.')} is too large: {LARGEST:,} at most")


@cache
def _parser(kind: type) -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind)
    return parser


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


def _known_fields(kind: type, value: Mapping[str, Any], where: str) -> None:
    known, hints = {f.name: f for f in fields(kind)}, get_type_hints(kind)
    for key, inner in value.items():
        if key not in known:
            raise unknown(f"field of {where or 'the config'}".rstrip(".: "), key, known)
        part = known[key].default_factory
        if is_dataclass(part):
            _known_fields(part, mapping(inner, f"{where}{key}"), f"{where}{key}.")
        elif inner is None and type(None) not in get_args(hints[key]):
            raise InputError(f"{where}{key} must have a value")  # the parser lets None through
