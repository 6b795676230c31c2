"""`small`: diffusion at half the size (14x14, 20 states), then bilinear upscaling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from scalespace.core.samplers import Step
from scalespace.core.scale import up
from scalespace.methods.base import Method, register
from scalespace.stages.base import Models
from scalespace.stages.diffusion import DiffusionStage

SMALL = DiffusionStage("small", states=20, scale=2)


@register
class Small(Method):
    """The cheap way to full size: what bilinear interpolation adds to a small image."""

    name = "small"
    title = "Small, upscaled"
    stages = (SMALL,)

    def sample(
        self,
        models: Models,
        labels: Tensor,
        seed: int,
        indices: Sequence[int],
    ) -> Iterator[Step]:
        """S-1 calls at half size, and one last step that is the same image at full size."""
        for step in models[SMALL.name].sample(labels, seed, indices):
            yield step
        yield Step(0, up(step.x), None)
