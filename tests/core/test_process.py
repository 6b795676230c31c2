from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scalespace.core.parametrization import PARAMETRIZATIONS
from scalespace.core.process import draw, loss, q_sample
from scalespace.core.schedule import cosine


def test_closed_form_against_the_chain_of_single_steps() -> None:
    """q(x_t | x_0) must be what t steps of sqrt(1 - beta) x + sqrt(beta) noise lead to."""
    schedule, n = cosine(10), 100_000
    rng = torch.Generator().manual_seed(0)
    x0 = torch.tensor([-1.3, 0.4]).repeat(n, 1)
    chain = x0
    for t in range(1, schedule.states):
        beta = float(schedule.beta[t - 1])
        noise = torch.randn(x0.shape, generator=rng)
        chain = math.sqrt(1 - beta) * chain + math.sqrt(beta) * noise
        direct = q_sample(schedule, x0, torch.full((n,), t), torch.randn(x0.shape, generator=rng))
        # 5 standard errors of the difference of two means, and of two deviations
        assert float((chain.mean(0) - direct.mean(0)).abs().max()) < 5 * math.sqrt(2 / n)
        assert float((chain.std(0) - direct.std(0)).abs().max()) < 5 * math.sqrt(1 / n)


def test_each_image_has_its_own_state() -> None:
    schedule = cosine(20)
    x0, eps = torch.randn(20, 1, 3, 3), torch.randn(20, 1, 3, 3)
    x = q_sample(schedule, x0, torch.arange(20), eps)
    torch.testing.assert_close(x[0], x0[0])  # state 0 is the data
    for t in range(20):
        alone = q_sample(schedule, x0[t : t + 1], torch.tensor([t]), eps[t : t + 1])
        torch.testing.assert_close(x[t : t + 1], alone)


@pytest.mark.parametrize("predict", PARAMETRIZATIONS)
def test_loss_against_a_loop(predict: str) -> None:
    schedule, rng = cosine(10), torch.Generator().manual_seed(1)
    x0 = torch.randn((6, 1, 4, 5), generator=rng)
    t, eps = draw(schedule, x0, rng)

    def network(x: Tensor, u: Tensor) -> Tensor:
        return torch.sin(x) + u[:, None, None, None]

    found = loss(network, schedule, PARAMETRIZATIONS[predict], x0, t, eps)
    for i, state in enumerate(t.tolist()):
        alpha_bar = float(schedule.alpha_bar[state])
        total, pixels = 0.0, 0
        for clean, noise in zip(x0[i].flatten().tolist(), eps[i].flatten().tolist(), strict=True):
            x = math.sqrt(alpha_bar) * clean + math.sqrt(1 - alpha_bar) * noise
            velocity = math.sqrt(alpha_bar) * noise - math.sqrt(1 - alpha_bar) * clean
            straight = noise - clean
            known = {"noise": noise, "x0": clean, "v": velocity, "flow": straight}
            target = known[predict]
            total += (math.sin(x) + state / 9 - target) ** 2
            pixels += 1
        assert float(found[i]) == pytest.approx(total / pixels, rel=1e-4)


def test_a_perfect_network_has_no_loss() -> None:
    schedule, x0 = cosine(10), torch.randn(8, 1, 4, 4)
    t, eps = draw(schedule, x0, torch.Generator().manual_seed(0))
    assert float(loss(lambda x, u: eps, schedule, PARAMETRIZATIONS["noise"], x0, t, eps).max()) == 0


def test_states_are_drawn_uniformly_from_the_noisy_ones() -> None:
    schedule, n = cosine(10), 90_000
    t, eps = draw(schedule, torch.zeros(n, 1, 1, 1), torch.Generator().manual_seed(0))
    counts = torch.bincount(t, minlength=schedule.states)
    assert len(counts) == schedule.states
    assert counts[0] == 0
    expected = n / schedule.last
    chi_square = float(((counts[1:] - expected) ** 2 / expected).sum())
    assert chi_square < 30  # 8 degrees of freedom: exceeded by chance once in 5,000
    assert float(eps.mean().abs()) < 5 / math.sqrt(n)
    assert float((eps.std() - 1).abs()) < 5 / math.sqrt(2 * n)
