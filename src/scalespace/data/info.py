"""The facts about its data that a model needs, and carries with it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from scalespace.errors import InputError

LONGEST_NAME = 100  # of a data set or a class, in characters
ROUNDING = 1e-6  # how far outside [0, 1] float arithmetic may carry a pixel


def has_names(classes: Sequence[str]) -> bool:
    """Whether classes are called otherwise than by their labels."""
    return any(name != str(label) for label, name in enumerate(classes))


def listed_classes(classes: Sequence[str]) -> str:
    """The classes' names in a message: those that there is room for."""
    return textwrap.shorten(", ".join(classes), 60, placeholder=" ...")


@dataclass(frozen=True)
class DataInfo:
    """The facts of a data set that decide how its images become a network's input, and back.

    Args:
        name: of the data set.
        classes: the classes' names; a label is an index into them.
        height, width: of the images in pixels.
        mean, std: of the training part's pixels in [0, 1], which standardise the networks' input.
        fingerprint: hash of the training part, so that a result names its data.
        own: whether the files are known not to be those published under this name.
        absent: labels that no training image has, where the labels have gaps.
        channels: of an image: 1 if it is grey, 3 if coloured.

    Raises:
        InputError: the images are too small or too large or all alike, or a name is none.
    """

    name: str
    classes: tuple[str, ...]
    height: int
    width: int
    mean: float
    std: float
    fingerprint: str = ""
    own: bool = False
    absent: tuple[int, ...] = ()
    channels: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "absent", tuple(self.absent))
        for text in (self.name, *self.classes):
            if not isinstance(text, str) or len(text) > LONGEST_NAME or not text.isprintable():
                raise InputError(
                    f"a data set and its classes must have names of one line and at most "
                    f"{LONGEST_NAME} characters, got {text!r:.100}"
                )
        sides = (self.height, self.width)
        if not all(isinstance(side, int) and 4 <= side <= 1024 for side in sides):
            raise InputError(
                f"images of '{self.name}' must have sides of 4 to 1024 pixels, "
                f"got {self.height}x{self.width}"
            )
        if not self.std > 0:
            raise InputError(f"the images of '{self.name}' are all alike (std 0): nothing to learn")

    @classmethod
    def from_json(cls, value: Any) -> DataInfo:
        """The facts from plain values, as `dataclasses.asdict` and JSON make them.

        Raises:
            TypeError: a field is unknown or absent. ValueError: one is of the wrong kind.
        """
        info = cls(**value)
        for name in ("mean", "std"):
            if not (isinstance(number := getattr(info, name), int | float) and 0 <= number <= 1):
                raise ValueError(f"{name} must be a number from 0 to 1, got {number!r}")
        mark = info.fingerprint
        if not isinstance(mark, str) or len(mark) > LONGEST_NAME or not mark.isprintable():
            raise ValueError(f"fingerprint must be a word, got {mark!r:.100}")
        if not info.classes:
            raise ValueError("there must be classes")
        if not isinstance(info.own, bool):
            raise ValueError(f"own must be true or false, got {info.own!r}")
        if info.channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {info.channels!r}")
        if not info.labels or not set(info.absent) <= set(range(len(info.classes))):
            raise ValueError(f"absent must be some of the labels, got {list(info.absent)!r}")
        return info

    @property
    def title(self) -> str:
        """The name to display, which tells a user's own files from the published ones."""
        return f"{self.name} (own files)" if self.own else self.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a picture: (h, w) if it is grey, (h, w, 3) if coloured."""
        colours = () if self.channels == 1 else (self.channels,)
        return self.height, self.width, *colours

    @property
    def labels(self) -> tuple[int, ...]:
        """The labels that have training images."""
        return tuple(k for k in range(len(self.classes)) if k not in self.absent)

    @property
    def identity(self) -> dict[str, Any]:
        """What a training's name depends on; the other fields follow from the fingerprint."""
        facts = asdict(self)
        return {name: facts[name] for name in facts if name not in ("own", "absent", "channels")}

    @property
    def domain(self) -> tuple[float, float]:
        """Black and white in standardised units: the ends of the images' domain."""
        return (0 - self.mean) / self.std, (1 - self.mean) / self.std

    def standardize(self, unit: Tensor) -> Tensor:
        """Images in [0, 1] to mean 0 and deviation 1 over the training part."""
        return (unit - self.mean) / self.std

    def to_unit(self, x: Tensor) -> Tensor:
        """Standardised images back to pixels, clipped to [0, 1]."""
        return (x * self.std + self.mean).clamp(0, 1)

    def outside(self, x: Tensor) -> Tensor:
        """Which standardised values are no pixels: bool, shaped as `x`.

        Those outside [0, 1] by more than rounding (1e-6), and NaN.
        """
        unit = x * self.std + self.mean
        return ~((unit >= -ROUNDING) & (unit <= 1 + ROUNDING))
