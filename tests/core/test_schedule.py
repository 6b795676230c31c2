from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from scalespace.core.schedule import (
    MAX_BETA,
    Schedule,
    broadcast,
    cosine,
    flow,
    linear,
    zero_terminal,
)
from scalespace.errors import InputError

schedules = st.one_of(
    st.builds(
        cosine, states=st.integers(2, 300), power=st.floats(0.3, 4), stop_short=st.booleans()
    ),
    st.builds(linear, states=st.integers(3, 300)),
    st.builds(flow, states=st.integers(2, 300)),
)


@st.composite
def transitions(draw: st.DrawFn) -> tuple[Schedule, int, int]:
    """A schedule and two of its states, t > s."""
    schedule = draw(schedules)
    t = draw(st.integers(1, schedule.last))
    return schedule, t, draw(st.integers(0, t - 1))


@given(schedules)
def test_begins_at_the_data_and_falls(schedule: Schedule) -> None:
    assert schedule.alpha_bar[0] == 1
    assert bool((schedule.alpha_bar.diff() < 0).all())
    assert float(schedule.alpha_bar[-1]) > 0
    assert bool((schedule.beta > 0).all())
    assert bool((schedule.beta <= MAX_BETA + 1e-12).all())
    assert len(schedule.beta) == schedule.last == schedule.states - 1


@given(schedules)
def test_alpha_bar_is_the_product_of_its_betas(schedule: Schedule) -> None:
    product = np.cumprod(1 - schedule.beta.numpy())
    np.testing.assert_allclose(schedule.alpha_bar[1:].numpy(), product, rtol=1e-9)


@pytest.mark.parametrize("states", [2, 10, 20, 30, 1000])
@pytest.mark.parametrize("power", [1.5, 2.0])
@pytest.mark.parametrize("stop_short", [False, True])
def test_cosine_against_fifty_digits(states: int, power: float, stop_short: bool) -> None:
    """Nichol & Dhariwal's equation 17, computed with another library in 50 digits."""
    with mpmath.workdps(50):
        offset, end = mpmath.mpf("0.008"), states if stop_short else states - 1

        def f(t: int) -> mpmath.mpf:
            u = mpmath.mpf(t) / end
            value = mpmath.cos((u + offset) / (1 + offset) * mpmath.pi / 2)
            return max(value, mpmath.mpf(0)) ** mpmath.mpf(power)

        expected = [mpmath.mpf(1)]
        for t in range(1, states):
            beta = min(1 - f(t) / f(t - 1), mpmath.mpf("0.999"))
            expected.append(expected[-1] * (1 - beta))
    found = cosine(states, power, stop_short=stop_short).alpha_bar.numpy()
    np.testing.assert_allclose(found, np.array(expected, dtype=np.float64), rtol=1e-9)


def test_the_last_beta_is_clipped() -> None:
    assert float(cosine(30).beta[-1]) == pytest.approx(0.999, abs=1e-12)
    assert float(cosine(30, stop_short=True).beta[-1]) < 0.9


@pytest.mark.parametrize(("states", "signal"), [(30, 0.11), (20, 0.15), (10, 0.25)])
def test_the_published_code_starts_where_some_image_is_left(states: int, signal: float) -> None:
    assert round(cosine(states, stop_short=True).last_signal, 2) == signal
    assert cosine(states).last_signal < 0.01


def test_calls_of_the_paper() -> None:
    assert [cosine(states).last for states in (30, 20, 10)] == [29, 19, 9]


@pytest.mark.parametrize("states", [2, 5, 11, 30, 1000])
def test_flow_is_the_straight_path_in_unit_variance(states: int) -> None:
    found = flow(states).alpha_bar.numpy()
    for t in range(states - 1):
        u = t / (states - 1)
        expected = (1 - u) ** 2 / ((1 - u) ** 2 + u**2)
        assert found[t] == pytest.approx(expected, rel=1e-9), t
    # which would end at 0: the last is a thousandth of the one before
    assert found[-1] == pytest.approx(found[-2] / 1000)
    # the times of the path, read back off the schedule, are uniform
    a, b = np.sqrt(found[:-1]), np.sqrt(1 - found[:-1])
    np.testing.assert_allclose(b / (a + b), np.arange(states - 1) / (states - 1), atol=1e-9)


def test_linear_against_diffusers() -> None:
    """Ho et al.'s 1,000 transitions; their state t is our t + 1, in float32."""
    theirs = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    ours = linear(1001)
    np.testing.assert_allclose(ours.beta.numpy(), theirs.betas.numpy(), rtol=1e-5)
    np.testing.assert_allclose(ours.alpha_bar[1:].numpy(), theirs.alphas_cumprod.numpy(), rtol=1e-3)


@pytest.mark.parametrize("states", [3, 5, 10, 30, 200])
def test_linear_with_few_states_ends_where_a_thousand_do(states: int) -> None:
    ours = linear(states)
    n = states - 1
    betas = [1e-4 + (0.02 - 1e-4) * k / (n - 1) for k in range(n)]
    expected = [min(1000 / n * beta, 0.999) for beta in betas]
    np.testing.assert_allclose(ours.beta.numpy(), expected, rtol=1e-9)
    # as little is left of the image as after a thousand, where it is 0.006 of its contrast
    assert ours.last_signal < 0.04


@pytest.mark.parametrize(
    "table",
    [
        [],
        [1.0],
        [[1.0, 0.5]],
        [0.9, 0.5],
        [1.0, 1.0],
        [1.0, 0.5, 0.6],
        [1.0, 0.0, 0.0],
        [1.0, -0.5],
        [1.0, math.nan],
    ],
)
def test_refuses_a_table_that_is_no_schedule(table: list[float]) -> None:
    with pytest.raises(ValueError, match=r"schedule|alpha_bar|beta"):
        Schedule(torch.tensor(table, dtype=torch.float64))


@pytest.mark.parametrize("schedule", [cosine, linear, flow])
@pytest.mark.parametrize("states", [-1, 0, 1])
def test_refuses_too_few_states(states: int, schedule: Callable[[int], Schedule]) -> None:
    least = 3 if schedule is linear else 2
    with pytest.raises(ValueError, match=f"at least {least} states"):
        schedule(states)


@pytest.mark.parametrize("power", [0.0, -1.0, math.nan])
def test_refuses_a_power_that_is_not_positive(power: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        cosine(10, power)


@pytest.mark.parametrize(("t", "s"), [(0, 0), (3, 3), (2, 3), (1, -1), (10, 4)])
def test_posterior_refuses_states_out_of_order(t: int, s: int) -> None:
    with pytest.raises(ValueError, match="need 0 <= s < t"):
        cosine(10).posterior(t, s)


@given(transitions(), st.floats(-2, 2), st.floats(-2, 2))
@settings(max_examples=60)
def test_posterior_against_bayes_on_a_grid(
    transition: tuple[Schedule, int, int], x0: float, noise: float
) -> None:
    """q(x_s | x_t, x_0) is proportional to q(x_t | x_s) q(x_s | x_0): multiplied numerically."""
    schedule, t, s = transition
    if s == 0:
        return
    ab_t, ab_s = float(schedule.alpha_bar[t]), float(schedule.alpha_bar[s])
    xt = math.sqrt(ab_t) * x0 + math.sqrt(1 - ab_t) * noise
    q = schedule.posterior(t, s)
    center = q.x0_weight * x0 + q.xt_weight * xt
    # a grid far wider than the result's deviation, centred elsewhere, so a wrong answer shows
    grid = np.linspace(center - 12.3 * q.std, center + 11.1 * q.std, 20_001)
    step = ab_t / ab_s
    log = -((xt - math.sqrt(step) * grid) ** 2) / (2 * (1 - step))
    log -= (grid - math.sqrt(ab_s) * x0) ** 2 / (2 * (1 - ab_s))
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    mean = float((weight * grid).sum())
    std = math.sqrt(float((weight * (grid - mean) ** 2).sum()))
    assert std == pytest.approx(q.std, rel=1e-3)
    assert abs(mean - center) < 1e-3 * q.std


@given(schedules)
def test_the_step_into_the_data_gives_the_estimate(schedule: Schedule) -> None:
    for t in {1, schedule.last}:
        q = schedule.posterior(t, 0)
        assert q.x0_weight == pytest.approx(1, abs=1e-12)
        assert (q.xt_weight, q.std) == (0, 0)


@given(transitions(), st.data())
def test_two_steps_are_one(transition: tuple[Schedule, int, int], data: st.DataObject) -> None:
    schedule, t, s = transition
    if t - s < 2:
        return
    middle = data.draw(st.integers(s + 1, t - 1))
    one, first, second = (schedule.posterior(a, b) for a, b in ((t, s), (t, middle), (middle, s)))
    x0_weight = second.x0_weight + second.xt_weight * first.x0_weight
    assert x0_weight == pytest.approx(one.x0_weight, rel=1e-7, abs=1e-12)
    assert second.xt_weight * first.xt_weight == pytest.approx(one.xt_weight, rel=1e-7, abs=1e-12)
    variance = second.std**2 + (second.xt_weight * first.std) ** 2
    assert variance == pytest.approx(one.std**2, rel=1e-7, abs=1e-12)


# Zero terminal signal-to-noise ratio


@pytest.mark.parametrize("schedule", [cosine(10), cosine(30, stop_short=True), linear(20), flow(5)])
def test_zero_terminal_against_the_papers_algorithm(schedule: Schedule) -> None:
    """Lin et al. 2024, Algorithm 1, a number at a time: shift, then scale, sqrt(alpha_bar)."""
    roots = [math.sqrt(value) for value in schedule.alpha_bar.tolist()]
    first, last = roots[0], roots[-1]
    expected = [((root - last) * first / (first - last)) ** 2 for root in roots]
    found = zero_terminal(schedule).alpha_bar
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    assert float(found[0]) == 1
    assert float(found[-1]) == 0


def test_the_posterior_of_pure_noise_forgets_it() -> None:
    """From a state that holds nothing of the image, x_s comes from x0_hat and noise alone."""
    schedule = zero_terminal(cosine(10))
    q = schedule.posterior(schedule.last, schedule.last - 1)
    ab = float(schedule.alpha_bar[-2])
    assert q.xt_weight == 0
    assert q.x0_weight == pytest.approx(math.sqrt(ab))
    assert q.std == pytest.approx(math.sqrt(1 - ab))


@pytest.mark.parametrize("power", [0.01, 0.1, 1.5, 100.0])
def test_a_cosine_that_visits_its_last_state_ends_in_noise(power: float) -> None:
    assert float(cosine(20, power).beta[-1]) == pytest.approx(MAX_BETA, abs=1e-12)


def test_one_beta_is_no_line() -> None:
    with pytest.raises(InputError, match="linear betas need at least 3 states, got 2"):
        linear(2)


# Times between the states


@given(schedules)
def test_a_state_has_its_own_entry_of_the_table(schedule: Schedule) -> None:
    for t in range(schedule.states):
        a, b = schedule.scales(t)
        assert a**2 == pytest.approx(float(schedule.alpha_bar[t]), abs=1e-15)
        assert a**2 + b**2 == pytest.approx(1, abs=1e-14)


@given(schedules, st.data())
def test_between_two_states_there_is_as_much_noise_as_between(
    schedule: Schedule, data: st.DataObject
) -> None:
    t = data.draw(st.floats(0, schedule.last))
    below, above = math.floor(t), math.ceil(t)
    (a, b), (_, low), (_, high) = map(schedule.scales, (t, below, above))
    assert a**2 + b**2 == pytest.approx(1, abs=1e-14)
    assert low - 1e-9 <= b <= high + 1e-9
    # just beside a state the noise is just beside its own
    if 1 <= below < schedule.last:
        assert schedule.scales(below + 1e-9)[1] == pytest.approx(low, abs=1e-6)


def test_the_cosine_schedule_of_power_2_is_the_cosine_of_every_time() -> None:
    """Its angle is linear in time, but for the betas that are clipped."""
    schedule = cosine(50, 2.0)
    for t in (0.5, 10.3, 47.9):
        angle = (t / 49 + 0.008) / 1.008 * math.pi / 2
        first = 0.008 / 1.008 * math.pi / 2
        expected = math.cos(angle) / math.cos(first)
        assert schedule.scales(t)[0] == pytest.approx(expected, abs=2e-4)


@given(schedules)
def test_many_times_at_once(schedule: Schedule) -> None:
    like = torch.zeros(5, 1, 2, 2, dtype=torch.float64)
    times = torch.linspace(0, schedule.last, 5, dtype=torch.float64)
    a, b = schedule.signal_and_noise(times, like)
    assert a.shape == b.shape == (5, 1, 1, 1)
    for i, t in enumerate(times.tolist()):
        assert (float(a[i]), float(b[i])) == pytest.approx(schedule.scales(t), abs=1e-7)
    whole = torch.arange(5) % schedule.states
    a, b = schedule.signal_and_noise(whole, like)
    for i, t in enumerate(whole.tolist()):
        assert (float(a[i]), float(b[i])) == pytest.approx(schedule.scales(t), abs=1e-12)


@pytest.mark.parametrize("t", [-0.1, 9.01, 10, math.nan])
def test_times_that_are_none(t: float) -> None:
    with pytest.raises(ValueError, match="need 0 <= t <= 9"):
        cosine(10).scales(t)


# The forward process


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
        direct = schedule.q_sample(x0, torch.full((n,), t), torch.randn(x0.shape, generator=rng))
        # 5 standard errors of the difference of two means, and of two deviations
        assert float((chain.mean(0) - direct.mean(0)).abs().max()) < 5 * math.sqrt(2 / n)
        assert float((chain.std(0) - direct.std(0)).abs().max()) < 5 * math.sqrt(1 / n)


def test_each_image_has_its_own_state() -> None:
    schedule = cosine(20)
    x0, eps = torch.randn(20, 1, 3, 3), torch.randn(20, 1, 3, 3)
    x = schedule.q_sample(x0, torch.arange(20), eps)
    torch.testing.assert_close(x[0], x0[0])  # state 0 is the data
    for t in range(20):
        alone = schedule.q_sample(x0[t : t + 1], torch.tensor([t]), eps[t : t + 1])
        torch.testing.assert_close(x[t : t + 1], alone)


def test_a_table_is_sent_to_a_device_once() -> None:
    table, like = torch.linspace(0, 1, 5, dtype=torch.float64), torch.zeros(2, device="meta")
    there = broadcast(table, like)
    assert (there.device.type, there.dtype, there.shape) == ("meta", torch.float32, (5,))
    assert broadcast(table, like) is there
    assert broadcast(table, like.to(torch.float16)).dtype == torch.float16
    assert broadcast(table.clone(), like) is not there
    here = broadcast(table, torch.zeros(1))
    torch.testing.assert_close(here, table.float(), rtol=0, atol=0)
