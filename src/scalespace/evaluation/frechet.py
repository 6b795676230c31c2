"""Fréchet distance of features (Heusel et al. 2017), with a bootstrap standard error."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scalespace.core.noise import derive_seed
from scalespace.errors import InputError


class Ready(nn.Module):
    """A feature extractor for torchmetrics that passes on features [n, width] computed already."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width
        self.eval()

    def forward(self, features: Tensor) -> Tensor:
        """The features as they are."""
        return features


class Frechet:
    """Distances of sets of features from one reference set.

    With means m and covariances S, the squared 2-Wasserstein distance of two Gaussians:
    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Heusel et al. 2017, eq. 6), computed in float64 on
    the CPU. It is exact to about 1e-6 of the traces where covariances are singular (dead features,
    n <= d), better elsewhere.

    At finite n it is biased upwards, more so for smaller n: compare only sets of equal size.

    Args:
        reference: the real features, [m, d], m >= 2.

    Raises:
        InputError: too few rows, or features that are not finite.
    """

    def __init__(self, reference: Tensor) -> None:
        from torchmetrics.image.fid import FrechetInceptionDistance  # takes seconds to import

        reference = checked_features(reference, name="reference")
        # Sums of raw squares lose digits of the covariance where means are much larger. A shift of
        # both sets changes no distance.
        self._origin = reference.mean(dim=0)
        self._metric = FrechetInceptionDistance(
            Ready(reference.shape[1]), reset_real_features=False
        )
        self._metric.update(reference - self._origin, real=True)

    def distance(self, features: Tensor) -> float:
        """The distance of `features` [n, d], n >= 2, from the reference: at least 0.

        Raises:
            InputError: too few rows, or features that are not finite.
        """
        return self._distance(self._centred(features))

    def standard_error(self, features: Tensor, resamples: int = 100, seed: int = 0) -> float:
        """The bootstrap's standard error of `distance(features)` (Efron 1979).

        It tells how much the distance would change with other images of the same generator: images
        are resampled with replacement, the reference stays. A 95 % interval is distance ± 1.96
        standard errors. The bootstrap's percentiles would not do: a resample holds only 63 % of
        the images, which adds to the bias of the distance at finite n, so that they often do not
        even enclose the distance itself.

        Where the distance is little more than that bias (images of the reference's own
        distribution), the error is too large by a factor of about 3^(1/2).

        Args:
            features: [n, d], n >= 2.
            resamples: how many, at least 2.
            seed: of the draws.

        Raises:
            InputError: as `distance`.
        """
        centred = self._centred(features)
        rng = torch.Generator().manual_seed(derive_seed(seed, "bootstrap"))
        n = len(centred)
        distances = [
            self._distance(centred[torch.randint(n, (n,), generator=rng)]) for _ in range(resamples)
        ]
        return float(torch.tensor(distances, dtype=torch.float64).std())

    def _centred(self, features: Tensor) -> Tensor:
        return checked_features(features) - self._origin

    def _distance(self, centred: Tensor) -> float:
        self._metric.reset()
        self._metric.update(centred, real=False)
        return max(float(self._metric.compute()), 0.0)  # rounding may take it below


def checked_features(features: Tensor, least: int = 2, name: str = "features") -> Tensor:
    """Checks features [n, d], and returns them in float64 on the CPU.

    Args:
        least: the smallest n allowed.
        name: what to call them in a message.

    Raises:
        InputError: fewer rows, or values that are not finite.
    """
    if len(features) < least:
        raise InputError(f"{name}: {len(features)} rows are too few, at least {least} are needed")
    if not features.isfinite().all():
        rows = int((~features.isfinite()).any(dim=1).sum())
        raise InputError(f"{name}: {rows} of {len(features)} rows are not finite")
    return features.detach().to("cpu", torch.float64)
