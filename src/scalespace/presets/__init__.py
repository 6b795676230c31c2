"""Presets: YAML files of `scalespace.config` fields that ship with the package, or of one's own."""

from __future__ import annotations

import copy
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from scalespace.errors import InputError, unknown
from scalespace.fields import put_over
from scalespace.files import read_text
from scalespace.presets.documents import read_yaml

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The presets that ship with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_preset(preset: str | Path) -> dict[str, Any]:
    """The fields that a preset sets; it is one of `names()` or the path of a YAML file.

    A preset with `base: NAME` overrides the fields of that preset, as `put_over` does.

    Raises:
        InputError: no such preset, or the file is no YAML mapping.
    """
    given = os.fspath(preset) if isinstance(preset, os.PathLike) else preset
    if not isinstance(given, str):  # of a path of bytes no file's name can be told
        known = ", ".join(names())
        raise InputError(f"a preset is a name ({known}) or a YAML file's path, got {given!r:.100}")
    preset = given
    is_file = preset.endswith((".yaml", ".yml"))
    if not is_file and preset not in names():
        raise unknown("preset", preset, names())
    path = Path(preset) if is_file else FOLDER / f"{preset}.yaml"
    value = copy.deepcopy(_document(read_text(path, "preset"), f"preset {path}"))
    if not isinstance(value, dict):
        raise InputError(f"preset {path} must be a mapping of fields, e.g. 'train: {{epochs: 3}}'")
    base = value.pop("base", None)
    if base is None:
        return value
    if base not in names() or base == preset:
        raise InputError(f"preset {path}: base must be another one of {', '.join(names())}")
    return put_over(read_preset(base), value)


_document = lru_cache(maxsize=64)(read_yaml)
"""Documents that were read: the parser takes a tenth of a second for one."""
