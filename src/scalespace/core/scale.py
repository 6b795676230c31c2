"""The one definition of changing scale, used in training, sampling and evaluation alike."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from scalespace.errors import InputError


def down(images: Tensor, factor: int = 2) -> Tensor:
    """Images [n, c, h, w] to [n, c, h/factor, w/factor]: the mean of each factor x factor block.

    For factor 2 it is bilinear interpolation at half size.

    Raises:
        InputError: h or w is no multiple of `factor`.
    """
    height, width = images.shape[-2:]
    if height % factor or width % factor:
        raise InputError(f"{height}x{width} images cannot be taken down by a factor of {factor}")
    return images if factor == 1 else F.avg_pool2d(images, factor)


def up(images: Tensor, factor: int = 2) -> Tensor:
    """Images [n, c, h, w] to [n, c, h factor, w factor]: bilinear between pixel centres.

    A weighted mean of pixels: it never leaves the range of its input.
    """
    if factor == 1:
        return images
    return F.interpolate(images, scale_factor=factor, mode="bilinear", align_corners=False)
