"""One process through all scales: its noisiest states are small images, for more shows nothing.

A coarse stage takes the noise down, and a finer one goes on from a state in which the block means
stand out; its detail comes in (`core/bands.py`). After "Scale Space Diffusion" (Mukhopadhyay et al.
2026) and Zhang et al. 2022, with an exact jump between the scales. By default the coarse stage goes
a little further, and most of the noise is drawn anew at the jump; `jump.fresh=0` draws none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from scalespace.methods.base import ProcessMethod, register
from scalespace.methods.fast import distilled
from scalespace.methods.small import SMALL
from scalespace.stages.diffusion import DiffusionStage
from scalespace.stages.onward import FRESH, FadingStage
from scalespace.stages.shared import SharedStage


class HalfStage(FadingStage):
    """A finer scale from which a still finer one takes over."""

    defaults: ClassVar[Mapping[str, Any]] = {"jump": {"begin": 0.3}, "fade": {"whole": 0.8}}


class DroppingStage(FadingStage):
    """A finer scale whose detail is dropped while some of it is left, as in Zhang et al. 2022."""

    defaults: ClassVar[Mapping[str, Any]] = {"fade": {"left": 0.25}}


class NestedStage(SharedStage):
    """One network whose inner levels alone work at the coarse scale."""

    defaults: ClassVar[Mapping[str, Any]] = {"jump": {"fresh": FRESH}, "net": {"kind": "nested"}}


DETAIL = FadingStage("detail", states=10)
DROPPED = DroppingStage("detail-dropped", states=10)
QUARTER = DiffusionStage("quarter", states=20, scale=4)
HALF_DETAIL = HalfStage("half-detail", states=20, scale=2)
SHARED = NestedStage(
    "scale-space-shared",
    scales=(
        DiffusionStage("shared-half", states=20, scale=2),
        FadingStage("shared-full", states=10),
    ),
)


@distilled
@register
class ScaleSpace(ProcessMethod):
    """Half size, then full size, through an exact jump."""

    name = "scale-space"
    title = "Scale space"
    stages = (SMALL, DETAIL)


@distilled
@register
class ScaleSpaceThree(ProcessMethod):
    """A quarter of the size, half of it, and full size."""

    name = "scale-space-3"
    title = "Scale space, three scales"
    stages = (QUARTER, HALF_DETAIL, DETAIL)


@distilled
@register
class ScaleSpaceShared(ProcessMethod):
    """The same two scales by one network."""

    name = "scale-space-shared"
    title = "Scale space, one network"
    stages = (SHARED,)


@distilled
@register
class DimensionalityVarying(ProcessMethod):
    """The same in the form of Zhang et al. 2022: what is left of the detail is dropped."""

    name = "dimensionality-varying"
    title = "Dimensionality-varying"
    stages = (SMALL, DROPPED)
