"""The classifier whose features judge generated images (the seed series, part 1)."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from scalespace.core.scale import pad, whole

STRIDE = 16  # of its three poolings together: 2, 2 and 4
HEAD = 11  # where in `layers` the linear layer is
LAST_CONV, LAST_POOL = 6, 8


class Features(NamedTuple):
    """What the judge makes of images before its last layer, float [n, d] each.

    `pooled` comes after the ReLU and the last pooling, and is what the linear layer reads;
    `linear` is the average of the last convolution before its ReLU, which the series finds nearer
    to a normal distribution.
    """

    pooled: Tensor
    linear: Tensor


def padded(size: int) -> int:
    """The side that images of a side are padded to: the next multiple of 16 (28 becomes 32)."""
    return whole(size, STRIDE)


class JudgeNet(nn.Module):
    """Three convolutions, each with ReLU and pooling, then dropout and one linear layer.

    `layers` is numbered as in the series, whose own class can load these weights. For 28x28 images
    and ten classes it has 7,178 parameters, the count of the series' layers; its text says 16,554.

    Args:
        height, width: of the images, before padding.
        classes: number of logits.
        channels: of an image.
    """

    def __init__(self, height: int, width: int, classes: int, channels: int = 1) -> None:
        super().__init__()
        self.height, self.width = padded(height), padded(width)
        self.features = 32 * (self.height // STRIDE) * (self.width // STRIDE)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding="same"),
            nn.ReLU(),
            nn.MaxPool2d(2, 2),
            nn.Conv2d(8, 16, 3, padding="same"),
            nn.ReLU(),
            nn.MaxPool2d(2, 2),
            nn.Conv2d(16, 32, 3, padding="same"),
            nn.ReLU(),
            nn.AvgPool2d(4, 4),
            nn.Flatten(),
            nn.Dropout(),
            nn.Linear(self.features, classes),
        )

    def pad(self, x: Tensor) -> Tensor:
        """Pads images [n, c, h, w] in [0, 1] with black, to sides that are multiples of 16."""
        return pad(x, self.height, self.width)

    def convolved(self, x: Tensor) -> Tensor:
        """Padded images to the last convolution, before its ReLU: [n, 32, h/4, w/4]."""
        return self.layers[: LAST_CONV + 1](x)

    def pooled(self, x: Tensor) -> Tensor:
        """Padded images to what the linear layer reads: [n, d]."""
        return self.layers[: LAST_POOL + 2](x)

    def embed(self, x: Tensor) -> Features:
        """Both kinds of features of padded images [n, c, h, w]."""
        last = self.convolved(x)
        return Features(F.avg_pool2d(F.relu(last), 4).flatten(1), F.avg_pool2d(last, 4).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        """Padded images [n, c, h, w] in [0, 1] to logits [n, classes]."""
        return self.layers(x)
