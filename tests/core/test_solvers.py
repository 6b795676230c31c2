"""Solvers through the one loop, against diffusers, closed forms and one another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scalespace.core.denoiser import Condition
from scalespace.core.parametrization import PARAMETRIZATIONS
from scalespace.core.sampling import Step, run
from scalespace.core.schedule import Schedule, cosine, flow, linear, zero_terminal
from scalespace.core.segment import Segment
from scalespace.core.solvers import (
    SOLVERS,
    Solve,
    ancestral,
    ddim,
    dpm2m,
    euler,
    make_solver,
    renoise,
)
from scalespace.core.steps import by_state

# they know no "flow": what it predicts is given to them as the image that it stands for
THEIR_NAMES = {"noise": "epsilon", "x0": "sample", "v": "v_prediction", "flow": "sample"}
Estimate = Callable[[Tensor, float], Tensor]
MAKERS: dict[str, Solve] = {
    **SOLVERS,
    "ddim-0.5": make_solver("ddim", 0.5),
    "ddim-1": make_solver("ddim", 1.0),
    "dpm2m-0.5": make_solver("dpm2m", 0.5),
    "dpm2m-1": make_solver("dpm2m", 1.0),
}
PLAIN = (cosine(30, 3.0), linear(25), flow(20))
FEW = (1, 2, 3, 4, 7, 14, 28, 29)  # each of four schedules twice
CALLS = [n if n in FEW else pytest.param(n, marks=pytest.mark.slow) for n in range(1, 30)]


class Normal:
    """Standard normal noise of float64, a `Stream`."""

    def __init__(self, n: int, seed: int = 0) -> None:
        self.n, self.rng, self.draws = n, torch.Generator().manual_seed(seed), 0

    def normal(self, shape: Sequence[int]) -> Tensor:
        self.draws += 1
        return torch.randn((self.n, *shape), generator=self.rng, dtype=torch.float64)


def trajectory(
    solver: Solve,
    estimate: Estimate,
    schedule: Schedule,
    noise: Normal,
    states: Sequence[float] | None = None,
    shape: tuple[int, ...] = (1,),
) -> list[Step]:
    """The loop from the noise's first draw on, through all states unless told."""
    segment = Segment("segment", schedule, shape)
    way = range(schedule.last, -1, -1) if states is None else states
    x = noise.normal(shape)

    def denoise(x: Tensor, t: float, condition: Condition) -> Tensor:
        return estimate(x, t)

    return list(run(denoise, segment, segment.tables(solver, way), x, Condition(), noise))


def finish(solver: Solve, estimate: Estimate, schedule: Schedule, noise: Normal) -> Tensor:
    return trajectory(solver, estimate, schedule, noise)[-1].x


@pytest.mark.parametrize("name", SOLVERS)
def test_steps_tell_the_whole_trajectory(name: str) -> None:
    schedule, calls = cosine(7), []

    def estimate(x: Tensor, t: float) -> Tensor:
        calls.append(t)
        return torch.full_like(x, 0.25)

    steps = trajectory(SOLVERS[name], estimate, schedule, Normal(5))
    assert [step.t for step in steps] == [6, 5, 4, 3, 2, 1, 0]
    assert calls == [6, 5, 4, 3, 2, 1]
    assert steps[0].x0_hat is None
    torch.testing.assert_close(steps[0].x, Normal(5).normal((1,)))
    for step in steps[1:]:
        assert step.x0_hat is not None
        assert bool((step.x0_hat == 0.25).all())
        assert step.segment == "segment"
    torch.testing.assert_close(steps[-1].x, torch.full((5, 1), 0.25, dtype=torch.float64))


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=40)
@given(data=st.data())
def test_any_way_keeps_the_marginals_of_an_estimate_that_stands_still(
    name: str, data: st.DataObject
) -> None:
    """x = a x0 + b noise in every state visited: by the weights alone, for any falling choice."""
    schedule = data.draw(st.sampled_from(PLAIN))
    inner = data.draw(st.sets(st.integers(1, schedule.last - 1), max_size=8))
    between = data.draw(st.sets(st.floats(0.1, 0.9), max_size=3))
    way = sorted({schedule.last, *inner, *between, 0}, reverse=True)
    table = MAKERS[name](schedule, way)
    a, b = schedule.scales(way[0])
    signal, variance = a, b**2  # of x: its weight of x0, and its variance about that
    for row, s in zip(table.rows, way[1:], strict=True):
        signal = row.x * signal + row.x0 + row.before
        variance = row.x**2 * variance + row.std**2
        a, b = schedule.scales(s)
        assert signal == pytest.approx(a, abs=1e-9)
        assert variance == pytest.approx(b**2, abs=1e-9)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_states_that_rounding_alone_tells_apart(eta: float) -> None:
    """A step of no length at all gives the next one no slope."""
    schedule = cosine(30, 3.0)
    close = dpm2m(schedule, (29, 0.9, 0.8999999999999999, 0.5, 0), eta)
    apart = dpm2m(schedule, (29, 0.9, 0.5, 0), eta)
    first = ddim(schedule, (0.9, 0.5), eta) if eta == 0 else None
    row = close.rows[2]
    assert row.before == 0
    assert math.isfinite(row.x0)
    assert row.x == pytest.approx(apart.rows[1].x)
    if first is not None:
        assert row.x0 == pytest.approx(first.rows[0].x0)


@pytest.mark.parametrize("way", [(5,), (0, 5), (5, 5, 0), (12, 3, 0), (5, 2, -1), ()])
def test_ways_that_do_not_fall(way: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="states of a sampler"):
        ancestral(cosine(10), way)


def test_a_table_has_columns() -> None:
    table = make_solver("dpm2m", 1.0)(cosine(5), (4, 2, 1, 0))
    assert table.columns().shape == (4, 3)
    for k, row in enumerate(table.rows):
        assert table.columns()[:, k].tolist() == list(row)
    assert table.rows[0].before == 0  # none was made yet
    assert table.rows[-1].std == 0
    assert table.rows[-1][:3] == pytest.approx((0, 1, 0))  # the data are the estimate itself


@pytest.mark.parametrize("solver", [ancestral, ddim, dpm2m])
def test_two_points_are_found_equally_often(solver: Solve) -> None:
    """Data of +1 and -1: E[x0 | x_t] = tanh(a x_t / b^2) exactly."""
    schedule, n = cosine(250), 4000

    def estimate(x: Tensor, t: float) -> Tensor:
        a, b = schedule.scales(t)
        return torch.tanh(a * x / b**2)

    x = finish(solver, estimate, schedule, Normal(n))
    assert float((x.abs() > 0.95).double().mean()) > 0.99
    positive = int((x > 0).sum())
    assert abs(positive - n / 2) < 5 * math.sqrt(n) / 2


@pytest.mark.parametrize("predict", PARAMETRIZATIONS)
@pytest.mark.parametrize("solver", [ancestral, ddim, dpm2m])
@pytest.mark.parametrize(("mean", "std"), [(0.7, 0.5), (-1.0, 1.5)])
def test_gaussian_data_come_out_with_their_moments(
    solver: Solve, mean: float, std: float, predict: str
) -> None:
    """The best network for them is known: the expectation of its target given x_t."""
    schedule, n = cosine(500), 5000
    parametrization = PARAMETRIZATIONS[predict]

    def estimate(x: Tensor, t: float) -> Tensor:
        a, b = schedule.scales(t)
        variance = (a * std) ** 2 + b**2
        x0 = mean + a * std**2 / variance * (x - a * mean)
        eps = b / variance * (x - a * mean)
        # every target is linear in (x0, eps), so its expectation is the target of theirs
        return parametrization.x0(parametrization.target(x0, eps, a, b), x, a, b)

    x = finish(solver, estimate, schedule, Normal(n, seed=3))
    assert float(x.mean()) == pytest.approx(mean, abs=5 * std / math.sqrt(n))
    assert float(x.std()) == pytest.approx(std, rel=0.03)


@pytest.mark.parametrize("solver", [ancestral, ddim, dpm2m])
@pytest.mark.parametrize("schedule", [flow(400), linear(400)], ids=["flow", "linear"])
def test_gaussian_data_by_other_schedules(solver: Solve, schedule: Schedule) -> None:
    mean, std, n = 0.7, 0.5, 5000

    def estimate(x: Tensor, t: float) -> Tensor:
        a, b = schedule.scales(t)
        return mean + a * std**2 / ((a * std) ** 2 + b**2) * (x - a * mean)

    x = finish(solver, estimate, schedule, Normal(n, seed=3))
    assert float(x.mean()) == pytest.approx(mean, abs=5 * std / math.sqrt(n))
    assert float(x.std()) == pytest.approx(std, rel=0.03)


@pytest.mark.parametrize("solver", [ddim, euler])
@pytest.mark.parametrize("states", [2, 3, 10, 30, 200])
def test_with_flow_they_are_euler_along_the_straight_path(solver: Solve, states: int) -> None:
    """z_u = x / (a + b) at u = b / (a + b) moves by (u' - u) dz/du: nothing else happens."""
    schedule = flow(states)

    def velocity(z: Tensor, u: float) -> Tensor:
        """Any field at all; what a network would say at time u of the path."""
        return torch.sin(3 * z + u) + z * u - 0.3

    def estimate(x: Tensor, t: float) -> Tensor:
        a, b = schedule.scales(t)
        predicted = velocity(x / (a + b), b / (a + b))
        return PARAMETRIZATIONS["flow"].x0(predicted, x, a, b)

    steps = trajectory(solver, estimate, schedule, Normal(50))
    sizes = [(math.sqrt(ab), math.sqrt(1 - ab)) for ab in schedule.alpha_bar.tolist()]
    times = [b / (a + b) for a, b in sizes]
    # evenly spaced but for the first step, which starts where the schedule is clipped
    for t in range(states - 1):
        assert times[t] == pytest.approx(t / (states - 1), abs=1e-9)
    assert 0.95 < times[-1] < 1
    z = steps[0].x / sum(sizes[-1])
    for t in range(states - 1, 0, -1):
        z = z + (times[t - 1] - times[t]) * velocity(z, times[t])
        torch.testing.assert_close(steps[states - t].x, z * sum(sizes[t - 1]), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(steps[-1].x, z, rtol=1e-6, atol=1e-6)  # at u = 0, a + b = 1


@pytest.mark.parametrize("calls", CALLS)
def test_euler_against_diffusers(calls: int) -> None:
    """Their flow-matching scheduler, on the times of our path."""
    schedule = flow(30)
    way = (*by_state(schedule, calls), 0)
    times = [b / (a + b) for a, b in map(schedule.scales, way)]
    theirs = FlowMatchEulerDiscreteScheduler()
    theirs.set_timesteps(sigmas=times[:-1])
    theirs.sigmas = torch.tensor(times, dtype=torch.float64)  # in our precision

    def velocity(z: Tensor, u: float) -> Tensor:
        return torch.sin(3 * z + u)

    def estimate(x: Tensor, t: float) -> Tensor:
        a, b = schedule.scales(t)
        return PARAMETRIZATIONS["flow"].x0(velocity(x / (a + b), b / (a + b)), x, a, b)

    steps = trajectory(euler, estimate, schedule, Normal(20), way)
    z = steps[0].x / sum(schedule.scales(way[0]))
    for u, timestep in zip(times, theirs.timesteps, strict=False):
        z = theirs.step(velocity(z, u), timestep, z).prev_sample
    torch.testing.assert_close(steps[-1].x, z, rtol=1e-5, atol=1e-5)


def test_one_euler_step_is_enough_for_one_point() -> None:
    """All data in one place: the true field is straight, and flow's two states find it."""
    schedule, point = flow(2), 0.4

    def estimate(x: Tensor, t: float) -> Tensor:
        a, b = schedule.scales(t)
        eps = (x - a * point) / b
        return PARAMETRIZATIONS["flow"].x0(eps - point, x, a, b)

    x = finish(euler, estimate, schedule, Normal(10))
    torch.testing.assert_close(x, torch.full_like(x, point), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("solver", [ddim, dpm2m, euler])
def test_only_the_start_is_random(solver: Solve) -> None:
    noise = Normal(4)
    trajectory(solver, lambda x, t: x / 2, cosine(9), noise)
    assert noise.draws == 1


def test_renoising_forgets_all_but_the_estimate() -> None:
    schedule, noise = cosine(6), Normal(5)
    steps = trajectory(renoise, lambda x, t: torch.tanh(x + t), schedule, noise)
    again = Normal(5)
    again.normal((1,))
    for step in steps[1:]:
        a, b = schedule.scales(step.t)
        assert step.x0_hat is not None
        expected = a * step.x0_hat + (b * again.normal((1,)) if step.t else 0)
        torch.testing.assert_close(step.x, expected)


def in_our_precision(theirs: Any, schedule: Schedule) -> None:
    """Their tables are of float32, whose rounding is no matter of the solver."""
    alpha_bar = schedule.alpha_bar[1:]
    theirs.one, theirs.alphas_cumprod = torch.tensor(1.0, dtype=torch.float64), alpha_bar
    theirs.final_alpha_cumprod = theirs.one


SHAPE = (3, 1, 4, 4)


def network(x: Tensor, t: float) -> Tensor:
    return torch.sin(2 * x + 0.1 * t)


def clipped(predict: str, schedule: Schedule, clip: bool) -> Estimate:
    def estimate(x: Tensor, t: float) -> Tensor:
        x0_hat = PARAMETRIZATIONS[predict].x0(network(x, t), x, *schedule.scales(t))
        return x0_hat.clamp(-1.2, 1.2) if clip else x0_hat

    return estimate


def told(predict: str, schedule: Schedule, x: Tensor, t: float) -> Tensor:
    """What the network says, as diffusers is told of it."""
    said = network(x, t)
    if predict == "flow":  # back along the straight line through z_u, from u to 0
        a, b = schedule.scales(t)
        said = x / (a + b) - b / (a + b) * said
    return said


@pytest.mark.parametrize("calls", CALLS)
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("predict", PARAMETRIZATIONS)
def test_ancestral_against_diffusers_in_any_number_of_calls(
    calls: int, predict: str, clip: bool
) -> None:
    """Their state t is our t + 1, for they do not count the data."""
    kinds = [cosine(30, 3.0), cosine(30, 2.0, stop_short=True), linear(30), flow(30)]
    schedule = kinds[calls % 4]
    theirs = DDPMScheduler(
        num_train_timesteps=schedule.last,
        trained_betas=schedule.beta.numpy(),
        prediction_type=THEIR_NAMES[predict],
        clip_sample=clip,
        clip_sample_range=1.2,
        variance_type="fixed_small",
    )
    in_our_precision(theirs, schedule)
    way = (*by_state(schedule, calls), 0)
    theirs.set_timesteps(timesteps=[int(t) - 1 for t in way[:-1]])
    steps = trajectory(
        ancestral, clipped(predict, schedule, clip), schedule, Normal(3, 5), way, SHAPE[1:]
    )
    rng = Normal(3, 5).rng
    x = torch.randn(SHAPE, generator=rng, dtype=torch.float64)
    for timestep, step in zip(theirs.timesteps.tolist(), steps[1:], strict=True):
        said = told(predict, schedule, x, timestep + 1)
        x = theirs.step(said, timestep, x, generator=rng).prev_sample
        torch.testing.assert_close(step.x, x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("calls", CALLS)
@pytest.mark.parametrize(
    ("predict", "clip", "eta"),
    [("v", True, 0.0), ("v", False, 0.5), ("noise", True, 1.0), ("x0", True, 0.5)]
    + [("flow", clip, 0.0) for clip in (False, True)],
)
def test_ddim_against_diffusers_in_any_number_of_calls(
    calls: int, predict: str, clip: bool, eta: float
) -> None:
    """They know equal distances alone: three of our states to each of their steps."""
    states = 3 * calls + 1
    kinds = [
        cosine(states, 3.0),
        cosine(states, 2.0, stop_short=True),
        linear(states),
        flow(states),
    ]
    schedule = kinds[calls % 4]
    theirs = DDIMScheduler(
        num_train_timesteps=schedule.last,
        trained_betas=schedule.beta.numpy(),
        prediction_type=THEIR_NAMES[predict],
        clip_sample=clip,
        clip_sample_range=1.2,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )
    in_our_precision(theirs, schedule)
    theirs.set_timesteps(calls)
    way = (*by_state(schedule, calls), 0)
    assert theirs.timesteps.tolist() == [t - 1 for t in way[:-1]]
    solver = make_solver("ddim", eta)
    estimate = clipped(predict, schedule, clip)
    steps = trajectory(solver, estimate, schedule, Normal(3, 5), way, SHAPE[1:])
    rng = Normal(3, 5).rng
    x = torch.randn(SHAPE, generator=rng, dtype=torch.float64)
    for timestep, step in zip(theirs.timesteps.tolist(), steps[1:], strict=True):
        said = told(predict, schedule, x, timestep + 1)
        noise = torch.zeros_like(x)
        if eta and step.t:
            noise = torch.randn(SHAPE, generator=rng, dtype=torch.float64)
        # both take the noise of the direction from the clipped estimate then
        x = theirs.step(
            said, timestep, x, eta=eta, use_clipped_model_output=True, variance_noise=noise
        ).prev_sample
        torch.testing.assert_close(step.x, x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("calls", CALLS)
@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("schedule", [cosine(30, 3.0), linear(30)], ids=["cosine", "linear"])
def test_second_order_against_diffusers_in_any_number_of_calls(
    schedule: Schedule, eta: float, calls: int
) -> None:
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
    way = (*by_state(schedule, calls), 0)
    theirs.set_timesteps(timesteps=[int(t) - 1 for t in way[:-1]])
    sigmas = [b / a for a, b in map(schedule.scales, way)]
    theirs.sigmas = torch.tensor(sigmas, dtype=torch.float64)
    steps = trajectory(make_solver("dpm2m", eta), network, schedule, Normal(3, 5), way, SHAPE[1:])
    noise = Normal(3, 5)
    x = noise.normal(SHAPE[1:])
    for timestep, step in zip(theirs.timesteps, steps[1:], strict=True):
        drawn = noise.normal(SHAPE[1:]) if eta and step.t else torch.zeros_like(x)
        said = network(x, int(timestep) + 1)
        x = theirs.step(said, timestep, x, variance_noise=drawn).prev_sample
        torch.testing.assert_close(step.x, x, rtol=1e-5, atol=1e-5)


def test_ancestral_is_ddim_with_as_much_noise() -> None:
    one = finish(ancestral, network, cosine(20), Normal(50))
    other = finish(make_solver("ddim", 1.0), network, cosine(20), Normal(50))
    torch.testing.assert_close(one, other)


def test_ddim_draws_no_more_noise_than_a_state_holds() -> None:
    """However large eta is: then only the estimate is kept, and noised afresh."""
    schedule, x0_hat = cosine(8), 0.25
    most = make_solver("ddim", 1e6)
    steps = trajectory(most, lambda x, t: x * 0 + x0_hat, schedule, Normal(9))
    noise = Normal(9)
    noise.normal((1,))  # the first state
    for step in steps[1:-1]:
        a, b = schedule.scales(step.t)
        torch.testing.assert_close(step.x, a * x0_hat + b * noise.normal((1,)))


@pytest.mark.parametrize("name", ["ddim", "dpm2m"])
@pytest.mark.parametrize("eta", [0.5, 1.5, 2.0, 3.0, 5.0])
def test_any_share_of_new_noise_can_be_drawn(name: str, eta: float) -> None:
    """Where the noise is all new, what is left of the old must not fall below 0 by rounding."""
    for states in (2, 3, 8, 10, 20, 30):
        for power in (1.0, 1.5, 2.0, 3.0):
            solver = make_solver(name, eta)
            x = finish(solver, lambda x, t: x * 0.5, cosine(states, power), Normal(3))
            assert bool(torch.isfinite(x).all())


def test_second_order_is_nearer_to_the_path_it_follows() -> None:
    """Gaussian data: the path of the probability flow from x_T is x_T scaled, in closed form."""
    std = 0.5

    def error(solver: Solve, states: int) -> float:
        schedule = cosine(states)

        def estimate(x: Tensor, t: float) -> Tensor:
            a, b = schedule.scales(t)
            return a * std**2 / ((a * std) ** 2 + b**2) * x

        steps = trajectory(solver, estimate, schedule, Normal(100))
        a, b = schedule.scales(schedule.last)
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
    solver = make_solver("dpm2m", eta)
    steps = trajectory(solver, lambda x, t: torch.tanh(x), schedule, Normal(20))
    assert all(bool(step.x.isfinite().all()) for step in steps)
    # without eta that is DDIM; with it all of the state's noise is drawn anew, as by ancestral
    first = ancestral if eta else ddim
    theirs = trajectory(first, lambda x, t: torch.tanh(x), schedule, Normal(20))[1].x
    torch.testing.assert_close(steps[1].x, theirs)


@pytest.mark.parametrize("eta", [0.5, 1.0, 1.5])
def test_a_new_noise_of_second_order_keeps_the_states_variance(eta: float) -> None:
    """An estimate that stands still: every state is a x0_hat + b times unit noise, as it should."""
    schedule = cosine(9)
    solver = make_solver("dpm2m", eta)
    still = trajectory(solver, lambda x, t: torch.full_like(x, 0.25), schedule, Normal(200_000))
    for step in still:
        if 0 < step.t < schedule.last:
            a, b = schedule.scales(step.t)
            # what the last state's mean still lacks, its signal being 0.008 and not 0
            assert float(step.x.mean()) == pytest.approx(0.25 * a, abs=0.01)
            assert float(step.x.std()) == pytest.approx(b, rel=0.01)
