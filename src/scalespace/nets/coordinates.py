"""A U-Net that is told where each pixel lies and how large it is, so that one serves all sizes.

After Ryu & Ye 2022 ("Pyramidal Denoising Diffusion Probabilistic Models"), whose network takes a
sinusoidal code of the coordinates as further channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scalespace.config import NetConfig
from scalespace.nets.unet import UNet

CHANNELS = 3


class Coordinates(UNet):
    """A `UNet` with three more channels: each pixel's row, column and side.

    Args:
        c, inputs, outputs, context: as for `UNet`.
        size: of the largest images (h, w).
    """

    def __init__(
        self,
        c: NetConfig,
        inputs: int,
        outputs: int,
        context: int,
        size: tuple[int, int] = (28, 28),
    ) -> None:
        super().__init__(c, inputs + CHANNELS, outputs, context, size)
        self.size = size

    def draw(self, x: Tensor, modulation: Tensor) -> Tensor:
        """As a `UNet`'s."""
        return super().draw(torch.cat([x, self.where(x)], dim=1), modulation)

    def where(self, x: Tensor) -> Tensor:
        """Rows and columns of the pixels' centres in [-1, 1], and their side: [n, 3, h, w].

        The side is 1 in the largest images, and 2 in those half as large.
        """
        n, _, height, width = x.shape
        ends = (torch.arange(side, device=x.device, dtype=x.dtype) for side in (height, width))
        rows, columns = ((2 * k + 1) / len(k) - 1 for k in ends)
        sides = torch.full_like(rows, self.size[0] / height)
        found = torch.stack(
            [one.expand(height, width) for one in (rows[:, None], columns, sides[:, None])]
        )
        return found.expand(n, -1, -1, -1)
