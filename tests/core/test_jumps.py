"""Jumps between scales, by their marginals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from scalespace.core.augmentation import GaussianNoise
from scalespace.core.denoiser import Condition
from scalespace.core.jumps import Approximate, Conditioned, Exact, Renoised, alpha_bar_after
from scalespace.core.noise import Seeded
from scalespace.core.process import Process
from scalespace.core.scale import down, enlarge, up
from scalespace.core.schedule import Schedule, cosine
from scalespace.core.segment import FromNoise, Handed, Segment
from scalespace.errors import InputError

N = 40_000
IMAGE = torch.tensor([[0.5, -1.0, 2.0, 0.0], [1.5, 0.3, -0.7, 0.1]] * 2)[None, None]  # 4x4


class Normal:
    """Noise of N images from one generator, where `Seeded` makes one for each of them."""

    def __init__(self, seed: int) -> None:
        self.rng = torch.Generator().manual_seed(seed)

    def stream(self, purpose: str) -> Normal:
        return self

    def normal(self, shape: Sequence[int]) -> Tensor:
        return torch.randn((N, *shape), generator=self.rng)


def covariance(x: Tensor) -> Tensor:
    return torch.cov(x.flatten(1).T)


def test_from_noise_is_the_streams_first_draw() -> None:
    segment = Segment("alone", cosine(5), (1, 2, 3))
    begun = FromNoise().begin(segment, None, Condition(), Seeded(3, range(4)), 1.5)
    expected = Seeded(3, range(4)).stream("alone").normal((1, 2, 3))
    torch.testing.assert_close(begun.x, 1.5 * expected)
    assert begun.t == 4


@pytest.mark.parametrize("factor", [2, 4])
def test_conditioned_shows_the_coarser_image(factor: int) -> None:
    side = 4 * factor
    coarse = Segment("coarse", cosine(5), (1, 4, 4), factor)
    fine = Segment("fine", cosine(3), (1, side, side), 1, Conditioned(factor))
    low, noise = torch.randn(6, 1, 4, 4), Seeded(0, range(6))
    begun = fine.jump.begin(fine, Handed(coarse, low), Condition(torch.arange(6)), noise)
    torch.testing.assert_close(begun.condition.given, up(low, factor))
    assert begun.condition.labels is not None
    assert begun.condition.labels.tolist() == list(range(6))
    # in training it is the image itself, taken down
    x0 = torch.randn(6, 1, side, side)
    told = fine.jump.training_condition(fine.jump.inputs(x0), Condition(), None)
    torch.testing.assert_close(told.given, up(down(x0, factor), factor))


def test_a_jump_from_a_coarser_segment_needs_one() -> None:
    for jump in (Conditioned(2), Renoised(2, 3), Exact(2)):
        segment = Segment("fine", cosine(5), (1, 4, 4), 1, jump)
        with pytest.raises(ValueError, match="'fine' needs the image"):
            jump.begin(segment, None, Condition(), Seeded(0, range(1)))


def test_renoised_is_the_forward_process_of_the_enlarged_image() -> None:
    jump = Renoised(2, 3)
    fine = Segment("fine", cosine(8), (1, 4, 4), 1, jump)
    coarse = Segment("coarse", cosine(8), (1, 2, 2), 2)
    low = down(IMAGE, 2).expand(N, -1, -1, -1)
    begun = jump.begin(fine, Handed(coarse, low), Condition(), Normal(0))
    a, b = fine.schedule.scales(3)
    assert begun.t == 3
    assert float((begun.x.mean(0) - a * up(down(IMAGE, 2), 2)[0]).abs().max()) < 5 * b / N**0.5
    off = covariance(begun.x) - b**2 * torch.eye(16)
    assert float(off.abs().max()) < 6 * b**2 / N**0.5


class Blocks(Segment):
    """A process of block means alone, whose x_0 has no detail."""

    def q_sample(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        factor = self.jump.factor
        return super().q_sample(enlarge(down(x0, factor), factor), t, eps)


def exact(factor: int, coarse: Schedule, at: float, fresh: float = 0.0) -> tuple[Segment, Segment]:
    """A coarse and a fine segment with an exact jump between them; `at` is the state that fits."""
    a, _ = coarse.scales(at)
    first = alpha_bar_after(a**2, factor)
    fine = Schedule(torch.tensor([1.0, (1 + first) / 2, first], dtype=torch.float64))
    side = 4
    return (
        Segment("coarse", coarse, (1, side // factor, side // factor), factor),
        Blocks("fine", fine, (1, side, side), 1, Exact(factor, fresh)),
    )


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("at", [1, 4, 2.5])
@pytest.mark.parametrize("fresh", [0.0, 0.6, 1.0])
def test_the_exact_jump_keeps_the_marginal(factor: int, at: float, fresh: float) -> None:
    """From q(z | x_0) of the coarse state to a P x_0 + s (white noise), by mean and covariance."""
    coarse, fine = exact(factor, cosine(7), at, fresh)
    Process((coarse, fine))
    taken = fine.jump.takes_over(fine, coarse)
    a_c, b_c = coarse.schedule.scales(taken)
    rng = torch.Generator().manual_seed(0)
    eps = torch.randn((N, *coarse.shape), generator=rng)
    z = a_c * down(IMAGE, factor) + b_c * eps
    begun = fine.jump.begin(fine, Handed(coarse, z), Condition(), Normal(1))
    a, s = fine.schedule.scales(begun.t)
    expected = a * enlarge(down(IMAGE, factor), factor)[0]
    assert float((begun.x.mean(0) - expected).abs().max()) < 5.5 * s / N**0.5
    off = covariance(begun.x) - s**2 * torch.eye(16)
    assert float(off.abs().max()) < 6 * s**2 / N**0.5
    # the block means hold what they came from, in another unit, under the fresh share of the noise
    added = down(begun.x, factor) - a / a_c * z
    wanted = fresh * (s / factor) ** 2
    assert float(added.var(0).mean()) == pytest.approx(wanted, rel=0.02, abs=1e-10)
    assert (s / factor) ** 2 - (a / a_c * b_c) ** 2 == pytest.approx(wanted, abs=1e-12)


def test_a_jump_with_fresh_noise_begins_with_a_finished_image() -> None:
    """Or with one between that and the state that fits, of so much less noise for its signal."""
    kept, some, every = (exact(2, cosine(7), 4, fresh) for fresh in (0.0, 0.75, 1.0))
    assert kept[1].jump.takes_over(*reversed(kept)) == 4
    assert every[1].jump.takes_over(*reversed(every)) == 0
    a, b = some[0].schedule.scales(some[1].jump.takes_over(*reversed(some)))
    whole, noise = some[0].schedule.scales(4)
    assert (a / b) ** 2 == pytest.approx(4 * (whole / noise) ** 2)


def test_log_snr_falls_by_2_log_f() -> None:
    for factor in (2, 4):
        for alpha_bar in (0.1, 0.5, 0.99):
            fine = alpha_bar_after(alpha_bar, factor)
            gained = math.log(alpha_bar / (1 - alpha_bar)) - math.log(fine / (1 - fine))
            assert gained == pytest.approx(2 * math.log(factor))


@pytest.mark.parametrize("at", [1, 3, 2.5, 6])
def test_an_exact_jump_finds_the_coarser_state(at: float) -> None:
    """By alpha_bar alone: a state is found as one, whatever the rounding."""
    coarse, fine = exact(2, cosine(7), at)
    taken = fine.jump.takes_over(fine, coarse)
    assert taken == pytest.approx(at)
    assert taken == at or at == 2.5


def test_an_exact_jump_must_fit() -> None:
    coarse, fine = exact(2, cosine(7), 3)
    detailed = Segment("fine", fine.schedule, (1, 4, 4), 1, Exact(2))
    with pytest.raises(InputError, match="'fine' begins with detail in its last state"):
        Process((coarse, detailed))
    Process((coarse, replace(detailed, jump=Approximate(2))))
    short = Segment("coarse", Schedule(coarse.schedule.alpha_bar[:3]), (1, 2, 2), 2)
    with pytest.raises(InputError, match="state 2, and 'coarse' begins in state 2"):
        Process((short, fine))


class Silent:
    """No noise is wanted."""

    def stream(self, purpose: str) -> Silent:
        return self

    def normal(self, shape: Sequence[int]) -> Tensor:
        raise AssertionError("noise was asked for")


def test_an_unfinished_image_is_told_as_noisy_as_it_is() -> None:
    small, other = cosine(20), cosine(20, power=3.0)
    augmentation = GaussianNoise(6, 2, small, finished=False)
    fine = Segment("fine", cosine(5), (1, 4, 4), 1, Conditioned(2, augmentation))
    low = torch.randn(3, 1, 2, 2)

    def level(schedule: Schedule) -> float:
        coarse = Segment("coarse", schedule, (1, 2, 2), 2)
        begun = fine.jump.begin(fine, Handed(coarse, low), Condition(), Seeded(0, range(3)))
        torch.testing.assert_close(begun.condition.given, up(low, 2))  # it is noisy already
        assert begun.condition.level is not None
        return 6 * float(begun.condition.level[0])

    assert fine.jump.takes_over(fine, fine) == 2
    assert level(small) == pytest.approx(2)
    assert 2 < level(other) < 6
    with pytest.raises(InputError, match=r"condition\.truncate: state 2 .* 'fine' was trained"):
        Process((Segment("coarse", cosine(4), (1, 2, 2), 2), fine))
    with pytest.raises(InputError, match="is noisier than all"):
        Process((Segment("coarse", cosine(2), (1, 2, 2), 2), fine))


def test_a_jump_into_a_state_that_there_is_not() -> None:
    coarse = Segment("coarse", cosine(5), (1, 2, 2), 2)
    for state in (0, 8):
        fine = Segment("fine", cosine(8), (1, 4, 4), 1, Renoised(2, state))
        with pytest.raises(InputError, match=f"states 1 to 7 .* its jump leads to {state}"):
            Process((coarse, fine))


@pytest.mark.parametrize("fresh", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 1.3])
def test_an_exact_jump_from_real_images(fresh: float, temperature: float) -> None:
    """As after a perfect coarser segment: the marginal of the state, but for its temperature."""
    coarse, fine = exact(2, cosine(7), 3, fresh)
    x0 = IMAGE.expand(N, -1, -1, -1)
    begun = fine.jump.begin_real(fine, x0, (), Condition(), Normal(2), temperature)
    a, s = fine.schedule.scales(begun.t)
    expected = a * enlarge(down(IMAGE, 2), 2)[0]
    assert float((begun.x.mean(0) - expected).abs().max()) < 6 * temperature * s / N**0.5
    means = 1 - fresh + fresh * temperature**2  # what is handed over was not made so hot
    blocks, detail = down(begun.x, 2), begun.x - enlarge(down(begun.x, 2), 2)
    assert float(blocks.var(0).mean()) == pytest.approx(means * (s / 2) ** 2, rel=0.02)
    assert float(detail.var(0).mean()) == pytest.approx(0.75 * (temperature * s) ** 2, rel=0.02)
    handed = fine.jump.handed(fine, x0, Normal(3))
    a_c, b_c = coarse.schedule.scales(fine.jump.takes_over(fine, coarse))
    assert float((handed.mean(0) - a_c * down(IMAGE, 2)[0]).abs().max()) < 5.5 * b_c / N**0.5 + 1e-6
    assert float(handed.var(0).mean()) == pytest.approx(b_c**2, rel=0.02, abs=1e-10)


def test_other_jumps_from_real_images() -> None:
    """Dropped detail is not there; a renoised image is the enlarged one; a cascade sees it."""
    x0, told = IMAGE.expand(N, -1, -1, -1), Condition()
    low = up(down(IMAGE, 2), 2)
    _, blocks = exact(2, cosine(7), 3)
    dropping = Segment("fine", blocks.schedule, (1, 4, 4), 1, Approximate(2))
    begun = dropping.jump.begin_real(dropping, x0, (), told, Normal(4))
    a, s = blocks.schedule.scales(begun.t)
    expected = a * enlarge(down(IMAGE, 2), 2)[0]
    assert float((begun.x.mean(0) - expected).abs().max()) < 5.5 * s / N**0.5
    renoised = Segment("fine", cosine(8), (1, 4, 4), 1, Renoised(2, 3))
    begun = renoised.jump.begin_real(renoised, x0, (), told, Normal(5))
    a, b = renoised.schedule.scales(3)
    assert begun.t == 3
    assert float((begun.x.mean(0) - a * low[0]).abs().max()) < 5 * b / N**0.5
    cascade = Segment("fine", cosine(8), (1, 4, 4), 1, Conditioned(2))
    shown = cascade.jump.inputs(x0[:3])
    begun = cascade.jump.begin_real(cascade, x0[:3], shown, told, Seeded(0, range(3)), 1.5)
    torch.testing.assert_close(begun.condition.given, low.expand(3, -1, -1, -1))
    noise = Seeded(0, range(3)).stream("fine").normal((1, 4, 4))
    torch.testing.assert_close(begun.x, 1.5 * noise)
    assert begun.t == 7
