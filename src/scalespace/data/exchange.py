"""Samples of any form: files of this program and of others, and folders of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from scalespace.data.folders import ImageFolder, class_files, read_image
from scalespace.data.pngs import ABOUT, safe, told_classes
from scalespace.data.samples import META, Samples, check, meta_of, read_arrays
from scalespace.errors import InputError
from scalespace.files import read_text

GUIDED = ("arr_0", "arr_1")
"""The arrays of the guided-diffusion evaluation suite: images uint8 [n, h, w, c], and labels."""


def read_any(
    path: Path | str, classes: tuple[str, ...] = (), coloured: bool | None = None
) -> tuple[Samples, list[str]]:
    """Samples of any form: a samples file, one of another program, or a folder of images.

    Args:
        path: of an `.npz` file, or a folder with PNG or JPEG files, a folder a class or all at
            once.
        classes: names of the real data's classes, by which a folder's are known.
        coloured: whether the real data are. If not, grey images that are stored as coloured ones
            are read as grey; if so, a folder's grey ones as coloured.

    Returns:
        the samples, and what was assumed of them, in sentences.

    Raises:
        InputError: they cannot be read.
    """
    path = Path(path)
    in_folder = path.is_dir()
    found, assumed = _folder(path, classes) if in_folder else _file(path)
    images, may = found.images, coloured is False or (in_folder and coloured is None)
    if may and images.ndim == 4 and bool((images == images[..., :1]).all()):
        found = Samples(np.ascontiguousarray(images[..., 0]), found.labels, found.meta)
    return found, assumed


def _file(path: Path) -> tuple[Samples, list[str]]:
    arrays = read_arrays(path, ("images", "labels", META, *GUIDED))
    assumed = []
    images, labels = arrays.get("images"), arrays.get("labels")
    if images is None and GUIDED[0] in arrays:
        images, labels = arrays[GUIDED[0]], arrays.get(GUIDED[1])
        assumed.append(f"{path}: '{GUIDED[0]}' are its images")
    if images is None:
        raise InputError(f"{path} has no array 'images': is it a samples file?")
    meta = meta_of(arrays[META], path) if META in arrays else {}
    if images.dtype == np.uint8:
        images = images.astype(np.float32) / 255
        assumed.append(f"{path}: its bytes 0 to 255 are black to white")
    if labels is None:
        if "images" in arrays:
            raise InputError(f"{path} has no array 'labels': is it a samples file?")
        n = len(images) if images.ndim else 0
        labels, meta = np.zeros(n, dtype=np.int64), {**meta, "conditional": False}
        assumed.append(f"{path}: without labels, its images are of no class")
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    return check(images, labels, meta, where=path), assumed


def told_data(path: Path | str) -> object:
    """The name of the data set that samples of any form tell, unchecked; None if they tell none.

    Raises:
        InputError: they cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        return _meta_of_folder(path).get("data")
    arrays = read_arrays(path, (META,))
    return meta_of(arrays[META], path).get("data") if META in arrays else None


def _meta_of_folder(path: Path) -> dict[str, Any]:
    about = path / ABOUT
    return meta_of(np.array(read_text(about, "meta")), about) if about.is_file() else {}


def _folder(path: Path, classes: tuple[str, ...]) -> tuple[Samples, list[str]]:
    """The images of a folder, in colour whatever they are."""
    meta = _meta_of_folder(path)
    flat = sorted(class_files(path))
    if flat:
        if inner := [name for name in ImageFolder(path).folders if any(class_files(path / name))]:
            raise InputError(
                f"{path} has images both in class folders ({inner[0]}, say) and beside them "
                f"({flat[0].name}, say): move one of the two away"
            )
        images = [read_image(file, None, coloured=True) for file in flat]
        labels, meta = [0] * len(flat), {**meta, "conditional": False}
        assumed = [f"{path}: without class folders, its images are of no class"]
    else:
        own = ImageFolder(path)
        named = classes or told_classes(meta) or own.folders
        # `write_folder` numbers a name where two would be one folder's; a folder of the very name
        # is that class's
        place = {f"{label} {safe(name)}": label for label, name in enumerate(named)}
        place |= {safe(name): label for label, name in enumerate(named)}
        place |= {name: label for label, name in enumerate(named)}
        images, labels = [], []
        for name in own.folders:
            if name not in place:
                raise InputError(
                    f"{path / name} is none of the classes, which are {', '.join(named)}"
                )
            label = place[name]
            files = sorted(class_files(path / name))
            images += [read_image(file, None, coloured=True) for file in files]
            labels += [label] * len(files)
        assumed = []
    if not images:
        raise InputError(f"{path} has no images")
    if len({image.shape for image in images}) > 1:
        raise InputError(f"the images in {path} differ in size")
    pixels = np.stack(images).astype(np.float32) / 255
    return check(pixels, np.array(labels, dtype=np.int64), meta, where=path), assumed
