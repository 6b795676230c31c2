"""Segments in a row: their states, sizes and forward draws."""

from __future__ import annotations

import pytest
import torch

from scalespace.core.jumps import Conditioned, Renoised
from scalespace.core.process import Process
from scalespace.core.scale import down
from scalespace.core.schedule import cosine
from scalespace.core.segment import FromNoise, Segment
from scalespace.errors import InputError


def pyramid() -> Process:
    """28 -> 14 -> 7, the coarsest first."""
    return Process(
        (
            Segment("seven", cosine(5), (1, 7, 7), 4),
            Segment("fourteen", cosine(4), (1, 14, 14), 2, Conditioned(2)),
            Segment("full", cosine(3), (1, 28, 28), 1, Renoised(2, 1)),
        )
    )


def test_states_are_counted_through_from_the_data() -> None:
    process = pyramid()
    assert process.states == 12
    found = [(segment.name, t) for segment, t in map(process.locate, range(12))]
    assert found == [
        *(("full", t) for t in range(3)),
        *(("fourteen", t) for t in range(4)),
        *(("seven", t) for t in range(5)),
    ]
    assert [process.shape(t)[1] for t in (0, 2, 3, 6, 7, 11)] == [28, 28, 14, 14, 7, 7]
    for t in (-1, 12):
        with pytest.raises(ValueError, match="none of 0"):
            process.locate(t)


def test_the_forward_draw_is_at_the_states_own_scale() -> None:
    process, images = pyramid(), torch.randn(3, 1, 28, 28)
    eps = torch.randn(3, 1, 7, 7)
    a, b = cosine(5).scales(2)
    expected = a * down(images, 4) + b * eps
    torch.testing.assert_close(process.q_sample(images, 9, eps), expected)
    torch.testing.assert_close(process.q_sample(images, 0, torch.zeros_like(images)), images)


def test_segments_that_do_not_go_together() -> None:
    coarse = Segment("coarse", cosine(5), (1, 7, 7), 4)
    with pytest.raises(InputError, match="at least one segment"):
        Process(())
    with pytest.raises(InputError, match="bear one name: coarse, coarse"):
        Process((coarse, Segment("coarse", cosine(5), (1, 14, 14), 2, Conditioned(2))))
    with pytest.raises(InputError, match=r"takes over images 2 times smaller .* are 4 times"):
        Process((coarse, Segment("fine", cosine(5), (1, 28, 28), 1, Conditioned(2))))
    Process((coarse, Segment("fine", cosine(5), (1, 28, 28), 1, Conditioned(4))))
    with pytest.raises(InputError, match="takes over images 1 times smaller"):
        Process((coarse, Segment("fine", cosine(5), (1, 28, 28), 1, FromNoise())))
