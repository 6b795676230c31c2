"""What a network predicts: the noise, the image, or a velocity between them.

A parametrisation is two functions: what to aim at in training, and how to read a prediction back.
Each is exact for every alpha_bar in (0, 1). To add one, add it to `PARAMETRIZATIONS`, and its name
to `ProcessConfig.predict`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Parametrization:
    """The two directions between (x0, eps) and what the network predicts.

    `target(x0, eps, a, b)` is what the network should give, and `x0(prediction, x_t, a, b)` the
    image that a prediction stands for, where x_t = a x0 + b eps, a = sqrt(alpha_bar) and
    b = sqrt(1 - alpha_bar) (tensors that broadcast against the images, or floats).
    """

    name: str
    target: Callable[..., Tensor]
    x0: Callable[..., Tensor]


NOISE = Parametrization(
    "noise",  # Ho et al. 2020, equation 14; reading x0 back divides by a, which nears 0
    target=lambda x0, eps, a, b: eps,
    x0=lambda noise, x_t, a, b: (x_t - b * noise) / a,
)
IMAGE = Parametrization(
    "x0",
    target=lambda x0, eps, a, b: x0,
    x0=lambda image, x_t, a, b: image,
)
VELOCITY = Parametrization(
    "v",  # Salimans & Ho 2022, appendix D: well conditioned at both ends
    target=lambda x0, eps, a, b: a * eps - b * x0,
    x0=lambda v, x_t, a, b: a * x_t - b * v,
)
FLOW = Parametrization(
    "flow",  # Lipman et al. 2023: dz/du of the straight path z_u = x_t / (a + b), u = b / (a + b)
    target=lambda x0, eps, a, b: eps - x0,
    x0=lambda velocity, x_t, a, b: (x_t - b * velocity) / (a + b),
)

PARAMETRIZATIONS = {p.name: p for p in (NOISE, IMAGE, VELOCITY, FLOW)}
