"""How variance is spread: sums, order, and what stages tell of their images."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from scalespace.core.bands import Fading
from scalespace.core.frequencies import Blurring, blurring
from scalespace.core.jumps import Conditioned
from scalespace.core.schedule import cosine
from scalespace.core.segment import Segment
from scalespace.core.spectrum import flat, power_law
from scalespace.stages.latent import LatentSegment


def test_what_the_network_is_shown_is_not_counted() -> None:
    every = np.arange(3.0, 787) ** -1.6
    every *= 0.43 * 784 / every.sum()
    (detail,) = power_law([784], known=196)
    assert sum(number for _, number in detail) == 784 - 196
    assert sum(v * number for v, number in detail) == pytest.approx(every[196:].sum())


def test_the_components_of_images_fall_and_hold_the_variance_within_classes() -> None:
    for numbers in (1, 16, 64, 196, 784):
        (parts,) = power_law([numbers])
        assert sum(weight for _, weight in parts) == numbers
        assert sum(v * weight for v, weight in parts) == pytest.approx(0.43 * numbers)
        assert all(a > b for (a, _), (b, _) in itertools.pairwise(parts))
        assert len(parts) <= 24


def test_equal_components() -> None:
    assert flat(64) == (((0.5, 64),),)


def test_a_segment_tells_what_its_network_is_not_shown() -> None:
    alone = Segment("a", cosine(5), (1, 28, 28))
    after = Segment("b", cosine(5), (1, 28, 28), jump=Conditioned(4))
    assert alone.components() == power_law([784])
    assert after.components() == power_law([784], known=49)
    shown = Segment("c", cosine(5), (1, 28, 28), jump=Conditioned(1))
    assert sum(number for _, number in shown.components()[0]) == 1
    latent = LatentSegment("d", cosine(5), (4, 4, 4))
    assert latent.components() == flat(64)


def test_the_coarsest_band_varies_most() -> None:
    every = np.arange(3.0, 787) ** -1.6
    every *= 0.43 * 784 / every.sum()
    for parts, known in zip(power_law([196, 588]), (every[:196], every[196:]), strict=True):
        assert sum(v * number for v, number in parts) == pytest.approx(known.sum())
    fading = Fading("a", cosine(5), (1, 28, 28))
    assert fading.sizes == (196, 588)
    assert fading.components() == power_law([196, 588])


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 12, 8)])
@pytest.mark.parametrize("kind", [Fading, Blurring])
def test_the_size_of_a_band_is_its_share_of_white_noise(
    kind: type[Segment], shape: tuple[int, ...]
) -> None:
    schedule = cosine(5)
    if kind is Blurring:
        fades = blurring(schedule, shape[1:], 6, [0.0, 1.0, 2.0, 3.0, 4.0])
        segment: Segment = Blurring("a", schedule, shape, bands=6, fades=fades)
    else:
        segment = Fading("a", schedule, shape)
    numbers = math.prod(shape)
    unit = torch.eye(numbers, dtype=torch.float64).view(numbers, *shape)
    traces = [float(part.square().sum()) for part in segment.split(unit)]
    assert segment.sizes == pytest.approx(traces)
    assert len(segment.components()) == len(segment.schedules) == len(traces)
    assert [sum(n for _, n in own) for own in segment.components()] == list(segment.sizes)
