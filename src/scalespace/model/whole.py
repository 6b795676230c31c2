"""Whole numbers as callers give them, Python's or numpy's, made plain."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import SupportsIndex

from scalespace.errors import InputError


def whole(name: str, value: SupportsIndex, least: int = 0) -> int:
    """A number as an int; `InputError` unless it is whole and at least `least`."""
    try:
        found = operator.index(value)
    except TypeError as error:
        raise InputError(f"{name} must be a whole number, got {value!r}") from error
    if found < least:
        raise InputError(f"{name} must be at least {least}, got {found}")
    return found


def whole_list(name: str, values: Iterable[SupportsIndex]) -> list[int]:
    """Numbers as a list of ints; `InputError` unless all are whole."""
    try:
        return [operator.index(value) for value in values]
    except TypeError as error:
        raise InputError(f"{name} must be a list of whole numbers: {error}") from error
