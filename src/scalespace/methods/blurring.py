"""`blurring`: images blur while noise is added, so that coarse structure comes first (28x28)."""

from __future__ import annotations

from scalespace.methods.base import ProcessMethod, register
from scalespace.methods.fast import distilled
from scalespace.stages.blurring import BlurringStage


@distilled
@register
class BlurringDiffusion(ProcessMethod):
    """Scale space without a change of size (Hoogeboom & Salimans 2023)."""

    name = "blurring"
    title = "Blurring"
    stages = (BlurringStage("blurring", states=30),)
