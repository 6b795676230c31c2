"""Keeping an estimate of x0 inside the images' domain, as an explicit choice.

`low` and `high` are the domain's ends in the process's own units: a tensor that broadcasts or a
float; pixels in [0, 1] become [-mean/std, (1-mean)/std] once standardised.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def keep(x0_hat: Tensor, low: float, high: float) -> Tensor:
    """The estimate as it comes, also outside the domain."""
    return x0_hat


def clip(x0_hat: Tensor, low: float, high: float) -> Tensor:
    """Each pixel moved to the nearest value in [low, high]."""
    return x0_hat.clamp(low, high)


def dynamic(x0_hat: Tensor, low: float, high: float, quantile: float = 0.995) -> Tensor:
    """Dynamic thresholding (Saharia et al. 2022, section 2.3): images [n, ...] to the same.

    The domain is mapped to [-1, 1]; each image whose `quantile` of |pixel| exceeds 1 is clipped to
    that value and divided by it, so that a run-away image is brought back without saturating.
    """
    middle, half = (low + high) / 2, (high - low) / 2
    unit = (x0_hat - middle) / half
    size = unit.flatten(1).abs().float().quantile(quantile, dim=1).clamp(min=1).to(unit.dtype)
    size = size.view(-1, *[1] * (unit.ndim - 1))
    return torch.minimum(torch.maximum(unit, -size), size) / size * half + middle


X0_RULES: dict[str, Callable[..., Tensor]] = {"none": keep, "clip": clip, "dynamic": dynamic}
