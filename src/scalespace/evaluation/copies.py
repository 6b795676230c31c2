"""Memorisation: how many images are copies of a training image (Yoon et al. 2023)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

CANDIDATES = 8  # kept by rounded distances, so that rounding does not choose the nearest two


class Copies(NamedTuple):
    """How near the images are to the training set.

    Args:
        copies: share of images that are copies, in [0, 1].
        median_distance: median over the images of the distance to the nearest training image.
        n: number of images.
    """

    copies: float
    median_distance: float
    n: int


def copies(nearest: Tensor) -> Copies:
    """Counts copies: images less than a third as far from the nearest training image as from the
    second nearest.

    The criterion is that of Yoon et al. (2023, "Diffusion Probabilistic Models Generalize when
    They Fail to Memorize"), with the third and the distance in pixels of Gu et al. (2023, "On
    Memorization in Diffusion Models"). An image that equals two training images, both distances 0,
    counts too; one that merely resembles two that are alike does not, so the share is a lower
    bound where the training set repeats itself.

    Args:
        nearest: from `nearest_two`, [n, 2], n >= 1.
    """
    first, second = nearest.double().unbind(dim=1)
    copied = (first < second / 3) | (first == 0)
    return Copies(float(copied.double().mean()), float(first.quantile(0.5)), len(nearest))


def nearest_two(images: Tensor, training: Tensor, chunk: int = 500) -> Tensor:
    """Euclidean distance of each image to its nearest and second nearest training image.

    Candidates are found by matrix products, whose rounding hides small distances; the candidates'
    own are then computed from the differences of pixels, so that a copy is at 0.

    Args:
        images: float [n, ...] in [0, 1], n >= 1.
        training: float [m, ...] in [0, 1], m >= 2, of the same size; identical ones count each.
        chunk: images, and training images, taken at a time; it changes memory and speed only.

    Returns:
        float32 [n, 2] on the CPU, in units of the pixels' range, the smaller first.
    """
    x, y = (part.detach().flatten(1).to("cpu", torch.float32) for part in (images, training))
    squares = y.square().sum(dim=1)
    return torch.cat([_nearest_two(part, y, squares, chunk) for part in x.split(chunk)])


def _nearest_two(x: Tensor, y: Tensor, squares: Tensor, chunk: int) -> Tensor:
    values, indices = torch.empty(len(x), 0), torch.empty(len(x), 0, dtype=torch.long)
    for start in range(0, len(y), chunk):
        part = slice(start, start + chunk)
        # squared distances less |x|^2, which is the same in a row
        rounded = torch.addmm(squares[None, part], x, y[part].T, alpha=-2)
        near = rounded.topk(min(CANDIDATES, rounded.shape[1]), largest=False)
        values = torch.cat([values, near.values], dim=1)
        indices = torch.cat([indices, near.indices + start], dim=1)
        values, kept = values.topk(min(CANDIDATES, values.shape[1]), largest=False)
        indices = indices.gather(1, kept)
    exact = [(x - y[column]).double().norm(dim=1) for column in indices.unbind(dim=1)]
    return torch.stack(exact, dim=1).topk(2, largest=False).values.float()
