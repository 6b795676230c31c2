"""Normalisations, and control over the statistics that batch norms use and record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from scalespace.config import NetConfig


def make_norm(c: NetConfig, features: int) -> nn.Module:
    """The normalisation that a network's config asks for, of so many features."""
    return nn.BatchNorm2d(features) if c.norm == "batch" else nn.GroupNorm(c.groups, features)


def batch_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    """All batch norms in a module."""
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


@contextmanager
def batch_statistics(module: nn.Module) -> Iterator[None]:
    """Makes batch norms normalise by their batch, without updating their running statistics.

    The rest of the module keeps its mode.
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
    """Keeps a pass without gradient from affecting the pass with gradient of a training step.

    Otherwise batch norms would record its inputs, which sampling does not meet in that share, and
    under autocast some versions of torch would reuse the weights that it cast without gradient.
    """
    try:
        with batch_statistics(module) if module.training else nullcontext():
            yield
    finally:
        torch.clear_autocast_cache()
