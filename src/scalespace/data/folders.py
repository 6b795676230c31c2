"""Image folders: a folder a class.

The class folders lie below train/ and test/ (PATH/train/cat/1.png), or directly in the folder
(PATH/cat/1.png), which is then split.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from scalespace.data.catalog import Part
from scalespace.data.info import LONGEST_NAME
from scalespace.errors import InputError, one_line, plural

FOLDER = "folder:"
"""What an image folder's path follows where a data set is asked for."""
SUFFIXES = (".png", ".jpg", ".jpeg")
MOST = 1_000_000
"""The most images of a folder."""
TEST_SHARE = 1 / 7
"""Of each class, where a folder has no test part; as in MNIST."""


@dataclass(frozen=True)
class ImageFolder:
    """A folder of images as a data set.

    Args:
        path: of the folder.
        size: of the images, height and width alike: the shorter side is resampled to it (Lanczos)
            and what the longer one has more is cut off on both ends. None: as they are.
    """

    path: Path
    size: int | None = None

    @property
    def name(self) -> str:
        """The folder's."""
        return self.path.resolve().name

    @property
    def own(self) -> bool:
        """True."""
        return True

    @property
    def options(self) -> list[str]:
        """The options of a command that ask for it."""
        size = [] if self.size is None else ["--size", str(self.size)]
        return ["--data", f"{FOLDER}{self.path}", *size]

    @property
    def words(self) -> str:
        """How images are brought to `size`."""
        return f"the shorter side to {self.size} (Lanczos), the longer one cut at both ends"

    @cached_property
    def parted(self) -> bool:
        """Whether it has a train/ and a test/ folder of its own."""
        return (self.path / "train").is_dir() and (self.path / "test").is_dir()

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the class folders, sorted.

        Raises:
            InputError: there is no such folder, it has a training or a test part alone, or fewer
                than two classes with images.
        """
        root = self.path / "train" if self.parted else self.path
        if not self.path.is_dir():
            if self.path.exists():
                raise InputError(f"{self.path} is a file, not a folder of images")
            raise InputError(f"image folder not found: {self.path}")
        self._check_parts()
        found = _folders(root)
        for name in found:
            if not name.isprintable() or len(name) > LONGEST_NAME:
                raise InputError(
                    f"{root} has a class folder whose name is no line of at most {LONGEST_NAME} "
                    f"characters: {name!r:.100}"
                )
            if not any(class_files(root / name)):
                raise InputError(
                    f"{root / name} has no images ({', '.join(SUFFIXES)}): a class needs some"
                )
        if len(found) < 2:
            raise InputError(
                f"{root} must have a folder of images for each class, two at least, and has "
                f"{len(found)}"
            )
        return found

    @property
    def folders(self) -> tuple[str, ...]:
        """The names of all folders in it, sorted."""
        return _folders(self.path)

    def names(self, labels: np.ndarray) -> tuple[str, ...]:
        """`classes`."""
        return self.classes

    def check(self) -> None:
        """Raises `InputError` unless it has images of each class: listed, and none read."""
        self._listed("train")

    def load(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """One part: uint8 [n, h, w], or [n, h, w, 3] if any training image has colours; labels.

        Raises:
            InputError: an image is damaged, sizes differ and `size` is not given, a class of the
                test part has no training images, or a class has no image left to test on.
        """
        paths, labels = self._listed(part)
        coloured = self._coloured
        images = [read_image(path, self.size, coloured) for path in paths]
        sizes = {image.shape[:2] for image in images} | {self._first.shape[:2]}
        if len(sizes) > 1:
            some = ", ".join(f"{w}x{h}" for h, w in sorted(sizes)[:3])
            raise InputError(
                f"the images in {self.path} differ in size ({some}): bring them to one with --size"
            )
        return np.stack(images), labels

    @cached_property
    def _coloured(self) -> bool:
        return any(_has_colours(path) for path in self._listed("train")[0])

    @cached_property
    def _first(self) -> np.ndarray:
        return read_image(self._listed("train")[0][0], self.size, self._coloured)

    def _listed(self, part: Part) -> tuple[list[Path], np.ndarray]:
        """The files of a part with their labels, by class and then by name."""
        if self.parted:
            self._check_test_classes()
        paths, labels = list[Path](), list[int]()
        for label, name in enumerate(self.classes):
            root = self.path / part if self.parted else self.path
            own = sorted(class_files(root / name)) if (root / name).is_dir() else []
            if not self.parted:
                own = self._split(name, own, part)
            paths += own
            labels += [label] * len(own)
        if len(paths) > MOST:
            raise InputError(f"{self.path} has {len(paths):,} images: {MOST:,} at most")
        if not paths:
            raise InputError(f"{self.path / part} has no images")
        return paths, np.array(labels, dtype=np.int64)

    def _check_parts(self) -> None:
        """Refuses one part without the other, unless train or test is a class of that name."""
        for part, other in (("train", "test"), ("test", "train")):
            inner = self.path / part
            if inner.is_dir() and _folders(inner) and not (self.path / other).is_dir():
                raise InputError(
                    f"{self.path} has {part}/ but no {other}/: it needs both, or class folders "
                    "directly in it, which are then split"
                )

    def _check_test_classes(self) -> None:
        for name in _folders(self.path / "test"):
            if name not in self.classes:
                raise InputError(
                    f"{self.path / 'test' / name} is of a class without training images: put some "
                    f"into {self.path / 'train' / name}, or move it away"
                )

    @property
    def left_out(self) -> list[str]:
        """What is visible in it and no image of a class, by its path below the folder, sorted."""
        roots = [self.path / part for part in ("train", "test")] if self.parted else [self.path]
        places = [self.path] if self.parted else []
        taken = set(roots)
        for root in roots:
            folders = [root / name for name in self.classes if (root / name).is_dir()]
            taken.update(folders, *map(class_files, folders))
            places += [root, *folders]
        found = {one for place in places for one in place.iterdir() if _visible(one)}
        return sorted(str(one.relative_to(self.path)) for one in found - taken)

    def _split(self, name: str, own: list[Path], part: Part) -> list[Path]:
        """The files of a class that are in a part."""
        tested = kept_to_test(len(own), f"{self.path / name} has {plural(len(own), 'image')}")
        return [own[k] for k in np.flatnonzero(tested == (part == "test"))]


def kept_to_test(count: int, said: str) -> np.ndarray:
    """Which images of a class are kept to test on: bool [count], always the same for a count.

    One in seven, one at least.

    Args:
        count: of images.
        said: how many there are, for the error.

    Raises:
        InputError: they are too few for a training, a validation and a test part.
    """
    if count < 3:
        raise InputError(
            f"{said}: to be split into a training, a validation and a test part, a class needs 3 "
            "at least"
        )
    tested = np.zeros(count, dtype=bool)
    order = np.random.default_rng(0).permutation(count)
    tested[order[: max(1, round(TEST_SHARE * count))]] = True
    return tested


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")


def _folders(root: Path) -> tuple[str, ...]:
    return tuple(sorted(one.name for one in root.iterdir() if _visible(one) and one.is_dir()))


def class_files(folder: Path) -> Iterator[Path]:
    """The images in a folder, in no order; hidden files and those of other kinds are left out."""
    for path in folder.iterdir():
        if path.suffix.lower() in SUFFIXES and _visible(path) and path.is_file():
            yield path


def _opened(path: Path) -> Image.Image:
    """An image as RGB or L, upright, transparent parts black."""
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I;16") or image.mode in ("I", "F"):
                wide = np.asarray(image, dtype=np.float64) / 257
                return Image.fromarray(np.clip(np.rint(wide), 0, 255).astype(np.uint8))
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                seen = image.convert("RGBA")
                ground = Image.new("RGBA", seen.size, (0, 0, 0, 255))
                return Image.alpha_composite(ground, seen).convert("RGB")
            return image.convert("L" if image.mode in ("1", "L") else "RGB")
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path} is no image that can be read: damaged, or neither PNG nor JPEG"
        ) from error
    except Exception as error:  # damaged bytes make its parsers raise errors of any kind
        raise InputError(f"{path} is no image that can be read: {one_line(error)}") from error


def _has_colours(path: Path) -> bool:
    if _is_stored_grey(path):
        return False
    image = _opened(path)
    if image.mode == "L":
        return False
    pixels = np.asarray(image)
    return bool((pixels != pixels[..., :1]).any())


def _is_stored_grey(path: Path) -> bool:
    """Whether its header says so; the pixels are not read. False for a damaged one."""
    try:
        with Image.open(path) as file:
            return file.mode in ("1", "L") and "transparency" not in file.info
    except Exception:  # `_opened` tells what is wrong with it
        return False


def read_image(path: Path, size: int | None, coloured: bool) -> np.ndarray:
    """uint8 [h, w] or, if `coloured`, [h, w, 3]."""
    image = _opened(path).convert("RGB" if coloured else "L")
    if size is not None:
        image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    return np.asarray(image)
