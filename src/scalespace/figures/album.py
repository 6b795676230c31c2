"""Pictures that are drawn once, however often they are shown."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from scalespace.figures.picture import Picture, Theme


class Album:
    """The PNG files of pictures, by what is drawn in them.

    A page that is built again and again, as its study goes on, shares one: only pictures whose
    content has changed are drawn.
    """

    def __init__(self) -> None:
        self._before: dict[str, bytes] = {}
        self._now: dict[str, bytes] = {}

    def png(self, picture: Picture, theme: Theme) -> bytes:
        """`picture.png(theme)`, drawn now or before."""
        key = fingerprint((picture.drawing.size, picture.drawing.draw, theme))
        found = self._now.get(key) or self._before.get(key) or picture.png(theme)
        self._now[key] = found
        return found

    def turn(self) -> None:
        """Forgets the pictures that were not asked for since the last call."""
        self._before, self._now = self._now, {}


def fingerprint(value: Any) -> str:
    """A hash of plain values, arrays, data classes, and functions with what they enclose.

    Values that cannot be told from one another within this process have equal hashes.
    """
    found = hashlib.sha256()
    _feed(found, value)
    return found.hexdigest()


def _feed(found: Any, value: Any) -> None:
    found.update(f"{type(value).__qualname__}(".encode())
    if isinstance(value, np.ndarray):
        found.update(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif inspect.isfunction(value):
        found.update(f"{value.__module__}.{value.__qualname__}".encode())
        _feed(found, dict(inspect.getclosurevars(value).nonlocals))
    elif is_dataclass(value):
        _feed(found, [getattr(value, field.name) for field in fields(value)])
    elif isinstance(value, Mapping):
        _feed(found, [*value.items()])
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for part in value:
            _feed(found, part)
    else:
        found.update(repr(value).encode())
    found.update(b")")
