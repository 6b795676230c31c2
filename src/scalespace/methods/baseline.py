"""`baseline`: one diffusion process at the images' own size (28x28, 30 states in the paper)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from scalespace.core.samplers import Step
from scalespace.methods.base import Method, register
from scalespace.stages.base import Models
from scalespace.stages.diffusion import DiffusionStage

BASELINE = DiffusionStage("baseline", states=30)


@register
class Baseline(Method):
    """The classic DDPM that the others are compared with."""

    name = "baseline"
    title = "Baseline"
    stages = (BASELINE,)

    def sample(
        self,
        models: Models,
        labels: Tensor,
        seed: int,
        indices: Sequence[int],
    ) -> Iterator[Step]:
        """S-1 calls at full size."""
        yield from models[BASELINE.name].sample(labels, seed, indices)
