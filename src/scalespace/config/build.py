"""From nested fields to a config: every field known, every value of its type."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache, lru_cache
from typing import Any, get_args, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser

from scalespace.config.checks import check_text, odd_numbers
from scalespace.errors import InputError, one_line, unknown
from scalespace.fields import mapping


def build(kind: type, value: Mapping[str, Any], where: str = "") -> Any:
    """Makes a config dataclass from nested fields, each checked against its type.

    Raises:
        InputError: an unknown field or a bad value.
    """
    _known_fields(kind, value, where)
    try:
        _check_values(value, "")
        _check_texts(kind, value, "")
        return _made(kind, value, "")
    except (ArgumentError, ValueError, TypeError) as error:
        raise InputError(f"{where}{one_line(error)}") from error


LARGEST = 10**12
"""The largest whole number in any config; the config classes set tighter bounds."""


def _check_values(value: Any, where: str) -> None:
    """Raises `InputError` for a name that is no text, or a number not finite or above `LARGEST`."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            check_text(name, where.rstrip("."))
            _check_values(inner, f"{where}{name}.")
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_values(inner, where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where.rstrip('.')} must be a finite number, got {value}")
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise InputError(f"{where.rstrip('.')} is too large: {LARGEST:,} at most")


def _check_texts(kind: type, value: Mapping[str, Any], where: str) -> None:
    """Raises `InputError` for a text that only YAML 1.1 would take for the number wanted."""
    for name, inner in value.items():
        if part := _parts(kind).get(name):
            _check_texts(part, inner or {}, f"{where}{name}.")
        elif odd := odd_numbers(_hints(kind)[name], inner):
            raise InputError(f"{where}{name} must be a number, got '{odd[0]}'")


def _made(kind: type, value: Mapping[str, Any], name: str) -> Any:
    """A config of plain fields and of parts, which are configs themselves.

    Stages share most of their parts, and the parser takes milliseconds for each. So what it made of
    a part's fields is kept.
    """
    parts = _parts(kind)
    own = {key: inner for key, inner in value.items() if key not in parts}
    # what JSON does not know is read as its text, as a command line's values are
    text = json.dumps(own, default=str)
    made = copy.deepcopy(_parsed(kind, name, text))
    for key, part in parts.items():
        made[key] = _made(part, value.get(key) or {}, f"{name}.{key}" if name else key)
    return kind(**made)


@lru_cache(maxsize=1024)
def _parsed(kind: type, name: str, text: str) -> dict[str, Any]:
    """The plain fields of a config that is called `name` in messages, from their JSON."""
    parser, given = _parser(kind, name), json.loads(text)
    read = parser.parse_object({name: given} if name else given)
    made = parser.instantiate(read)
    plain = (f.name for f in fields(kind) if f.name not in _parts(kind))
    return {own: made[f"{name}.{own}" if name else own] for own in plain}


@cache
def _parser(kind: type, name: str) -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, name or None, skip=set(_parts(kind)), instantiate=False)
    return parser


@cache
def _parts(kind: type) -> dict[str, type]:
    """The class of each field that is a config itself."""
    made_by: dict[str, Any] = {f.name: f.default_factory for f in fields(kind)}
    return {name: by for name, by in made_by.items() if isinstance(by, type) and is_dataclass(by)}


@cache
def _known(kind: type) -> dict[str, bool]:
    """All its fields, and whether each may be None."""
    return {f.name: type(None) in get_args(_hints(kind)[f.name]) for f in fields(kind)}


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _known_fields(kind: type, value: Mapping[str, Any], where: str) -> None:
    known = _known(kind)
    for key, inner in value.items():
        if key not in known:
            raise unknown(f"field of {where or 'the config'}".rstrip(".: "), key, known)
        if part := _parts(kind).get(key):
            _known_fields(part, mapping(inner, f"{where}{key}"), f"{where}{key}.")
        elif inner is None and not known[key]:
            raise InputError(f"{where}{key} must have a value")  # the parser lets None through
