"""`pyramid`: one network for two sizes; the finished small image is enlarged, noised and redrawn.

After Ryu & Ye 2022 ("Pyramidal Denoising Diffusion Probabilistic Models").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from scalespace.methods.base import ProcessMethod, register
from scalespace.methods.fast import distilled
from scalespace.stages.diffusion import DiffusionStage
from scalespace.stages.onward import RenoisedStage
from scalespace.stages.shared import SharedStage


class PyramidStage(SharedStage):
    """One network that is told where each pixel lies."""

    # more noise than elsewhere: it hides that the enlarged image is smoother than a real one
    defaults: ClassVar[Mapping[str, Any]] = {
        "jump": {"begin": 0.08},
        "net": {"kind": "coordinates"},
    }


PYRAMID = PyramidStage(
    "pyramid",
    scales=(
        DiffusionStage("pyramid-half", states=20, scale=2),
        RenoisedStage("pyramid-full", states=10),
    ),
)


@distilled
@register
class Pyramid(ProcessMethod):
    """Half size from noise, then full size from the enlarged image under new noise."""

    name = "pyramid"
    title = "Pyramid"
    stages = (PYRAMID,)
