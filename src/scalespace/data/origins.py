"""Where the images of a data set come from: the catalogue, a folder, or a samples file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from scalespace.data.catalog import DATASETS, Part, source_of
from scalespace.data.folders import FOLDER, ImageFolder, kept_to_test
from scalespace.data.pngs import class_names
from scalespace.data.samples import Samples, read_samples
from scalespace.data.sources import fetch, has_own_files, load_raw
from scalespace.errors import InputError, plural, unknown

FILE = "npz:"
SMALLEST, LARGEST = 4, 1024


class Origin(Protocol):
    """Where images come from."""

    @property
    def name(self) -> str:
        """What the data set is called."""

    @property
    def own(self) -> bool:
        """Whether its files are known not to be the published ones of that name."""

    @property
    def options(self) -> list[str]:
        """The options of a command that ask for it."""

    def check(self) -> None:
        """Refuses what is not there, without a look at any image; nothing is downloaded.

        Raises:
            InputError: what is missing, and where.
        """

    def load(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """The images and labels of one part.

        Returns:
            images, uint8 [n, h, w] or [n, h, w, 3] in 0..255 and upright; labels, int64 [n].
        """

    def names(self, labels: np.ndarray) -> tuple[str, ...]:
        """The names of its classes, given the labels of its training part."""


@dataclass(frozen=True)
class Listed:
    """A data set of the catalogue.

    Args:
        name: its name there.
        data_dir: the root folder that was asked for, if any.
    """

    name: str
    data_dir: Path | str | None = None

    @property
    def own(self) -> bool:
        """By their checksums."""
        return has_own_files(self.name, self.data_dir)

    @property
    def options(self) -> list[str]:
        """As any `Origin`."""
        root = [] if self.data_dir is None else ["--data-dir", str(self.data_dir)]
        return ["--data", self.name, *root]

    def check(self) -> None:
        """As any `Origin`; files that are not there may yet be downloaded."""
        if not source_of(self.name).folder:  # it comes with the package
            fetch(self.name, self.data_dir)

    def load(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """As any `Origin`."""
        return load_raw(self.name, part, self.data_dir)

    def names(self, labels: np.ndarray) -> tuple[str, ...]:
        """A subset with fewer classes than the official set has that many fewer names."""
        return source_of(self.name).classes[: labels.max() + 1]


@dataclass(frozen=True)
class SamplesFile:
    """A samples file as a data set; of each class one image in seven is kept to test on.

    Args:
        path: of the `.npz` file. Its meta may name the classes.
    """

    path: Path

    @property
    def name(self) -> str:
        """The file's, without its suffix."""
        return self.path.stem

    @property
    def own(self) -> bool:
        """True."""
        return True

    @property
    def options(self) -> list[str]:
        """As any `Origin`."""
        return ["--data", f"{FILE}{self.path}"]

    @cached_property
    def samples(self) -> Samples:
        """Its content."""
        return read_samples(self.path)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Those that its meta names, or the labels as they are."""
        return tuple(class_names(self.samples.labels, self.samples.meta))

    def names(self, labels: np.ndarray) -> tuple[str, ...]:
        """`classes`."""
        return self.classes

    def check(self) -> None:
        """As any `Origin`."""
        if not os.path.isfile(self.path):
            raise InputError(f"samples file not found: {self.path}")

    def load(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """As any `Origin`.

        Raises:
            InputError: a class has too few images for three parts.
        """
        labels = self.samples.labels
        tested = np.zeros(len(labels), dtype=bool)
        for label in np.unique(labels):
            own = np.flatnonzero(labels == label)
            said = f"{self.path} has {plural(len(own), 'image')} of class '{self.classes[label]}'"
            tested[own] = kept_to_test(len(own), said)
        chosen = tested if part == "test" else ~tested
        images = np.rint(self.samples.images[chosen] * 255).astype(np.uint8)
        return images, labels[chosen]


def name_told(name: object, whose: str) -> str:
    """The name of a data set that a file or a model tells.

    Raises:
        InputError: it tells none, or that of somebody's own data, which no name finds.
    """
    if not isinstance(name, str):
        raise InputError(f"{whose} names no data set: name it with --data NAME")
    if name not in DATASETS:
        raise InputError(
            f"{whose} is of '{name}', which does not come by name: say where it lies, with "
            "--data folder:PATH or --data npz:FILE"
        )
    return name


def find_origin(name: str, data_dir: Path | str | None = None, size: int | None = None) -> Origin:
    """The origin of a data set.

    Args:
        name: of the catalogue, `folder:PATH` or `npz:FILE`.
        data_dir: the root folder for the catalogue's; otherwise `$SCALESPACE_DATA`, otherwise the
            user's cache.
        size: what the images of a folder are brought to, in pixels.

    Raises:
        InputError: the name is unknown, a path is missing, or a size is given for what is no
            folder, or is too small.
    """
    kind = next((kind for kind in (FOLDER, FILE) if name.startswith(kind)), "")
    if size is not None and kind != FOLDER:
        raise InputError(f"--size is for image folders (--data folder:PATH), and not for {name}")
    if size is not None and not SMALLEST <= size <= LARGEST:
        raise InputError(f"--size must be {SMALLEST} to {LARGEST} pixels, got {size}")
    if kind and data_dir is not None:
        raise InputError(f"--data-dir is for data sets by name, and {name} says where it is")
    if kind == name:
        raise InputError(f"'{kind}' needs a path: {kind}PATH")
    path = Path(os.path.expanduser(name.removeprefix(kind)))  # unlike Path.expanduser never raises
    if kind == FOLDER:
        return ImageFolder(path, size)
    if kind == FILE:
        return SamplesFile(path)
    if name not in DATASETS:
        hint = "a folder of images is folder:PATH, a samples file npz:FILE"
        if os.path.isdir(path):  # unlike Path.is_dir, it raises nothing for absurd names
            hint = f"the folder of that name is {FOLDER}{name}"
        elif path.suffix == ".npz" and os.path.isfile(path):
            hint = f"the file of that name is {FILE}{name}"
        raise InputError(f"{unknown('data set', name, DATASETS)}; {hint}")
    return Listed(name, data_dir)
