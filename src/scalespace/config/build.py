"""From nested fields to a config: every field known, every value of its type."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser

from scalespace.errors import InputError, one_line, unknown
from scalespace.fields import mapping


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
