"""A segment: a run of states at one scale, and the jump that begins it.

A process with other mathematics subclasses `Segment`, says what its states are (`q_sample`) and how
a step goes (`tables`, `step`), and may bring its own `Jump`. Samplers, training and figures ask for
nothing else.
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
        """How many times smaller the images that it takes over are; 1 if it takes none."""
        return 1

    @property
    def carries(self) -> bool:
        """Whether the first state already holds the coarser image, not noise alone."""
        return False

    @property
    def takes_over(self) -> float:
        """The state in which it takes over the previous segment's images; 0 is finished."""
        return 0

    def first(self, last: int) -> int:
        """The state that the segment begins in, where `last` is its schedule's last one."""
        return last

    def known(self, shape: Sequence[int]) -> int:
        """How many numbers of an image of this shape the network sees besides x_t."""
        return 0

    def check(self, segment: Segment, before: Segment) -> None:  # noqa: B027 - most take any
        """Refuses a previous segment whose images it cannot take over.

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
            before: the previous segment, with its images in state `takes_over`; None for the first.
            condition: of the previous segment.
            noise: the streams of these images; the segment's own bear the name `segment.stream`.
            temperature: standard deviation of the initial noise.
        """

    def inputs(self, x0: Tensor) -> tuple[Tensor, ...]:
        """What training needs of x0 [n, c, h, w] at the segment's scale besides it: n rows each."""
        return ()

    def training_condition(
        self, inputs: tuple[Tensor, ...], condition: Condition, rng: torch.Generator | None
    ) -> Condition:
        """The condition of a training step.

        Args:
            inputs: what `inputs` made of its images.
            condition: what else is known.
            rng: draws the degree of augmentation; None leaves the inputs as they are.
        """
        return condition

    def real_condition(
        self, inputs: tuple[Tensor, ...], condition: Condition, noise: Noise, name: str
    ) -> Condition:
        """The condition where real images stand in for a previous segment that did not run.

        Args:
            inputs: of real images.
            condition: what else is known.
            noise: the streams of these images.
            name: of the segment's stream.
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
        x = temperature * noise.stream(segment.stream).normal(segment.shape)
        return Begun(segment.schedule.last, x, condition)


@dataclass(frozen=True, eq=False)
class Segment:
    """A run of states at one scale: x_t = a x_0 + b eps in each of them.

    Args:
        name: its own within a process.
        schedule: its states; 0 is the image at this scale, the last one is (nearly) noise.
        shape: of one x_0, (c, h, w) if the data are images.
        factor: how many times smaller its images are than the data's.
        jump: how it begins.
        stream: names its noise; its own name unless given. Two segments of one stream begin with
            the same noise.

    A subclass with another x_t sets `plain` to False. Its network must predict x0, and its
    objective cannot aim at the mean: other predictions and the mean rely on x_t = a x_0 + b eps.
    """

    plain: ClassVar[bool] = True
    """Whether x_t = a x_0 + b eps."""

    name: str
    schedule: Schedule
    shape: tuple[int, ...]
    factor: int = 1
    jump: Jump = field(default_factory=FromNoise)
    stream: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stream", self.stream or self.name)

    @property
    def latents_of(self) -> str:
        """The stage in whose latents its images are; empty for pixels."""
        return ""

    @property
    def first(self) -> int:
        """The state that sampling begins in: the last, unless the jump leads to one between."""
        return self.jump.first(self.schedule.last)

    def x0_of(self, images: Tensor) -> Tensor:
        """x_0 of images [n, c, h, w] at the data's size: [n, *shape]."""
        return down(images, self.factor)

    def components(self) -> Components:
        """A prior guess of how x_0 varies beyond what the network is shown.

        It only decides which states few calls go to.
        """
        return power_law(math.prod(self.shape), self.jump.known(self.shape))

    def q_sample(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """`Schedule.q_sample` of images x0 [n, ...] at the segment's scale."""
        return self.schedule.q_sample(x0, t, eps)

    def tables(self, solver: Solver, states: Sequence[float]) -> tuple[Table, ...]:
        """A solver's tables for falling states, one for each band of the image.

        Here the image is one band. A process that treats parts of it apart, such as block means
        and the rest, returns a table for each and puts them together in `step`.
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
        """The next state, by one row of each table.

        Args:
            rows: of `tables`.
            x: x_t [n, ...].
            x0_hat: the estimate of x_0 there.
            before: the previous estimate; None in the first step.
            eps: fresh noise; None if no row draws any.
        """
        (row,) = rows
        return row.apply(x, x0_hat, before, eps)
