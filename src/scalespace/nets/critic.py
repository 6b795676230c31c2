"""A small network that tells real images of a class from generated ones."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of the leaky ReLUs


class Critic(nn.Module):
    """Four convolutions and a projection onto the class; two of the convolutions halve the image.

    The answer for a class is w h + v_class h with h the mean features (Miyato & Koyama 2018,
    "cGANs with projection discriminator"). There is no normalisation.

    Args:
        inputs: image channels.
        classes: how many there are.
        width: features of the first convolution; the others have twice as many.
    """

    def __init__(self, inputs: int, classes: int, width: int = 24) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(inputs, width, 4, stride=2, padding=1),
                nn.Conv2d(width, 2 * width, 3, padding=1),
                nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1),
                nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            ]
        )
        self.any = nn.Linear(2 * width, 1)
        self.own = nn.Embedding(classes, 2 * width)
        nn.init.zeros_(self.own.weight)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """How real images [n, c, h, w] seem as members of their classes, int64 [n]: logits [n]."""
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
        h = x.mean(dim=(2, 3))
        return self.any(h)[:, 0] + (h * self.own(labels)).sum(dim=1)
