"""Segments and processes: states at one scale, and scales in a row.

A *segment* is a run of states at one scale, with a schedule and a *jump* that begins it. A
*process* is a list of segments, the coarsest first. The paper's `baseline` is one segment, its
`small` one at half the size, `cascaded` the two in a row.

A process with other mathematics subclasses `Segment`: what it is made of (`q_sample`), how a step
goes (`tables`, `step`), and a jump of its own are all that samplers, training and figures ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from scalespace.core.jumps import FromNoise, Jump
from scalespace.core.scale import down
from scalespace.core.schedule import Schedule
from scalespace.core.solvers import Row, Solver, Table
from scalespace.errors import InputError


@dataclass(frozen=True, eq=False)
class Segment:
    """A run of states at one scale: x_t = a x_0 + b eps in each of them.

    Args:
        name: names its noise.
        schedule: its states; 0 is the image at this scale, the last one is (nearly) noise.
        shape: of one image in it, (c, h, w) unless the data are no images.
        factor: how many times smaller its images are than the data's.
        jump: how it begins.
    """

    name: str
    schedule: Schedule
    shape: tuple[int, ...]
    factor: int = 1
    jump: Jump = field(default_factory=FromNoise)

    def x0_of(self, images: Tensor) -> Tensor:
        """What images at the data's size, [n, c, h, w], are in state 0: [n, *shape]."""
        return down(images, self.factor)

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


@dataclass(frozen=True, eq=False)
class Process:
    """Segments in a row, the coarsest first: the whole way from noise to an image.

    Its states are counted through, from 0 at the data: those of the last segment, then those of the
    one before, and so on.

    Raises:
        InputError: there is none, two bear one name, or a jump does not lead from the scale of the
            segment before it, or from a state of it that there is.
    """

    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        if not self.segments:
            raise InputError("a process needs at least one segment")
        names = [segment.name for segment in self.segments]
        if len(set(names)) < len(names):
            raise InputError(f"two segments of a process bear one name: {', '.join(names)}")
        for before, after in pairwise(self.segments):
            if before.factor != after.factor * after.jump.factor:
                raise InputError(
                    f"segment '{after.name}' takes over images {after.jump.factor} times smaller "
                    f"than its own, and those of '{before.name}' are "
                    f"{before.factor / after.factor:g} times smaller"
                )
            after.jump.check(after, before)
            if not after.jump.takes < before.schedule.last:
                raise InputError(
                    f"segment '{after.name}' takes over images in state {after.jump.takes:g}, and "
                    f"'{before.name}' begins in state {before.schedule.last}"
                )

    @property
    def states(self) -> int:
        """Of all segments together."""
        return sum(segment.schedule.states for segment in self.segments)

    def locate(self, t: int) -> tuple[Segment, int]:
        """The segment that state t of the process lies in, and the number that it has there.

        Raises:
            ValueError: there is no such state.
        """
        left = t
        for segment in reversed(self.segments):
            if 0 <= left < segment.schedule.states:
                return segment, left
            left -= segment.schedule.states
        raise ValueError(f"state {t} is none of 0 .. {self.states - 1}")

    def shape(self, t: int) -> tuple[int, ...]:
        """Of one image in state t of the process: (c, h, w)."""
        return self.locate(t)[0].shape

    def q_sample(self, images: Tensor, t: int, eps: Tensor) -> Tensor:
        """Images at the data's size in state t of the process: [n, *shape(t)].

        Args:
            images: [n, c, h, w].
            t: one state for all of them.
            eps: standard normal noise [n, *shape(t)].
        """
        segment, own = self.locate(t)
        states = torch.full((len(images),), own, device=images.device)
        return segment.q_sample(segment.x0_of(images), states, eps)
