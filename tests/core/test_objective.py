from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scalespace.core.denoiser import ANY, Condition
from scalespace.core.objective import MIN_SNR, Objective
from scalespace.core.parametrization import PARAMETRIZATIONS
from scalespace.core.schedule import cosine
from scalespace.core.segment import Segment

SCHEDULE = cosine(10)
SEGMENT = Segment("segment", SCHEDULE, (1, 3, 4))
ALONE = Condition()


def draw(x0: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """The random part of Algorithm 1, which no change moves."""
    return Objective(SEGMENT, PARAMETRIZATIONS["v"]).draw(x0, rng)


def images(n: int = 64) -> Tensor:
    return torch.randn((n, 1, 3, 4), generator=torch.Generator().manual_seed(9))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def simple(x: Tensor, u: Tensor, condition: Condition) -> Tensor:
    return torch.sin(2 * x) + u.view(-1, 1, 1, 1)


@pytest.mark.parametrize("predict", PARAMETRIZATIONS)
def test_by_default_it_is_algorithm_1_against_a_loop(predict: str) -> None:
    x0 = images(6)
    found = Objective(SEGMENT, PARAMETRIZATIONS[predict]).losses(simple, x0, ALONE, rng())
    t, eps = draw(x0, rng())
    for i, state in enumerate(t.tolist()):
        alpha_bar = float(SCHEDULE.alpha_bar[state])
        total, pixels = 0.0, 0
        for clean, noise in zip(x0[i].flatten().tolist(), eps[i].flatten().tolist(), strict=True):
            x = math.sqrt(alpha_bar) * clean + math.sqrt(1 - alpha_bar) * noise
            velocity = math.sqrt(alpha_bar) * noise - math.sqrt(1 - alpha_bar) * clean
            known = {"noise": noise, "x0": clean, "v": velocity, "flow": noise - clean}
            total += (math.sin(2 * x) + state / 9 - known[predict]) ** 2
            pixels += 1
        assert float(found[i]) == pytest.approx(total / pixels, rel=1e-4)


def test_what_is_drawn_is_what_it_always_was() -> None:
    """States, then noise, from one generator: trainings come out as they always have."""
    t, eps = draw(images(), rng())
    again = rng()
    torch.testing.assert_close(t, torch.randint(1, 10, (64,), generator=again), rtol=0, atol=0)
    torch.testing.assert_close(eps, torch.randn(eps.shape, generator=again), rtol=0, atol=0)


def test_a_perfect_network_has_no_loss() -> None:
    x0 = images(8)
    t, eps = draw(x0, rng())
    plain = Objective(SEGMENT, PARAMETRIZATIONS["noise"])
    assert float(plain.losses_at(lambda x, u, c: eps, x0, t, eps, ALONE).max()) == 0


def test_states_are_drawn_uniformly_from_the_noisy_ones() -> None:
    n = 90_000
    t, eps = draw(torch.zeros(n, 1, 1, 1), rng())
    counts = torch.bincount(t, minlength=SCHEDULE.states)
    assert len(counts) == SCHEDULE.states
    assert counts[0] == 0
    expected = n / SCHEDULE.last
    chi_square = float(((counts[1:] - expected) ** 2 / expected).sum())
    assert chi_square < 30  # 8 degrees of freedom: exceeded by chance once in 5,000
    assert float(eps.mean().abs()) < 5 / math.sqrt(n)
    assert float((eps.std() - 1).abs()) < 5 / math.sqrt(2 * n)


def test_continuous_times_are_uniform_between_the_states_too() -> None:
    n, objective = 90_000, Objective(SEGMENT, PARAMETRIZATIONS["v"], continuous=True)
    t, _ = objective.draw(torch.zeros(n, 1, 1, 1), rng())
    assert t.is_floating_point()
    assert 0 < float(t.min()) < 0.01
    assert 8.99 < float(t.max()) <= 9
    counts = torch.histc(t, bins=18, min=0, max=9)
    assert float(((counts - n / 18) ** 2 / (n / 18)).sum()) < 45  # 17 degrees of freedom
    # and what is learnt there is the process of that time
    x0, seen = images(9), []

    def note(x: Tensor, u: Tensor, condition: Condition) -> Tensor:
        seen.append((x, u))
        return x * 0

    objective.losses(note, x0, ALONE, rng(5))
    t, eps = objective.draw(x0, rng(5))
    [(x, u)] = seen
    torch.testing.assert_close(u, t / 9)
    for i in range(9):
        a, b = SCHEDULE.scales(float(t[i]))
        torch.testing.assert_close(x[i], a * x0[i] + b * eps[i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("predict", PARAMETRIZATIONS)
def test_min_snr_weights_the_error_in_x0(predict: str) -> None:
    """Hang et al. 2023: min(SNR, gamma) times the squared error of x0, whatever is predicted."""
    p, x0 = PARAMETRIZATIONS[predict], images()
    found = Objective(SEGMENT, p, weighting="min-snr").losses(simple, x0, ALONE, rng())
    t, eps = draw(x0, rng())
    x_t = SCHEDULE.q_sample(x0, t, eps)
    said = simple(x_t, t / SCHEDULE.last, ALONE)
    for i, state in enumerate(t.tolist()):
        ab = float(SCHEDULE.alpha_bar[state])
        x0_hat = p.x0(said[i], x_t[i], math.sqrt(ab), math.sqrt(1 - ab))
        expected = min(ab / (1 - ab), MIN_SNR) * float((x0_hat - x0[i]).square().mean())
        assert float(found[i]) == pytest.approx(expected, rel=1e-3)


def test_input_perturbation_moves_the_input_alone() -> None:
    x0, seen = images(20_000), []

    def note(x: Tensor, u: Tensor, condition: Condition) -> Tensor:
        seen.append(x)
        return torch.zeros_like(x)

    found = Objective(SEGMENT, PARAMETRIZATIONS["noise"], perturb=0.3).losses(
        note, x0, ALONE, rng()
    )
    t, eps = draw(x0, rng())
    torch.testing.assert_close(found, eps.square().flatten(1).mean(1))  # the target is the same
    extra = seen[0] - SCHEDULE.q_sample(x0, t, eps)
    for state in range(1, SCHEDULE.states):
        expected = 0.3 * math.sqrt(1 - float(SCHEDULE.alpha_bar[state]))
        assert float(extra[t == state].std()) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("predict", ["noise", "v", "x0"])
@pytest.mark.parametrize("n", [2, 4])
def test_unrolled_steps_of_a_perfect_network_follow_the_process(predict: str, n: int) -> None:
    """The posterior with the true x0 carries q(x_{t+n-1} | x0) to q(x_t | x0)."""
    p, count = PARAMETRIZATIONS[predict], 40_000
    x0 = torch.full((count, 1, 1, 1), 0.7)
    t = torch.arange(count) % SCHEDULE.last + 1
    eps = torch.randn(x0.shape, generator=rng(1))

    def perfect(x: Tensor, u: Tensor, condition: Condition) -> Tensor:
        ab = SCHEDULE.alpha_bar[(u * SCHEDULE.last).round().long()].view(-1, 1, 1, 1).float()
        a, b = ab.sqrt(), (1 - ab).sqrt()
        return p.target(x0, (x - a * x0) / b, a, b)

    objective = Objective(SEGMENT, p, unroll=n)
    found = objective.unrolled(perfect, x0, t, eps, ALONE, rng(2))
    for state in range(1, SCHEDULE.states):
        ab, x = float(SCHEDULE.alpha_bar[state]), found[t == state]
        error = 5 * math.sqrt((1 - ab) / len(x))
        assert float(x.mean()) == pytest.approx(math.sqrt(ab) * 0.7, abs=error)
        assert float(x.std()) == pytest.approx(math.sqrt(1 - ab), abs=error)
    # and there is nothing to correct: its loss is none
    assert float(objective.losses(perfect, x0, ALONE, rng(3)).max()) < 1e-6


def test_unrolled_steps_against_the_sampler() -> None:
    """A step is the posterior's mean with the network's own x0_hat; here nothing is random."""
    p, x0 = PARAMETRIZATIONS["x0"], images(9)
    t, eps = torch.arange(1, 10).clamp(max=8), torch.randn(x0.shape, generator=rng(1))
    found = Objective(SEGMENT, p, unroll=2).unrolled(simple, x0, t, eps, ALONE, rng(4))
    noise = torch.randn(x0.shape, generator=rng(4))
    for i, state in enumerate(t.tolist()):
        x = SCHEDULE.q_sample(x0[i : i + 1], torch.tensor([state + 1]), eps[i : i + 1])
        x0_hat = simple(x, torch.tensor([(state + 1) / SCHEDULE.last]), ALONE)
        q = SCHEDULE.posterior(state + 1, state)
        expected = q.x0_weight * x0_hat + q.xt_weight * x + q.std * noise[i : i + 1]
        torch.testing.assert_close(found[i : i + 1], expected, rtol=1e-4, atol=1e-5)


def test_the_unrolled_steps_carry_no_gradient() -> None:
    weight, calls = torch.tensor(0.5, requires_grad=True), []

    def network(x: Tensor, u: Tensor, condition: Condition) -> Tensor:
        calls.append(torch.is_grad_enabled())
        return weight * x

    Objective(SEGMENT, PARAMETRIZATIONS["x0"], unroll=3).losses(
        network, images(), ALONE, rng()
    ).mean().backward()
    assert calls == [False, False, True]
    assert weight.grad is not None


def test_self_conditioning_shows_the_networks_own_estimate_half_of_the_time() -> None:
    guesses: list[Tensor | None] = []

    def network(x: Tensor, u: Tensor, condition: Condition) -> Tensor:
        guesses.append(condition.guess)
        return 2 * x if condition.guess is None else condition.guess

    objective = Objective(SEGMENT, PARAMETRIZATIONS["x0"], self_condition=True)
    with_guess = 0
    for seed in range(200):
        guesses.clear()
        objective.losses(network, images(4), ALONE, rng(seed))
        if len(guesses) == 2:
            with_guess += 1
            t, eps = draw(images(4), rng(seed))
            assert guesses[0] is None
            assert guesses[1] is not None
            torch.testing.assert_close(guesses[1], 2 * SCHEDULE.q_sample(images(4), t, eps))
        else:
            assert guesses == [None]
    assert 65 < with_guess < 135  # five standard deviations around a half


def test_guidance_at_its_fixed_point() -> None:
    """Where d = prediction - unlabelled solves d = d_true + g d, the loss is that of the data."""
    g, true = 0.4, 0.3
    p, x0, told = PARAMETRIZATIONS["x0"], torch.zeros(8, 1, 1, 1), Condition(torch.arange(8))

    def network(x: Tensor, u: Tensor, condition: Condition) -> Tensor:
        assert condition.labels is not None
        if bool((condition.labels == ANY).all()):
            # the data, 0, lie `true` away from the average image
            return torch.full_like(x, -true)
        return torch.full_like(x, -true + true / (1 - g))

    found = Objective(SEGMENT, p, guide=g).losses(network, x0, told, rng())
    assert float(found.max()) < 1e-12
    plain = Objective(SEGMENT, p).losses(network, x0, told, rng())
    assert float(plain.min()) > 0.01
