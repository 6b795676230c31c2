"""`small`: diffusion at half the size (14x14, 20 states), then bilinear upscaling."""

from __future__ import annotations

from scalespace.methods.base import ProcessMethod, register
from scalespace.methods.fast import distilled
from scalespace.stages.diffusion import DiffusionStage

SMALL = DiffusionStage("small", states=20, scale=2)


@distilled
@register
class Small(ProcessMethod):
    """The cheap way to full size: what bilinear interpolation adds to a small image."""

    name = "small"
    title = "Small, upscaled"
    stages = (SMALL,)
