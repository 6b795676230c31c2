"""Blurring diffusion: a Gaussian process in each ring of frequencies."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn
from torch import Tensor

import tiny
from scalespace.config import BlurConfig, BlurringRecipe, ProcessConfig
from scalespace.core.denoiser import Condition
from scalespace.core.frequencies import LEAST, Blurring, blurring, rings
from scalespace.core.noise import Seeded
from scalespace.core.sampling import run
from scalespace.core.schedule import Schedule, cosine
from scalespace.core.segment import Segment
from scalespace.core.solvers import make_solver
from scalespace.data import DataSplits
from scalespace.stages.blurring import BlurringStage

STATES = 9


def blurred(
    shape: tuple[int, int, int] = (1, 8, 6), most: float = 4.0, bands: int = 5
) -> tuple[Blurring, list[float]]:
    """A segment, and its blur in each state."""
    schedule = Schedule(cosine(STATES).alpha_bar[:-1])  # some of the image is left in its last one
    blurs = [most * t / schedule.last for t in range(schedule.states)]
    fades = blurring(schedule, shape[1:], bands, blurs)
    return Blurring("s", schedule, shape, bands=bands, fades=fades), blurs


@pytest.mark.parametrize("shape", [(1, 8, 6), (2, 7, 7)])
def test_the_forward_draw_is_a_damped_cosine_transform(shape: tuple[int, int, int]) -> None:
    """Written out with another library's transform, frequency by frequency."""
    segment, blurs = blurred(shape)
    rng = torch.Generator().manual_seed(0)
    x0 = torch.randn(8, *shape, generator=rng, dtype=torch.float64)
    eps = torch.randn(8, *shape, generator=rng, dtype=torch.float64)
    masks, squared = rings(*shape[1:], 5)
    found = segment.q_sample(x0, torch.arange(8), eps)
    for t, blur in enumerate(blurs):
        a, s = segment.schedule.scales(t)
        damping = np.zeros(shape[1:])
        for mask, f in zip(masks, squared, strict=True):
            damping[mask] = (1 - LEAST) * math.exp(-f * blur**2 / 2) + LEAST
        expected = idctn(
            damping * dctn(x0[t].numpy(), norm="ortho", axes=(1, 2)), norm="ortho", axes=(1, 2)
        )
        np.testing.assert_allclose(found[t], a * expected + s * eps[t].numpy(), atol=1e-9)


def test_rings_hold_each_frequency_once_and_ever_higher_ones() -> None:
    masks, squared = rings(28, 28, 8)
    assert bool((masks.sum(0) == 1).all())
    assert masks[0].nonzero().tolist() == [[0, 0]]
    assert squared[0] == 0
    assert list(squared) == sorted(squared)
    segment, _ = blurred((1, 28, 28), bands=8)
    x = torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(segment.join(segment.split(x)), x, atol=1e-5, rtol=0)
    parts = [segment.join([part]) for part in segment.split(x)]
    torch.testing.assert_close(sum(parts[1:], parts[0]), x, atol=1e-5, rtol=0)
    products = torch.stack([part.flatten(1) for part in parts])[:, 0]
    gram = products @ products.T
    assert float((gram - gram.diag().diag()).abs().max()) < 1e-3  # orthogonal


def test_a_wide_blur_agrees_with_a_gaussian_one() -> None:
    """Heat in the middle of a large image: with a ring a frequency, or nearly."""
    segment, blurs = blurred((1, 32, 32), most=3.0, bands=64)
    x = torch.zeros(1, 1, 32, 32, dtype=torch.float64)
    x[..., 16, 16] = 1
    last = segment.schedule.last
    a, _ = segment.schedule.scales(last)
    found = segment.q_sample(x, torch.tensor([last]), torch.zeros_like(x))[0, 0] / a
    far = torch.arange(32, dtype=torch.float64) - 16
    gauss = torch.exp(-far.square() / (2 * blurs[-1] ** 2))
    expected = torch.outer(gauss, gauss) / gauss.sum() ** 2
    assert float((found - expected).abs().max()) < 0.1 * float(expected.max())


@pytest.mark.parametrize("name", ["ancestral", "ddim"])
def test_one_step_keeps_the_marginal(name: str) -> None:
    """With the true x_0: mean and covariance after each step are those of the forward draw."""
    segment, _ = blurred()
    n, states = 3500, (7, 4, 2, 1, 0)
    rng = torch.Generator().manual_seed(1)
    x0 = torch.randn(1, 1, 8, 6, generator=rng).expand(n, -1, -1, -1)
    tables = segment.tables(make_solver(name), states)
    for t, s, *rows in zip(states, states[1:], *(table.rows for table in tables), strict=False):
        here, fresh = (torch.randn(n, 1, 8, 6, generator=rng) for _ in range(2))
        x = segment.q_sample(x0, torch.full((n,), t), here)
        x = segment.step(rows, x, x0, None, fresh)
        mean = segment.q_sample(x0[:1], torch.tensor([s]), torch.zeros(1, 1, 8, 6))
        _, noise = segment.schedule.scales(s)
        off = (x - mean).unfold(2, 2, 2).unfold(3, 2, 2).reshape(-1, 4)  # blocks of 2x2 pixels
        covariance = off.T @ off / len(off)
        worst = float((covariance - noise**2 * torch.eye(4)).abs().max())
        assert worst < 6 * noise**2 / len(off) ** 0.5 + 1e-6


def test_without_blur_it_is_the_plain_process() -> None:
    segment, _ = blurred(most=1e-6)
    plain = Segment("s", segment.schedule, segment.shape)
    x = Seeded(1, range(4)).stream("x").normal(segment.shape)

    def denoise(x: Tensor, t: float, condition: Condition) -> Tensor:
        return torch.tanh(x + t)

    ends = []
    for one in (plain, segment):
        tables = one.tables(make_solver("dpm2m", 0.5), (7, 5, 2, 0))
        *_, last = run(denoise, one, tables, x, Condition(), Seeded(3, range(4)).stream("s"))
        ends.append(last.x)
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-4, atol=1e-5)


def test_the_stage_blurs_as_its_recipe_says(splits: DataSplits) -> None:
    recipe = BlurringRecipe(tiny.NET, ProcessConfig(5, predict="v"), tiny.TRAIN)
    recipe = replace(recipe, blur=BlurConfig(most=3.0, bands=4))
    segment = BlurringStage("b", states=30).segment(recipe, splits.info)
    _, squared = rings(tiny.SIDE, tiny.SIDE, 4)
    for t in range(4):  # in the last state nothing is left of anything
        base, *others = segment.levels(t)
        tau = (3 * math.sin(math.pi / 2 * t / 4) ** 2) ** 2 / 2
        for level, f in zip(others, squared[1:], strict=True):
            expected = base.a * ((1 - LEAST) * math.exp(-f * tau) + LEAST)
            assert level.unit * level.a == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("fields", [{"most": 0.0}, {"most": 1e4}, {"bands": 1}, {"bands": 65}])
def test_bad_recipes(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"blur\."):
        BlurConfig(**fields)  # type: ignore[arg-type]
