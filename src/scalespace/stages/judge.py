"""The judge: a classifier trained once, whose features score generated images.

Exactly the seed series' part 1: pixels in [0, 1] padded to 32x32, dropout, Adam at 1e-3, batches
of 256, 100 epochs. One thing is added: the weights are averaged over about the last thousand steps,
since the last step alone scatters; the steps stay the same. No method samples this stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from scalespace.config import TrainRecipe
from scalespace.data import DataSplits, ImageSet
from scalespace.data.info import DataInfo
from scalespace.nets.judge import HEAD, JudgeNet
from scalespace.stages.base import Models, Stage, StageModel


@dataclass(frozen=True)
class JudgeStage(Stage["JudgeModel"]):
    """The judge's training."""

    recipe: ClassVar[type] = TrainRecipe
    defaults: ClassVar[Mapping[str, Any]] = {
        "train": {
            "epochs": 100,
            "batch_size": 256,
            "lr": 1e-3,
            "muon": 0.0,
            "warmup": 0,
            "decay": "none",
            "ema": 0.999,
            "validate_every": 1,
            "validate_images": 10_000,
            "grid_every": 0,
        }
    }

    def parts(self, splits: DataSplits) -> tuple[ImageSet, ImageSet]:
        """As in the series: trains on all images of the training files, validates on the test part.

        Nothing is selected by that: the last epoch's weights are taken.
        """
        return splits.whole, splits.test()

    def build(self, recipe: TrainRecipe, data: DataInfo, needs: Models | None = None) -> JudgeModel:
        """An untrained `JudgeModel`."""
        return JudgeModel(data)


class JudgeModel(StageModel):
    """The judge's network with its loss, the cross-entropy."""

    calls = 1

    def __init__(self, data: DataInfo) -> None:
        super().__init__()
        self.data = data
        self.net = JudgeNet(data.height, data.width, len(data.classes), data.channels)

    def prepare(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """The padded pixels in [0, 1]."""
        return (self.net.pad(self.data.to_unit(images)),)

    def forward(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """Cross-entropy with dropout, whose mask comes from the step's own generator."""
        h = self.net.pooled(batch[0])
        keep = torch.rand(h.shape, generator=rng, device=h.device) < 0.5
        return F.cross_entropy(self.net.layers[HEAD](2 * keep * h), labels, reduction="none")

    def validate(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """Cross-entropy without dropout, one level: [n, 1]."""
        parts = zip(batch[0].split(1000), labels.split(1000), strict=True)
        return torch.cat(
            [F.cross_entropy(self.net.eval()(x), y, reduction="none") for x, y in parts]
        )[:, None]

    def facts(self) -> dict[str, Any]:
        """Its kind."""
        return {"kind": "judge"}


JUDGE = JudgeStage("judge")
