"""Where few calls are put."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalespace.core.contraction import kept_variance
from scalespace.core.schedule import Schedule, cosine, flow, linear, zero_terminal
from scalespace.core.solvers import ddim, make_solver
from scalespace.core.spectrum import power_law
from scalespace.core.steps import (
    Spacing,
    Visits,
    by_correlation,
    by_snr,
    by_state,
    correlation,
)
from scalespace.errors import InputError

SCHEDULES = [
    cosine(20, 3.0),
    cosine(10),
    linear(30),
    flow(50),
    zero_terminal(cosine(12)),
    cosine(2),
]
(IMAGES,) = power_law([196])


def on_images(schedule: Schedule, *given: Any) -> tuple[float, ...]:
    solver = make_solver("dpm2m")
    return by_correlation(schedule, *given, solver=solver, bands=[(schedule, IMAGES)])


@pytest.mark.parametrize("spacing", [by_state, by_snr, on_images])
@given(data=st.data())
def test_whole_states_fall_from_the_last_to_above_the_end(
    spacing: Spacing, data: st.DataObject
) -> None:
    schedule = data.draw(st.sampled_from(SCHEDULES))
    end = data.draw(st.integers(0, schedule.last - 1))
    calls = data.draw(st.integers(1, schedule.last - end))
    states = spacing(schedule, calls, end, False)
    assert len(states) == calls
    assert states[0] == schedule.last
    assert all(isinstance(t, int) for t in states)
    assert all(t > s for t, s in itertools.pairwise((*states, end)))
    if calls == schedule.last - end:
        assert states == tuple(range(schedule.last, end, -1))


def test_equal_distances() -> None:
    assert by_state(cosine(20), 6) == (19, 16, 13, 10, 6, 3)
    assert by_state(cosine(20), 1) == (19,)
    assert by_state(cosine(20), 3, 4) == (19, 14, 9)
    assert by_state(cosine(3), 4, 0, True) == (2, 1.5, 1.0, 0.5)


@pytest.mark.parametrize("schedule", [cosine(200, 3.0), linear(200)])
def test_equal_distances_in_the_logarithm_of_the_snr(schedule: Schedule) -> None:
    states = by_snr(schedule, 9, 0, True)
    levels = [schedule.half_log_snr(t) for t in states]
    gaps = [b - a for a, b in itertools.pairwise(levels)]
    assert max(gaps) - min(gaps) < 0.1
    assert states[-1] == pytest.approx(1, abs=0.05)
    # whole ones are the nearest of them
    whole = by_snr(schedule, 9)
    assert all(abs(t - s) <= 1 for t, s in zip(whole, states, strict=True))


def test_pure_noise_takes_one_call_and_no_share_of_the_snr() -> None:
    """It is infinitely far from every other state."""
    schedule = zero_terminal(cosine(30, power=3))
    first, *others = by_snr(schedule, 6, 0, True)
    assert first == 29
    gaps = np.diff([schedule.half_log_snr(t) for t in others])
    assert gaps.max() - gaps.min() < 0.1
    assert (others[0], others[-1]) == pytest.approx((28, 1), abs=0.05)
    assert by_snr(schedule, 1) == (29,)
    assert by_snr(zero_terminal(cosine(3)), 2) == (2, 1)
    assert by_snr(schedule, 29) == tuple(range(29, 0, -1))


@pytest.mark.parametrize("v", [0.1, 1.0, 30.0])
def test_the_correlation_is_that_of_draws(v: float) -> None:
    schedule, rng = cosine(10), np.random.default_rng(0)
    x0, eps = np.sqrt(v) * rng.standard_normal(200_000), rng.standard_normal(200_000)
    a, b = schedule.scales(6)
    drawn = np.corrcoef(a * x0 + b * eps, x0)[0, 1]
    (found,) = correlation([(schedule, [(v, 3)])], np.array([6.0]))
    assert found == pytest.approx(drawn, abs=0.01)


def test_the_correlation_weighs_a_component_by_its_variance() -> None:
    schedule, times = cosine(10), np.array([9.0, 4.0, 2.5, 0.0])
    one, other = (correlation([(schedule, [(v, 1)])], times) for v in (4.0, 0.25))
    both = correlation([(schedule, [(4.0, 1), (0.25, 8)])], times)
    np.testing.assert_allclose(both, (4 * one + 2 * other) / 6, rtol=1e-12)
    assert both[-1] == 1  # in the image itself
    assert (np.diff(both) > 0).all()
    assert correlation([(zero_terminal(schedule), [(1.0, 1)])], times[:1]) < 1e-15


@pytest.mark.parametrize("calls", [2, 3, 5, 9])
@pytest.mark.parametrize("end", [0, 4])
def test_steps_at_equal_distances_in_the_correlation(calls: int, end: int) -> None:
    bands = [(cosine(200), IMAGES)]
    states = by_correlation(cosine(200), calls, end, solver=ddim, bands=bands)
    steps = -np.diff(correlation(bands, np.array(states)))
    np.testing.assert_allclose(steps, steps.mean(), atol=0.02)  # states are whole
    assert states[0] == 199
    assert states[-1] > end


@pytest.mark.parametrize("calls", [2, 3, 4, 6])
@pytest.mark.parametrize("end", [0, 2, 2.5])
def test_the_lowest_state_is_the_best_for_normally_distributed_data(calls: int, end: float) -> None:
    """Against every other lowest state."""
    schedule, solver = cosine(20, 3.0), make_solver("dpm2m")
    bands = [(schedule, IMAGES)]
    v, number = torch.tensor(IMAGES, dtype=torch.float64).T
    a, b = schedule.scales(end)

    def distance(states: tuple[float, ...]) -> float:
        made = (v * kept_variance(solver(schedule, (*states, end)), schedule, v, 1.06)).sqrt()
        return float((number * (made - (a**2 * v + b**2).sqrt()) ** 2).sum())

    def ends_in(lowest: int) -> tuple[float, ...]:
        times = np.linspace(lowest, 19, 4000)
        known = correlation(bands, times)
        wanted = np.linspace(known[-1], known[0], calls)
        return tuple(float(round(times[np.abs(known - w).argmin()])) for w in wanted)

    found = by_correlation(schedule, calls, end, solver=solver, bands=bands, temperature=1.06)
    others = [ends_in(lowest) for lowest in range(int(end) + 1, 21 - calls)]
    others = [states for states in others if len(set(states)) == calls]
    assert found in others
    assert distance(found) == pytest.approx(min(map(distance, others)))


def test_a_first_state_that_holds_an_image_is_taken_for_one() -> None:
    """After a jump into state 4 the variance there is the image's and the noise's, not 1."""
    schedule, solver = Schedule(cosine(20).alpha_bar[:5]), make_solver("dpm2m")
    (parts,) = power_law([784])
    bands = [(schedule, parts)]
    carried = by_correlation(schedule, 2, solver=solver, bands=bands, carried=True)
    alone = by_correlation(schedule, 2, solver=solver, bands=bands)
    v, number = torch.tensor(parts, dtype=torch.float64).T
    a, b = schedule.scales(4)

    def distance(states: tuple[float, ...]) -> float:
        start = a**2 * v + b**2
        kept = kept_variance(solver(schedule, (*states, 0)), schedule, v, start=start)
        return float((number * v * (kept.sqrt() - 1) ** 2).sum())

    assert distance(carried) == min(distance((4, t)) for t in (3, 2, 1))
    assert distance(carried) < distance(alone)


def test_of_very_many_states_some_are_tried() -> None:
    bands = [(cosine(2000), IMAGES)]
    states = by_correlation(cosine(2000), 5, solver=ddim, bands=bands)
    assert states[0] == 1999
    steps = -np.diff(correlation(bands, np.array(states)))
    np.testing.assert_allclose(steps, steps.mean(), atol=0.01)


def test_steps_by_correlation_depend_on_what_varies() -> None:
    schedule = cosine(30)
    narrow = by_correlation(schedule, 4, solver=ddim, bands=[(schedule, [(0.02, 1)])])
    wide = by_correlation(schedule, 4, solver=ddim, bands=[(schedule, [(80.0, 1)])])
    assert sum(wide) > sum(narrow)  # what varies most stands out of the noise the soonest


def test_each_band_counts_by_its_own_schedule() -> None:
    """Two bands are told apart; one that is cut in two is not."""
    schedule, late = cosine(30), cosine(30, 3.0)
    whole = [(schedule, [(4.0, 2.0), (1.0, 6.0), (0.25, 8.0)])]
    halves = [(schedule, [(4.0, 2.0)]), (schedule, [(1.0, 6.0), (0.25, 8.0)])]
    times = np.linspace(0, 29, 7)
    np.testing.assert_allclose(correlation(whole, times), correlation(halves, times), rtol=1e-12)
    bands = [(schedule, [(4.0, 1.0)]), (late, [(0.25, 16.0)])]  # equal shares of the variance
    each = [correlation([band], times) for band in bands]
    np.testing.assert_allclose(correlation(bands, times), (each[0] + each[1]) / 2, rtol=1e-12)

    solver = make_solver("dpm2m")
    found = {
        name: by_correlation(schedule, 5, solver=solver, bands=given)
        for name, given in {"whole": whole, "halves": halves, "bands": bands}.items()
    }
    assert found["whole"] == found["halves"]

    def distance(states: tuple[float, ...]) -> float:
        total = 0.0
        for own, parts in bands:
            v, number = torch.tensor(parts, dtype=torch.float64).T
            kept = kept_variance(solver(own, (*states, 0)), own, v)
            total += float((number * v * (kept.sqrt() - 1) ** 2).sum())
        return total

    alone = [by_correlation(schedule, 5, solver=solver, bands=[band]) for band in bands]
    assert distance(found["bands"]) <= min(map(distance, alone)) + 1e-12


def test_visits() -> None:
    schedule = cosine(10)
    assert Visits("s", schedule)() == (9, 8, 7, 6, 5, 4, 3, 2, 1)
    assert Visits("s", schedule)(3) == (9, 8, 7, 6, 5, 4)
    assert Visits("s", schedule, 3)() == (9, 6, 3)
    assert Visits("s", schedule, (9, 5, 2))() == (9, 5, 2)
    assert Visits("s", schedule, (9, 5, 2))(2) == (9, 5)
    assert Visits("s", schedule, (9, 4.5), continuous=True)() == (9, 4.5)
    more = Visits("s", schedule, 18, continuous=True)()
    assert len(more) == 18
    assert more[:3] == (9, 8.5, 8)
    # a network that knows all times takes whole states while there are enough
    assert Visits("s", schedule, 9, continuous=True)() == (9, 8, 7, 6, 5, 4, 3, 2, 1)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (10, r"'s' has 9 states to call its network in, and 10 calls .*process\.continuous=true"),
        ((8, 3), r"steps of 's' must fall from its last state, 9, on: got 8, 3"),
        ((9, 3, 3), "must fall"),
        ((9, 3, 5), "must fall"),
        ((), "must fall .* got none"),
        ((9, 3, 0), "must lie above 0"),
        ((9, 3, -1), "must lie above 0"),
        ((9, 3.5), r"knows its states 1 to 9 and no time between them, got 9, 3\.5"),
    ],
)
def test_steps_that_cannot_be(steps: int | tuple[float, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Visits("s", cosine(10), steps)


@pytest.mark.parametrize("spacing", [by_state, by_snr])
@pytest.mark.parametrize("schedule", [cosine(10), zero_terminal(cosine(12)), linear(30)])
@pytest.mark.parametrize("calls", [25, 60, 300])
def test_more_calls_than_states_all_differ(
    spacing: Spacing, schedule: Schedule, calls: int
) -> None:
    for end in (0, 3):
        states = Visits("s", schedule, calls, spacing, continuous=True)(end)
        assert len(states) == calls
        assert states[0] == schedule.last
        assert all(t > s for t, s in itertools.pairwise((*states, end)))


def test_more_calls_than_states_are_put_at_equal_distances() -> None:
    bands = [(cosine(5), IMAGES)]
    found = by_correlation(cosine(5), 8, 0, True, solver=ddim, bands=bands)
    assert found == by_state(cosine(5), 8, 0, True)


def test_a_choice_is_made_once() -> None:
    made: list[int] = []

    def spacing(schedule: Schedule, calls: int, end: float, between: bool) -> tuple[float, ...]:
        made.append(calls)
        return by_state(schedule, calls, end, between)

    visits = Visits("s", cosine(10), 4, spacing)
    assert made == []  # not before it is asked for
    assert visits() == visits() == visits(0)
    visits(2)
    assert made == [4, 4]


def test_too_many_calls_for_a_way_that_ends_early() -> None:
    visits = Visits("s", cosine(10), 8)
    assert len(visits(1)) == 8
    with pytest.raises(InputError, match="'s' has 7 states to call"):
        visits(2)
