"""How the variance of a class of images is spread over its principal components.

Where few network calls are put depends on it: a component stands out of the noise the sooner, the
more it varies.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

Components = Sequence[tuple[float, float]]
"""Variances of principal components, and how many components have each."""

EXPONENT, SHARE = 1.1, 0.5
"""Of a class's spectrum, as a power law: fitted to MNIST's and near to Fashion-MNIST's."""


def power_law(numbers: int, known: int = 0, parts: int = 24) -> Components:
    """The components of images: the k-th has a variance proportional to k^-1.1.

    Half of the variance of standardised numbers is taken to be within the classes. At 14x14 that
    gives 21 for the first component (15 on MNIST) and 0.28 for the 50th (0.17), at 28x28 72 (70)
    and 0.97 (1.13).

    Args:
        numbers: of an image.
        known: how many numbers of it the network is shown, as a coarser image: the first
            components are left out, being known already.
        parts: neighbours are put together until so many are left.
    """
    k = np.arange(1, numbers + 1)
    v = k**-EXPONENT
    v *= SHARE * numbers / v.sum()
    left = min(parts, numbers - known)
    ends = np.unique(np.geomspace(known + 1, numbers + 1, left + 1).astype(int))
    means = [v[i - 1 : j - 1] for i, j in pairwise(ends)]
    return tuple((float(part.mean()), float(len(part))) for part in means)


def flat(numbers: int) -> Components:
    """Equal components: an autoencoder's latents, which its training makes nearly independent."""
    return ((SHARE, float(numbers)),)
