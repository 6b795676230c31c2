"""The classifier that scores samples in the seed paper (appendix 3.9)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from scalespace.errors import InputError


class CASClassifier(nn.Module):
    """Two convolutions with pooling, then two linear layers, to the logits of the classes.

    The first linear layer has 64 (side // 4 - 1)^2 inputs, as the paper says. This takes a padding
    of 1 in the first convolution and none in the second; the text pads both, which would give
    64 (side // 4)^2. "Every layer is interleaved with the GELU".

    Args:
        height, width: of the images, at least 8.
        classes: number of logits.
        channels: of an image.

    Raises:
        InputError: the images are too small.
    """

    def __init__(self, height: int, width: int, classes: int, channels: int = 1) -> None:
        super().__init__()
        if min(height, width) < 8:
            raise InputError(f"CAS needs images of at least 8x8 pixels, got {height}x{width}")
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3)
        rest = ((height // 2 - 2) // 2) * ((width // 2 - 2) // 2)
        self.fc1 = nn.Linear(64 * rest, 128)
        self.fc2 = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, c, h, w] to logits [n, classes]."""
        x = F.max_pool2d(F.gelu(self.conv1(x)), 2)
        x = F.max_pool2d(F.gelu(self.conv2(x)), 2)
        return self.fc2(F.gelu(self.fc1(x.flatten(1))))
