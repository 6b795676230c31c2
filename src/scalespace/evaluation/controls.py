"""Control sets to compare scores with: sets of real images, and one of noise."""

from __future__ import annotations

from typing import Any, Literal

import torch

from scalespace.core.noise import derive_seed
from scalespace.core.scale import down, up
from scalespace.data import DataSplits, ImageSet, Samples, balanced_sample
from scalespace.data.pixels import pictures

CONTROLS = {"real": "Real", "real-down-up": "Real, down and up"}
"""The controls of CAS, and their titles.

Real images taken down to half size and bilinearly up again are a ceiling for methods that end at
half size; a real upscaler can pass it.
"""
HALF = 2
"""The factor of that control."""
HeldOut = Literal["test", "validation"]
"""The held-out parts that scores may use; a search must not see the test part."""
FLOOR = "real-test"
FLOORS: dict[HeldOut, str] = {"test": FLOOR, "validation": "real-validation"}
FEATURE_CONTROLS = {
    FLOOR: "Real test images",
    "real-down-up": CONTROLS["real-down-up"],
    "pixel-noise": "Noise of each pixel",
}
"""The controls of the metrics that compare with the training part, and their titles.

Real test images are the floor. The noise is normal with the mean and deviation of each pixel over
the training part, as in the seed series.
"""
TITLES = {**CONTROLS, **FEATURE_CONTROLS, FLOORS["validation"]: "Real validation images"}


def feature_controls(part: HeldOut) -> dict[str, str]:
    """`FEATURE_CONTROLS` with the real images of `part` as the floor."""
    floor = {FLOORS[part]: TITLES[FLOORS[part]]}
    return floor | {name: title for name, title in FEATURE_CONTROLS.items() if name != FLOOR}


def controls_beside(floor: bool, part: HeldOut) -> dict[str, str]:
    """The controls of a metric and their titles: those with a floor, or those of CAS."""
    return feature_controls(part) if floor else CONTROLS


def control(name: str, splits: DataSplits, n: int, conditional: bool = True) -> Samples:
    """A control as a set of samples, balanced by class.

    Args:
        name: one of `TITLES`.
        splits: the data; only `real-test` reads the test part.
        n: how many; all of them if there are fewer.
        conditional: whether the images that it is a control of were made for their labels. If not,
            its own labels do not count either.
    """
    if name in FLOORS.values():
        part = _balanced(splits.test() if name == FLOOR else splits.val, n)
        images = part.unit()
    elif name == "pixel-noise":
        part = _balanced(splits.train, n)
        rng = torch.Generator().manual_seed(derive_seed(0, name))
        every = splits.train.unit()
        noise = torch.randn((len(part), *every.shape[1:]), generator=rng)
        images = (every.mean(dim=0) + every.std(dim=0) * noise).clamp(0, 1)
    else:
        part = _balanced(splits.train, n)
        images = part.unit() if name == "real" else up(down(part.unit(), HALF), HALF)
    meta: dict[str, Any] = {"method": name, "data": splits.name, "classes": list(part.classes)}
    if not conditional:
        meta["conditional"] = False
    return Samples(pictures(images), part.labels.cpu().numpy(), meta)


def _balanced(images: ImageSet, n: int) -> ImageSet:
    return images.subset(balanced_sample(images.labels, min(n, len(images)), seed=0))
