"""Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from scalespace.evaluation.frechet import checked_features

TIE = 1e-12  # of the largest squared norm: a generous bound on a squared distance's rounding


class PRDC(NamedTuple):
    """Fidelity and diversity. A ball reaches from a point to its k-th neighbour in its own set.

    Args:
        precision: share of generated points within some real ball, in [0, 1].
        recall: share of real points within some generated ball, in [0, 1].
        density: mean number of real balls around a generated point, over k: 1 is expected for equal
            distributions, and more is possible.
        coverage: share of real balls with a generated point in them, in [0, 1].
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(features: Tensor, reference: Tensor, k: int = 5, chunk: int = 1000) -> PRDC:
    """The four measures as Naeem et al. (2020, section 3 and their code) define them.

    A point's k-th neighbour is counted without the point itself. Balls are open: a point at exactly
    the radius is outside. Distances that differ by no more than rounding count as equal, so that
    neither `chunk` nor the machine decides a tie. (Reference images among the generated ones make
    ties.)

    In float64 on the CPU; at most `chunk` x max(n, m) distances exist at once.

    Args:
        features: of the generated images, [n, d], n > k.
        reference: of the real images, [m, d], m > k.
        k: which neighbour, at least 1.
        chunk: rows taken at a time, at least 1; it changes memory only.

    Raises:
        InputError: too few rows, or features that are not finite.
    """
    features = checked_features(features, least=k + 1)
    reference = checked_features(reference, least=k + 1, name="reference")
    # a common shift changes no distance, and saves the digits that large norms would take
    origin = reference.mean(dim=0)
    real, fake = reference - origin, features - origin
    tie = TIE * max(_squares(real).max().item(), _squares(fake).max().item())
    real_reach = _radii(real, k, chunk) - tie
    fake_reach = _radii(fake, k, chunk) - tie
    precise = inside = 0
    covered = torch.zeros(len(real), dtype=torch.bool)
    recalled = torch.zeros(len(real), dtype=torch.bool)
    for part, reach in zip(fake.split(chunk), fake_reach.split(chunk), strict=True):
        squared = _squared_distances(part, real)
        hits = squared < real_reach
        precise += int(hits.any(dim=1).sum())
        inside += int(hits.sum())
        covered |= hits.any(dim=0)
        recalled |= (squared < reach[:, None]).any(dim=0)
    return PRDC(
        precision=precise / len(fake),
        recall=float(recalled.double().mean()),
        density=inside / (k * len(fake)),
        coverage=float(covered.double().mean()),
    )


def _radii(x: Tensor, k: int, chunk: int) -> Tensor:
    """Squared distance of each row to its k-th neighbour: [n]. The nearest row is itself."""
    nearest = [
        _squared_distances(part, x).topk(k + 1, largest=False).values[:, -1]
        for part in x.split(chunk)
    ]
    return torch.cat(nearest)


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Of each row of x from each of y: [n, m], by way of a matrix product."""
    return torch.addmm(_squares(y)[None], x, y.T, alpha=-2).add_(_squares(x)[:, None])


def _squares(x: Tensor) -> Tensor:
    return x.square().sum(dim=1)
