"""One network for several scales of a process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from scalespace.config import FadingRecipe, Recipe
from scalespace.core.denoiser import Condition
from scalespace.core.noise import Seeded
from scalespace.core.sampling import Leg, last, reverse
from scalespace.core.segment import Segment
from scalespace.data.info import DataInfo
from scalespace.engine.base import Call
from scalespace.errors import InputError
from scalespace.stages.base import Models, Networks, Stage, StageModel
from scalespace.stages.denoising import Diffusion
from scalespace.stages.diffusion import DiffusionStage

P = TypeVar("P", bound=Diffusion)


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

    def units(self, recipe: Recipe, data: DataInfo) -> DataInfo:
        """Those of its scales."""
        return self.scales[0].units(recipe, data)

    def segments(self, recipe: Recipe, data: DataInfo) -> tuple[Segment, ...]:
        """What its scales learn, the coarsest first."""
        return tuple(scale.segment(recipe, data) for scale in self.scales)

    def build(self, recipe: Recipe, data: DataInfo, needs: Models | None = None) -> Shared:
        """An untrained `Shared`.

        Raises:
            InputError: as from its scales and `parts_by`, or ablations are asked for.
        """
        if recipe.ablation.in_sampling:
            raise InputError(f"stage '{self.name}': ablations are of processes of one scale")
        segments = self.segments(recipe, data)

        def part(k: int, net: nn.Module | None) -> Diffusion:
            return Diffusion(self, recipe, data, segments[k], net)

        return Shared(self, self.parts_by(part, recipe))

    def parts_by(self, make: Callable[[int, nn.Module | None], P], recipe: Recipe) -> list[P]:
        """The models of its scales, the coarsest first, which share the finest one's network.

        Args:
            make: makes one from its place in `scales` and its network, None for a new one.
            recipe: the stage's.

        Raises:
            InputError: a batch has no image for each scale.
        """
        last = len(self.scales) - 1
        if recipe.train.batch_size <= last:
            raise InputError(
                f"stage '{self.name}': train.batch_size must be at least {last + 1}, an image for "
                f"each of its scales, got {recipe.train.batch_size}"
            )
        finest = make(last, None)  # its size is the network's
        return [*(make(k, finest.net) for k in range(last)), finest]


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
    def guidable(self) -> bool:
        """As its scales."""
        return self.parts[-1].guidable

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
