"""A segment that keeps some of its states, and the answer that a step needs."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from scalespace.core.bands import Fading, fading, onward
from scalespace.core.frequencies import Blurring, blurring
from scalespace.core.jumps import Exact, Renoised
from scalespace.core.schedule import Schedule, cosine
from scalespace.core.segment import Segment
from scalespace.core.solvers import Row, ddim
from scalespace.errors import InputError

SHAPE, SHARES = (1, 8, 8), [1.0, 1.0, 0.9, 0.6, 0.3, 0.1, 0.01]
RISING, NEARLY = onward(0.2, 7), Schedule(cosine(8).alpha_bar[:-1])
SEGMENTS = {
    "plain": Segment("s", cosine(7), SHAPE),
    "two bands": Fading("s", RISING, SHAPE, 1, Exact(2, 0.5), fade=fading(RISING, SHARES)),
    "two bands as one": Fading("s", RISING, SHAPE),
    "rings": Blurring("s", NEARLY, SHAPE, bands=5, fades=blurring(NEARLY, (8, 8), 5, range(7))),
    "from a state between": Segment("s", cosine(9), SHAPE, 1, Renoised(2, 6)),
}
OF_EVERY_KIND = pytest.mark.parametrize("segment", SEGMENTS.values(), ids=SEGMENTS)


@OF_EVERY_KIND
@pytest.mark.parametrize("states", [(0, 6), (0, 2, 6), (0, 1, 3, 4, 6)])
def test_each_state_is_what_it_was(segment: Segment, states: tuple[int, ...]) -> None:
    some = segment.among(states)
    assert type(some) is type(segment)
    assert some.schedule.states == len(states)
    assert some.first == some.schedule.last
    for k, t in enumerate(states):
        for ours, theirs in zip(some.levels(k), segment.levels(t), strict=True):
            assert ours == pytest.approx(theirs)
    t, rng = torch.tensor(states), torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(len(states), *SHAPE, generator=rng) for _ in range(2))
    found = some.q_sample(x0, torch.arange(len(states)), eps)
    torch.testing.assert_close(found, segment.q_sample(x0, t, eps))
    (short, *_), (long, *_) = (
        one.tables(ddim, way)
        for one, way in ((some, range(len(states) - 1, -1, -1)), (segment, states[::-1]))
    )
    for ours, theirs in zip(short.rows, long.rows, strict=True):
        assert ours == pytest.approx(theirs)


@OF_EVERY_KIND
@pytest.mark.parametrize("t", [0.2, 0.5, 1.7])
def test_it_is_the_same_process_between_them(segment: Segment, t: float) -> None:
    """At a time between two states that were kept, every band has what it had at that noise."""
    some = segment.among((0, 4, 6))
    at = segment.schedule.time_of(some.schedule.alpha_bar_at(t))
    x0 = torch.zeros(1, *SHAPE, dtype=torch.float64)
    every = (some.levels(t), some.levels_of(torch.tensor([t]).double(), x0))
    for found in every:
        for ours, theirs in zip(found, segment.levels(at), strict=True):
            assert [float(one) for one in ours] == pytest.approx(list(theirs), abs=1e-6)


def test_states_must_rise_from_the_data() -> None:
    for states in ((1, 3), (0, 3, 2), (0,)):
        with pytest.raises(InputError):
            SEGMENTS["two bands"].among(states)


@OF_EVERY_KIND
def test_what_a_step_needs_leads_there(segment: Segment) -> None:
    """Whatever two images: the inverse of `step`, for each step of a way."""
    way, rng = (6, 4, 3, 1, 0), torch.Generator().manual_seed(1)
    tables = segment.tables(ddim, way)
    for _, *rows in zip(pairwise(way), *(table.rows for table in tables), strict=True):
        x, after = torch.randn(2, 3, *SHAPE, generator=rng, dtype=torch.float64)
        x0_hat = segment.needed([(row.x, row.x0) for row in rows], x, after)
        made = segment.step(rows, x, x0_hat, None, None)
        torch.testing.assert_close(made, after)


def test_what_different_steps_need_at_once() -> None:
    """Weights may be tensors, one for each image."""
    segment = SEGMENTS["two bands"]
    rng = torch.Generator().manual_seed(2)
    x, after = (torch.randn(2, *SHAPE, generator=rng) for _ in range(2))
    rows: list[list[Row]] = [list(table.rows) for table in segment.tables(ddim, (6, 2, 0))]
    weights = [
        tuple(torch.tensor([row[k] for row in band]).view(2, 1, 1, 1) for k in range(2))
        for band in rows
    ]
    both = segment.needed([(x_, x0_) for x_, x0_ in weights], x, after)
    for k in range(2):
        one = [(band[k].x, band[k].x0) for band in rows]
        torch.testing.assert_close(both[k], segment.needed(one, x[k : k + 1], after[k : k + 1])[0])
