"""The models that ship with the package, and how a name or a path becomes a model's folder.

Each is an ordinary model folder with a card (README.md) and the averaged weights alone, written by
`tools/ship_models.py`. Folders that share a stage each hold it, so that any can be copied as it is.
"""

from __future__ import annotations

import os
from pathlib import Path

from scalespace.errors import InputError, near
from scalespace.files import no_folder, read_json

FOLDER = Path(__file__).parent
CONFIG = "config.json"


def names() -> list[str]:
    """The models that ship with the package."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{CONFIG}"))


def of_method(method: str) -> list[str]:
    """The shipped models of a method."""
    return [name for name in names() if read_json(FOLDER / name / CONFIG)["method"] == method]


def is_shipped(model: Path | str) -> bool:
    """Whether this is the name of a shipped model; a `Path`, or what has a separator, never is."""
    return isinstance(model, str) and model in names()


def find(model: Path | str) -> Path:
    """The folder of a model: a path, or the name of a shipped one.

    A folder that exists comes before a shipped model of that name; `./NAME` is always a path.

    Raises:
        InputError: it is neither, or a folder without a model hides a shipped one of that name.
    """
    folder = Path(model)
    if folder.is_dir():
        if is_shipped(model) and not (folder / CONFIG).exists():
            raise InputError(
                f"the folder {model} holds no model ({CONFIG}), and stands before the shipped "
                f"model of that name: rename it, or work elsewhere"
            )
        return folder
    if is_shipped(model):
        return FOLDER / str(model)
    raise absent(model)


def absent(model: Path | str) -> InputError:
    """The error for a folder that is not there; suggests the nearest shipped model's name."""
    refused = no_folder("model", model)
    if isinstance(model, Path) or os.sep in model or os.path.exists(model) or not names():
        return refused
    return InputError(f"{refused}{near(model, names())} (shipped: {', '.join(names())})")
