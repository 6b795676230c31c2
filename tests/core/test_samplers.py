from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from scalespace.core.parametrization import PARAMETRIZATIONS
from scalespace.core.samplers import SAMPLERS, Noise, Sampler, ancestral, ddim
from scalespace.core.schedule import Schedule, cosine

THEIR_NAMES = {"noise": "epsilon", "x0": "sample", "v": "v_prediction"}


def normal(n: int, seed: int = 0) -> Noise:
    rng = torch.Generator().manual_seed(seed)
    return lambda: torch.randn((n, 1), generator=rng, dtype=torch.float64)


def finish(sampler: Sampler, denoise: Callable, schedule: Schedule, noise: Noise) -> Tensor:
    return list(sampler(denoise, schedule, noise))[-1].x


def weights(schedule: Schedule, t: int) -> tuple[float, float]:
    alpha_bar = float(schedule.alpha_bar[t])
    return math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)


@pytest.mark.parametrize("name", SAMPLERS)
def test_steps_tell_the_whole_trajectory(name: str) -> None:
    schedule, calls = cosine(7), []

    def denoise(x: Tensor, t: int) -> Tensor:
        calls.append(t)
        return torch.full_like(x, 0.25)

    steps = list(SAMPLERS[name](denoise, schedule, normal(5)))
    assert [step.t for step in steps] == [6, 5, 4, 3, 2, 1, 0]
    assert calls == [6, 5, 4, 3, 2, 1]
    assert steps[0].x0_hat is None
    torch.testing.assert_close(steps[0].x, normal(5)())
    for step in steps[1:]:
        assert step.x0_hat is not None
        assert bool((step.x0_hat == 0.25).all())
    torch.testing.assert_close(steps[-1].x, torch.full((5, 1), 0.25, dtype=torch.float64))


@pytest.mark.parametrize("sampler", [ancestral, ddim])
def test_two_points_are_found_equally_often(sampler: Sampler) -> None:
    """Data of +1 and -1: E[x0 | x_t] = tanh(a x_t / b^2) exactly."""
    schedule, n = cosine(250), 4000

    def denoise(x: Tensor, t: int) -> Tensor:
        a, b = weights(schedule, t)
        return torch.tanh(a * x / b**2)

    x = finish(sampler, denoise, schedule, normal(n))
    assert float((x.abs() > 0.95).double().mean()) > 0.99
    positive = int((x > 0).sum())
    assert abs(positive - n / 2) < 5 * math.sqrt(n) / 2


@pytest.mark.parametrize("sampler", [ancestral, ddim])
@pytest.mark.parametrize(("mean", "std"), [(0.7, 0.5), (-1.0, 1.5)])
def test_gaussian_data_come_out_with_their_moments(
    sampler: Sampler, mean: float, std: float
) -> None:
    schedule, n = cosine(500), 20_000

    def denoise(x: Tensor, t: int) -> Tensor:
        a, b = weights(schedule, t)
        return mean + a * std**2 / ((a * std) ** 2 + b**2) * (x - a * mean)

    x = finish(sampler, denoise, schedule, normal(n, seed=3))
    assert float(x.mean()) == pytest.approx(mean, abs=5 * std / math.sqrt(n))
    assert float(x.std()) == pytest.approx(std, rel=0.03)


def test_only_the_start_of_ddim_is_random() -> None:
    start = normal(4)()
    noises = iter([start])
    list(ddim(lambda x, t: x / 2, cosine(9), lambda: next(noises)))
    with pytest.raises(StopIteration):
        next(noises)


@pytest.mark.parametrize("predict", PARAMETRIZATIONS)
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("name", ["ancestral", "ddim"])
@pytest.mark.parametrize("schedule", [cosine(20), cosine(11, 2.0, stop_short=True)])
def test_against_diffusers(name: str, clip: bool, predict: str, schedule: Schedule) -> None:
    """Their state t is our t + 1, for they do not count the data."""
    common = {
        "num_train_timesteps": schedule.last,
        "trained_betas": schedule.beta.numpy(),
        "prediction_type": THEIR_NAMES[predict],
        "clip_sample": clip,
        "clip_sample_range": 1.2,
    }

    def network(x: Tensor, t: int) -> Tensor:
        return torch.sin(2 * x + 0.1 * t)

    def denoise(x: Tensor, t: int) -> Tensor:
        a, b = weights(schedule, t)
        x0_hat = PARAMETRIZATIONS[predict].x0(network(x, t), x, a, b)
        return x0_hat.clamp(-1.2, 1.2) if clip else x0_hat

    shape, ours_rng, their_rng = (3, 1, 4, 4), *(torch.Generator().manual_seed(5) for _ in "ab")
    steps = list(SAMPLERS[name](denoise, schedule, lambda: torch.randn(shape, generator=ours_rng)))
    if name == "ancestral":
        theirs = DDPMScheduler(**common, variance_type="fixed_small")
        extra = {"generator": their_rng}
    else:
        theirs = DDIMScheduler(**common, set_alpha_to_one=True)
        # both take the noise of the direction from the clipped estimate then
        extra = {"eta": 0.0, "use_clipped_model_output": True}
    theirs.set_timesteps(schedule.last)
    assert theirs.timesteps.tolist() == list(range(schedule.last - 1, -1, -1))
    x = torch.randn(shape, generator=their_rng)
    for timestep, step in zip(theirs.timesteps.tolist(), steps[1:], strict=True):
        # each step from our own state: else rounding in their float32 tables adds up
        before = steps[schedule.last - 1 - timestep].x
        found = theirs.step(network(before, timestep + 1), timestep, before, **extra)
        torch.testing.assert_close(found.prev_sample, step.x, rtol=2e-3, atol=2e-4)
        torch.testing.assert_close(found.pred_original_sample, step.x0_hat, rtol=2e-3, atol=2e-4)
    torch.testing.assert_close(x, steps[0].x)
