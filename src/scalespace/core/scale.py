"""The one definition of changing scale, used in training, sampling and evaluation alike."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from scalespace.errors import InputError


def down(images: Tensor, factor: int) -> Tensor:
    """Images [n, c, h, w] to [n, c, h/factor, w/factor]: the mean of each factor x factor block.

    For factor 2 it is bilinear interpolation at half size.

    Raises:
        InputError: h or w is no multiple of `factor`.
    """
    height, width = images.shape[-2:]
    if height % factor or width % factor:
        raise InputError(f"{height}x{width} images cannot be taken down by a factor of {factor}")
    return images if factor == 1 else F.avg_pool2d(images, factor)


def whole(side: int, factor: int) -> int:
    """The least multiple of `factor` that is not below `side`: 32 for 28 and 16."""
    return -(-side // factor) * factor


def pad(images: Tensor, height: int, width: int) -> Tensor:
    """Pads images [n, c, h, w] with zeros on all sides: [n, c, height, width], none smaller."""
    across, above = width - images.shape[-1], height - images.shape[-2]
    return F.pad(images, (across // 2, across - across // 2, above // 2, above - above // 2))


def up(images: Tensor, factor: int) -> Tensor:
    """Images [n, c, h, w] to [n, c, h factor, w factor]: bilinear between pixel centres.

    A weighted mean of pixels: it never leaves the range of its input.
    """
    if factor == 1:
        return images
    return F.interpolate(images, scale_factor=factor, mode="bilinear", align_corners=False)


def enlarge(images: Tensor, factor: int) -> Tensor:
    """Images [n, c, h, w] to [n, c, h factor, w factor]: each pixel becomes a block of its own.

    `down` takes it back exactly, which `up` does not promise.
    """
    return images.repeat_interleave(factor, dim=-2).repeat_interleave(factor, dim=-1)
