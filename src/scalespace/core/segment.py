"""A segment: a run of states at one scale, and the jump that begins it.

A process with other mathematics subclasses `Segment` and may bring its own `Jump`. Most often it
splits the image into bands, each with a schedule of its own (`split`, `schedules`); all else then
follows. If not, it says what its states are (`q_sample`), how a step goes (`tables`, `step`) and
how a prediction is read (`target`, `estimate`). Samplers, training and figures ask for no more.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from scalespace.core.denoiser import Condition
from scalespace.core.noise import Noise
from scalespace.core.parametrization import Parametrization
from scalespace.core.scale import down
from scalespace.core.schedule import Schedule
from scalespace.core.solvers import Row, Solve, Table
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
    def shows(self) -> bool:
        """Whether the network sees an image beside x_t: the condition's `given`, of x_t's shape."""
        return False

    @property
    def tells(self) -> bool:
        """Whether the network is told the condition's `level`."""
        return False

    def told(self, segment: Segment, before: Segment) -> float | None:
        """The level told in sampling; None if it tells none. The first segment is its `before`."""
        return None

    def takes_over(self, segment: Segment, before: Segment) -> float:
        """The state, or time, in which `segment` takes over the images of the one before it.

        0 is finished.
        """
        return 0

    def first(self, last: int) -> int:
        """The state that the segment begins in, where `last` is its schedule's last one."""
        return last

    def among(self, states: Sequence[int]) -> Jump:
        """The same into a segment that keeps only these of its states, rising from 0."""
        return self

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
            before: the previous segment, with its images where `takes_over` says; None for the
                first.
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
            rng: draws the degree of augmentation; None: leave the inputs as they are.
        """
        return condition

    def real_condition(
        self, inputs: tuple[Tensor, ...], condition: Condition, noise: Noise, name: str
    ) -> Condition:
        """The condition where real images stand in for a previous segment that did not run.

        Args:
            inputs, condition: as for `training_condition`.
            noise, name: the streams of these images, and which of them is the segment's.
        """
        return condition

    def handed(self, segment: Segment, x0: Tensor, noise: Noise) -> Tensor:
        """What a perfect previous segment would hand over: x0 [n, c, h, w], taken down."""
        return down(x0, self.factor)

    def begin_real(
        self,
        segment: Segment,
        x0: Tensor,
        inputs: tuple[Tensor, ...],
        condition: Condition,
        noise: Noise,
        temperature: float = 1.0,
    ) -> Begun:
        """`begin`, where real images stand in for a previous segment that did not run.

        Args:
            segment, condition, noise, temperature: as for `begin`.
            x0, inputs: images at the segment's scale [n, c, h, w], and what the network is to see.
        """
        # no previous segment is there to name: `segment` takes its place, and only the images count
        before = Handed(segment, self.handed(segment, x0, noise))
        return self.begin(segment, before, condition, noise, temperature)


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

    def begin_real(
        self,
        segment: Segment,
        x0: Tensor,
        inputs: tuple[Tensor, ...],
        condition: Condition,
        noise: Noise,
        temperature: float = 1.0,
    ) -> Begun:
        """Noise alone; real images are only shown to the network, if it sees any."""
        told = self.real_condition(inputs, condition, noise, segment.stream)
        return FromNoise.begin(self, segment, None, told, noise, temperature)


class Level(NamedTuple):
    """A band at one time: signal and noise of its unit variance, and the unit it is measured in.

    The band of x_t is unit (a band of x_0 + b band of eps), a^2 + b^2 = 1. Floats, or tensors that
    broadcast against images.
    """

    a: Any
    b: Any
    unit: Any = 1.0


Levels = tuple[Level, ...]
"""One for each band."""


@dataclass(frozen=True, eq=False)
class Segment:
    """A run of states at one scale: x_t = a x_0 + b eps in each of them, or in each band.

    Args:
        name: its own within a process.
        schedule: its states; 0 is the image at this scale, the last one is (nearly) noise.
        shape: of one x_0, (c, h, w) if the data are images.
        factor: how many times smaller its images are than the data's.
        jump: how it begins.
        stream: names its noise; its own name unless given. Two segments of one stream begin with
            the same noise.

    A subclass with another x_t sets `plain` to False. Its objective cannot aim at the mean, nor be
    unrolled or weighted: these rely on x_t = a x_0 + b eps.
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

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many of an image's numbers lie in each band."""
        return (math.prod(self.shape),)

    def components(self) -> tuple[Components, ...]:
        """A prior guess of how each band of x_0 varies beyond what the network is shown.

        It only decides which states few calls go to.
        """
        return power_law(self.sizes, self.jump.known(self.shape))

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """Of each band, in unit variance. All bands have the noise of the first one's schedule."""
        return (self.schedule,)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """The bands of images x [n, ...], shaped as x; `join` makes x of them.

        They must be orthogonal, so that white noise is white in each of them.
        """
        return (x,)

    def join(self, bands: Iterable[Tensor]) -> Tensor:
        """The images [n, ...] of these bands: their sum, if `split` leaves them images."""
        first, *rest = bands
        for band in rest:
            first = first + band
        return first

    def levels(self, t: float) -> Levels:
        """Each band at time t, as floats."""
        (a, s), *rest = (schedule.scales(t) for schedule in self.schedules)
        return (Level(a, s), *(Level(a, b, s / b if b else 1.0) for a, b in rest))

    def levels_of(self, t: Tensor, like: Tensor) -> Levels:
        """The same for many times [n], to broadcast against images `like` [n, ...]."""
        (a, s), *rest = (schedule.signal_and_noise(t, like) for schedule in self.schedules)
        return (Level(a, s), *(Level(a, b, torch.where(b > 0, s / b, 1.0)) for a, b in rest))

    def q_sample(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """x_t ~ q(x_t | x_0) from its noise (Ho et al. 2020, equation 4, in each band).

        Args:
            x0: images [n, ...] at the segment's scale.
            t: states, int64 [n], or times between them, float [n].
            eps: standard normal noise, shaped as `x0`.
        """
        levels, bands = self.levels_of(t, x0), self.split(x0)
        signal = (level.unit * level.a * band for level, band in zip(levels, bands, strict=True))
        return self.join(signal) + levels[0].b * eps

    def target(self, predicted: Parametrization, x0: Tensor, eps: Tensor, levels: Levels) -> Tensor:
        """What a network should predict, shaped as x0 [n, ...].

        Args:
            predicted: its parametrisation.
            x0, eps: images and their noise.
            levels: of each image's time.
        """
        bands = zip(levels, self.split(x0), self.split(eps), strict=True)
        return self.join(predicted.target(x, e, level.a, level.b) for level, x, e in bands)

    def estimate(
        self, predicted: Parametrization, prediction: Tensor, x: Tensor, levels: Levels
    ) -> Tensor:
        """The x_0 that a prediction stands for, shaped as x.

        Args:
            predicted: its parametrisation.
            prediction: the network's answer [n, ...].
            x: to these images x_t.
            levels: of their time.
        """
        found = []
        for level, told, seen in zip(levels, self.split(prediction), self.split(x), strict=True):
            plain = isinstance(level.unit, float) and level.unit == 1
            seen = seen if plain else seen / level.unit
            found.append(predicted.x0(told, seen, level.a, level.b))
        return self.join(found)

    def tables(self, solver: Solve, states: Sequence[float]) -> tuple[Table, ...]:
        """A solver's table for falling states, one for each band.

        It acts on a band in unit variance, y = x / unit; so a row for x leads from unit y to
        unit' y'.
        """
        first, *rest = self.schedules
        tables = [solver(first, states)]
        for band, schedule in enumerate(rest, start=1):
            table, rows = solver(schedule, states), []
            units = pairwise(self.levels(t)[band].unit for t in states)
            for row, (here, there) in zip(table.rows, units, strict=True):
                rows.append(Row(row.x * there / here, *(w * there for w in row[1:])))
            tables.append(Table(table.states, tuple(rows)))
        return tuple(tables)

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
        none = (None,) * len(rows)
        given = (none if y is None else self.split(y) for y in (before, eps))
        bands = zip(rows, self.split(x), self.split(x0_hat), *given, strict=True)
        return self.join(row.apply(*band) for row, *band in bands)

    def needed(self, weights: Sequence[tuple[Any, Any]], x: Tensor, after: Tensor) -> Tensor:
        """The x0_hat that leads from x [n, ...] to `after` in one step: the inverse of `step`.

        Args:
            weights: of x and of x0_hat in each band, with no others: floats, or tensors that
                broadcast against images.
            x, after: images in two states.
        """
        bands = zip(weights, self.split(x), self.split(after), strict=True)
        return self.join((there - to_x * here) / to_x0 for (to_x, to_x0), here, there in bands)

    def among(self, states: Sequence[int]) -> Self:
        """The same process in some of its states alone, which become its states 0, 1, 2 ...

        A subclass with other tables of its states overrides it.

        Args:
            states: rising from 0; the one that sampling begins in is the last.
        """
        schedule, jump = self.schedule.among(states), self.jump.among(states)
        return replace(self, schedule=schedule, jump=jump)
