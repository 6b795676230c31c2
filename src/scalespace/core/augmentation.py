"""Conditioning augmentation: an upscaler sees a degraded image and is told how degraded it is.

In a cascade the upscaler meets the samples of another model, not the real images it was trained
on. Ho et al. 2022 (Cascaded diffusion models, section 4) blur or noise its condition in training,
to a degree drawn for each image, and choose the degree for sampling afterwards.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scalespace.core.schedule import Schedule

TENTH = 0.1  # pixels of blur per degree


@dataclass(frozen=True, eq=False)
class Augmentation(ABC):
    """A way to degrade the condition, by whole degrees.

    Args:
        most: the largest degree; training draws 0 .. most uniformly.
        level: the degree used in sampling.
    """

    most: int
    level: int

    @abstractmethod
    def apply(self, low: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """Degrades images [n, c, h, w] by degrees int64 [n]; `noise` is standard normal."""

    @property
    def starts_from(self) -> int:
        """The state of the small process whose image sampling takes over; 0 is finished."""
        return 0

    def drawn(self, low: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """For training: the images at random degrees, and degree / most, float [n]."""
        level = torch.randint(self.most + 1, (len(low),), generator=rng, device=low.device)
        noise = torch.randn(low.shape, generator=rng, device=low.device, dtype=low.dtype)
        return self.apply(low, level, noise), level.to(low.dtype) / self.most

    def chosen(
        self,
        low: Tensor,
        noise: Callable[[Sequence[int]], Tensor],
        degree: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """For sampling: the images at `level`, and their degree / most, float [n].

        Args:
            low: images [n, c, h, w] in the state `starts_from`.
            noise: gives standard normal noise [n, *shape].
            degree: the degree that unfinished images already have; None is `level`.
        """
        if self.level and not self.starts_from:
            level = torch.full(low.shape[:1], self.level, device=low.device)
            low = self.apply(low, level, noise(low.shape[1:]))
        return low, low.new_full(low.shape[:1], self.told(degree))

    def told(self, degree: float | None = None) -> float:
        """What the network is told in sampling: `degree`, or `level` without one, over `most`."""
        return (self.level if degree is None else degree) / self.most


@dataclass(frozen=True, eq=False)
class GaussianNoise(Augmentation):
    """Noises the condition as in state s of a process: z_s ~ q(z_s | z_0).

    Args:
        most, level: states of that process.
        schedule: of that process. A stage uses its own kind, with as many states as the small
            process, whose schedule may differ (see `degree`).
        finished: noises the finished image (non-truncated); otherwise the small process stops in
            state `level`, which saves its remaining calls (truncated).
    """

    schedule: Schedule
    finished: bool = True

    def apply(self, low: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """q_sample of that process."""
        return self.schedule.q_sample(low, level, noise)

    @property
    def starts_from(self) -> int:
        """`level`, if the small process stops there."""
        return 0 if self.finished else self.level

    def degree(self, b: float) -> float | None:
        """The degree at which the noise has deviation b = sqrt(1 - alpha_bar); None beyond `most`.

        The degree is fractional where the small process has another schedule than training drew
        from: the noise in its states then lies between two whole degrees.
        """
        known = (1 - self.schedule.alpha_bar[: self.most + 1]).sqrt().numpy()
        if b > known[-1] + 1e-9:
            return None
        return float(np.interp(b, known, np.arange(self.most + 1)))


@dataclass(frozen=True, eq=False)
class Blur(Augmentation):
    """Blurs the condition; degree k has a sigma of k / 10 pixels (Ho et al. 2022, 4.2)."""

    def apply(self, low: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """Applies a separable 5-tap Gaussian with replicated edges; 0 changes nothing."""
        offset = torch.arange(-2, 3, device=low.device, dtype=low.dtype)
        sigma = (level.to(low.dtype) * TENTH).clamp(min=1e-3)  # 0 leaves the middle tap alone
        taps = torch.exp(-(offset**2) / (2 * sigma[:, None] ** 2))
        taps = taps / taps.sum(dim=1, keepdim=True)
        n, channels, height, width = low.shape
        kernel = (taps[:, :, None] * taps[:, None, :]).repeat_interleave(channels, dim=0)[:, None]
        padded = F.pad(low, (2, 2, 2, 2), mode="replicate")
        # each image has a kernel of its own: images become the groups of one convolution
        flat = padded.reshape(1, n * channels, height + 4, width + 4)
        return F.conv2d(flat, kernel, groups=n * channels).view(n, channels, height, width)
