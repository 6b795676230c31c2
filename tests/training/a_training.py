"""A training of a moment, and what it leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import tiny
from scalespace.data import DataSplits
from scalespace.methods.small import SMALL
from scalespace.training import TrainedStage, Training, fit
from scalespace.training.checkpoint import load_tensors
from scalespace.training.metrics import read_metrics

STEPS = 10  # of tiny.RECIPE: 2 epochs of 5


def training(splits: DataSplits, seed: int = 0, **fields: Any) -> Training:
    recipe = replace(tiny.RECIPE, train=replace(tiny.TRAIN, **fields))
    return Training(SMALL, recipe, seed, splits.info)


def run(job: Training, splits: DataSplits, root: Path) -> TrainedStage:
    return fit(job, splits, root, tiny.CPU)


def same_tensors(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def outcome(job: Training, root: Path) -> tuple[dict[str, torch.Tensor], Any, Any]:
    """What a training left on disk, but for the times."""
    tensors, record = load_tensors(job.folder(root) / "stage.safetensors")
    rows = read_metrics(job.folder(root) / "metrics.jsonl")
    for part in (record, *rows):
        del part["seconds"]
    return tensors, record, rows
