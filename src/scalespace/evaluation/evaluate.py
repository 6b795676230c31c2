"""Scoring a samples file, whoever made it, against a data set's test part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from scalespace.config import CASConfig
from scalespace.data import DataSplits, Samples, check
from scalespace.errors import unknown
from scalespace.evaluation.cas import cas

Metric = Callable[..., dict[str, Any]]


def _cas(samples: Samples, splits: DataSplits, config: CASConfig, **run: Any) -> dict[str, Any]:
    found = cas(
        samples.images, samples.labels, splits.test(), splits.mean, splits.std, config, **run
    )
    return found.as_dict()


METRICS: dict[str, Metric] = {"cas": _cas}
"""What can be measured of a samples file, by name."""


def evaluate(
    samples: Samples,
    splits: DataSplits,
    metrics: Sequence[str] = ("cas",),
    config: CASConfig | None = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> dict[str, Any]:
    """Measures of a set of labelled images: `{metric: {figure: value}}`.

    Args:
        samples: images float32 [n, h, w] in [0, 1] and labels int64 [n].
        splits: the real data; its test part is what the score is about, its training part gives
            the mean and deviation of the pixels.
        metrics: names from `METRICS`.
        config: the protocol of CAS; the paper's unless given.
        device: where to compute.
        progress: show progress bars.

    Raises:
        InputError: an unknown metric, or images that do not fit the data set.
    """
    for name in metrics:
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
    shape, classes = splits.train.shape, len(splits.train.classes)
    samples = check(samples.images, samples.labels, samples.meta, shape=shape, classes=classes)
    return {
        name: METRICS[name](
            samples, splits, config=config or CASConfig(), device=device, progress=progress
        )
        for name in metrics
    }
