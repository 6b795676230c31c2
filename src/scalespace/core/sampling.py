"""The sampler: one loop over a table of coefficients, segment after segment."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from scalespace.core.denoiser import Condition, Denoiser, Guidance
from scalespace.core.noise import Noise, Stream
from scalespace.core.process import process_of
from scalespace.core.segment import Begun, Handed, Segment
from scalespace.core.solvers import Solver, Table
from scalespace.core.steps import Visits


class Step(NamedTuple):
    """One state of a reverse process.

    `t` is the state, `x` the images in it [n, ...], and `x0_hat` the estimate of x_0 that led there
    (None where no network call did: for the initial noise, or an image that is only enlarged).
    `segment` names the segment that `t` is a state of.
    """

    t: float
    x: Tensor
    x0_hat: Tensor | None
    segment: str = ""

    def __repr__(self) -> str:
        where = f" of {self.segment}" if self.segment else ""
        return f"<step t={self.t:g}{where}: x {list(self.x.shape)}>"


Edit = Callable[[Segment, float, Tensor, Tensor | None], Tensor]
"""(segment, t, x, x0_hat) to other images [n, ...] in state t, for the next step to go on from.

`x0_hat` is the estimate that led to x; None in a segment's first state.
"""


@torch.no_grad()
def run(
    denoise: Denoiser,
    segment: Segment,
    tables: Sequence[Table],
    x: Tensor,
    condition: Condition,
    noise: Stream,
    edit: Edit | None = None,
) -> Iterator[Step]:
    """Samples one segment: yields x in the first state, then a step for each row of the tables.

    Args:
        denoise: called once a row.
        segment: takes the steps.
        tables: one for each of its bands, all through the same states.
        x: images [n, ...] in the first state.
        condition: what the denoiser is told; its previous estimate is added.
        noise: for the rows that draw some.
        edit: applied to the images in each state.
    """
    states = tables[0].states
    if edit is not None:
        x = edit(segment, states[0], x, None)
    yield Step(int_if_whole(states[0]), x, None, segment.name)
    before = None
    for (t, s), *rows in zip(pairwise(states), *(table.rows for table in tables), strict=True):
        x0_hat = denoise(x, t, condition.after(before))
        drawn = any(row.std > 0 for row in rows)
        eps = noise.normal(x.shape[1:]).to(x.dtype) if drawn else None
        x = segment.step(rows, x, x0_hat, before, eps)
        if edit is not None:
            x = edit(segment, s, x, x0_hat)
        yield Step(int_if_whole(s), x, x0_hat, segment.name)
        before = x0_hat


def last(steps: Iterable[Step]) -> Step:
    """The last of some steps: its images are the samples."""
    return deque(steps, maxlen=1).pop()


def int_if_whole(t: float) -> float:
    """A state as an int; a time between two states stays a float."""
    return int(t) if t == int(t) else t


@dataclass(frozen=True)
class Leg:
    """A segment as it is sampled.

    Args:
        segment: the segment.
        denoise: estimates x_0 in its states, guidance included.
        solver: makes the tables.
        visits: the states to call the network in.
        temperature: standard deviation of the initial noise.
        guidance: decides how many calls a state takes.
    """

    segment: Segment
    denoise: Denoiser
    solver: Solver
    visits: Visits
    temperature: float = 1.0
    guidance: Guidance = field(default_factory=Guidance)

    def states(self, begin: float, end: float) -> tuple[float, ...]:
        """The states visited on the way from `begin` to `end`, both included."""
        return (begin, *(t for t in self.visits(end) if end < t < begin), end)

    def calls(self, end: float = 0, begin: float | None = None) -> int:
        """Network calls a sample from `begin` (by default the segment's first state) to `end`."""
        begin = self.segment.first if begin is None else begin
        return sum(2 if self.guidance.acts(t) else 1 for t in self.states(begin, end)[:-1])


@dataclass(frozen=True, eq=False)
class Start:
    """Real images to begin from, instead of noise (SDEdit, Meng et al. 2022).

    Args:
        images: [n, c, h, w], standardised, at the data's size.
        segment: the name of the segment to begin in.
        t: the state of it that they are noised to.
    """

    images: Tensor
    segment: str
    t: float

    def begin(self, segment: Segment, condition: Condition, noise: Noise) -> Begun:
        """x_t ~ q(x_t | x_0); what an earlier segment would have handed over is made from x_0."""
        x0 = segment.x0_of(self.images)
        eps = noise.stream(f"{segment.stream}/start").normal(x0.shape[1:])
        state = torch.full(x0.shape[:1], self.t, device=x0.device)
        jump = segment.jump
        condition = jump.real_condition(jump.inputs(x0), condition, noise, segment.stream)
        return Begun(self.t, segment.q_sample(x0, state, eps), condition)


def ways(legs: Sequence[Leg], start: Start | None = None) -> list[tuple[Leg, tuple[float, ...]]]:
    """Each leg with the states it visits, its end included; legs before a start are left out."""
    found: list[tuple[Leg, tuple[float, ...]]] = []
    for leg, end in with_ends(legs):
        if start is None or found:
            found.append((leg, leg.states(leg.segment.first, end)))
        elif leg.segment.name == start.segment:
            found.append((leg, leg.states(start.t, end)))
    return found


def with_ends(legs: Sequence[Leg]) -> list[tuple[Leg, float]]:
    """Each leg with the state it ends in: where the next leg takes over, and 0 for the last."""
    segments = [leg.segment for leg in legs]
    taken = [after.jump.takes_over(after, before) for before, after in pairwise(segments)]
    return list(zip(legs, [*taken, 0], strict=True)) if legs else []


@torch.no_grad()
def reverse(
    legs: Sequence[Leg],
    condition: Condition,
    noise: Noise,
    start: Start | None = None,
    edit: Edit | None = None,
) -> Iterator[Step]:
    """The reverse process through all segments, a state at a time; the last step is the sample.

    Args:
        legs: the coarsest first.
        condition: what the denoisers are told.
        noise: of these images.
        start: images to begin from; segments before its own are skipped.
        edit: applied to the images in each state.

    Raises:
        InputError: the segments do not go together (see `Process`).
    """
    process_of(tuple(leg.segment for leg in legs))
    handed: Handed | None = None
    for leg, (*_, end) in ways(legs, start):
        segment = leg.segment
        if start is not None and handed is None:
            begun = start.begin(segment, condition, noise)
        else:
            begun = segment.jump.begin(segment, handed, condition, noise, leg.temperature)
        condition = begun.condition
        tables = segment.tables(leg.solver, leg.states(begun.t, end))
        stream = noise.stream(segment.stream)
        for step in run(leg.denoise, segment, tables, begun.x, condition, stream, edit):
            yield step
        handed = Handed(segment, step.x)
