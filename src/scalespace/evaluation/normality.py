"""How far features are from the normal distribution that the Fréchet distance assumes.

FD compares only the means and covariances of two sets. The sum of `Normality.w2` over the features
says, in FD's own unit, how much else may tell them apart: it is a lower bound of the squared
Wasserstein distance between the features and the normal distribution with their mean and
covariance, for which FD is 0. (A sum over the coordinates never exceeds the whole.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalespace.nets.judge import JudgeNet

BINS = 60
PART = 1000  # images at a time


class Normality(NamedTuple):
    """Distances of each feature from normal: float64 [d]; NaN for one that never changes.

    Args:
        skewness: 0 for a normal distribution.
        kurtosis: excess kurtosis, 0 for a normal distribution.
        ks: largest gap between the feature's distribution function and that of a normal one with
            its mean and deviation (Kolmogorov-Smirnov); 0 to 1.
        w2: squared 2-Wasserstein distance between the same two, in squared units of the feature.
    """

    skewness: NDArray[np.float64]
    kurtosis: NDArray[np.float64]
    ks: NDArray[np.float64]
    w2: NDArray[np.float64]


def normality(features: Tensor) -> Normality:
    """Compares each column of features [n, d] with its own normal fit."""
    x = features.cpu().double()  # not every device has float64
    n = len(x)
    mean, std = x.mean(dim=0), x.std(dim=0, correction=0)
    alive = std > 1e-12
    z = ((x - mean) / std).sort(dim=0).values
    below = torch.arange(n, dtype=x.dtype, device=x.device)[:, None] / n
    cdf = torch.special.ndtr(z)
    ks = torch.maximum((cdf - below).amax(dim=0), (below + 1 / n - cdf).amax(dim=0))
    # The optimal coupling of two distributions on a line pairs their quantiles. Within the k-th of
    # n equal parts the normal quantile varies; its mean there is n (pdf(a) - pdf(b)), exactly.
    edges = torch.special.ndtri(torch.linspace(0, 1, n + 1, dtype=x.dtype, device=x.device))
    pdf = torch.exp(-0.5 * edges.square()) / (2 * np.pi) ** 0.5
    quantile = n * (pdf[:-1] - pdf[1:])
    w2 = (2 - 2 * (z * quantile[:, None]).mean(dim=0)) * std.square()

    def plain(values: Tensor) -> NDArray[np.float64]:
        return torch.where(alive, values, torch.nan).cpu().numpy()

    return Normality(
        plain(z.pow(3).mean(dim=0)), plain(z.pow(4).mean(dim=0) - 3), plain(ks), plain(w2)
    )


@torch.no_grad()
def inside(net: JudgeNet, images: Tensor, labels: Tensor, classes: int) -> dict[str, np.ndarray]:
    """How the judge responds to images, as the seed series shows it.

    Args:
        images: float [n, c, h, w] in [0, 1].
        labels: int64 [n].
        classes: their number.

    Returns:
        `activations_1` .. `_3` [classes, channels, h, w]: the mean of each pooling layer's output
        within each class; and for both kinds of features (`pooled`, `linear`): `_counts`
        [d, BINS] and `_edges` [d, BINS + 1] of their histograms, `_mean`, `_std`, `_skewness`,
        `_kurtosis`, `_ks`, `_w2` [d]; `n`.
    """
    device = next(net.parameters()).device
    images, labels = images.to(device), labels.to(device)
    poolings = (3, 6, 9)  # layers up to and including each
    sums = [
        torch.zeros((classes, *net.layers[:k](net.pad(images[:1])).shape[1:]), device=images.device)
        for k in poolings
    ]
    kinds: dict[str, list[Tensor]] = {"pooled": [], "linear": []}
    for x, y in zip(images.split(PART), labels.split(PART), strict=True):
        x = net.pad(x)
        for k, total in zip(poolings, sums, strict=True):
            total.index_add_(0, y, net.layers[:k](x))
        both = net.embed(x)
        kinds["pooled"].append(both.pooled)
        kinds["linear"].append(both.linear)
    counts = torch.bincount(labels, minlength=classes).clamp(min=1)[:, None, None, None]
    out = {f"activations_{k}": (s / counts).cpu().numpy() for k, s in enumerate(sums, start=1)}
    for kind, parts in kinds.items():
        features = torch.cat(parts)
        found = normality(features)
        columns = features.cpu().double().numpy().T
        pairs = [np.histogram(column, bins=BINS) for column in columns]
        out |= {
            f"{kind}_counts": np.stack([count for count, _ in pairs]),
            f"{kind}_edges": np.stack([edges for _, edges in pairs]),
            f"{kind}_mean": columns.mean(axis=1),
            f"{kind}_std": columns.std(axis=1),
            **{f"{kind}_{name}": value for name, value in found._asdict().items()},
        }
    return {**out, "n": np.array(len(images))}


def accuracy(net: JudgeNet, images: Tensor, labels: Tensor) -> float:
    """Share of images [n, c, h, w] in [0, 1] whose class the judge finds."""
    with torch.no_grad():
        parts = [net.eval()(net.pad(part)).argmax(dim=1) for part in images.split(PART)]
    return float((torch.cat(parts) == labels).double().mean())
