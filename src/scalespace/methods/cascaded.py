"""`cascaded`: the small stage, then a second diffusion process that upscales its images.

p(x_0) = integral of p_upscaler(x_0 | z_0) p_small(z_0) dz_0 (seed paper, section 0.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from scalespace.core.samplers import Step
from scalespace.methods.base import Method, register
from scalespace.methods.small import SMALL
from scalespace.stages.base import Models
from scalespace.stages.diffusion import DiffusionStage

UPSCALER = DiffusionStage("upscaler", states=10, conditioned=SMALL.states)


@register
class Cascaded(Method):
    """The scale-space method of the seed paper, after Ho et al. 2021."""

    name = "cascaded"
    title = "Cascaded"
    stages = (SMALL, UPSCALER)

    def sample(
        self,
        models: Models,
        labels: Tensor,
        seed: int,
        indices: Sequence[int],
    ) -> Iterator[Step]:
        """All states at half size, then all states at full size, given the finished small image."""
        small, upscaler = (models[stage.name] for stage in self.stages)
        degree = upscaler.degree(small.schedule)
        for step in small.sample(labels, seed, indices):
            yield step
            if step.t == upscaler.starts_from:
                break
        yield from upscaler.sample(labels, seed, indices, low=step.x, degree=degree)

    def check(self, models: Models) -> None:
        """Whether the upscaler knows images as noisy as the small process would hand it."""
        small, upscaler = (models[stage.name] for stage in self.stages)
        upscaler.degree(small.schedule)

    def calls(self, models: Models) -> int:
        """Fewer where the small process is ended early (truncated augmentation)."""
        return super().calls(models) - models[self.stages[-1].name].starts_from
