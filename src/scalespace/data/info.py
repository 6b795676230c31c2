"""What a model must know of its data, and carries with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from scalespace.errors import InputError

ROUNDING = 1e-6  # how far outside [0, 1] float arithmetic may carry a pixel


@dataclass(frozen=True)
class DataInfo:
    """The facts of a data set that decide how its images become a network's numbers, and back.

    Args:
        name: of the data set.
        classes: the classes' names; a label is an index into them.
        height, width: of the images in pixels.
        mean, std: of the training part's pixels in [0, 1]: the unit of the networks.
        fingerprint: hash of the training part, so that a result names its data.
        own: whether the files are known to be others than those published under this name.
        absent: labels that no training image has, where the labels have gaps.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "absent", tuple(self.absent))
        if not (4 <= self.height <= 1024 and 4 <= self.width <= 1024):
            raise InputError(
                f"images of '{self.name}' must have sides of 4 to 1024 pixels, "
                f"got {self.height}x{self.width}"
            )
        if not self.std > 0:
            raise InputError(f"the images of '{self.name}' are all alike (std 0): nothing to learn")

    @property
    def title(self) -> str:
        """Its name as people are told it: what came from own files does not pass for published."""
        return f"{self.name} (own files)" if self.own else self.name

    @property
    def labels(self) -> tuple[int, ...]:
        """The labels that there are images of to learn from."""
        return tuple(k for k in range(len(self.classes)) if k not in self.absent)

    @property
    def identity(self) -> dict[str, Any]:
        """What of it names a training: `own` and `absent` follow from the fingerprint."""
        facts = asdict(self)
        return {name: facts[name] for name in facts if name not in ("own", "absent")}

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

        Those outside [0, 1] by more than rounding (1e-6), and those that are no numbers.
        """
        unit = x * self.std + self.mean
        return ~((unit >= -ROUNDING) & (unit <= 1 + ROUNDING))
