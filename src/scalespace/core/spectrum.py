"""How the variance of a class of images is spread over its principal components.

It decides which states few network calls go to: the more a component varies, the earlier it stands
out of the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

Components = Sequence[tuple[float, float]]
"""Variances of principal components, and how many components have each."""

SHIFT, EXPONENT, SHARE = 2, 1.6, 0.43
"""Of a power law close to the spectra of the classes of both MNIST and Fashion-MNIST."""


def power_law(sizes: Sequence[int], known: int = 0, parts: int = 24) -> tuple[Components, ...]:
    """The components of images, by band: the k-th has a variance proportional to (k + 2)^-1.6.

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
        sizes: how many numbers of an image lie in each of its bands, the coarsest first; the
            coarsest has the leading components, and so on.
        known: how many numbers of it the network is shown, as a coarser image: as many leading
            components are left out, but at least one of each band stays.
        parts: neighbouring components of a band are averaged into at most so many groups.
    """
    numbers = sum(sizes)
    k = np.arange(1.0, numbers + 1)
    v = (k + SHIFT) ** -EXPONENT
    v *= SHARE * numbers / v.sum()
    found = []
    for end, size in zip(accumulate(sizes), sizes, strict=True):
        first = max(end - size, min(known, end - 1))
        left = min(parts, end - first)
        ends = np.unique(np.geomspace(first + 1, end + 1, left + 1).astype(int))
        means = [v[i - 1 : j - 1] for i, j in pairwise(ends)]
        found.append(tuple((float(part.mean()), float(len(part))) for part in means))
    return tuple(found)


def flat(numbers: int) -> tuple[Components, ...]:
    """Equal components in one band, as an autoencoder's latents are taken to have."""
    return (((0.5, float(numbers)),),)
