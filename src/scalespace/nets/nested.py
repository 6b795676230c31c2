"""A U-Net whose inner levels alone work on smaller images.

Images at half the size skip the first encoder and the last decoder, those at a quarter two of each:
one network serves all scales of a process, and costs at each what that scale needs. After
Flexi-UNet (Mukhopadhyay et al. 2026, "Scale Space Diffusion").
"""

from __future__ import annotations

from torch import Tensor, nn

from scalespace.config import NetConfig
from scalespace.errors import InputError
from scalespace.nets.unet import UNet


class Nested(UNet):
    """A `UNet` that has a way in and a way out at each level.

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
        super().__init__(c, inputs, outputs, context, size)
        self.size = size
        seen = inputs + outputs * bool(c.overview)
        inner = c.channels[:-1]  # what each level hands to the next one, and takes back from it
        self.entries = nn.ModuleList(nn.Conv2d(seen, width, 3, padding=1) for width in inner)
        self.exits = nn.ModuleList(nn.Conv2d(width, outputs, 3, padding=1) for width in inner)

    @staticmethod
    def check_size(c: NetConfig, height: int, width: int) -> None:
        """As for a `UNet`, and raises `InputError` for patches."""
        if c.patch > 1:
            raise InputError("net.kind=nested works on pixels: net.patch must be 1")
        UNet.check_size(c, height, width)

    def level_of(self, x: Tensor) -> int:
        """How often the largest images are halved to the size of x.

        Raises:
            ValueError: they never are, as far as the network goes.
        """
        (height, width), found = self.size, tuple(x.shape[-2:])
        for level in range(len(self.encoders)):
            if (height >> level, width >> level) == found:
                return level
        raise ValueError(f"a nested network for {height}x{width} images has no level for {found}")

    def enter(self, x: Tensor, level: int) -> Tensor:
        """Smaller images enter through a convolution of their level."""
        return self.entries[level - 1](x) if level else super().enter(x, level)

    def leave(self, x: Tensor, level: int) -> Tensor:
        """Smaller images leave through one."""
        return self.exits[level - 1](x) if level else super().leave(x, level)
