"""The classifier two-sample test: against the best that any classifier could do."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scalespace.errors import InputError
from scalespace.evaluation.two_sample import LEAST, NOISE, two_sample

SIDE, N = 8, 1200


def grey(n: int, seed: int, mean: float = 0.5, sd: float = 0.15, channels: int = 1) -> Tensor:
    """Images of one mean, with normal grain in each pixel."""
    rng = torch.Generator().manual_seed(seed)
    return (mean + sd * torch.randn(n, channels, SIDE, SIDE, generator=rng)).clamp(0, 1)


def classes(n: int, count: int = 3) -> Tensor:
    return torch.arange(n) % count


def best(step: float, sd: float) -> float:
    """The share that the likelihood ratio tells of two normal means `step` apart in every pixel."""
    return 0.5 * (1 + math.erf(step * SIDE / sd / 2 / math.sqrt(2)))


def test_one_distribution_cannot_be_told_apart() -> None:
    found = two_sample(grey(N, 0), classes(N), grey(N, 1), classes(N))
    assert found.n == N
    for told in found[:2]:
        assert told == pytest.approx(0.5, abs=0.1)  # 600 are examined: 4.9 standard errors


def test_no_better_than_the_likelihood_ratio_and_nearly_as_good() -> None:
    sd, step = 0.15, 0.05
    found = two_sample(grey(N, 0, 0.5 + step), classes(N), grey(N, 1), classes(N))
    bounds = best(step, sd), best(step, math.hypot(sd, NOISE))
    for told, bound in zip(found[:2], bounds, strict=True):
        assert bound - 0.12 < told < bound + 0.05
    assert found.told > found.told_in_noise + 0.05


def test_it_sees_the_class_and_classes_alone_tell_nothing() -> None:
    bright, dark = grey(N, 0, 0.7), grey(N, 1, 0.3)
    label = classes(N, 2)
    by_class = label[:, None, None, None].bool()
    real, swapped = torch.where(by_class, bright, dark), torch.where(by_class, dark, bright)
    assert two_sample(swapped, label, real, label).told > 0.95
    # nine in ten of the real images are of class 1, one in ten of the generated ones
    many = (torch.arange(N) % 10 > 0).long()
    real = torch.where(many[:, None, None, None].bool(), bright, dark)
    made = torch.where(many[:, None, None, None].bool(), dark, bright)
    found = two_sample(made, 1 - many, real, many)
    assert found.n == N // 10 * 2
    assert found.told < 0.75


def test_dust_below_a_grey_level_is_not_seen() -> None:
    levels = torch.randint(0, 256, (N, 1, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    real = levels / 255
    dusty = (real + 0.4 / 255).clamp(max=1)
    assert two_sample(dusty, classes(N), real, classes(N)).told < 0.62


def test_the_same_each_time_and_for_any_caller() -> None:
    x, y = grey(60, 0, channels=3), grey(90, 1, 0.8, channels=3)
    state = torch.get_rng_state()
    found = two_sample(x, classes(60), y, classes(90))
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(7)
    with torch.inference_mode():
        assert two_sample(x, classes(60), y, classes(90)) == found
    assert found.n == 60


@pytest.mark.parametrize(("n", "m"), [(LEAST - 1, 60), (60, LEAST - 1), (0, 60)])
def test_too_few(n: int, m: int) -> None:
    with pytest.raises(InputError, match=r"c2st: .* images are too few, at least 8"):
        two_sample(grey(n, 0), classes(n, 1), grey(m, 1), classes(m, 1))


def test_no_image_of_a_class_that_the_others_have() -> None:
    with pytest.raises(InputError, match="c2st: 0 images are too few"):
        two_sample(grey(30, 0), torch.zeros(30).long(), grey(30, 1), torch.ones(30).long())
