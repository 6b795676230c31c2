"""One training of one stage: what decides its outcome, where it lives, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalespace.core.noise import derive_seed
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.presets import digest
from scalespace.stages.base import Stage, StageModel
from scalespace.training.checkpoint import load_tensors, load_weights, under_prefix, with_prefix

FINISHED = "stage.safetensors"


@dataclass(frozen=True)
class Training:
    """One training of one stage; `identity` addresses its outcome.

    Args:
        stage: what is trained.
        recipe: of the stage's `recipe` type.
        seed: of its weights, order and noise.
        data: of the data set.
        needs: the trainings of the stages that it builds on.
    """

    stage: Stage
    recipe: Any
    seed: int
    data: DataInfo
    needs: tuple[Training, ...] = ()

    @property
    def identity(self) -> str:
        """Hash of everything that decides the outcome: not what matters in sampling alone."""
        recipe = asdict(self.recipe)
        for part in fields(self.recipe):
            for name in getattr(getattr(self.recipe, part.name), "SAMPLING", ()):
                del recipe[part.name][name]
        needs = [training.identity for training in self.needs]
        return digest([asdict(self.stage), recipe, self.seed, asdict(self.data), needs])

    @property
    def sampling(self) -> dict[str, Any]:
        """What else decides the images that it makes: the recipe's fields that `identity` omits."""
        return {
            f"{part.name}.{name}": getattr(getattr(self.recipe, part.name), name)
            for part in fields(self.recipe)
            for name in getattr(getattr(self.recipe, part.name), "SAMPLING", ())
        }

    def folder(self, root: Path) -> Path:
        """Where below `root` this training lives."""
        return root / f"{self.stage.name}-{self.identity}"

    def build(self, needs: Mapping[str, StageModel] | None = None) -> StageModel:
        """The untrained model; its first weights depend on the seed and the stage alone.

        Args:
            needs: trained models of the stages it builds on; without them it can sample, but not
                be trained.
        """
        if needs is None:
            needs = {training.stage.name: training.build() for training in self.needs}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, self.stage.name, "weights"))
            model = self.stage.build(self.recipe, self.data, needs)
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
