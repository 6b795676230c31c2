"""Images as PNG files, a folder a class."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scalespace.errors import InputError
from scalespace.files import abandoned, aside_of, not_written

ABOUT = "meta.json"
MOST_CLASSES = 10_000


def to_pil(images: NDArray[np.floating]) -> list[Image.Image]:
    """Images [n, h, w] or [n, h, w, 3] in [0, 1] as Pillow's, 8 bits a channel."""
    return [Image.fromarray(image) for image in np.rint(images * 255).astype(np.uint8)]


def safe(name: str) -> str:
    """A class's name as that of a folder: what a file system may refuse becomes a dash."""
    kept = "".join(c if c.isalnum() or c in " _-+,()" else "-" for c in name).strip()
    return kept or "-"


def write_folder(
    images: NDArray[np.floating],
    labels: NDArray[np.int64],
    meta: Mapping[str, Any],
    folder: Path | str,
) -> Path:
    """Writes `CLASS/00000.png` and so on, numbered by row, and `meta.json`.

    The whole folder appears at once, or not at all. Its classes are those that the meta names.

    Args:
        images, labels, meta: of checked samples.
        folder: a new or empty one.

    Raises:
        InputError: the folder is there already and not empty, or the file system refuses.
    """
    folder = Path(folder)
    names, used = class_names(labels, meta), sorted(set(labels.tolist()))
    if len(set(map(safe, names))) < len(names):
        names = [f"{label} {name}" for label, name in enumerate(names)]
    digits = max(5, len(str(len(images) - 1)))
    aside = aside_of(folder.absolute())
    try:
        for left in abandoned(folder.absolute()):
            shutil.rmtree(left, ignore_errors=True)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} is there already: name a new folder for the images")
        for label in used:
            (aside / safe(names[label])).mkdir(parents=True)
        for k, (image, label) in enumerate(zip(to_pil(images), labels.tolist(), strict=True)):
            image.save(aside / safe(names[label]) / f"{k:0{digits}}.png")
        (aside / ABOUT).write_text(json.dumps(dict(meta), indent=1), encoding="utf-8")
        os.replace(aside, folder)
    except OSError as error:
        raise not_written(folder, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def told_classes(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of classes that a meta has; none if it has no list of them."""
    named = meta.get("classes")
    return tuple(map(str, named)) if isinstance(named, list) else ()


def class_names(labels: NDArray[np.int64], meta: Mapping[str, Any]) -> list[str]:
    """Those that the meta names, or the labels as they are.

    Raises:
        InputError: a label is too large for one class of a list.
    """
    named, most = told_classes(meta), int(labels.max()) + 1
    if most > MOST_CLASSES:
        raise InputError(
            f"there is a label {most - 1}: classes are numbered from 0, and {MOST_CLASSES:,} may be"
        )
    if len(named) >= most:
        return list(named)
    return [str(label) for label in range(most)]
