"""Images as one resident tensor, and the paper's split of a data set into three parts."""

from __future__ import annotations

import hashlib
import math
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scalespace.data.catalog import Part
from scalespace.data.info import DataInfo
from scalespace.data.origins import Origin, find_origin, name_told
from scalespace.data.pixels import COLOURS, planes
from scalespace.errors import InputError

TRAIN_FRACTION = 5 / 6  # 50,000 of MNIST's 60,000

Labels = np.ndarray | Tensor
Indices = np.ndarray | Tensor


@dataclass(frozen=True)
class ImageSet:
    """Labelled images, all on one device.

    Args:
        images: uint8 [n, c, h, w], 0 to 255: grey (c = 1) or coloured (c = 3).
        labels: int64 [n], each in 0..len(classes)-1.
        classes: the names of the classes, in the order of their labels.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    name: str

    def __post_init__(self) -> None:
        shape = self.images.shape
        if self.images.dtype != torch.uint8 or len(shape) != 4 or shape[1] not in (1, COLOURS):
            raise ValueError(
                f"images must be uint8 [n, 1, h, w] or [n, {COLOURS}, h, w], "
                f"not {self.images.dtype} {list(self.images.shape)}"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"labels must be int64 [{len(self.images)}], "
                f"not {self.labels.dtype} {list(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.shape))
        return f"<{len(self)} images of {self.name}, {size} pixels, {len(self.classes)} classes>"

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of an image."""
        return self.images.shape[2], self.images.shape[3]

    @property
    def channels(self) -> int:
        """1 if they are grey, 3 if coloured."""
        return self.images.shape[1]

    def to(self, device: torch.device | str) -> ImageSet:
        """The same images on `device`."""
        images, labels = self.images.to(device), self.labels.to(device)
        return ImageSet(images, labels, self.classes, self.name)

    def subset(self, indices: Indices) -> ImageSet:
        """The images at `indices`, int64 [k], in that order."""
        at = torch.as_tensor(indices, dtype=torch.int64, device=self.labels.device)
        return ImageSet(self.images[at], self.labels[at], self.classes, self.name)

    def unit(self) -> Tensor:
        """The images as float32 [n, c, h, w] in [0, 1]."""
        return self.images.float() / 255


@dataclass(frozen=True)
class DataSplits:
    """A data set as the experiments see it.

    Args:
        name: its name in the catalogue.
        train: what networks are trained on.
        val: what training is watched with.
        mean: of the pixels of `train`, where 255 counts as 1.
        std: their standard deviation, likewise.
        data_dir: the root that was asked for, if any.
        own: whether the training files are known not to be the published ones.
        origin: where its images come from; None for the catalogue.
    """

    name: str
    train: ImageSet
    val: ImageSet
    mean: float
    std: float
    data_dir: Path | None = None
    own: bool = False
    origin: Origin | None = None

    def __repr__(self) -> str:
        parts = f"{len(self.train)} to train on, {len(self.val)} to validate with"
        return f"<data {self.info.title}: {parts}, {' x '.join(map(str, self.train.shape))} pixels>"

    @cached_property
    def info(self) -> DataInfo:
        """The facts that a model carries with it; the fingerprint is of the training part."""
        present = set(self.train.labels.unique().tolist())
        return DataInfo(
            self.name,
            self.train.classes,
            *self.train.shape,
            mean=self.mean,
            std=self.std,
            fingerprint=_hash(self.train),
            own=self.own,
            absent=tuple(sorted(set(range(len(self.train.classes))) - present)),
            channels=self.train.channels,
        )

    @cached_property
    def whole(self) -> ImageSet:
        """All images of the training files, the validation part included: 60,000 for MNIST."""
        return ImageSet(
            torch.cat([self.train.images, self.val.images]),
            torch.cat([self.train.labels, self.val.labels]),
            self.train.classes,
            self.name,
        )

    @property
    def options(self) -> str:
        """The options of a command that ask for this data, as they are typed."""
        words = ["--data", self.name] if self.origin is None else self.origin.options
        return shlex.join(words)

    def mark(self, part: str) -> str:
        """Names what is held out of a user's own data, as the fingerprint names its training part.

        Empty for published data, whose name says it, and which is then not read.

        Args:
            part: test or validation.
        """
        if not self.own:
            return ""
        return _hash(self.test() if part == "test" else self.val)

    def test(self) -> ImageSet:
        """The test part, which is for final scoring only; it is read when first asked for."""
        return self._test

    @cached_property
    def _test(self) -> ImageSet:
        origin = self.origin or find_origin(self.name, self.data_dir)
        part = _load_part(origin, "test", self.train.classes)
        if part.channels != self.train.channels:
            raise InputError(f"{self.name}: training images are coloured and test images grey")
        return part


def _hash(images: ImageSet) -> str:
    content = hashlib.sha256(images.images.cpu().numpy().tobytes())
    content.update(images.labels.cpu().numpy().tobytes())
    return content.hexdigest()[:12]


def load(
    name: str, data_dir: Path | str | None = None, seed: int = 0, size: int | None = None
) -> DataSplits:
    """Loads a data set, downloaded if need be, with its training files split by `balanced_split`.

    Args:
        name: a name of `DATASETS`, `folder:PATH` (see `data/folders.py`), or `npz:FILE`, a samples
            file.
        data_dir: the root folder; otherwise `$SCALESPACE_DATA`, otherwise the user's cache.
        seed: fixes which images train and which validate.
        size: what the images of a folder are brought to, in pixels.

    Raises:
        InputError: the name is unknown, the files cannot be downloaded or are damaged, or they hold
            too few images to train and validate with, or pixels of a single grey.
    """
    if seed < 0:
        raise InputError(f"the seed of a split must be at least 0, got {seed}")
    origin = find_origin(name, data_dir, size)
    whole = _load_part(origin, "train")
    train, val = map(whole.subset, balanced_split(whole.labels, seed))
    if len(train) < 2 or len(val) < 1:
        raise InputError(
            f"{name} has too few images to train and to validate with: {len(whole)} "
            f"in {len(torch.unique(whole.labels))} classes"
        )
    mean, std = _mean_std(train.images)
    if std == 0:
        raise InputError(f"every pixel of {name}'s training images is the same grey")
    root = None if data_dir is None else Path(data_dir)
    return DataSplits(origin.name, train, val, mean, std, root, origin.own, origin)


def load_told(
    info: DataInfo,
    whose: str,
    name: str | None = None,
    data_dir: Path | str | None = None,
    size: int | None = None,
) -> DataSplits:
    """The data that a model or a judge was trained on, or those that are named instead.

    Args:
        info: what the model tells of its data.
        whose: what to call the model in a message, such as its path.
        name, data_dir, size: as of `load`; without a name the model's own is taken.

    Raises:
        InputError: the model's data are somebody's own, and nothing says where they lie; or what
            `load` raises.
    """
    splits = load(name or name_told(info.name, whose), data_dir, size=size)
    alone = name is None and data_dir is None
    if alone and info.own and splits.info.fingerprint != info.fingerprint:
        raise InputError(
            f"{whose} is of own data called '{info.name}', and these are other ones: say where "
            "they lie, with --data folder:PATH, --data npz:FILE, or --data-dir"
        )
    return splits


def balanced_split(
    labels: Labels, seed: int, fraction: float = TRAIN_FRACTION
) -> tuple[np.ndarray, np.ndarray]:
    """Splits into a part with equally many of each class, and the rest.

    With n labels in c classes, each class gives floor(n * fraction / c) to the first part: for
    MNIST's 60,000 exactly 5,000. No class gives more than 95 % of its images, or fewer than one.

    Returns:
        the indices for training and for validation, int64, each in random order; together they
        are 0..n-1. The same labels and seed give the same split.
    """
    by_class = _by_class(labels, np.random.default_rng(seed))
    rng = np.random.default_rng([seed, 1])
    n = sum(map(len, by_class))
    # The small addition keeps rounding (49999.999999) from losing one.
    quota = math.floor(n * fraction / max(len(by_class), 1) + 1e-9)
    counts = [max(1, min(quota, len(indices) * 19 // 20)) for indices in by_class]
    train = [indices[:count] for indices, count in zip(by_class, counts, strict=True)]
    val = [indices[count:] for indices, count in zip(by_class, counts, strict=True)]
    return _shuffled(train, rng), _shuffled(val, rng)


def balanced_sample(labels: Labels, n: int, seed: int) -> np.ndarray:
    """Draws `n` different indices with the classes as equal in number as they allow.

    Two classes differ by more than one only where the smaller is used up.

    Returns:
        int64 [n] in random order. The same labels, n and seed give the same indices.

    Raises:
        InputError: `n` is less than 1 or more than there are labels.
    """
    rng = np.random.default_rng(seed)
    by_class = _by_class(labels, rng)
    sizes = np.array([len(indices) for indices in by_class], dtype=np.int64)
    if not 1 <= n <= sizes.sum():
        raise InputError(f"cannot draw {n} of {sizes.sum()} labelled images")
    level = 0
    while np.minimum(sizes, level + 1).sum() <= n and level < sizes.max():
        level += 1
    counts = np.minimum(sizes, level)
    larger = rng.permutation(np.flatnonzero(sizes > level))
    counts[larger[: n - counts.sum()]] += 1
    chosen = [indices[:count] for indices, count in zip(by_class, counts, strict=True)]
    return _shuffled(chosen, rng)


def first_of_each(images: np.ndarray, labels: np.ndarray, classes: int, n: int) -> np.ndarray:
    """The first n images of each class: float32 [classes, n, h, w(, 3)], black where it has fewer.

    Args:
        images: of any kind of number, [all, h, w] or [all, h, w, 3].
        labels: int [all].
    """
    places = places_of_first(labels, classes, n)
    out = np.zeros((classes, n, *images.shape[1:]), dtype=np.float32)
    out[places >= 0] = images[places[places >= 0]]
    return out


def places_of_first(labels: np.ndarray, classes: int, n: int) -> np.ndarray:
    """Where the first n images of each class are: int64 [classes, n], -1 where it has fewer."""
    out = np.full((classes, n), -1, dtype=np.int64)
    for label in range(classes):
        found = np.flatnonzero(labels == label)[:n]
        out[label, : len(found)] = found
    return out


def _load_part(origin: Origin, part: Part, classes: tuple[str, ...] = ()) -> ImageSet:
    images, labels = origin.load(part)
    x = planes(images).contiguous()
    return ImageSet(x, torch.from_numpy(labels), classes or origin.names(labels), origin.name)


def _by_class(labels: Labels, rng: np.random.Generator) -> list[np.ndarray]:
    """The indices of each class that has any, in the order of the labels, shuffled."""
    labels = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    return [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]


def _shuffled(groups: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(np.concatenate([np.empty(0, np.int64), *groups]))


def _mean_std(images: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of uint8 pixels, 255 counting as 1.

    Computed from integer sums, and so the same to the last bit on every machine: the names of
    trainings depend on them.
    """
    counts: list[int] = torch.bincount(images.flatten(), minlength=256).tolist()
    n = sum(counts)
    total = sum(value * count for value, count in enumerate(counts))
    squares = sum(value**2 * count for value, count in enumerate(counts))
    return total / (255 * n), math.sqrt(n * squares - total**2) / (255 * n)
