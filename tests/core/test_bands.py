"""A process whose detail fades: two bands, each a Gaussian process of its own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from scalespace.core.bands import Fading, fading, onward
from scalespace.core.denoiser import Condition
from scalespace.core.jumps import Exact, alpha_bar_after
from scalespace.core.noise import Seeded
from scalespace.core.parametrization import PARAMETRIZATIONS
from scalespace.core.process import Process
from scalespace.core.sampling import run
from scalespace.core.scale import down, enlarge
from scalespace.core.schedule import cosine
from scalespace.core.segment import Segment
from scalespace.core.solvers import make_solver
from scalespace.errors import InputError


def shares(states: int) -> list[float]:
    return torch.linspace(1, 1e-3, states, dtype=torch.float64).tolist()


def blocks_of(x: Tensor) -> Tensor:
    """Images [n, 1, h, w] as their blocks of 2x2 pixels: [n h w / 4, 4]."""
    return x.unfold(2, 2, 2).unfold(3, 2, 2).reshape(-1, 4)


def rising(alpha_bar: float, states: int, blocks: int = 2, **more: Any) -> Fading:
    """From `alpha_bar` in the last state to the data; the detail comes in evenly."""
    schedule = onward(alpha_bar, states)
    fade = fading(schedule, shares(states))
    return Fading("s", schedule, (1, 8, 8), blocks=blocks, fade=fade, **more)


@pytest.mark.parametrize("blocks", [2, 4])
def test_the_forward_draw_is_the_formula(blocks: int) -> None:
    """a (P x_0 + d Q x_0) + s eps, written out."""
    segment = rising(0.1, 7, blocks)
    rng = torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(7, 1, 8, 8, generator=rng) for _ in range(2))
    t = torch.arange(7)
    a, s = segment.schedule.signal_and_noise(t, x0)
    d = torch.tensor(shares(7)).view(-1, 1, 1, 1)
    means = enlarge(down(x0, blocks), blocks)
    expected = a * (means + d * (x0 - means)) + s * eps
    torch.testing.assert_close(segment.q_sample(x0, t, eps), expected.float(), atol=1e-5, rtol=0)


def test_between_two_states() -> None:
    """Whole times are states, and nothing jumps between them."""
    segment, n = rising(0.1, 7), 61
    x0, eps = torch.randn(1, 1, 8, 8).expand(n, -1, -1, -1), torch.zeros(n, 1, 8, 8)
    t = torch.linspace(0, 6, n)
    every = segment.q_sample(x0, t, eps)
    states = segment.q_sample(x0[:7], torch.arange(7), eps[:7])
    torch.testing.assert_close(every[::10], states, atol=1e-5, rtol=1e-4)
    steps = (every[1:] - every[:-1]).flatten(1).norm(dim=1)
    assert float(steps.max()) < 4 * float(steps.median())


@pytest.mark.parametrize("states", [(6, 5, 4, 3, 2, 1, 0), (6, 3.5, 1, 0), (4, 1, 0.5)])
@pytest.mark.parametrize("name", ["ancestral", "ddim"])
def test_one_step_keeps_the_marginal(name: str, states: tuple[float, ...]) -> None:
    """With the true x_0, from q(x_t | x_0) to q(x_s | x_0): mean and covariance, every step."""
    segment, n = rising(0.1, 7), 2500
    rng = torch.Generator().manual_seed(1)
    x0 = torch.randn(1, 1, 8, 8, generator=rng).expand(n, -1, -1, -1)
    tables = segment.tables(make_solver(name), states)
    for t, s, *rows in zip(states, states[1:], *(table.rows for table in tables), strict=False):
        here, fresh = (torch.randn(n, 1, 8, 8, generator=rng) for _ in range(2))
        x = segment.q_sample(x0, torch.full((n,), float(t)), here)
        x = segment.step(rows, x, x0, None, fresh)
        mean = segment.q_sample(x0[:1], torch.tensor([float(s)]), torch.zeros(1, 1, 8, 8))
        _, noise = segment.schedule.scales(s)
        off = blocks_of(x - mean)
        expected = noise**2 * torch.eye(4)  # within a block: white, so in both bands
        covariance = off.T @ off / len(off)
        assert float((covariance - expected).abs().max()) < 6 * noise**2 / len(off) ** 0.5 + 1e-6


@pytest.mark.parametrize("name", ["ancestral", "ddim", "dpm2m"])
def test_its_bands_are_gaussian_processes_of_their_own(name: str) -> None:
    """For data whose means and detail are normal, exact answers give both their variance."""
    n, low, high = 1500, 1.5, 0.3  # the standard error of a variance: 0.9%
    segment = rising(0.05, 300)
    schedule, share = segment.schedule, shares(300)

    def denoise(x: Tensor, t: float, condition: Condition) -> Tensor:
        a, s = schedule.scales(t)
        d = share[int(t)]
        mean, detail = segment.split(x)
        return (
            a * low / (a**2 * low + s**2 / 4) * mean
            + a * d * high / ((a * d) ** 2 * high + s**2) * detail
        )

    noise = Seeded(0, range(n))
    a, s = schedule.scales(schedule.last)
    blocks = enlarge(noise.stream("means").normal((1, 4, 4)), 2) * low**0.5
    x = a * blocks + s * noise.stream("start").normal((1, 8, 8))
    tables = segment.tables(make_solver(name), range(schedule.last, -1, -1))
    *_, last = run(denoise, segment, tables, x, Condition(), noise.stream("s"))
    mean, detail = segment.split(last.x)
    assert float(mean.var()) == pytest.approx(low, rel=0.06)
    # three quarters of the pixels' variance is detail
    assert float(detail.square().mean()) == pytest.approx(0.75 * high, rel=0.06)


@pytest.mark.parametrize("fade", [None, "of one"])
def test_without_fading_it_is_the_plain_process(fade: str | None) -> None:
    schedule = cosine(9, 3.0)
    plain = Segment("s", schedule, (1, 4, 4))
    same = None if fade is None else fading(schedule, (1.0,) * 9)
    segment = Fading("s", schedule, (1, 4, 4), fade=same)
    x = Seeded(1, range(5)).stream("x").normal((1, 4, 4))
    t, eps = torch.tensor([0, 2, 4, 6, 8]), torch.randn(5, 1, 4, 4)
    torch.testing.assert_close(segment.q_sample(x, t, eps), plain.q_sample(x, t, eps))

    def denoise(x: Tensor, t: float, condition: Condition) -> Tensor:
        return torch.tanh(x + t)

    for solver in (make_solver("dpm2m", 0.5), make_solver("ancestral"), make_solver("ddim", 0.3)):
        ends = []
        for one in (plain, segment):
            tables = one.tables(solver, (8, 5, 4, 1, 0))
            noise = Seeded(3, range(5)).stream("s")
            *_, last = run(denoise, one, tables, x, Condition(), noise)
            ends.append(last.x)
        torch.testing.assert_close(ends[1], ends[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [2, 4])
def test_an_exact_jump_leads_into_it(factor: int) -> None:
    coarse = cosine(7)
    a, _ = coarse.scales(3)
    segment = rising(alpha_bar_after(a**2, factor), 5, factor, jump=Exact(factor))
    side = 8 // factor
    Process((Segment("coarse", coarse, (1, side, side), factor), segment))
    kept = Fading("s", segment.schedule, (1, 8, 8), 1, segment.jump, blocks=factor)
    with pytest.raises(InputError, match="'s' begins with detail in its last state"):
        Process((Segment("coarse", coarse, (1, side, side), factor), kept))


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("left", [0.01, 0.011, 0.015])
def test_how_much_detail_may_be_left_at_an_exact_jump(factor: int, left: float) -> None:
    coarse, side = cosine(7), 8 // factor
    a, _ = coarse.scales(3)
    schedule = onward(alpha_bar_after(a**2, factor), 3)
    fine = Fading(
        "s",
        schedule,
        (1, 8, 8),
        1,
        Exact(factor),
        blocks=factor,
        fade=fading(schedule, [1, 0.5, left]),
    )
    segments = Segment("coarse", coarse, (1, side, side), factor), fine
    if left <= Exact.LEFT:
        Process(segments)
    else:
        with pytest.raises(InputError, match="'s' begins with detail in its last state"):
            Process(segments)


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_a_prediction_is_read_as_what_it_was_made_of(name: str) -> None:
    """The target, read back, is x_0, whether times are one or many."""
    segment, predicted = rising(0.1, 7), PARAMETRIZATIONS[name]
    rng = torch.Generator().manual_seed(2)
    x0, eps = (torch.randn(6, 1, 8, 8, generator=rng, dtype=torch.float64) for _ in range(2))
    for t in (torch.arange(1, 7), torch.linspace(0.1, 5.9, 6, dtype=torch.float64)):
        x, levels = segment.q_sample(x0, t, eps), segment.levels_of(t, x0)
        told = segment.target(predicted, x0, eps, levels)
        torch.testing.assert_close(segment.estimate(predicted, told, x, levels), x0)
        for row, time in enumerate(t.tolist()):
            one = slice(row, row + 1)
            found = segment.estimate(predicted, told[one], x[one], segment.levels(time))
            torch.testing.assert_close(found, x0[one])


def test_a_velocity_has_unit_variance_in_both_bands() -> None:
    """As in one band: whatever the state, white noise and white images give a white target."""
    segment, n = rising(0.1, 7), 20_000
    x0, eps = torch.randn(n, 1, 8, 8), torch.randn(n, 1, 8, 8)
    for t in range(1, 7):
        levels = segment.levels_of(torch.full((n,), t), x0)
        told = segment.target(PARAMETRIZATIONS["v"], x0, eps, levels)
        assert float(told.var()) == pytest.approx(1, rel=0.02)


def test_the_schedule_of_the_detail() -> None:
    schedule, d = onward(0.2, 6), shares(6)
    for t in range(6):
        a, s = schedule.scales(t)
        expected = (a * d[t]) ** 2 / ((a * d[t]) ** 2 + s**2)
        assert fading(schedule, d).alpha_bar_at(t) == pytest.approx(expected)
        _, detail = rising(0.2, 6).levels(t)
        assert detail.unit == pytest.approx(math.hypot(a * d[t], s))
    assert onward(0.2, 6).alpha_bar[[0, -1]].tolist() == [1.0, 0.2]


@pytest.mark.parametrize(
    "detail", [(1, 0.5), (0.9, 0.5, 0.1), (1, 0.2, 0.3), (1, 0.5, 0), (1, 0.5, float("nan"))]
)
def test_a_detail_that_does_not_fade(detail: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="must fall from 1 to above 0 over 3 states"):
        fading(onward(0.2, 3), detail)


@pytest.mark.parametrize(("alpha_bar", "states"), [(0.0, 3), (1.0, 3), (float("nan"), 3), (0.5, 1)])
def test_nothing_to_go_on_from(alpha_bar: float, states: int) -> None:
    with pytest.raises(InputError, match="through at least 2 states"):
        onward(alpha_bar, states)
