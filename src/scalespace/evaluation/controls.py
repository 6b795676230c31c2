"""The two controls that every score stands beside: real images, and real images down and up.

What is taken down to half size and bilinearly up again is a ceiling that no honest "small,
upscaled" can pass, and that a real upscaler can.
"""

from __future__ import annotations

from scalespace.core.scale import down, up
from scalespace.data import DataSplits, Samples, balanced_sample

CONTROLS = {"real": "Real", "real-down-up": "Real, down and up"}
"""Their names and titles."""


def control(name: str, splits: DataSplits, n: int) -> Samples:
    """Real training images as a set of samples, balanced by class.

    Args:
        name: one of `CONTROLS`.
        splits: the data; only the training part is used.
        n: how many; all of them if there are fewer.
    """
    train = splits.train
    part = train.subset(balanced_sample(train.labels, min(n, len(train)), seed=0))
    images = part.unit()
    if name == "real-down-up":
        images = up(down(images))
    meta = {"method": name, "data": train.name, "classes": list(train.classes)}
    return Samples(images[:, 0].cpu().numpy(), part.labels.cpu().numpy(), meta)
