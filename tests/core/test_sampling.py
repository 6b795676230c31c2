"""The way through several segments."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from scalespace.core.denoiser import Condition, Guidance
from scalespace.core.jumps import Conditioned, Exact, Renoised, alpha_bar_after
from scalespace.core.noise import Between, Seeded
from scalespace.core.sampling import Leg, Start, reverse, with_ends
from scalespace.core.scale import down, enlarge, up
from scalespace.core.schedule import Schedule, cosine
from scalespace.core.segment import Jump, Segment
from scalespace.core.solvers import ancestral, ddim
from scalespace.core.steps import Visits
from scalespace.errors import InputError

LABELS = torch.tensor([0, 1, 2])


class Spy:
    """A denoiser that notes what it is told."""

    def __init__(self, answer: Callable[[Tensor, float], Tensor] = lambda x, t: x / 2) -> None:
        self.answer = answer
        self.calls: list[tuple[float, Tensor, Condition]] = []

    def __call__(self, x: Tensor, t: float, condition: Condition) -> Tensor:
        self.calls.append((t, x, condition))
        return self.answer(x, t)


def leg(segment: Segment, denoise: Spy, steps: int | None = None, **fields: object) -> Leg:
    visits = Visits(segment.name, segment.schedule, steps)
    return Leg(segment, denoise, fields.pop("solver", ddim), visits, **fields)  # type: ignore[arg-type]


def three(middle: Jump, fine: Jump, steps: int | None = None) -> tuple[tuple[Leg, ...], list[Spy]]:
    """7x7, 14x14 and 28x28 in a row."""
    spies = [Spy(), Spy(), Spy()]
    segments = (
        Segment("coarse", cosine(8), (1, 7, 7), 4),
        Segment("middle", cosine(6), (1, 14, 14), 2, middle),
        Segment("fine", cosine(5), (1, 28, 28), 1, fine),
    )
    legs = tuple(leg(s, spy, steps) for s, spy in zip(segments, spies, strict=True))
    return legs, spies


def test_three_scales_in_a_row() -> None:
    legs, spies = three(Conditioned(2), Renoised(2, 3))
    assert [one.segment.first for one in legs] == [7, 5, 3]
    steps = list(reverse(legs, Condition(LABELS), Seeded(0, range(3))))
    assert [(step.segment, step.t) for step in steps] == [
        *(("coarse", t) for t in range(7, -1, -1)),
        *(("middle", t) for t in range(5, -1, -1)),
        *(("fine", t) for t in range(3, -1, -1)),
    ]
    assert [step.x.shape[-1] for step in steps] == [7] * 8 + [14] * 6 + [28] * 4
    assert [len(spy.calls) for spy in spies] == [7, 5, 3]
    low = steps[7].x
    for _, _, condition in spies[1].calls:
        torch.testing.assert_close(condition.given, up(low, 2))
    for spy in spies:
        for _, _, condition in spy.calls:
            assert condition.labels is LABELS
    assert sum(step.x0_hat is None for step in steps) == 3


@pytest.mark.parametrize("calls", [1, 2, 4])
def test_few_calls_a_segment(calls: int) -> None:
    legs, spies = three(Conditioned(2), Conditioned(2), calls)
    steps = list(reverse(legs, Condition(LABELS), Seeded(0, range(3))))
    assert [len(spy.calls) for spy in spies] == [calls] * 3
    assert sum(one.calls(end) for one, end in with_ends(legs)) == 3 * calls
    assert len(steps) == 3 * (calls + 1)


def test_the_estimate_before_is_told() -> None:
    spy = Spy(lambda x, t: torch.tanh(x + t))
    steps = list(
        reverse((leg(Segment("s", cosine(6), (1, 2, 2)), spy),), Condition(), Seeded(0, [1]))
    )
    guesses = [condition.guess for _, _, condition in spy.calls]
    assert guesses[0] is None
    for guess, step in zip(guesses[1:], steps[1:-1], strict=True):
        torch.testing.assert_close(guess, step.x0_hat)


def test_noise_belongs_to_the_segment() -> None:
    """Two segments that share a network, and all else but the name, share no noise."""
    a, b = (Segment(name, cosine(4), (1, 2, 2)) for name in "ab")
    one, other = (
        list(reverse((leg(s, Spy(), solver=ancestral),), Condition(), Seeded(0, range(3))))
        for s in (a, b)
    )
    assert not torch.isclose(one[0].x, other[0].x).any()


def test_guidance_counts_twice_where_it_acts() -> None:
    segment = Segment("s", cosine(6), (1, 2, 2))
    guided = leg(segment, Spy(), guidance=Guidance(1.0, 2, 4))
    assert guided.calls() == 5 + 3


class Blocks(Segment):
    """A process of block means alone, whose x_0 has no detail."""

    def q_sample(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        return super().q_sample(enlarge(down(x0, 2), 2), t, eps)


def test_a_way_from_pure_noise_to_gaussian_data_through_exact_jumps() -> None:
    """Exact answers at both scales: the fine images have the data's block variance.

    The data are constant over blocks of 2x2, so that nothing is missing below the jump.
    """
    n, v, at = 4000, 2.0, 40.0
    coarse = cosine(200)
    a, _ = coarse.scales(at)
    fine_first = alpha_bar_after(a**2, 2)
    angle = torch.linspace(0, float(torch.tensor(fine_first).sqrt().acos()), 100)
    fine = Schedule(torch.cat([torch.ones(1), angle[1:].cos().square()]).double())
    fixed = Schedule(torch.cat([fine.alpha_bar[:-1], torch.tensor([fine_first])]))

    def gaussian(schedule: Schedule, spread: float) -> Callable[[Tensor, float], Tensor]:
        def answer(x: Tensor, t: float) -> Tensor:
            a, b = schedule.scales(t)
            return a * spread / (a**2 * spread + b**2) * x

        return answer

    def by_block(x: Tensor, t: float) -> Tensor:
        # the block means are data of variance v under a quarter of the noise
        a, b = fixed.scales(t)
        mean = down(x, 2)
        return (
            (a * v / (a**2 * v + b**2 / 4) * mean).repeat_interleave(2, -1).repeat_interleave(2, -2)
        )

    legs = (
        leg(Segment("coarse", coarse, (1, 2, 2), 2), Spy(gaussian(coarse, v)), solver=ancestral),
        leg(Blocks("fine", fixed, (1, 4, 4), 1, Exact(2)), Spy(by_block), solver=ancestral),
    )
    *_, last = reverse(legs, Condition(), Seeded(0, range(n)))
    blocks = down(last.x, 2)
    assert float(blocks.var()) == pytest.approx(v, rel=0.05)
    assert (
        float((last.x - blocks.repeat_interleave(2, -1).repeat_interleave(2, -2)).abs().max())
        < 0.01
    )


# Beginning from images, and editing states


def test_a_start_is_the_forward_process_of_the_image() -> None:
    legs, spies = three(Conditioned(2), Conditioned(2))
    images = torch.randn(3, 1, 28, 28)
    start = Start(images, "middle", 3)
    steps = list(reverse(legs, Condition(LABELS), Seeded(5, range(3)), start))
    assert [(step.segment, step.t) for step in steps[:4]] == [("middle", t) for t in (3, 2, 1, 0)]
    assert [len(spy.calls) for spy in spies] == [0, 3, 4]
    a, b = cosine(6).scales(3)
    eps = Seeded(5, range(3)).stream("middle/start").normal((1, 14, 14))
    torch.testing.assert_close(steps[0].x, a * down(images, 2) + b * eps)
    # what the coarse segment would have handed over is the image itself
    torch.testing.assert_close(spies[1].calls[0][2].given, up(down(images, 4), 2))
    # the next segment goes on from what was made
    torch.testing.assert_close(spies[2].calls[0][2].given, up(steps[3].x, 2))


def test_a_start_among_few_states_goes_on_to_the_next_chosen_one() -> None:
    segment = Segment("s", cosine(20), (1, 2, 2))
    start = Start(torch.randn(2, 1, 2, 2), "s", 12)
    steps = list(reverse((leg(segment, Spy(), 6),), Condition(), Seeded(0, range(2)), start))
    assert [step.t for step in steps] == [12, 10, 6, 3, 0]


def test_an_edit_is_what_goes_on() -> None:
    spy, seen, estimates = Spy(), list[tuple[str, float]](), list[Tensor | None]()

    def edit(segment: Segment, t: float, x: Tensor, x0_hat: Tensor | None) -> Tensor:
        seen.append((segment.name, t))
        estimates.append(x0_hat)
        return torch.full_like(x, t)

    segment = Segment("s", cosine(5), (1, 2, 2))
    steps = list(reverse((leg(segment, spy),), Condition(), Seeded(0, range(2)), edit=edit))
    assert seen == [("s", 4), ("s", 3), ("s", 2), ("s", 1), ("s", 0)]
    assert [float(x.mean()) for _, x, _ in spy.calls] == [4, 3, 2, 1]
    assert all(x0_hat is step.x0_hat for x0_hat, step in zip(estimates, steps, strict=True))
    assert float(steps[0].x.mean()) == 4
    assert float(steps[-1].x.abs().max()) == 0


def test_the_way_between_two_noises_keeps_their_variance() -> None:
    n = 20_000
    share = torch.full((n,), 0.3)
    noise = Between(Seeded(0, range(n)), Seeded(1, range(n)), share)
    for _ in range(2):  # each draw goes on in both
        x = noise.stream("s").normal((2,))
    assert float(x.std()) == pytest.approx(1, abs=0.02)
    ends = [Between(Seeded(0, [4]), Seeded(1, [4]), torch.tensor([u])) for u in (0.0, 1.0)]
    for seed, end in enumerate(ends):
        torch.testing.assert_close(
            end.stream("s").normal((3,)), Seeded(seed, [4]).stream("s").normal((3,))
        )


def test_segments_that_do_not_go_together_are_refused() -> None:
    legs, _ = three(Conditioned(4), Conditioned(2))
    with pytest.raises(InputError, match="4 times smaller"):
        list(reverse(legs, Condition(LABELS), Seeded(0, range(3))))
