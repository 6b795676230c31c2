"""The denoiser that a sampler calls, its condition, and wrappers around it.

A stage's network, the toy's exact posterior mean, guidance and the x0 rule are each a `Denoiser`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from scalespace.core.schedule import Schedule

ANY = -1
"""The label of an image whose class is withheld."""


@dataclass(frozen=True, eq=False)
class Condition:
    """What a denoiser is told besides the image and its state.

    Args:
        labels: classes, int64 [n], `ANY` where one is withheld; None for data without classes.
        given: the coarser image enlarged to this scale, [n, c, h, w]; None if there is none.
        level: its degree of augmentation over the largest in training: float [n]; None is 0.
        guess: the previous estimate of x_0 [n, ...]; None if there is none.
    """

    labels: Tensor | None = None
    given: Tensor | None = None
    level: Tensor | None = None
    guess: Tensor | None = None

    def unlabelled(self) -> Condition:
        """The same condition with the classes withheld."""
        labels = None if self.labels is None else torch.full_like(self.labels, ANY)
        return replace(self, labels=labels)

    def and_also(self, other: Condition) -> Condition:
        """The condition of both batches in a row; a part that either lacks is None."""

        def both(one: Tensor | None, other: Tensor | None) -> Tensor | None:
            return None if one is None or other is None else torch.cat([one, other])

        return Condition(
            both(self.labels, other.labels),
            both(self.given, other.given),
            both(self.level, other.level),
            both(self.guess, other.guess),
        )

    def after(self, x0_hat: Tensor | None) -> Condition:
        """The same condition with this estimate as the previous one."""
        return replace(self, guess=x0_hat)


class Denoiser(Protocol):
    """Estimates x_0."""

    def __call__(self, x: Tensor, t: float, condition: Condition) -> Tensor:
        """x0_hat, shaped as x, for images x_t [n, ...] that are all in state t.

        `t` may lie between two states; `condition` is what else is known.
        """


@dataclass(frozen=True)
class Guidance:
    """How strongly the label pulls while sampling (Ho & Salimans 2022, classifier-free guidance).

    Args:
        strength: w; 0 leaves the denoiser as it is. Elsewhere 1 + w is called the guidance scale.
        low, high: the range of states that it acts in, ends included (Kynkaanniemi et al. 2024):
            guidance helps most in the middle.
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
        told, untold = self.denoise(torch.cat([x, x]), t, both).unflatten(0, (2, -1))
        return torch.lerp(untold, told, 1 + self.guidance.strength)


@dataclass(frozen=True)
class InDomain:
    """A denoiser whose estimates a rule keeps inside the images' domain (`core/domain.py`).

    Args:
        denoise: the denoiser that is wrapped.
        rule: one of `X0_RULES`.
        domain: the least and the greatest value of x_0.
        schedule: gives the rule the noise variance of x_t.
    """

    denoise: Denoiser
    rule: Callable[..., Tensor]
    domain: tuple[float, float]
    schedule: Schedule

    def __call__(self, x: Tensor, t: float, condition: Condition) -> Tensor:
        """As any `Denoiser`."""
        _, b = self.schedule.scales(t)
        return self.rule(self.denoise(x, t, condition), *self.domain, b**2)
