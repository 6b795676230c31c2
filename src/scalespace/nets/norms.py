"""What the batch norms of a network go by, and remember."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn


def batch_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    """All that are in a module."""
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


@contextmanager
def batch_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norms normalise by the mean and deviation of their batch, and remember nothing of it.

    The rest of the module keeps its mode, and so do the norms' running statistics, which training
    has left.
    """
    norms = batch_norms(module)
    before = [(norm.training, norm.track_running_stats) for norm in norms]
    try:
        for norm in norms:
            norm.training, norm.track_running_stats = True, False
        yield
    finally:
        for norm, (training, track) in zip(norms, before, strict=True):
            norm.training, norm.track_running_stats = training, track


@contextmanager
def in_passing(module: nn.Module) -> Iterator[None]:
    """For a pass without gradient within a training step: it leaves no trace in the one with it.

    Batch norms would remember its inputs, which sampling does not meet in that share; and under
    autocast some versions of torch hand the weights, cast without gradient, to the one with it.
    """
    try:
        with batch_statistics(module) if module.training else nullcontext():
            yield
    finally:
        torch.clear_autocast_cache()
