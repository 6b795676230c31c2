from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scalespace.core.objective import MIN_SNR, Objective
from scalespace.core.parametrization import PARAMETRIZATIONS
from scalespace.core.process import draw, loss, q_sample
from scalespace.core.schedule import cosine

SCHEDULE = cosine(10)


def images(n: int = 64) -> Tensor:
    return torch.randn((n, 1, 3, 4), generator=torch.Generator().manual_seed(9))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def simple(x: Tensor, u: Tensor, guess: Tensor | None) -> Tensor:
    return torch.sin(2 * x) + u.view(-1, 1, 1, 1)


@pytest.mark.parametrize("predict", PARAMETRIZATIONS)
def test_by_default_it_is_algorithm_1(predict: str) -> None:
    """With the very numbers that `draw` gives, so that trainings come out as they always have."""
    p, x0 = PARAMETRIZATIONS[predict], images()
    found = Objective(SCHEDULE, p).losses(simple, x0, rng())
    t, eps = draw(SCHEDULE, x0, rng())
    expected = loss(lambda x, u: simple(x, u, None), SCHEDULE, p, x0, t, eps)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("predict", PARAMETRIZATIONS)
def test_min_snr_weights_the_error_in_x0(predict: str) -> None:
    """Hang et al. 2023: min(SNR, gamma) times the squared error of x0, whatever is predicted."""
    p, x0 = PARAMETRIZATIONS[predict], images()
    found = Objective(SCHEDULE, p, weighting="min-snr").losses(simple, x0, rng())
    t, eps = draw(SCHEDULE, x0, rng())
    x_t = q_sample(SCHEDULE, x0, t, eps)
    said = simple(x_t, t / SCHEDULE.last, None)
    for i, state in enumerate(t.tolist()):
        ab = float(SCHEDULE.alpha_bar[state])
        x0_hat = p.x0(said[i], x_t[i], math.sqrt(ab), math.sqrt(1 - ab))
        expected = min(ab / (1 - ab), MIN_SNR) * float((x0_hat - x0[i]).square().mean())
        assert float(found[i]) == pytest.approx(expected, rel=1e-3)


def test_input_perturbation_moves_the_input_alone() -> None:
    x0, seen = images(20_000), []

    def note(x: Tensor, u: Tensor, guess: Tensor | None) -> Tensor:
        seen.append(x)
        return torch.zeros_like(x)

    found = Objective(SCHEDULE, PARAMETRIZATIONS["noise"], perturb=0.3).losses(note, x0, rng())
    t, eps = draw(SCHEDULE, x0, rng())
    torch.testing.assert_close(found, eps.square().flatten(1).mean(1))  # the target is the same
    extra = seen[0] - q_sample(SCHEDULE, x0, t, eps)
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

    def perfect(x: Tensor, u: Tensor, guess: Tensor | None) -> Tensor:
        ab = SCHEDULE.alpha_bar[(u * SCHEDULE.last).round().long()].view(-1, 1, 1, 1).float()
        a, b = ab.sqrt(), (1 - ab).sqrt()
        return p.target(x0, (x - a * x0) / b, a, b)

    objective = Objective(SCHEDULE, p, unroll=n)
    found = objective.unrolled(perfect, x0, t, eps, rng(2))
    for state in range(1, SCHEDULE.states):
        ab, x = float(SCHEDULE.alpha_bar[state]), found[t == state]
        error = 5 * math.sqrt((1 - ab) / len(x))
        assert float(x.mean()) == pytest.approx(math.sqrt(ab) * 0.7, abs=error)
        assert float(x.std()) == pytest.approx(math.sqrt(1 - ab), abs=error)
    # and there is nothing to correct: its loss is none
    assert float(objective.losses(perfect, x0, rng(3)).max()) < 1e-6


def test_unrolled_steps_against_the_sampler() -> None:
    """A step is the posterior's mean with the network's own x0_hat; here nothing is random."""
    p, x0 = PARAMETRIZATIONS["x0"], images(9)
    t, eps = torch.arange(1, 10).clamp(max=8), torch.randn(x0.shape, generator=rng(1))
    found = Objective(SCHEDULE, p, unroll=2).unrolled(simple, x0, t, eps, rng(4))
    noise = torch.randn(x0.shape, generator=rng(4))
    for i, state in enumerate(t.tolist()):
        x = q_sample(SCHEDULE, x0[i : i + 1], torch.tensor([state + 1]), eps[i : i + 1])
        x0_hat = simple(x, torch.tensor([(state + 1) / SCHEDULE.last]), None)
        q = SCHEDULE.posterior(state + 1, state)
        expected = q.x0_weight * x0_hat + q.xt_weight * x + q.std * noise[i : i + 1]
        torch.testing.assert_close(found[i : i + 1], expected, rtol=1e-4, atol=1e-5)


def test_the_unrolled_steps_carry_no_gradient() -> None:
    weight, calls = torch.tensor(0.5, requires_grad=True), []

    def network(x: Tensor, u: Tensor, guess: Tensor | None) -> Tensor:
        calls.append(torch.is_grad_enabled())
        return weight * x

    Objective(SCHEDULE, PARAMETRIZATIONS["x0"], unroll=3).losses(
        network, images(), rng()
    ).mean().backward()
    assert calls == [False, False, True]
    assert weight.grad is not None


def test_self_conditioning_shows_the_networks_own_estimate_half_of_the_time() -> None:
    guesses: list[Tensor | None] = []

    def network(x: Tensor, u: Tensor, guess: Tensor | None) -> Tensor:
        guesses.append(guess)
        return 2 * x if guess is None else guess

    objective = Objective(SCHEDULE, PARAMETRIZATIONS["x0"], self_condition=True)
    with_guess = 0
    for seed in range(200):
        guesses.clear()
        objective.losses(network, images(4), rng(seed))
        if len(guesses) == 2:
            with_guess += 1
            t, eps = draw(SCHEDULE, images(4), rng(seed))
            assert guesses[0] is None
            assert guesses[1] is not None
            torch.testing.assert_close(guesses[1], 2 * q_sample(SCHEDULE, images(4), t, eps))
        else:
            assert guesses == [None]
    assert 65 < with_guess < 135  # five standard deviations around a half


def test_guidance_at_its_fixed_point() -> None:
    """Where d = prediction - unlabelled solves d = d_true + g d, the loss is that of the data."""
    g, true = 0.4, 0.3
    p, x0 = PARAMETRIZATIONS["x0"], torch.zeros(8, 1, 1, 1)

    def guided(x: Tensor, u: Tensor, guess: Tensor | None) -> Tensor:
        return torch.full_like(x, -true + true / (1 - g))

    def unlabelled(x: Tensor, u: Tensor, guess: Tensor | None) -> Tensor:
        return torch.full_like(x, -true)  # the data, 0, lie `true` away from the average image

    found = Objective(SCHEDULE, p, guide=g).losses(guided, x0, rng(), unlabelled)
    assert float(found.max()) < 1e-12
    plain = Objective(SCHEDULE, p).losses(guided, x0, rng(), unlabelled)
    assert float(plain.min()) > 0.01
