"""Finding, fetching and loading the data sets of the catalogue.

A root folder is searched in torchvision's layout (`<root>/MNIST/raw`) and in flatter ones, so
that what is already on a machine is found. The root is, in this order: the `data_dir` argument,
the environment variable `SCALESPACE_DATA`, `scalespace` in the user's cache.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from scalespace.data.catalog import DATASETS, PARTS, Part, Source, source_of
from scalespace.data.download import Checksum, download, extract
from scalespace.data.idx import read_idx, read_idx_shape
from scalespace.errors import InputError, unknown

EMBEDDED = Path(__file__).parent / "digits"
SMALLEST_SIDE = 4


def data_root(data_dir: Path | str | None = None) -> Path:
    """The root folder: `data_dir`, else `$SCALESPACE_DATA`, else the user's cache."""
    if data_dir is not None:
        return Path(os.path.expanduser(data_dir))
    if from_environment := os.environ.get("SCALESPACE_DATA"):
        return Path(os.path.expanduser(from_environment))
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache, "scalespace")


def fetch(name: str, data_dir: Path | str | None = None) -> Path:
    """Makes sure that the files of `name` are there, and downloads them if they are not.

    Returns:
        the folder that holds all four files, each plain or gzipped.

    Raises:
        InputError: the name is unknown, a part of the files is there but not official, no mirror
            gives good files, or they cannot be written.
    """
    source = source_of(name)
    root = data_root(data_dir)
    if folder := _locate(source, root):
        return folder
    folder = root / source.folder / "raw"
    new = [path for path in (folder, *folder.parents) if not os.path.exists(path)]
    try:
        _complete(source, folder)
    except InputError as error:
        files = f"{', '.join(source.files.values())} there and in {source.folder}/raw"
        raise InputError(f"{name} is not in {root} (looked for {files}): {error}") from error
    finally:
        # A mistyped root must not stay behind as empty folders.
        for path in new:
            with suppress(OSError):
                path.rmdir()
    return folder


def load_raw(
    name: str, part: Part, data_dir: Path | str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of one part of a data set; of the other part only sizes are read.

    Returns:
        images, uint8 [n, h, w] in 0..255 and upright, and labels, int64 [n], the first class 0.

    Raises:
        InputError: the name is unknown, the files are absent and cannot be had, are damaged, do
            not fit together, belong to another data set, or a test label is none of training's.
    """
    source = source_of(name)
    if part not in PARTS:
        raise unknown("part", part, PARTS)
    folder = fetch(name, data_dir)
    paths = {key: _file(folder, file) for key, file in source.files.items()}
    labels = _labels(source, paths["train", "labels"])
    if len(labels) < 2:
        raise InputError(f"{paths['train', 'labels']} has one label only: training needs more")
    if part == "test":
        known = int(labels.max()) + 1
        labels = _labels(source, paths["test", "labels"])
        if labels.max() >= known:
            raise InputError(
                f"{paths['test', 'labels']} has the label {labels.max() + source.first_label}, "
                f"which no training image has (at most {known - 1 + source.first_label})"
            )
    path = paths[part, "images"]
    images = read_idx(path)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise InputError(
            f"{path} must hold 8-bit images [n, height, width], "
            f"not {images.dtype} of shape {list(images.shape)}"
        )
    if len(images) != len(labels):
        raise InputError(
            f"{path} has {len(images)} images, but {paths[part, 'labels'].name} "
            f"has {len(labels)} labels"
        )
    if min(images.shape[1:]) < SMALLEST_SIDE:
        raise InputError(
            f"{path} has images of {images.shape[1]} x {images.shape[2]} pixels: "
            f"at least {SMALLEST_SIDE} x {SMALLEST_SIDE} are needed"
        )
    other = paths["train" if part == "test" else "test", "images"]
    other_shape = read_idx_shape(other)
    if other_shape[1:] != images.shape[1:]:
        raise InputError(
            f"{path.name} and {other.name} in {folder} differ in image size: "
            f"{list(images.shape[1:])} and {list(other_shape[1:])}"
        )
    if source.transposed:
        images = np.ascontiguousarray(images.transpose(0, 2, 1))
    return images, labels


def is_official(name: str, data_dir: Path | str | None = None) -> bool | None:
    """Whether the files of `name` in a root, which must be there, are the published ones.

    Returns:
        True if every checksum agrees, False if one proves otherwise or classes are missing, None
        if no published checksum can tell (KMNIST's and EMNIST's are of one packed form only).

    Raises:
        InputError: the name is unknown, or the files are not there or are damaged.
    """
    source = source_of(name)
    root = data_root(data_dir)
    folder = _locate(source, root)
    if folder is None:
        raise InputError(f"no files of {name} in {root}: fetch them first")
    labels = _labels(source, _file(folder, source.files["train", "labels"]))
    if labels.max() + 1 < len(source.classes):
        return False
    verdicts = [
        source.checksums.get(file, Checksum()).verdict(_file(folder, file))
        for file in source.files.values()
    ]
    return False if False in verdicts else None if None in verdicts else True


def _labels(source: Source, path: Path) -> np.ndarray:
    """The labels in `path` as int64 [n] from 0, each one of the source's classes."""
    labels = read_idx(path)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"{path} must hold integer labels [n], not {labels.dtype} of shape {list(labels.shape)}"
        )
    _refuse_another(source, path)
    labels = labels.astype(np.int64)
    low, high = int(labels.min()), int(labels.max())
    first, last = source.first_label, source.first_label + len(source.classes) - 1
    if low < first or high > last:
        raise InputError(
            f"{path} has the label {low if low < first else high}: "
            f"labels of {source.name} run from {first} to {last}"
        )
    return labels - first


def _refuse_another(source: Source, path: Path) -> None:
    """Refuses the labels of another data set: MNIST's kin share their file names."""
    for other in DATASETS.values():
        checksum = other.checksums.get(path.name.removesuffix(".gz"))
        if other is not source and checksum and checksum.verdict(path):
            raise InputError(
                f"{path} belongs to {other.name}, not to {source.name}: "
                f"ask for {other.name}, or give the folder of {source.name}"
            )


def _locate(source: Source, root: Path) -> Path | None:
    """The first folder of the accepted layouts that has all four files."""
    if not source.folder:
        return EMBEDDED
    for folder in (root / source.folder / "raw", root / source.folder, root / "raw", root):
        if all(_present(folder, file) for file in source.files.values()):
            return folder
    return None


def _complete(source: Source, folder: Path) -> None:
    """Downloads into `folder` what it lacks; what it has must be official.

    So an interrupted download goes on, and a user's own files are never mixed with others.
    """
    present = [file for file in source.files.values() if _present(folder, file)]
    missing = [file for file in source.files.values() if file not in present]
    for file in present:
        if not source.checksums.get(file, Checksum()).verdict(_file(folder, file)):
            raise InputError(
                f"{folder} has {file} but not {missing[0]}: "
                "add what is missing, or move the rest away to download all"
            )
    if source.archive:
        members = {f"gzip/{file}.gz": folder / f"{file}.gz" for file in missing}
        extract(source.archive, source.archive_checksum, members)
        return
    for file in missing:
        urls = [f"{mirror}{file}.gz" for mirror in source.mirrors]
        download(urls, folder / f"{file}.gz", source.checksums[file])


def _present(folder: Path, file: str) -> bool:
    # os.path.isfile, unlike Path.is_file, is False where a folder may not be searched.
    return os.path.isfile(folder / file) or os.path.isfile(folder / f"{file}.gz")


def _file(folder: Path, file: str) -> Path:
    plain = folder / file
    return plain if os.path.isfile(plain) else folder / f"{file}.gz"
