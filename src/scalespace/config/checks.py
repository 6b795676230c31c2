"""Checks of a config's fields, and of a training's history."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from scalespace.errors import InputError

HISTORY = ("epoch", "loss", "val_loss")
"""What a stage's record keeps of each epoch."""


def between(low: float, high: float, **values: float) -> None:
    for name, value in values.items():
        if not low <= value <= high:
            raise ValueError(f"{name} must lie between {low} and {high}, got {value}")


def at_least(low: float, **values: float) -> None:
    for name, value in values.items():
        if not value >= low:
            raise ValueError(f"{name} must be at least {low}, got {value}")


def check_text(name: object, where: str) -> None:
    """Refuses a name that YAML has read as something else than text.

    In JSON, which results and settings are kept in, it would become another text.
    """
    if not isinstance(name, str):
        raise InputError(
            f"{where}: a name must be text, got {name}: write it in quotes, for YAML reads "
            "numbers, dates, on, off, yes, no and null as something else"
        )


def check_history(rows: Any) -> None:
    """Raises `TypeError` or `KeyError` unless each epoch's row has its numbers."""
    for row in rows:
        numbers = [row["epoch"], row["loss"], row.get("val_loss", 0)]
        numbers += row.get("val_loss_per_t", ())
        if not all(isinstance(number, int | float) for number in numbers):
            raise TypeError(f"history must have numbers, got {row!r:.100}")


ODD = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-9_]+)*(?:\.[0-9_]*)?")


def odd_numbers(kind: Any, value: Any) -> list[str]:
    """The texts in a value that YAML 1.1 takes for numbers and people do not, as 1:2 for 62.

    The parser of fields and options would take them for numbers, too, where a number is wanted.

    Args:
        kind: the type that the value is to have; where it may be text, any text is as good.
        value: a text, or lists and mappings of texts.
    """
    if not isinstance(value, str):
        inner = list(value.values()) if isinstance(value, Mapping) else value
        inner = inner if isinstance(inner, list | tuple) else ()
        return [text for one in inner for text in odd_numbers(kind, one)]
    words = re.split(r"[\s,\[\]{}]+", value)
    kinds = _leaves(kind)
    if str in kinds or not kinds & {int, float}:
        return []
    return [word for word in words if ODD.fullmatch(word) and set(word) & set("_:")]


def _leaves(kind: Any) -> set[Any]:
    """The plain types that a type hint is made of."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        parts = ()
    elif origin is dict:
        parts = parts[1:]  # names are text
    return {leaf for part in parts for leaf in _leaves(part)} or {kind}
