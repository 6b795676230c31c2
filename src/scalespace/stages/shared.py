"""One network for several scales of a process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from scalespace.config import FadingRecipe, Recipe
from scalespace.core.denoiser import Condition
from scalespace.core.noise import Seeded
from scalespace.core.sampling import Leg, last, reverse
from scalespace.core.segment import Segment
from scalespace.data.info import DataInfo
from scalespace.engine.base import Call
from scalespace.errors import InputError, unknown
from scalespace.stages.base import Models, Networks, Stage, StageModel
from scalespace.stages.denoising import Diffusion
from scalespace.stages.diffusion import DiffusionStage


@dataclass(frozen=True)
class SharedStage(Stage["Shared"]):
    """Several scales of a process that one network learns together.

    Args:
        name: of the stage; its segments have the names of `scales`.
        scales: what it learns, the coarsest first. They are never trained on their own.
    """

    scales: tuple[DiffusionStage, ...] = ()

    recipe: ClassVar[type] = FadingRecipe

    @property
    def idle(self) -> tuple[str, ...]:
        """What none of its scales reads."""
        every = [scale.idle for scale in self.scales]
        return tuple(part for part in every[0] if all(part in idle for idle in every))

    def segments(self, recipe: Recipe, data: DataInfo) -> tuple[Segment, ...]:
        """What its scales learn, the coarsest first."""
        return tuple(scale.segment(recipe, data) for scale in self.scales)

    def build(self, recipe: Recipe, data: DataInfo, needs: Models | None = None) -> Shared:
        """An untrained `Shared`.

        Raises:
            InputError: as from its scales; ablations are asked for, or steps of another scale.
        """
        if recipe.ablation.in_sampling:
            raise InputError(f"stage '{self.name}': ablations are of processes of one scale")
        segments = self.segments(recipe, data)
        if isinstance(recipe.process.steps, dict):
            names = [segment.name for segment in segments]
            for name in recipe.process.steps:
                if name not in names:
                    raise unknown(f"scale of stage '{self.name}'", name, names)
        finest = Diffusion(self, recipe, data, segments[-1])  # its size is the network's
        coarser = (Diffusion(self, recipe, data, one, finest.net) for one in segments[:-1])
        return Shared(self, (*coarser, finest))


class Shared(StageModel):
    """One network, and a `Diffusion` for each scale that calls it.

    A batch is dealt out to the scales in equal parts.

    Args:
        stage: the stage.
        parts: its scales, the coarsest first, all of one network.
    """

    def __init__(self, stage: SharedStage, parts: Sequence[Diffusion]) -> None:
        super().__init__()
        self.parts = tuple(parts)  # a tuple, so that the network is registered once
        self.net = self.parts[-1].net
        seen = {(part.channels, part.width) for part in self.parts}
        if len(seen) > 1:
            raise InputError(
                f"stage '{stage.name}': its scales show their network different things, so that "
                "they cannot share one"
            )
        self.stage, self.conditional = stage, self.parts[-1].conditional

    @property
    def calls(self) -> int:
        """Network calls of all its scales, each to its end."""
        return sum(part.calls for part in self.parts)

    def legs(self) -> tuple[Leg, ...]:
        """Those of its scales."""
        return tuple(leg for part in self.parts for leg in part.legs())

    def networks(self) -> Networks:
        """The one network, as each scale calls it."""
        return {part.segment.name: part.networks()["net"] for part in self.parts}

    def use(self, calls: Mapping[str, Call]) -> None:
        """Predicts by an engine's calls from now on."""
        for part in self.parts:
            part.use({"net": calls[part.segment.name]})

    def fix(self) -> None:
        """Reads the domain."""
        for part in self.parts:
            part.fix()

    def prepare(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """What each scale makes of images, one after the other."""
        return tuple(one for part in self.parts for one in part.prepare(images, labels))

    def _each(self, batch: Sequence[Tensor]) -> Iterator[tuple[Diffusion, Sequence[Tensor]]]:
        """Each scale with its own part of a prepared batch."""
        at = 0
        for part in self.parts:
            yield part, batch[at : at + part.tensors]
            at += part.tensors

    def begin(self, batch: Sequence[Tensor], labels: Tensor) -> None:
        """As each scale does."""
        for part, own in self._each(batch):
            part.begin(own, labels)

    def forward(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """The loss of each image in its own scale: float [n]."""
        bounds = torch.linspace(0, len(labels), len(self.parts) + 1).round().int().tolist()
        losses = []
        for (part, own), low, high in zip(self._each(batch), bounds, bounds[1:], strict=False):
            if low < high:
                losses.append(part([one[low:high] for one in own], labels[low:high], rng))
        return torch.cat(losses)

    def validate(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """The losses at every state of every scale, the coarsest first."""
        each = self._each(batch)
        return torch.cat([part.validate(own, labels, rng) for part, own in each], dim=1)

    def facts(self) -> dict[str, Any]:
        """Those of its scales together; the finished image counts as a state once."""
        states = sum(part.segment.schedule.last for part in self.parts) + 1
        return {**self.parts[0].facts(), "states": states}

    def preview(self, batch: Sequence[Tensor], labels: Tensor, seed: int) -> Tensor | None:
        """Samples through all its scales."""
        noise = Seeded(seed, range(len(labels)), labels.device)
        return last(reverse(self.legs(), Condition(labels), noise)).x
