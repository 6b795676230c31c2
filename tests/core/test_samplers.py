from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from scalespace.core.parametrization import PARAMETRIZATIONS
from scalespace.core.samplers import SAMPLERS, Noise, Sampler, ancestral, ddim, dpm2m, make_sampler
from scalespace.core.schedule import Schedule, cosine, flow, linear, zero_terminal

# they know no "flow": what it predicts is given to them as the image that it stands for
THEIR_NAMES = {"noise": "epsilon", "x0": "sample", "v": "v_prediction", "flow": "sample"}


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


@pytest.mark.parametrize("sampler", [ancestral, ddim, dpm2m])
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


@pytest.mark.parametrize("predict", PARAMETRIZATIONS)
@pytest.mark.parametrize("sampler", [ancestral, ddim, dpm2m])
@pytest.mark.parametrize(("mean", "std"), [(0.7, 0.5), (-1.0, 1.5)])
def test_gaussian_data_come_out_with_their_moments(
    sampler: Sampler, mean: float, std: float, predict: str
) -> None:
    """The best network for them is known: the expectation of its target given x_t."""
    schedule, n = cosine(500), 20_000
    parametrization = PARAMETRIZATIONS[predict]

    def denoise(x: Tensor, t: int) -> Tensor:
        a, b = weights(schedule, t)
        variance = (a * std) ** 2 + b**2
        x0 = mean + a * std**2 / variance * (x - a * mean)
        eps = b / variance * (x - a * mean)
        # every target is linear in (x0, eps), so its expectation is the target of theirs
        return parametrization.x0(parametrization.target(x0, eps, a, b), x, a, b)

    x = finish(sampler, denoise, schedule, normal(n, seed=3))
    assert float(x.mean()) == pytest.approx(mean, abs=5 * std / math.sqrt(n))
    assert float(x.std()) == pytest.approx(std, rel=0.03)


@pytest.mark.parametrize("sampler", [ancestral, ddim, dpm2m])
@pytest.mark.parametrize("schedule", [flow(400), linear(400)], ids=["flow", "linear"])
def test_gaussian_data_by_other_schedules(sampler: Sampler, schedule: Schedule) -> None:
    mean, std, n = 0.7, 0.5, 20_000

    def denoise(x: Tensor, t: int) -> Tensor:
        a, b = weights(schedule, t)
        return mean + a * std**2 / ((a * std) ** 2 + b**2) * (x - a * mean)

    x = finish(sampler, denoise, schedule, normal(n, seed=3))
    assert float(x.mean()) == pytest.approx(mean, abs=5 * std / math.sqrt(n))
    assert float(x.std()) == pytest.approx(std, rel=0.03)


@pytest.mark.parametrize("states", [2, 3, 10, 30, 200])
def test_ddim_with_flow_is_euler_along_the_straight_path(states: int) -> None:
    """z_u = x / (a + b) at u = b / (a + b) moves by (u' - u) dz/du: nothing else happens."""
    schedule = flow(states)

    def velocity(z: Tensor, u: float) -> Tensor:
        """Any field at all; what a network would say at time u of the path."""
        return torch.sin(3 * z + u) + z * u - 0.3

    def denoise(x: Tensor, t: int) -> Tensor:
        a, b = weights(schedule, t)
        predicted = velocity(x / (a + b), b / (a + b))
        return PARAMETRIZATIONS["flow"].x0(predicted, x, a, b)

    start = normal(50)()
    steps = list(ddim(denoise, schedule, lambda: start))
    alpha_bar = schedule.alpha_bar.tolist()
    sizes = [(math.sqrt(ab), math.sqrt(1 - ab)) for ab in alpha_bar]
    times = [b / (a + b) for a, b in sizes]
    # evenly spaced but for the first step, which starts where the schedule is clipped
    for t in range(states - 1):
        assert times[t] == pytest.approx(t / (states - 1), abs=1e-9)
    assert 0.95 < times[-1] < 1
    z = start / sum(sizes[-1])
    for t in range(states - 1, 0, -1):
        z = z + (times[t - 1] - times[t]) * velocity(z, times[t])
        torch.testing.assert_close(steps[states - t].x, z * sum(sizes[t - 1]), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(steps[-1].x, z, rtol=1e-6, atol=1e-6)  # at u = 0, a + b = 1


def test_one_euler_step_is_enough_for_one_point() -> None:
    """All data in one place: the true field is straight, and flow's two states find it."""
    schedule, point = flow(2), 0.4

    def denoise(x: Tensor, t: int) -> Tensor:
        a, b = weights(schedule, t)
        eps = (x - a * point) / b
        return PARAMETRIZATIONS["flow"].x0(eps - point, x, a, b)

    x = finish(ddim, denoise, schedule, normal(10))
    torch.testing.assert_close(x, torch.full_like(x, point), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sampler", [ddim, dpm2m])
def test_only_the_start_is_random(sampler: Sampler) -> None:
    start = normal(4)()
    noises = iter([start])
    list(sampler(lambda x, t: x / 2, cosine(9), lambda: next(noises)))
    with pytest.raises(StopIteration):
        next(noises)


@pytest.mark.parametrize("predict", PARAMETRIZATIONS)
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize(
    ("name", "eta"), [("ancestral", 0.0), ("ddim", 0.0), ("ddim", 0.5), ("ddim", 1.0)]
)
@pytest.mark.parametrize(
    "schedule",
    [cosine(20), cosine(11, 2.0, stop_short=True), linear(15), flow(12)],
    ids=["cosine", "stop short", "linear", "flow"],
)
def test_against_diffusers(
    name: str, eta: float, clip: bool, predict: str, schedule: Schedule
) -> None:
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
    sampler = make_sampler(name, eta)
    steps = list(sampler(denoise, schedule, lambda: torch.randn(shape, generator=ours_rng)))
    if name == "ancestral":
        theirs = DDPMScheduler(**common, variance_type="fixed_small")
        extra = {"generator": their_rng}
    else:
        theirs = DDIMScheduler(**common, set_alpha_to_one=True)
        # both take the noise of the direction from the clipped estimate then
        extra = {"eta": eta, "use_clipped_model_output": True, "generator": their_rng}
    theirs.set_timesteps(schedule.last)
    assert theirs.timesteps.tolist() == list(range(schedule.last - 1, -1, -1))
    x = torch.randn(shape, generator=their_rng)
    for timestep, step in zip(theirs.timesteps.tolist(), steps[1:], strict=True):
        # each step from our own state: else rounding in their float32 tables adds up
        before = steps[schedule.last - 1 - timestep].x
        prediction = network(before, timestep + 1)
        if predict == "flow":  # back along the straight line through z_u, from u to 0
            a, b = weights(schedule, timestep + 1)
            prediction = before / (a + b) - b / (a + b) * prediction
        found = theirs.step(prediction, timestep, before, **extra)
        torch.testing.assert_close(found.prev_sample, step.x, rtol=2e-3, atol=2e-4)
        torch.testing.assert_close(found.pred_original_sample, step.x0_hat, rtol=2e-3, atol=2e-4)
    torch.testing.assert_close(x, steps[0].x)


def test_ancestral_is_ddim_with_as_much_noise() -> None:
    def denoise(x: Tensor, t: int) -> Tensor:
        return torch.sin(2 * x + 0.1 * t)

    one = finish(ancestral, denoise, cosine(20), normal(50))
    other = finish(make_sampler("ddim", 1.0), denoise, cosine(20), normal(50))
    torch.testing.assert_close(one, other)


def test_ddim_draws_no_more_noise_than_a_state_holds() -> None:
    """However large eta is: then only the estimate is kept, and noised afresh."""
    schedule, x0_hat = cosine(8), 0.25
    steps = list(make_sampler("ddim", 1e6)(lambda x, t: x * 0 + x0_hat, schedule, normal(9)))
    noise = normal(9)
    noise()  # the first state
    for step in steps[1:-1]:
        a, b = weights(schedule, step.t)
        torch.testing.assert_close(step.x, a * x0_hat + b * noise())


@pytest.mark.parametrize("name", ["ddim", "dpm2m"])
@pytest.mark.parametrize("eta", [0.5, 1.5, 2.0, 3.0, 5.0])
def test_any_share_of_new_noise_can_be_drawn(name: str, eta: float) -> None:
    """Where the noise is all new, what is left of the old must not fall below 0 by rounding."""
    for states in (2, 3, 8, 10, 20, 30):
        for power in (1.0, 1.5, 2.0, 3.0):
            x = finish(
                make_sampler(name, eta), lambda x, t: x * 0.5, cosine(states, power), normal(3)
            )
            assert bool(torch.isfinite(x).all())


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("schedule", [cosine(20), linear(15)], ids=["cosine", "linear"])
def test_second_order_against_diffusers(schedule: Schedule, eta: float) -> None:
    theirs = DPMSolverMultistepScheduler(
        num_train_timesteps=schedule.last,
        trained_betas=schedule.beta.numpy(),
        prediction_type="sample",
        algorithm_type="sde-dpmsolver++" if eta else "dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        lower_order_final=False,
        final_sigmas_type="zero",
    )
    theirs.set_timesteps(timesteps=list(range(schedule.last - 1, -1, -1)))

    def denoise(x: Tensor, t: int) -> Tensor:
        return torch.sin(2 * x + 0.1 * t)

    steps = list(dpm2m(denoise, schedule, normal(50), eta))
    noise = normal(50)
    x = noise()
    for timestep, step in zip(theirs.timesteps, steps[1:], strict=True):
        drawn = noise() if eta and step.t else torch.zeros_like(x)
        before = denoise(x, int(timestep) + 1)
        x = theirs.step(before, timestep, x, variance_noise=drawn).prev_sample
        torch.testing.assert_close(x, step.x, rtol=2e-3, atol=2e-4)


def test_second_order_is_nearer_to_the_path_it_follows() -> None:
    """Gaussian data: the path of the probability flow from x_T is x_T scaled, in closed form."""
    std = 0.5

    def error(sampler: Sampler, states: int) -> float:
        schedule = cosine(states)

        def denoise(x: Tensor, t: int) -> Tensor:
            a, b = weights(schedule, t)
            return a * std**2 / ((a * std) ** 2 + b**2) * x

        steps = list(sampler(denoise, schedule, normal(100)))
        a, b = weights(schedule, schedule.last)
        exact = steps[0].x * std / math.sqrt((a * std) ** 2 + b**2)
        return float((steps[-1].x - exact).abs().max())

    for states in (10, 20, 30):
        assert error(dpm2m, states) < error(ddim, states) / 2
    # both converge, the second order faster
    assert error(ddim, 200) < error(ddim, 50) / 3
    assert error(dpm2m, 200) < error(dpm2m, 50) / 6


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_second_order_from_noise_alone(eta: float) -> None:
    """Where nothing is left of the image the ratio of its steps is infinite, and of no matter."""
    schedule = zero_terminal(cosine(12))
    steps = list(dpm2m(lambda x, t: torch.tanh(x), schedule, normal(20), eta))
    assert all(bool(step.x.isfinite().all()) for step in steps)
    # without eta that is DDIM; with it all of the state's noise is drawn anew, as by ancestral
    first = ancestral if eta else ddim
    theirs = list(first(lambda x, t: torch.tanh(x), schedule, normal(20)))[1].x
    torch.testing.assert_close(steps[1].x, theirs)


@pytest.mark.parametrize("eta", [0.5, 1.0, 1.5])
def test_a_new_noise_of_second_order_keeps_the_states_variance(eta: float) -> None:
    """An estimate that stands still: every state is a x0_hat + b times unit noise, as it should."""
    schedule = cosine(9)
    sampler = make_sampler("dpm2m", eta)
    for step in sampler(lambda x, t: torch.full_like(x, 0.25), schedule, normal(200_000)):
        if 0 < step.t < schedule.last:
            a, b = weights(schedule, step.t)
            # what the last state's mean still lacks, its signal being 0.008 and not 0
            assert float(step.x.mean()) == pytest.approx(0.25 * a, abs=0.01)
            assert float(step.x.std()) == pytest.approx(b, rel=0.01)
