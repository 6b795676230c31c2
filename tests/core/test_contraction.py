"""The variance that few steps keep, against a product worked out by hand and against chance."""

import math

import pytest
import torch

from scalespace.core.contraction import kept_variance
from scalespace.core.samplers import Sampler, ancestral, ddim, dpm2m, make_sampler
from scalespace.core.schedule import Schedule, cosine


@pytest.mark.parametrize("variance", [0.05, 1.0, 20.0])
def test_ddim_is_a_product_of_cosines(variance: float) -> None:
    """Between Gaussian states DDIM turns (sqrt(v) a, b) by the angle between two of them."""
    schedule = cosine(20, power=2.0)
    ab = schedule.alpha_bar.double()
    a, b = (ab * variance).sqrt(), (1 - ab).sqrt()
    length = (a**2 + b**2).sqrt()
    turns = (a[1:] * a[:-1] + b[1:] * b[:-1]) / (length[1:] * length[:-1])
    expected = float(turns.prod() / length[-1]) ** 2
    found = kept_variance(ddim, schedule, torch.tensor([variance]))
    assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "sampler",
    [ancestral, ddim, dpm2m, make_sampler("ddim", 0.5), make_sampler("dpm2m", 1.0)],
    ids=["ancestral", "ddim", "dpm2m", "ddim-0.5", "dpm2m-1"],
)
def test_chance_agrees(sampler: Sampler) -> None:
    schedule, n = cosine(12), 200_000
    v = torch.tensor([0.3, 4.0], dtype=torch.float64)
    rng = torch.Generator().manual_seed(0)

    def noise() -> torch.Tensor:
        return torch.randn(n, 2, generator=rng, dtype=torch.float64)

    def denoise(x: torch.Tensor, t: int) -> torch.Tensor:
        ab = float(schedule.alpha_bar[t])
        return math.sqrt(ab) * v / (ab * v + 1 - ab) * x

    *_, last = sampler(denoise, schedule, noise)
    torch.testing.assert_close(
        kept_variance(sampler, schedule, v), last.x.var(dim=0) / v, rtol=0.015, atol=0
    )


@pytest.mark.parametrize("sampler", [ancestral, ddim, dpm2m])
def test_many_states_keep_everything(sampler: Sampler) -> None:
    kept = kept_variance(sampler, cosine(2000, power=3.0), torch.tensor([0.3, 1.0, 30.0]))
    torch.testing.assert_close(kept, torch.ones_like(kept), rtol=0.02, atol=0)


def test_the_papers_schedule_loses_what_varies_most_and_a_steeper_one_does_not() -> None:
    leading = torch.tensor([70.0])  # of MNIST's classes at 28x28, mean over them
    sampler = make_sampler("dpm2m", 1.0)
    assert float(kept_variance(ancestral, cosine(30), leading)) < 0.6
    assert float(kept_variance(sampler, cosine(30), leading)) < 0.7
    assert float(kept_variance(ancestral, cosine(30, power=3.0), leading)) < 0.8
    assert float(kept_variance(sampler, cosine(30, power=3.0), leading)) > 0.95


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_variances_are_positive_numbers(bad: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        kept_variance(ddim, Schedule(torch.tensor([1.0, 0.5, 0.1])), torch.tensor([1.0, bad]))
