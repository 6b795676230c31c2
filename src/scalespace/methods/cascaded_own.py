"""`cascaded-own`: a control, the cascade whose upscaler was trained on the small stage's images."""

from __future__ import annotations

from scalespace.methods.base import register
from scalespace.methods.cascaded import UPSCALER, Cascaded
from scalespace.methods.small import SMALL
from scalespace.stages.own import OwnStage

OWN = OwnStage(
    "upscaler-own", UPSCALER.states, conditioned=SMALL.states, maker=SMALL, plain=UPSCALER
)


@register
class CascadedOwn(Cascaded):
    """A control: the cascade with an upscaler trained on the small stage's own images.

    It tells whether the upscaler suffers from images that it never saw (`scalespace.stages.own`).
    """

    name = "cascaded-own"
    title = "Cascaded, own images"
    stages = (SMALL, OWN)
