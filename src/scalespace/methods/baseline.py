"""`baseline`: one diffusion process at the images' own size (28x28, 30 states in the paper)."""

from __future__ import annotations

from scalespace.methods.base import ProcessMethod, register
from scalespace.methods.fast import distilled
from scalespace.stages.diffusion import DiffusionStage

BASELINE = DiffusionStage("baseline", states=30)


@distilled
@register
class Baseline(ProcessMethod):
    """The classic DDPM that the others are compared with."""

    name = "baseline"
    title = "Baseline"
    stages = (BASELINE,)
