"""One training of one stage: what decides its outcome, where it lives, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalespace.config import Recipe
from scalespace.core.noise import derive_seed
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.methods.base import Stage, StageModel
from scalespace.presets import digest
from scalespace.training.checkpoint import load_tensors, load_weights, under_prefix, with_prefix

FINISHED = "stage.safetensors"


@dataclass(frozen=True)
class Training:
    """One training of one stage; `identity` addresses its outcome."""

    stage: Stage
    recipe: Recipe
    seed: int
    data: DataInfo

    @property
    def identity(self) -> str:
        """Hash of everything that decides the outcome."""
        return digest(self)

    def folder(self, root: Path) -> Path:
        """Where below `root` this training lives."""
        return root / f"{self.stage.name}-{self.identity}"

    def build(self) -> StageModel:
        """The untrained model; its first weights depend on the seed and the stage alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, self.stage.name, "weights"))
            model = self.stage.build(self.recipe, self.data)
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@dataclass(frozen=True)
class TrainedStage:
    """The outcome: `ema` is what sampling uses, `raw` the last weights, `record` how it went."""

    training: Training
    ema: dict[str, Tensor]
    raw: dict[str, Tensor]
    record: dict[str, Any]

    @classmethod
    def from_tensors(
        cls, training: Training, tensors: Mapping[str, Tensor], record: dict[str, Any]
    ) -> TrainedStage:
        """The outcome whose `tensors` were written to a file."""
        return cls(training, under_prefix("ema", tensors), under_prefix("raw", tensors), record)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Both sets of weights under names of their own, as files hold them."""
        return {**with_prefix("ema", self.ema), **with_prefix("raw", self.raw)}

    def model(self, device: torch.device | str = "cpu") -> StageModel:
        """The stage with its averaged weights, ready to sample."""
        model = self.training.build()
        load_weights(model, self.ema, f"stage '{self.training.stage.name}'")
        return model.to(device).eval()


def load_stage(training: Training, root: Path) -> TrainedStage:
    """The finished outcome of a training below `root`; `InputError` if absent or damaged."""
    path = training.folder(root) / FINISHED
    tensors, record = load_tensors(path, "trained stage")
    if record.get("identity") != training.identity:
        raise InputError(f"{path} holds another training than its folder says: delete the folder")
    return TrainedStage.from_tensors(training, tensors, record)
