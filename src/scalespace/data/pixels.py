"""Two layouts of images: arrays as pictures have them, tensors as networks want them."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

COLOURS = 3


def planes(images: NDArray[Any] | Tensor) -> Tensor:
    """Grey images [n, h, w] or coloured ones [n, h, w, 3] as a tensor [n, c, h, w]."""
    x = torch.as_tensor(images)
    return x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)


def pictures(x: Tensor) -> NDArray[Any]:
    """The reverse of `planes`: [n, c, h, w] as [n, h, w] for one channel, or [n, h, w, 3]."""
    x = x.detach().cpu()
    return (x[:, 0] if x.shape[1] == 1 else x.permute(0, 2, 3, 1)).numpy()
