"""A process: segments in a row, from noise to an image.

`baseline` is one segment, `small` one at half the size, `cascaded` is `small` and an upscaler.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from scalespace.core.segment import Segment
from scalespace.errors import InputError


@dataclass(frozen=True, eq=False)
class Process:
    """Segments in a row, the coarsest first.

    States are numbered from 0 at the data: the last segment's, then those of the one before it, and
    so on.

    Raises:
        InputError: there are none, two share a name, a first state does not exist, or a jump does
            not fit the scale or the states of the segment before it.
    """

    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        if not self.segments:
            raise InputError("a process needs at least one segment")
        names = [segment.name for segment in self.segments]
        if len(set(names)) < len(names):
            raise InputError(f"two segments of a process bear one name: {', '.join(names)}")
        for segment in self.segments:
            if not 1 <= segment.first <= segment.schedule.last:
                raise InputError(
                    f"segment '{segment.name}' has states 1 to {segment.schedule.last} to begin "
                    f"in, and its jump leads to {segment.first}"
                )
        for before, after in pairwise(self.segments):
            if before.factor != after.factor * after.jump.factor:
                raise InputError(
                    f"segment '{after.name}' takes over images {after.jump.factor} times smaller "
                    f"than its own, and those of '{before.name}' are "
                    f"{before.factor / after.factor:g} times smaller"
                )
            after.jump.check(after, before)
            if not (taken := after.jump.takes_over(after, before)) < before.schedule.last:
                raise InputError(
                    f"segment '{after.name}' takes over images in state "
                    f"{taken:g}, and '{before.name}' begins in state "
                    f"{before.schedule.last}"
                )

    @property
    def states(self) -> int:
        """Number of states of all segments together."""
        return sum(segment.schedule.states for segment in self.segments)

    def locate(self, t: int) -> tuple[Segment, int]:
        """The segment that holds state t of the process, and the state's number in it.

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
        """The shape of one image in state t of the process: (c, h, w)."""
        return self.locate(t)[0].shape

    def q_sample(self, images: Tensor, t: int, eps: Tensor) -> Tensor:
        """Takes images at the data's size to state t of the process: [n, *shape(t)].

        Args:
            images: [n, c, h, w].
            t: one state for all of them.
            eps: standard normal noise [n, *shape(t)].
        """
        segment, own = self.locate(t)
        states = torch.full((len(images),), own, device=images.device)
        return segment.q_sample(segment.x0_of(images), states, eps)


@lru_cache(maxsize=32)
def process_of(segments: tuple[Segment, ...]) -> Process:
    """The process of these very segments, checked once and not for every batch of a sample.

    An export follows what is done with each number, and the checks look at some.
    """
    return Process(segments)
