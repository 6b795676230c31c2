"""`cascaded`: the small stage, then a second diffusion process that upscales its images.

p(x_0) = integral of p_upscaler(x_0 | z_0) p_small(z_0) dz_0 (seed paper, section 0.1).
"""

from __future__ import annotations

from scalespace.methods.base import ProcessMethod, register
from scalespace.methods.fast import distilled
from scalespace.methods.small import SMALL
from scalespace.stages.diffusion import DiffusionStage

UPSCALER = DiffusionStage("upscaler", states=10, conditioned=SMALL.states)


@distilled
@register
class Cascaded(ProcessMethod):
    """The seed paper's cascade, after Ho et al. 2021."""

    name = "cascaded"
    title = "Cascaded"
    stages = (SMALL, UPSCALER)
