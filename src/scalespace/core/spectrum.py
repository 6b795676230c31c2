"""How the variance of a class of images is spread over its principal components.

It decides which states few network calls go to: the more a component varies, the earlier it stands
out of the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

Components = Sequence[tuple[float, float]]
"""Variances of principal components, and how many components have each."""

SHIFT, EXPONENT, SHARE = 2, 1.6, 0.43
"""Of a power law close to the spectra of the classes of both MNIST and Fashion-MNIST."""


def power_law(numbers: int, known: int = 0, parts: int = 24) -> Components:
    """The components of images: the k-th has a variance proportional to (k + 2)^-1.6.

    Of the variance of standardised numbers, 0.43 is taken to lie within the classes. The variances
    of the training parts, and of this law:

    | component | 1 | 4 | 16 | 64 | 196 |
    | --- | ---: | ---: | ---: | ---: | ---: |
    | MNIST, 28x28 | 70 | 24 | 5.7 | 0.77 | 0.11 |
    | Fashion-MNIST, 28x28 | 102 | 15 | 2.6 | 0.44 | 0.09 |
    | the law, 28x28 | 63 | 21 | 3.6 | 0.45 | 0.077 |
    | MNIST, 14x14 | 15 | 5.2 | 1.1 | 0.10 | 0 |
    | Fashion-MNIST, 14x14 | 25 | 3.1 | 0.46 | 0.05 | 0 |
    | the law, 14x14 | 16 | 5.4 | 0.93 | 0.12 | 0.02 |

    Args:
        numbers: of an image.
        known: how many numbers of it the network is shown, as a coarser image: as many leading
            components are left out, but at least one stays.
        parts: neighbouring components are averaged into at most so many groups.
    """
    k = np.arange(1.0, numbers + 1)
    v = (k + SHIFT) ** -EXPONENT
    v *= SHARE * numbers / v.sum()
    known = min(known, numbers - 1)
    left = min(parts, numbers - known)
    ends = np.unique(np.geomspace(known + 1, numbers + 1, left + 1).astype(int))
    means = [v[i - 1 : j - 1] for i, j in pairwise(ends)]
    return tuple((float(part.mean()), float(len(part))) for part in means)


def flat(numbers: int) -> Components:
    """Equal components, as an autoencoder's latents are taken to have."""
    return ((0.5, float(numbers)),)
