"""Rules that keep an estimate of x0 inside the images' domain.

Each rule takes `(x0_hat, low, high, variance)`. `low` and `high` are the domain's ends in the
process's own units, floats: pixels in [0, 1] become [-mean/std, (1-mean)/std] once standardised.
`variance` is the noise variance of x_t, 1 - alpha_bar_t.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

BARRIER = 1e-3  # weight of the logarithmic barrier at variance 1
SLIGHT = 1e-6  # the least slope that Newton's method divides by
FAR = 1000.0  # half-widths of the domain: the barrier maps anything further out to the same place


def keep(x0_hat: Tensor, low: float, high: float, variance: float = 1.0) -> Tensor:
    """Leaves the estimate as it is, also outside the domain."""
    return x0_hat


def clip(x0_hat: Tensor, low: float, high: float, variance: float = 1.0) -> Tensor:
    """Clamps each pixel to [low, high]."""
    return x0_hat.clamp(low, high)


def dynamic(
    x0_hat: Tensor, low: float, high: float, variance: float = 1.0, quantile: float = 0.995
) -> Tensor:
    """Dynamic thresholding (Saharia et al. 2022, section 2.3): images [n, ...] to the same.

    The domain is mapped to [-1, 1]; each image whose `quantile` of |pixel| exceeds 1 is clipped to
    that value and divided by it, which brings back a runaway image without saturating it.
    """
    middle, half = (low + high) / 2, (high - low) / 2
    unit = (x0_hat - middle) / half
    size = unit.flatten(1).abs().float().quantile(quantile, dim=1).clamp(min=1).to(unit.dtype)
    size = size.view(-1, *[1] * (unit.ndim - 1))
    return torch.minimum(torch.maximum(unit, -size), size) / size * half + middle


def barrier(x0_hat: Tensor, low: float, high: float, variance: float = 1.0) -> Tensor:
    """One step of an interior-point method (the seed paper's proposal, section 1.3).

    With the domain mapped to [-1, 1], the estimate y becomes the u that minimises
    (u - y)^2 / 2 - mu (log(1 + u) + log(1 - u)), which lies inside for any y. Interior-point
    methods lower mu along the way; here mu is `BARRIER` times the noise variance, so the last
    steps, where a black pixel must be black, hardly change. The minimiser is the middle root of
    u^3 - y u^2 - (1 + 2 mu) u + y = 0, in Viete's closed form. Far out that is a small difference
    of large numbers. So a step of Newton's method follows, on (1 - u)(1 + u)(y - u) - 2 mu u.
    """
    middle, half = (low + high) / 2, (high - low) / 2
    mu = BARRIER * variance
    y = ((x0_hat - middle) / half).clamp(-FAR, FAR)
    p = -(1 + 2 * mu) - y.square() / 3
    q = y * (2 - 2 * mu) / 3 - 2 * y**3 / 27
    size = (-p / 3).sqrt()
    angle = torch.acos((q / (-2 * size**3)).clamp(-1, 1)) / 3 - 2 * math.pi / 3
    u = 2 * size * torch.cos(angle) + y / 3
    slope = u * (3 * u - 2 * y) - (1 + 2 * mu)  # negative at the middle root; 0 if mu is, at an end
    u = u - ((1 - u) * (1 + u) * (y - u) - 2 * mu * u) / slope.clamp(max=-SLIGHT)
    return u.clamp(-1, 1) * half + middle


X0_RULES: dict[str, Callable[..., Tensor]] = {
    "none": keep,
    "clip": clip,
    "dynamic": dynamic,
    "barrier": barrier,
}
