"""What a sampler calls: the denoiser, what it is told besides the image, and wrappers around one.

The plain network of a stage, the exact posterior of a toy, guidance and the domain's rule are each
a `Denoiser`, and nest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from scalespace.core.schedule import Schedule

ANY = -1
"""The label of an image whose class is not told."""


@dataclass(frozen=True, eq=False)
class Condition:
    """What a denoiser is told besides the image and its state.

    Args:
        labels: classes, int64 [n], with `ANY` where none is told; None for data without classes.
        given: an image at this scale that shows a coarser one, [n, c, h, w], where there is one.
        level: how much that image was made worse, over the most in training: float [n]; None is 0.
        guess: the estimate of x_0 before this one [n, ...]; None where none was made.
    """

    labels: Tensor | None = None
    given: Tensor | None = None
    level: Tensor | None = None
    guess: Tensor | None = None

    def unlabelled(self) -> Condition:
        """The same without the class."""
        labels = None if self.labels is None else torch.full_like(self.labels, ANY)
        return replace(self, labels=labels)

    def and_also(self, other: Condition) -> Condition:
        """Of the images of two batches in a row, both conditions having the same parts."""

        def both(one: Tensor | None, other: Tensor | None) -> Tensor | None:
            return None if one is None or other is None else torch.cat([one, other])

        return Condition(
            both(self.labels, other.labels),
            both(self.given, other.given),
            both(self.level, other.level),
            both(self.guess, other.guess),
        )

    def after(self, x0_hat: Tensor | None) -> Condition:
        """The same, once an estimate has been made."""
        return replace(self, guess=x0_hat)


class Denoiser(Protocol):
    """Estimates x_0."""

    def __call__(self, x: Tensor, t: float, condition: Condition) -> Tensor:
        """The estimate of x_0 for images that are all in one state.

        Args:
            x: x_t [n, ...].
            t: the state, or a time between two.
            condition: what else is known.

        Returns:
            x0_hat, shaped as x.
        """


@dataclass(frozen=True)
class Guidance:
    """How strongly the label pulls while sampling (Ho & Salimans 2022, classifier-free guidance).

    Args:
        strength: w; 0 leaves the denoiser as it is. Elsewhere 1 + w is called the guidance scale.
        low, high: the states that it acts in, ends included (Kynkaanniemi et al. 2024): guidance
            helps most in the middle.
    """

    strength: float = 0.0
    low: float = 0.0
    high: float = float("inf")

    def acts(self, t: float) -> bool:
        """Whether it changes anything in state t."""
        return self.strength != 0 and self.low <= t <= self.high


@dataclass(frozen=True)
class Guided:
    """A denoiser under guidance: x0_hat + w (x0_hat - x0_hat without the label).

    The paper mixes predicted noises. At a given x_t the estimate of x_0 is an affine function of
    the predicted noise, or of any other parametrisation, and so the mixture is the same.
    Both answers come from one pass over twice as many images, which counts as two calls.
    """

    denoise: Denoiser
    guidance: Guidance

    def __call__(self, x: Tensor, t: float, condition: Condition) -> Tensor:
        """As any `Denoiser`."""
        if not self.guidance.acts(t):
            return self.denoise(x, t, condition)
        both = condition.and_also(condition.unlabelled())
        told, untold = self.denoise(torch.cat([x, x]), t, both).chunk(2)
        return torch.lerp(untold, told, 1 + self.guidance.strength)


@dataclass(frozen=True)
class InDomain:
    """A denoiser whose estimates a rule keeps inside the images' domain (`core/domain.py`).

    Args:
        denoise: whose estimates.
        rule: of `X0_RULES`.
        domain: the ends of what an x_0 may be.
        schedule: tells the rule the variance of the noise that the estimate was made through.
    """

    denoise: Denoiser
    rule: Callable[..., Tensor]
    domain: tuple[float, float]
    schedule: Schedule

    def __call__(self, x: Tensor, t: float, condition: Condition) -> Tensor:
        """As any `Denoiser`."""
        _, b = self.schedule.scales(t)
        return self.rule(self.denoise(x, t, condition), *self.domain, b**2)
