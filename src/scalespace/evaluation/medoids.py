"""Images that stand for all: one from the midst of each cluster."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

ROUNDS = 12  # of k-means; later ones move few images to another cluster


def medoids(x: NDArray[np.floating], count: int, seed: int = 0) -> NDArray[np.int64]:
    """Rows that are spread as evenly as k-means can: of each cluster the one nearest to its mean.

    Args:
        x: float [n, ...]; distances are between its rows, flattened.
        count: how many rows, and so how many clusters; n or more takes all.
        seed: of the rows that k-means begins with.

    Returns:
        int [min(count, n)], rising. Where a cluster is left without rows, the row that is farthest
        from its own cluster's mean takes the place.
    """
    if count >= len(x):
        return np.arange(len(x))
    if count < 1:
        return np.arange(0)
    flat = x.reshape(len(x), -1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        means, cluster = kmeans2(flat, count, iter=ROUNDS, minit="points", seed=seed)
    order = np.argsort(np.square(flat - means[cluster]).sum(axis=1), kind="stable")
    _, first = np.unique(cluster[order], return_index=True)
    nearest = order[first]
    far = order[~np.isin(order, nearest)][::-1]
    return np.sort(np.concatenate([nearest, far[: count - len(nearest)]]))
