"""`cascaded-3`: a cascade of three scales, a quarter of the size first (7x7, 14x14, 28x28)."""

from __future__ import annotations

from scalespace.methods.base import ProcessMethod, register
from scalespace.methods.cascaded import UPSCALER
from scalespace.methods.fast import distilled
from scalespace.methods.scale_space import QUARTER
from scalespace.stages.diffusion import DiffusionStage

HALF_UPSCALER = DiffusionStage("half-upscaler", states=10, scale=2, conditioned=QUARTER.states)


@distilled
@register
class CascadedThree(ProcessMethod):
    """A very small image, enlarged twice."""

    name = "cascaded-3"
    title = "Cascaded, three scales"
    stages = (QUARTER, HALF_UPSCALER, UPSCALER)
