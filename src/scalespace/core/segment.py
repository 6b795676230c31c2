"""A segment: a run of states at one scale, and the jump that begins it.

A process with other mathematics subclasses `Segment`: what its states are made of (`q_sample`), how
a step goes (`tables`, `step`), and a `Jump` of its own are all that samplers, training and figures
ask for.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from scalespace.core.denoiser import Condition
from scalespace.core.noise import Noise
from scalespace.core.scale import down
from scalespace.core.schedule import Schedule
from scalespace.core.solvers import Row, Solver, Table
from scalespace.core.spectrum import Components, power_law


class Handed(NamedTuple):
    """What one segment hands to the next: itself, and the images [n, c, h, w] that it made."""

    segment: Segment
    x: Tensor


class Begun(NamedTuple):
    """Where a segment begins: the state, the images in it [n, c, h, w], and what goes with them."""

    t: float
    x: Tensor
    condition: Condition


class Jump(ABC):
    """How a segment begins."""

    @property
    def factor(self) -> int:
        """How many times smaller the images are that it takes over; 1 where it takes none."""
        return 1

    @property
    def carries(self) -> bool:
        """Whether the first state holds the coarser image already, and not noise alone."""
        return False

    @property
    def takes_over(self) -> float:
        """The state in which it takes over the images of the segment before: 0 is finished."""
        return 0

    def first(self, last: int) -> int:
        """The state that the segment begins in, where `last` is its schedule's last one."""
        return last

    def known(self, shape: Sequence[int]) -> int:
        """How many numbers of an image of this shape the network is shown beside its state."""
        return 0

    def check(self, segment: Segment, before: Segment) -> None:  # noqa: B027 - most take any
        """Refuses a segment before its own that does not make what it takes over.

        Raises:
            InputError: what is wrong.
        """

    @abstractmethod
    def begin(
        self,
        segment: Segment,
        before: Handed | None,
        condition: Condition,
        noise: Noise,
        temperature: float = 1.0,
    ) -> Begun:
        """The first state of a segment.

        Args:
            segment: the one that begins.
            before: the segment before, with its images in the state `takes_over`; None for a
                first one.
            condition: of the segment before.
            noise: the streams of these images; those of the segment bear its name.
            temperature: deviation of the noise that it begins with.
        """

    def inputs(self, x0: Tensor) -> tuple[Tensor, ...]:
        """What of images x0 [n, c, h, w] at the segment's scale training needs: n rows each."""
        return ()

    def training_condition(
        self, inputs: tuple[Tensor, ...], condition: Condition, rng: torch.Generator | None
    ) -> Condition:
        """The condition of a training step.

        Args:
            inputs: of its images.
            condition: what else is known.
            rng: draws how much the inputs are made worse; None leaves them as they are.
        """
        return condition

    def real_condition(
        self, inputs: tuple[Tensor, ...], condition: Condition, noise: Noise, name: str
    ) -> Condition:
        """The condition where the segment before did not run: as if it had made the inputs.

        Args:
            inputs: of real images.
            condition: what else is known.
            noise: the streams of these images.
            name: of the segment.
        """
        return condition


class FromNoise(Jump):
    """Begins with noise alone, in the last state."""

    def begin(
        self,
        segment: Segment,
        before: Handed | None,
        condition: Condition,
        noise: Noise,
        temperature: float = 1.0,
    ) -> Begun:
        """Noise in the segment's last state."""
        x = temperature * noise.stream(segment.name).normal(segment.shape)
        return Begun(segment.schedule.last, x, condition)


@dataclass(frozen=True, eq=False)
class Segment:
    """A run of states at one scale: x_t = a x_0 + b eps in each of them.

    Args:
        name: names its noise.
        schedule: its states; 0 is the image at this scale, the last one is (nearly) noise.
        shape: of one image in it, (c, h, w) unless the data are no images.
        factor: how many times smaller its images are than the data's.
        jump: how it begins.

    A subclass whose x_t is made otherwise sets `plain` to False. Its network must predict x0, for
    other predictions are read back by x_t = a x_0 + b eps, and so is the mean as a target.
    """

    plain: ClassVar[bool] = True
    """Whether x_t = a x_0 + b eps."""

    name: str
    schedule: Schedule
    shape: tuple[int, ...]
    factor: int = 1
    jump: Jump = field(default_factory=FromNoise)

    @property
    def first(self) -> int:
        """The state that sampling begins in: the last, unless the jump leads to one between."""
        return self.jump.first(self.schedule.last)

    def x0_of(self, images: Tensor) -> Tensor:
        """What images at the data's size, [n, c, h, w], are in state 0: [n, *shape]."""
        return down(images, self.factor)

    def components(self) -> Components:
        """How its images vary beyond what the network is shown of them: a guess, made beforehand.

        They decide where few calls are put, and nothing else.
        """
        return power_law(math.prod(self.shape), self.jump.known(self.shape))

    def q_sample(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """x_t ~ q(x_t | x_0) from its noise: `Schedule.q_sample`.

        Args:
            x0: images [n, ...] at the segment's scale.
            t: states, int64 [n], or times between them, float [n].
            eps: standard normal noise, shaped as `x0`.
        """
        return self.schedule.q_sample(x0, t, eps)

    def tables(self, solver: Solver, states: Sequence[float]) -> tuple[Table, ...]:
        """A solver's numbers for a way through its states, falling: a table for each band.

        Here the image is one band. A process that treats parts of it apart, such as block means
        and what differs from them, has a table for each, and a `step` that puts them together.
        """
        return (solver(self.schedule, states),)

    def step(
        self,
        rows: Sequence[Row],
        x: Tensor,
        x0_hat: Tensor,
        before: Tensor | None,
        eps: Tensor | None,
    ) -> Tensor:
        """The next state: one row of each table put to work.

        Args:
            rows: of `tables`.
            x: x_t [n, ...].
            x0_hat: the estimate of x_0 there.
            before: the estimate a step earlier; None in the first step.
            eps: fresh noise, where a row asks for some.
        """
        (row,) = rows
        return row.apply(x, x0_hat, before, eps)
