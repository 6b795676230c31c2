"""Variety: how much of the real images' variance within a class generated ones have.

FD sees images through a judge, and recall counts neighbours. Variety compares pixels, and tells
what is missing: variety of the coarse shape, or of the detail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from scalespace.errors import InputError

MAIN = 10  # principal components: over half of the variance within a class of digits


class Variety(NamedTuple):
    """Variances relative to those of real images, averaged over classes; 1 is as much.

    Args:
        variety: along each class's ten main principal components.
        detail: along all the others.
        n: number of images.
    """

    variety: float
    detail: float
    n: int


class Components(NamedTuple):
    """A class's ten main principal components, and how much varies along them and the others.

    Args:
        directions: float64 [d, 10], one a column.
        main, rest: variance along these ten together, and along all others: float64 [].
    """

    directions: Tensor
    main: Tensor
    rest: Tensor


def components(images: Tensor, labels: Tensor) -> dict[int, Components]:
    """The principal components of each class with at least twelve images.

    Args:
        images: float [m, ...] with more than ten pixels.
        labels: int [m].

    Raises:
        InputError: no class has that many.
    """
    found = {}
    for label in labels.unique().tolist():
        own = images[labels == label].flatten(1).double()
        if len(own) > MAIN + 1:
            found[label] = _components(own)
    if not found:
        raise InputError(f"variety needs at least {MAIN + 2} real images of some class")
    return found


def _components(own: Tensor) -> Components:
    """Of one class's images, float64 [n, d]."""
    n, d = own.shape
    centred = own - own.mean(dim=0)
    if n < d:  # no more than n directions have any variance
        _, spread, directions = torch.linalg.svd(centred, full_matrices=False)
        main, directions = spread[:MAIN].square().sum() / (n - 1), directions[:MAIN].T
    else:
        variances, directions = torch.linalg.eigh(own.T.cov())
        main, directions = variances[-MAIN:].sum(), directions[:, -MAIN:]
    return Components(directions.contiguous(), main, centred.square().sum() / (n - 1) - main)


def variety(images: Tensor, labels: Tensor, real: Mapping[int, Components]) -> Variety:
    """Compares the variances within classes, along the real images' principal components.

    Args:
        images: float [n, ...]; a class with fewer than two of them is left out.
        labels: int [n].
        real: from `components`, of images of the same size.

    Raises:
        InputError: no class of `real` has two images.
    """
    found = []
    for label, own in real.items():
        chosen = images[labels == label].flatten(1).double()
        if len(chosen) > 1:
            main = (chosen @ own.directions).var(dim=0).sum()
            rest = chosen.var(dim=0).sum() - main
            found.append([main / own.main, rest / own.rest])
    if not found:
        raise InputError("variety needs at least two images of some class")
    main, rest = torch.tensor(found, dtype=torch.float64).mean(dim=0).tolist()
    return Variety(main, rest, len(images))
