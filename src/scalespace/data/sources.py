"""Finding, fetching and loading the data sets of the catalogue.

A root folder is searched in torchvision's layout (`<root>/MNIST/raw`) and in flatter ones, so
that what is already on a machine is found. The root is, in this order: the `data_dir` argument,
the environment variable `SCALESPACE_DATA`, `scalespace` in the user's cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from scalespace.data.catalog import DATASETS, KINDS, PARTS, Part, Source, source_of
from scalespace.data.download import Checksum, download, extract
from scalespace.data.idx import read_idx, read_idx_shape
from scalespace.errors import InputError, unknown
from scalespace.files import user_cache

EMBEDDED = Path(__file__).parent / "digits"
SMALLEST_SIDE = 4


def data_root(data_dir: Path | str | None = None) -> Path:
    """The root folder: `data_dir`, else `$SCALESPACE_DATA`, else the user's cache.

    Raises:
        InputError: its `~` stands for no home folder.
    """
    root = os.environ.get("SCALESPACE_DATA") or user_cache() if data_dir is None else data_dir
    expanded = os.path.expanduser("~" if root is None else root)
    if root is None or (expanded.startswith("~") and not os.path.exists(expanded)):
        raise InputError(
            f"there is no home folder for {root or 'the cache'}: name the root of the data with "
            "--data-dir or $SCALESPACE_DATA"
        )
    return Path(expanded)


def fetch(name: str, data_dir: Path | str | None = None) -> Path:
    """Downloads the files of `name`, unless they are there.

    Returns:
        the folder that holds all four files, each plain or gzipped.

    Raises:
        InputError: the name is unknown, only some files are there and they are not official, two
            places in the root have some, no mirror gives good files, or they cannot be written; or
            `data_dir` is given for a data set that comes with the package.
    """
    source = source_of(name)
    if not source.folder:
        if data_dir is not None:
            raise InputError(
                f"{name} comes with the package, and --data-dir does not change it: leave it out, "
                "or name the data set that the folder holds with --data"
            )
        return EMBEDDED
    root = data_root(data_dir)
    folder = _locate(source, root)
    if folder and _whole(source, folder):
        return folder
    folder = folder or root / source.folder / "raw"
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
    """The images and labels of one part of a data set; only the image size of the other is read.

    Returns:
        images, uint8 [n, h, w] in 0..255 and upright, and labels, int64 [n], the first class 0.

    Raises:
        InputError: the name is unknown, the files cannot be downloaded, are damaged, do not fit
            together or belong to another data set, or no training image has some test label.
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
        known = np.unique(labels)
        labels = _labels(source, paths["test", "labels"])
        if len(strange := np.setdiff1d(labels, known)):
            raise InputError(
                f"{paths['test', 'labels']} has the label {strange[0] + source.first_label}, "
                f"which no training image has"
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
    return _verdict(name, data_dir, PARTS)


def has_own_files(name: str, data_dir: Path | str | None = None) -> bool:
    """Whether the training files of `name`, which must be there, are known to be a user's own.

    Unlike `is_official` it leaves the test part alone.

    Raises:
        InputError: as `is_official` does.
    """
    return _verdict(name, data_dir, ("train",)) is False


def _verdict(name: str, data_dir: Path | str | None, parts: Iterable[Part]) -> bool | None:
    """Whether the files of some parts are the published ones; see `is_official`."""
    source, folder = _found(name, data_dir)
    labels = _labels(source, _file(folder, source.files["train", "labels"]))
    if labels.max() + 1 < len(source.classes):
        return False
    files = [source.files[part, kind] for part in parts for kind in KINDS]
    verdicts = [
        source.checksums.get(file, Checksum()).verdict(_file(folder, file)) for file in files
    ]
    return False if False in verdicts else None if None in verdicts else True


def _found(name: str, data_dir: Path | str | None) -> tuple[Source, Path]:
    """A data set and the folder that has its files; `InputError` where none has."""
    source, root = source_of(name), data_root(data_dir)
    folder = _locate(source, root) if source.folder else EMBEDDED
    if folder is None or not _whole(source, folder):
        raise InputError(f"no files of {name} in {root}: fetch them first")
    return source, folder


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
    """The folder of the accepted layouts that has files of a data set, all of them or some.

    Raises:
        InputError: two have. Taking either would hide the other, which may be a user's own.
    """
    layouts = (root / source.folder / "raw", root / source.folder, root / "raw", root)
    places = [
        folder
        for folder in layouts
        if any(_present(folder, file) for file in source.files.values())
    ]
    if len(places) > 1:  # MNIST's kin share their file names
        places = [folder for folder in places if not _another(source, folder)] or places
    if len(places) > 1:
        raise InputError(
            f"two folders have files of {source.name}, {places[0]} and {places[1]}: move one of "
            "them away, or name the one to use with --data-dir"
        )
    return places[0] if places else None


def _whole(source: Source, folder: Path) -> bool:
    return all(_present(folder, file) for file in source.files.values())


def _another(source: Source, folder: Path) -> bool:
    """Whether the labels in a folder are the published ones of another data set."""
    try:
        for part in PARTS:
            if _present(folder, file := source.files[part, "labels"]):
                _refuse_another(source, _file(folder, file))
    except InputError:
        return True
    return False


def _complete(source: Source, folder: Path) -> None:
    """Downloads into `folder` what it lacks; what it has must be official.

    So an interrupted download resumes, and a user's own files are never mixed with others.
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
