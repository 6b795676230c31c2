"""Jumps: how a segment of a process begins, given what the segment before it has made.

- `FromNoise` (`core/segment.py`) begins with noise alone (Ho et al. 2020).
- `Conditioned` begins with noise, and shows the network the coarser image (Ho et al. 2022).
- `Renoised` enlarges the coarser image and noises it to an intermediate state (Ryu & Ye 2022).
- `Exact` adds the noise that the coarser state lacks, so that the marginals agree; some of the
  noise that is there can be drawn anew.
- `Approximate` does so where they do not quite agree (Zhang et al. 2022).

A jump also makes the condition that its segment's network sees in training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from scalespace.core.augmentation import Augmentation, GaussianNoise
from scalespace.core.denoiser import Condition
from scalespace.core.noise import Noise
from scalespace.core.scale import down, enlarge, up
from scalespace.core.segment import Begun, FromNoise, Handed, Jump, Segment
from scalespace.errors import InputError


@dataclass(frozen=True, eq=False)
class FromCoarser(Jump):
    """A jump from images that are `coarser` times smaller."""

    coarser: int

    @property
    def factor(self) -> int:
        """`coarser`."""
        return self.coarser


@dataclass(frozen=True, eq=False)
class Conditioned(FromCoarser, FromNoise):
    """Begins with noise alone, and the network sees the coarser image beside it: a cascade.

    Args:
        coarser: how many times smaller that image is.
        augmentation: degrades it on purpose; None for no augmentation.
    """

    augmentation: Augmentation | None = None

    @property
    def shows(self) -> bool:
        """True."""
        return True

    @property
    def tells(self) -> bool:
        """Whether the coarser image is degraded on purpose."""
        return self.augmentation is not None

    def known(self, shape: Sequence[int]) -> int:
        """The numbers of the coarser image."""
        return math.prod(shape) // self.coarser**2

    def takes_over(self, segment: Segment, before: Segment) -> float:
        """0, unless a truncated augmentation takes the image over unfinished."""
        return self.unfinished

    @property
    def unfinished(self) -> int:
        """The state of the coarser image."""
        return self.augmentation.starts_from if self.augmentation is not None else 0

    def begin(
        self,
        segment: Segment,
        before: Handed | None,
        condition: Condition,
        noise: Noise,
        temperature: float = 1.0,
    ) -> Begun:
        """Noise in the segment's last state, beside the coarser image."""
        low = _needed(before, segment)
        degree = self._degree(segment, low.segment)
        condition = self.with_coarser(low.x, condition, noise, segment.stream, degree)
        return super().begin(segment, None, condition, noise, temperature)

    def check(self, segment: Segment, before: Segment) -> None:
        """Raises `InputError` if unfinished images would be noisier than any in training."""
        self._degree(segment, before)

    def told(self, segment: Segment, before: Segment) -> float | None:
        """The degree of augmentation over the largest; None without augmentation."""
        if self.augmentation is None:
            return None
        return self.augmentation.told(self._degree(segment, before))

    def _degree(self, segment: Segment, before: Segment) -> float | None:
        """The augmentation degree of the noise in unfinished images; None for finished ones."""
        state, found = self.unfinished, None
        if not state:
            return None
        assert isinstance(self.augmentation, GaussianNoise)
        if state <= before.schedule.last:
            _, b = before.schedule.scales(state)
            found = self.augmentation.degree(b)
        if found is None:
            raise InputError(
                f"condition.truncate: state {state:g} of the process that makes the coarser images "
                f"is noisier than all that stage '{segment.name}' was trained with: choose a "
                "smaller condition.level or train with a larger condition.most"
            )
        return found

    def with_coarser(
        self,
        low: Tensor,
        condition: Condition,
        noise: Noise,
        name: str,
        degree: float | None = None,
    ) -> Condition:
        """Adds a coarser image to the condition, augmented as in sampling.

        Args:
            low: images [n, c, h, w] at the coarser scale.
            condition, noise, name: as for `real_condition`.
            degree: the degree that unfinished images already have.
        """
        level = None
        if self.augmentation is not None:
            own = noise.stream(f"{name}/condition")
            low, level = self.augmentation.chosen(low, own.normal, degree)
        return replace(condition, given=up(low, self.coarser), level=level, guess=None)

    def inputs(self, x0: Tensor) -> tuple[Tensor, ...]:
        """The image at the coarser scale."""
        return (down(x0, self.coarser),)

    def training_condition(
        self, inputs: tuple[Tensor, ...], condition: Condition, rng: torch.Generator | None
    ) -> Condition:
        """Adds the coarser images, each at a random degree of augmentation."""
        (low,), level = inputs, None
        if self.augmentation is not None and rng is not None:
            low, level = self.augmentation.drawn(low, rng)
        return replace(condition, given=up(low, self.coarser), level=level)

    def real_condition(
        self, inputs: tuple[Tensor, ...], condition: Condition, noise: Noise, name: str
    ) -> Condition:
        """Adds the real images, as noisy as the previous segment would have left them."""
        (low,) = inputs
        if self.augmentation is not None and self.unfinished:
            own = noise.stream(f"{name}/preview")
            level = torch.full(low.shape[:1], self.unfinished, device=low.device)
            low = self.augmentation.apply(low, level, own.normal(low.shape[1:]))
        return self.with_coarser(low, condition, noise, name)


@dataclass(frozen=True, eq=False)
class Renoised(FromCoarser):
    """Enlarges the finished image and noises it to an intermediate state (Ryu & Ye 2022).

    Args:
        coarser: how many times smaller the image is.
        state: the state that the segment begins in: its last one, if training is not to be spent
            on others that sampling never sees.
    """

    state: int

    @property
    def carries(self) -> bool:
        """True."""
        return True

    def first(self, last: int) -> int:
        """`state`."""
        return self.state

    def among(self, states: Sequence[int]) -> Renoised:
        """As any `Jump`; `state` is one of them."""
        return replace(self, state=list(states).index(self.state))

    def begin(
        self,
        segment: Segment,
        before: Handed | None,
        condition: Condition,
        noise: Noise,
        temperature: float = 1.0,
    ) -> Begun:
        """x_t ~ q(x_t | the enlarged image)."""
        low = _needed(before, segment).x
        eps = temperature * noise.stream(segment.stream).normal(segment.shape)
        t = torch.full(low.shape[:1], self.state, device=low.device)
        x = segment.q_sample(up(low, self.coarser), t, eps)
        return Begun(self.state, x, condition.after(None))


@dataclass(frozen=True, eq=False)
class Exact(FromCoarser):
    """Continues in a finer state with exactly the same marginal.

    With D the mean of blocks of f x f pixels, U nearest enlargement, P = U D and Q = I - P, a fine
    state x = a P x_0 + s eps has block means D x = a D x_0 + (s / f) e. A coarser segment holds
    them in unit variance, z = D x / r with r = sqrt(a^2 + (s / f)^2), so its log SNR is 2 ln f
    higher. The jump multiplies by r, enlarges, and adds the noise within the blocks:
    x = r U z + s Q eps.

    A share g of the noise in the block means can be drawn anew. The coarser segment then goes on to
    1 / (1 - g) times that SNR, to the finished image for g = 1, and

        x = r U z + s (Q + sqrt(g) P) eps,      r^2 = a^2 + (1 - g) (s / f)^2.

    The finer segment begins in its last state, where nothing of the detail Q x_0 may be left: a
    plain `Segment` will not do. It takes over whatever coarser segment comes before it at the time
    that has the right alpha_bar.

    Args:
        coarser: how many times smaller the image is.
        fresh: g.
    """

    fresh: float = 0.0

    LEFT: ClassVar[float] = 0.01
    """How much of the detail may be left."""

    @property
    def carries(self) -> bool:
        """True."""
        return True

    def takes_over(self, segment: Segment, before: Segment) -> float:
        """When the coarser segment has the right alpha_bar; its last state at most."""
        last = segment.schedule.alpha_bar_at(segment.schedule.last)
        kept = (1 - self.fresh) ** 0.5  # of the deviation of the noise
        return before.schedule.time_of(alpha_bar_after(last, kept / self.coarser))

    def check(self, segment: Segment, before: Segment) -> None:
        """Raises `InputError` if the segment begins with detail, or the coarser one lacks some."""
        first, *bands = before.levels(self.takes_over(segment, before))
        if any(abs(band.unit * band.a - first.a) > self.LEFT for band in bands):
            raise InputError(
                f"segment '{segment.name}' takes over images of '{before.name}' that still lack "
                "detail: let it be whole sooner, or take them over later"
            )
        probe = torch.zeros(1, *segment.shape)
        probe[..., ::2] = 1
        probe -= enlarge(down(probe, self.coarser), self.coarser)  # detail alone
        state = torch.tensor([segment.schedule.last])
        left = segment.q_sample(probe, state, torch.zeros_like(probe)).abs().max()
        a, _ = segment.schedule.scales(segment.schedule.last)
        most = self.LEFT * a * float(probe.abs().max())
        if float(left) > most * (1 + 1e-5):  # whatever the rounding
            raise InputError(
                f"segment '{segment.name}' begins with detail in its last state, which the images "
                f"of '{before.name}' do not have: let the detail fade there"
            )

    def handed(self, segment: Segment, x0: Tensor, noise: Noise) -> Tensor:
        """The coarser state that is taken over: the block means under (1 - g)^(1/2) (s / f) e."""
        a, _, kept, size = self._scales(segment)
        low = down(x0, self.coarser)
        e = noise.stream(f"{segment.stream}/before").normal(low.shape[1:])
        return (a * low + kept * e) / size

    def _scales(self, segment: Segment) -> tuple[float, float, float, float]:
        """a, s, (1 - g)^(1/2) s / f, and r."""
        a, s = segment.schedule.scales(segment.schedule.last)
        kept = (1 - self.fresh) ** 0.5 * s / self.coarser
        return a, s, kept, math.hypot(a, kept)

    def begin(
        self,
        segment: Segment,
        before: Handed | None,
        condition: Condition,
        noise: Noise,
        temperature: float = 1.0,
    ) -> Begun:
        """The last state of the finer segment; `temperature` scales the added noise."""
        low = _needed(before, segment).x
        _, s, _, size = self._scales(segment)
        eps = temperature * noise.stream(segment.stream).normal(segment.shape)
        means = enlarge(down(eps, self.coarser), self.coarser)
        x = size * enlarge(low, self.coarser) + s * (eps - (1 - self.fresh**0.5) * means)
        return Begun(segment.schedule.last, x, condition.after(None))


class Approximate(Exact):
    """The same jump where some of the detail is left, which it replaces by noise alone.

    The first states that sampling makes are not quite those of training (Zhang et al. 2022).
    """

    LEFT: ClassVar[float] = 1.0


def _needed(before: Handed | None, segment: Segment) -> Handed:
    if before is None:
        raise ValueError(f"segment '{segment.name}' needs the images of a coarser one")
    return before


def alpha_bar_after(alpha_bar: float, factor: float) -> float:
    """alpha_bar of the finer state that an `Exact` jump leads to from a coarser one.

    With 1 / factor: of the coarser state that leads to a finer one.
    """
    return alpha_bar / (alpha_bar + (1 - alpha_bar) * factor**2)
