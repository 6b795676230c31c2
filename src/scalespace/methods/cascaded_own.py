"""`cascaded-own`: a control, the cascade whose upscaler was trained on the small stage's images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from scalespace.core.samplers import Step
from scalespace.methods.base import Method, register
from scalespace.methods.cascaded import UPSCALER
from scalespace.methods.small import SMALL
from scalespace.stages.base import Models
from scalespace.stages.own import OwnStage

OWN = OwnStage("upscaler-own", UPSCALER.states, conditioned=SMALL.states, maker=SMALL)


@register
class CascadedOwn(Method):
    """Does the upscaler fail because it never saw such images? See `scalespace.stages.own`."""

    name = "cascaded-own"
    title = "Cascaded, own images"
    stages = (SMALL, OWN)

    def sample(
        self,
        models: Models,
        labels: Tensor,
        seed: int,
        indices: Sequence[int],
    ) -> Iterator[Step]:
        """As `cascaded`."""
        for step in models[SMALL.name].sample(labels, seed, indices):
            yield step
        yield from models[OWN.name].sample(labels, seed, indices, low=step.x)
