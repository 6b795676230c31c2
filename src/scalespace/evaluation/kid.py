"""Kernel Inception Distance of features (Bińkowski et al. 2018)."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from scalespace.core.noise import derive_seed
from scalespace.evaluation.frechet import Ready, checked_features


class KID(NamedTuple):
    """Squared maximum mean discrepancy over pairs of subsets.

    Args:
        mean: over the subsets; 0 in expectation for equal distributions, so it may be negative.
        sd: population standard deviation over the subsets: how much one subset's value varies. It
            is not a standard error of the mean, for subsets overlap.
    """

    mean: float
    sd: float


def kid(
    features: Tensor,
    reference: Tensor,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> KID:
    """The unbiased estimate with the kernel (x·y/d + 1)^3 (Bińkowski et al. 2018, section 4).

    Computed in float64 on the CPU, from subsets drawn without replacement. Torch's global
    generator is neither read nor changed.

    Args:
        features: of the generated images, [n, d], n >= 2.
        reference: of the real images, [m, d], m >= 2.
        subsets: how many pairs of subsets, at least 1.
        subset_size: rows of each, at least 2; cut to min(n, m) where that is less.
        seed: of the draws.

    Raises:
        InputError: too few rows, or features that are not finite.
    """
    from torchmetrics.image.kid import KernelInceptionDistance  # takes seconds to import

    reference = checked_features(reference, name="reference")
    features = checked_features(features)
    size = min(subset_size, len(features), len(reference))
    with warnings.catch_warnings():
        # torchmetrics warns that it keeps the features, which are in memory anyway
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance`")
        metric = KernelInceptionDistance(
            Ready(reference.shape[1]), subsets=subsets, subset_size=size
        )
    metric.update(reference, real=True)
    metric.update(features, real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "kid"))
        mean, sd = metric.compute()
    return KID(float(mean), float(sd))
