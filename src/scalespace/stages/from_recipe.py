"""From the fields of a recipe to the parts of a process."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from scalespace.config import ObjectiveConfig, ProcessConfig, Recipe
from scalespace.core.augmentation import Augmentation, Blur, GaussianNoise
from scalespace.core.denoiser import Guidance
from scalespace.core.objective import Objective
from scalespace.core.parametrization import PARAMETRIZATIONS
from scalespace.core.schedule import Schedule, cosine, flow, linear, zero_terminal
from scalespace.core.segment import Segment
from scalespace.core.solvers import Solver, make_solver
from scalespace.core.steps import Spacing, Visits, by_correlation, by_snr, by_state
from scalespace.errors import InputError


def make_schedule(process: ProcessConfig, states: int) -> Schedule:
    """The schedule that a config asks for, with `states` states unless it says how many."""
    states = process.states or states
    if process.schedule == "cosine":
        schedule = cosine(states, power=process.power, stop_short=process.stop_short)
    else:
        schedule = {"linear": linear, "flow": flow}[process.schedule](states)
    return zero_terminal(schedule) if process.zero_terminal else schedule


def make_objective(
    objective: ObjectiveConfig, process: ProcessConfig, segment: Segment
) -> Objective:
    """The objective that a config asks for."""
    return Objective(
        segment,
        PARAMETRIZATIONS[process.predict],
        weighting=objective.weighting,
        perturb=objective.perturb,
        unroll=objective.unroll,
        self_condition=objective.self_condition,
        guide=objective.guide,
        target=objective.target,
        continuous=process.continuous,
    )


def make_augmentation(recipe: Recipe, low_states: int) -> Augmentation | None:
    """The conditioning augmentation that a recipe asks for, if the stage is conditioned."""
    c = recipe.condition
    if not low_states or c.augment == "none":
        return None
    if c.augment == "blur":
        return Blur(c.most, c.level)
    # the default number of states of the stage that makes the images, however many this one has
    schedule = make_schedule(replace(recipe.process, states=None), low_states)
    if c.most > schedule.last:
        raise InputError(
            f"condition.most is {c.most}, and the last state of the process that makes the "
            f"coarser images is {schedule.last}"
        )
    return GaussianNoise(c.most, c.level, schedule, finished=not c.truncate)


def make_visits(process: ProcessConfig, segment: Segment, more: str = Visits.more) -> Visits:
    """The states that a config calls the network in; `more` is what more calls would need."""
    spacing: dict[str, Spacing] = {
        "state": by_state,
        "snr": by_snr,
        "correlation": partial(
            by_correlation,
            solver=solver_of(process),
            bands=tuple(zip(segment.schedules, segment.components(), strict=True)),
            temperature=process.temperature,
            carried=segment.jump.carries,
        ),
    }
    schedule = segment.schedule
    if segment.first < schedule.last:  # what lies beyond is never visited
        schedule = schedule.among(range(segment.first + 1))
    steps = process.steps.get(segment.name) if isinstance(process.steps, dict) else process.steps
    chosen = spacing[process.spacing]
    return Visits(segment.name, schedule, steps, chosen, process.continuous, more)


def solver_of(process: ProcessConfig) -> Solver:
    """The solver that a config asks for; `InputError` if there is none of that name."""
    return make_solver(process.sampler, process.eta)


def make_guidance(process: ProcessConfig) -> Guidance:
    """The guidance that a config asks for."""
    low, high = process.guidance_states or (0, float("inf"))
    return Guidance(process.guidance, low, high)
