"""Blurring diffusion: every frequency of an image fades at a pace of its own.

Heat spreads over an image and damps its cosine of frequency f = pi (i / h, j / w) by
exp(-|f|^2 tau) within time tau, which is a blur of sqrt(2 tau) pixels. With V the cosine transform
and d the damping, x_t = a V' d V x_0 + s eps: a diffusion process in each frequency (Hoogeboom &
Salimans 2023, "Blurring Diffusion Models", section 4).

Neighbouring frequencies are put together into a few bands here, each damped as their mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from scalespace.core.bands import fading
from scalespace.core.schedule import Schedule, broadcast
from scalespace.core.segment import Segment

LEAST = 0.001  # of a frequency is left whatever the blur, as in the paper (d_min)


@cache
def cosines(side: int) -> Tensor:
    """The orthonormal cosine transform (DCT-II) of `side` numbers: float64 [side, side]."""
    k, x = torch.meshgrid(*(torch.arange(side, dtype=torch.float64),) * 2, indexing="ij")
    table = (math.pi / side * (x + 0.5) * k).cos() * math.sqrt(2 / side)
    table[0] /= math.sqrt(2)
    return table


@cache
def rings(height: int, width: int, bands: int) -> tuple[Tensor, tuple[float, ...]]:
    """The frequencies of images in rings of equal width, the constant one alone in the first.

    Returns:
        masks, bool [k, height, width], and the mean |f|^2 in each ring. Rings without a frequency
        are left out, so that k is at most `bands`.
    """
    down, across = (
        (math.pi * torch.arange(n, dtype=torch.float64) / n).square() for n in (height, width)
    )
    squared = down[:, None] + across[None]
    far = squared.sqrt() / squared.max().sqrt()
    ring = (far * (bands - 1)).ceil().long().clamp(max=bands - 1)
    masks = torch.stack([ring == k for k in ring.unique().tolist()])
    return masks, tuple(float(squared[mask].mean()) for mask in masks)


@dataclass(frozen=True, eq=False)
class Blurring(Segment):
    """A `Segment` whose frequencies fade, the higher the sooner.

    Args:
        bands: how many rings there are at most.
        fades: the schedule of each but the first, made by `blurring`.
    """

    plain: ClassVar[bool] = False

    bands: int = 2
    fades: tuple[Schedule, ...] = ()

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """Of the constant part, and of each ring of frequencies."""
        return self.schedule, *self.fades

    @property
    def sizes(self) -> tuple[int, ...]:
        """The frequencies in each ring."""
        channels, *size = self.shape
        masks, _ = rings(*size, self.bands)
        return tuple(channels * number for number in masks.sum(dim=(1, 2)).tolist())

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """The cosines of images [n, c, h, w] in each ring, 0 elsewhere; `join` goes back."""
        height, width = x.shape[-2:]
        down, across = (broadcast(cosines(side), x) for side in (height, width))
        masks, _ = rings(height, width, self.bands)
        return (broadcast(masks, x) * (down @ x @ across.T)[:, :, None]).unbind(2)

    def join(self, bands: Iterable[Tensor]) -> Tensor:
        """The images [n, c, h, w] of these cosines."""
        found = super().join(bands)
        down, across = (broadcast(cosines(side), found) for side in found.shape[-2:])
        return down.T @ found @ across

    def among(self, states: Sequence[int]) -> Blurring:
        """As any `Segment`."""
        fades = tuple(fade.among(states) for fade in self.fades)
        return replace(super().among(states), fades=fades)


def blurring(
    schedule: Schedule, size: tuple[int, int], bands: int, blurs: Sequence[float]
) -> tuple[Schedule, ...]:
    """The schedules of all rings but the first.

    Args:
        schedule: of the constant part, in S states.
        size: of the images (h, w).
        bands: how many rings at most, at least 2.
        blurs: the blur in each state in pixels: 0 in the first, and rising.
    """
    _, squared = rings(*size, bands)
    times = [blur**2 / 2 for blur in blurs]
    damped = ([(1 - LEAST) * math.exp(-f * tau) + LEAST for tau in times] for f in squared[1:])
    return tuple(fading(schedule, d) for d in damped)
