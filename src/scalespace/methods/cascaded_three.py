"""`cascaded-3`: a cascade of three scales, a quarter of the size first (7x7, 14x14, 28x28)."""

from __future__ import annotations

from scalespace.methods.base import ProcessMethod, register
from scalespace.methods.cascaded import UPSCALER
from scalespace.methods.fast import UPSCALER_STUDENT
from scalespace.methods.scale_space import QUARTER
from scalespace.stages.diffusion import DiffusionStage
from scalespace.stages.student import StudentStage

HALF_UPSCALER = DiffusionStage("half-upscaler", states=10, scale=2, conditioned=QUARTER.states)
QUARTER_STUDENT = StudentStage("quarter-student", teacher=QUARTER)
HALF_UPSCALER_STUDENT = StudentStage("half-upscaler-student", teacher=HALF_UPSCALER)


@register
class CascadedThree(ProcessMethod):
    """A very small image, enlarged twice."""

    name = "cascaded-3"
    title = "Cascaded, three scales"
    stages = (QUARTER, HALF_UPSCALER, UPSCALER)


@register
class CascadedThreeFast(ProcessMethod):
    """The same in one call a scale."""

    name = "cascaded-3-fast"
    title = "Cascaded, three scales, distilled"
    stages = (QUARTER_STUDENT, HALF_UPSCALER_STUDENT, UPSCALER_STUDENT)
