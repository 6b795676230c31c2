"""Inspection files as studies hold them, made with untrained networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from scalespace.config import AutoencoderRecipe
from scalespace.data.info import DataInfo
from scalespace.evaluation.normality import inside
from scalespace.nets.judge import JudgeNet
from scalespace.stages.vae import VAE, VAEStage

EPOCHS = 4


def inspect_autoencoder(
    path: Path, info: DataInfo, recipe: AutoencoderRecipe, images: np.ndarray, labels: np.ndarray
) -> None:
    """What `inspect` leaves of an autoencoder."""
    torch.manual_seed(0)
    model = VAE(VAEStage("vae"), recipe, info).eval()
    _write(path, model.inspect(torch.from_numpy(images)[:, None], torch.from_numpy(labels)))


def inspect_judge(path: Path, info: DataInfo, images: np.ndarray, labels: np.ndarray) -> None:
    """What `inspect` leaves of a judge."""
    torch.manual_seed(0)
    net = JudgeNet(info.height, info.width, len(info.classes)).eval()
    found = inside(
        net, torch.from_numpy(images)[:, None], torch.from_numpy(labels), len(info.classes)
    )
    epochs = np.arange(1, EPOCHS + 1)
    history = {"epoch": epochs, "loss": 1 / epochs, "val_loss": 0.8 / epochs}
    _write(path, {**found, **{f"history_{name}": values for name, values in history.items()}})


def _write(path: Path, arrays: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
