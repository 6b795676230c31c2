"""Students of other methods: one network call a scale (`scalespace.stages.student`)."""

from __future__ import annotations

from scalespace.methods.base import ProcessMethod, register
from scalespace.methods.baseline import BASELINE
from scalespace.methods.cascaded import UPSCALER
from scalespace.methods.latent import LATENT_FLOW, InLatents
from scalespace.methods.small import SMALL
from scalespace.methods.vae import AUTOENCODER
from scalespace.stages.student import StudentStage

BASELINE_STUDENT = StudentStage("baseline-student", teacher=BASELINE)
SMALL_STUDENT = StudentStage("small-student", teacher=SMALL)
UPSCALER_STUDENT = StudentStage("upscaler-student", teacher=UPSCALER)
LATENT_STUDENT = StudentStage("latent-flow-student", teacher=LATENT_FLOW)


@register
class BaselineFast(ProcessMethod):
    """The baseline in one call."""

    name = "baseline-fast"
    title = "Baseline, distilled"
    stages = (BASELINE_STUDENT,)


@register
class CascadedFast(ProcessMethod):
    """The cascade in one call a scale."""

    name = "cascaded-fast"
    title = "Cascaded, distilled"
    stages = (SMALL_STUDENT, UPSCALER_STUDENT)


@register
class LatentFlowFast(InLatents):
    """Latent flow matching in one call, and one of the decoder."""

    name = "latent-flow-fast"
    title = "Latent flow, distilled"
    stages = (AUTOENCODER, LATENT_STUDENT)
