"""Forward processes, from real images to noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from scalespace.core.denoiser import Condition
from scalespace.core.noise import NoiseStreams
from scalespace.core.schedule import Schedule
from scalespace.core.segment import Segment
from scalespace.data.pixels import pictures, planes
from scalespace.figures.charts import Line, curves
from scalespace.figures.grids import STATES, evenly
from scalespace.figures.lettering import shortened
from scalespace.figures.picture import Picture
from scalespace.figures.sheets import Block, in_domain_colors, sheet
from scalespace.methods import stages
from scalespace.report.about import StageInfo
from scalespace.report.figures.common import ends, margin, zoom
from scalespace.report.results import REAL, Results
from scalespace.stages.diffusion import DiffusionStage
from scalespace.stages.from_recipe import make_schedule

FORWARD_ROWS = 6
IN_PAPER = {"baseline": 5, "small": 6, "upscaler": 7}
SCHEDULES = {
    "linear": "Linear betas. ",
    "flow": "The straight path of flow matching, in unit variance. ",
}


def forward(results: Results) -> list[Picture]:
    """Figures 5 to 7: real images on their way to noise, by each stage's own schedule.

    A process in latents, which are not images, shows its schedule alone.
    """
    real = results.examples(REAL, None)
    real = results.examples(results.floor, None) if real is None else real
    pictures = []
    for stage in results.study.stages:
        if stage.kind != "diffusion" or stage.states < 2 or stage.name not in results.study.recipes:
            continue
        if stage.teacher:  # its states are some of its teacher's
            continue
        process = results.study.recipes[stage.name].process
        if not stage.in_pixels:
            schedule = make_schedule(process, stage.states)
            pictures.append(_schedule_curve(stage.name, (schedule,), process.schedule, "latent"))
        for segment in _segments(results, stage) if stage.in_pixels else ():
            if real is not None:
                pictures.append(_forward_sheet(results, segment, real.images))
            pictures.append(_schedule_curve(segment.name, segment.schedules, process.schedule))
    return pictures


def _segments(results: Results, stage: StageInfo) -> tuple[Segment, ...]:
    """The segments of a stage in pixels."""
    recipe, data = results.study.recipes[stage.name], results.study.data
    learner = getattr(stages().get(stage.name), "segments", None)
    if learner is None:  # the stage is not installed here: as far as the study describes it
        shape = (stage.name, stage.states, stage.scale, int(stage.conditioned))
        learner = DiffusionStage(*shape).segments
    return learner(recipe, data)


def _forward_sheet(results: Results, segment: Segment, real: NDArray[np.float32]) -> Picture:
    data, schedule = results.study.data, segment.schedule
    labels = evenly(len(data.classes), FORWARD_ROWS)
    x0 = segment.x0_of(data.standardize(planes(real[labels, 0])))
    # one noise for all states of an image: only the mixture changes from left to right
    noise = NoiseStreams(0, range(len(labels)), "forward").normal(x0.shape[1:])
    states = evenly(schedule.states, STATES)
    columns = [
        segment.q_sample(x0, torch.full((len(labels),), t, dtype=torch.int64), noise)
        for t in states
    ]
    top = [f"t={t}" for t in states]
    beside = segment.jump.training_condition(segment.jump.inputs(x0), Condition(), None).given
    if beside is not None:
        columns.insert(0, beside)
        top.insert(0, "given")
    height, width = x0.shape[-2:]
    names = [shortened(data.classes[label]) for label in labels]
    film = pictures(torch.stack(columns, dim=1).flatten(0, 1))
    block = Block(
        in_domain_colors(film, *data.domain),
        len(columns),
        zoom(height, 56),
        top=top,
        left=names,
    )
    number = IN_PAPER.get(segment.name)
    figure = f" Figure {number} of the paper." if number else ""
    given = "" if beside is None else " The first column is what the network is given beside x_t."
    return Picture(
        f"forward-{segment.name}",
        f"Forward process of {segment.name}",
        f"{len(labels)} real images at {height}×{width} in {len(states)} of {schedule.states} "
        f"states; {ends(data.channels > 1)}.{given}{figure}",
        f"Real images at {height} by {width} pixels dissolve into noise from left to right.",
        sheet([block], margin(names)),
    )


def _schedule_curve(
    name: str, schedules: Sequence[Schedule], kind: str, what: str = "image"
) -> Picture:
    """The schedule of a segment, and of the bands beside the first."""
    schedule, *bands = schedules
    t, alpha_bar = np.arange(schedule.states), schedule.alpha_bar.numpy()
    left = schedule.last_signal
    lines = [
        Line(t, alpha_bar, 0, "ᾱ", width=2.2),
        *(Line(t, band.alpha_bar.numpy(), 1, "ᾱ of the detail", width=2.2) for band in bands),
        Line(t, np.sqrt(alpha_bar), "ink", "signal √ᾱ", "--", 1.2),
        Line(t, np.sqrt(1 - alpha_bar), "muted", "noise √(1−ᾱ)", ":", 1.6),
    ]
    return Picture(
        f"schedule-{name}",
        f"Schedule of {name}",
        f"{SCHEDULES.get(kind, '')}{schedule.states} states. At the last state, a share of √ᾱ = "
        f"{left:.3f} of the {what} is left.",
        f"The signal falls from 1 to {left:.3f} and the noise rises to 1.",
        curves(lines, "state t", "", (5.5, 3.1), whole=True, ylim=(-0.03, 1.05)),
    )
