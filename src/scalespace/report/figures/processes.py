"""Reverse processes from noise to images, and forward processes from real images to noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scalespace.core.denoiser import Condition
from scalespace.core.noise import NoiseStreams
from scalespace.core.schedule import Schedule
from scalespace.core.segment import Segment
from scalespace.data.pixels import pictures, planes
from scalespace.figures.charts import Line, curves
from scalespace.figures.grids import BACKGROUND, evenly, resized
from scalespace.figures.picture import Color, Picture
from scalespace.figures.sheets import Block, in_domain_colors, sheet
from scalespace.methods import stages
from scalespace.report.about import MethodInfo, StageInfo
from scalespace.report.arrays import Trajectory
from scalespace.report.figures.common import MARGIN, color, zoom
from scalespace.report.results import REAL, Results
from scalespace.stages.diffusion import DiffusionStage
from scalespace.stages.from_recipe import make_schedule

STATES = 12  # of a process that are shown, the first and the last among them
FORWARD_ROWS = 6
IN_PAPER = {"baseline": 5, "small": 6, "upscaler": 7}
LATENT_ENDS = 3.0  # deviations of a latent that are black and white
SCHEDULES = {
    "linear": "Linear betas. ",
    "flow": "The straight path of flow matching, in unit variance. ",
}


def reverse(results: Results) -> list[Picture]:
    """Figure 2: reverse processes from noise to image, and the range of values on the way."""
    pictures = []
    for method in results.study.methods:
        for seed in results.study.seeds:
            if trajectory := results.trajectory(method.name, seed):
                if latents := _latents(results, method, trajectory):
                    pictures += _through_latents(results, method, seed, trajectory, latents)
                else:
                    pictures += _in_pixels(results, method, seed, trajectory)
                break
    return pictures


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
        process = results.study.recipes[stage.name].process
        if not stage.in_pixels:
            schedule = make_schedule(process, stage.states)
            pictures.append(_schedule_curve(stage.name, (schedule,), process.schedule, "latent"))
        for segment in _segments(results, stage) if stage.in_pixels else ():
            if real is not None:
                pictures.append(_forward_sheet(results, segment, real))
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


def _latents(results: Results, method: MethodInfo, trajectory: Trajectory) -> int:
    """How many states are latents: where an autoencoder decodes, all but the last."""
    kinds = {stage.kind for stage in results.study.stages if stage.name in method.stages}
    return len(trajectory.x) - 1 if "vae" in kinds else 0


def _in_pixels(
    results: Results, method: MethodInfo, seed: int, trajectory: Trajectory
) -> list[Picture]:
    data = results.study.data
    low, high = data.domain
    chosen = evenly(len(trajectory.x), STATES)
    shown = [resized(trajectory.x[k], data.height, data.width) for k in chosen]
    sizes = [trajectory.x[k].shape[1:3] for k in chosen]
    runs = [k for k in range(len(sizes)) if k == 0 or sizes[k] != sizes[k - 1]]
    ends = [*runs[1:], len(sizes)]
    groups = [(f"{sizes[a][0]}×{sizes[a][1]}", a, b - a) for a, b in zip(runs, ends, strict=True)]
    block = Block(
        in_domain_colors(_film(shown), low, high),
        len(chosen),
        zoom(data.height, 84),
        top=[f"t={trajectory.t[k]}" for k in chosen],
        left=_row_names(results, method, trajectory),
        groups=groups if len(groups) > 1 else (),
    )
    last = trajectory.x[-1]
    far = 0.05 * (high - low)
    outside = float(((last < low - far) | (last > high + far)).mean())
    figure = " Figure 2 of the paper." if method.name == "baseline" else ""
    caption = (
        f"{len(trajectory.labels)} images of seed {seed}, {len(chosen)} of {len(trajectory.x)} "
        f"states from noise (left) to image (right). Blue lies below black, red above white. In "
        f"the finished images {outside:.1%} of the pixels lie outside the domain by more than 5% "
        f"of its width.{figure}"
    )
    return [
        Picture(
            f"reverse-{method.name}",
            f"Reverse process of {method.title}",
            caption,
            f"Film strips: {len(trajectory.labels)} images of {method.title} emerge from noise.",
            sheet([block], MARGIN + 6),
        ),
        _range_picture(
            f"Pixels of the same images after each step, in standardised units. The band is the "
            f"images' domain, black ({low:.2f}) to white ({high:.2f}).".replace("-", "−"),
            trajectory.x,
            method,
            color(results, method.name),
            band=(low, high),
        ),
    ]


def _through_latents(
    results: Results, method: MethodInfo, seed: int, trajectory: Trajectory, latents: int
) -> list[Picture]:
    """A reverse process whose states are latents, but for the last, which is decoded."""
    data = results.study.data
    dots = zoom(data.height, 84)
    cell = (data.height * dots, data.width * dots)
    chosen = evenly(latents, STATES - 1)
    shown: list[NDArray[Any]] = [_tiles(trajectory.x[k], *cell) for k in chosen]
    shown.append(in_domain_colors(resized(trajectory.x[-1], *cell), *data.domain))
    names = _row_names(results, method, trajectory)
    n = len(trajectory.labels)
    units = (
        f"A latent is shown as its channels side by side: "
        f"black at −{LATENT_ENDS:g} standard deviations, white at {LATENT_ENDS:g}."
    )
    if latents == 1:
        # no process: a column for each image
        block = Block(np.concatenate(shown), n, 1, top=names, left=["latent", "image"])
        return [
            Picture(
                f"reverse-{method.name}",
                f"From latent to image: {method.title}",
                f"{n} latents drawn with seed {seed}, and under each the image that it decodes to. "
                f"{units}",
                f"{n} latents of {method.title} above the images that they decode to.",
                sheet([block], MARGIN + 42),
            )
        ]
    block = Block(
        _film(shown),
        len(shown),
        1,
        top=[*(f"t={trajectory.t[k]}" for k in chosen), "decoded"],
        left=names,
        groups=[("latents", 0, len(chosen))],
    )
    return [
        Picture(
            f"reverse-{method.name}",
            f"Reverse process of {method.title}",
            f"{n} latents of seed {seed}, {len(chosen)} of {latents} states from noise (left), "
            f"and the image that each one decodes to (right). {units}",
            f"Film strips: {n} latents of {method.title} emerge from noise; last, their images.",
            sheet([block], MARGIN + 6),
        ),
        _range_picture(
            "Numbers of the same latents after each step, in standard deviations over the training "
            "part.",
            trajectory.x[:latents],
            method,
            color(results, method.name),
        ),
    ]


def _film(states: list[NDArray[Any]]) -> NDArray[Any]:
    """States [images, h, w(, 3)] as a sheet's images: rows are images and columns states."""
    return np.stack(states, axis=1).reshape(-1, *states[0].shape[1:])


def _tiles(x: NDArray[np.float32], height: int, width: int) -> NDArray[np.float64]:
    """Latents [n, h, w] in grey, [n, height, width, 3], each number a square as large as fits."""
    side = max(1, min(height // x.shape[1], width // x.shape[2]))
    tall, wide = min(height, side * x.shape[1]), min(width, side * x.shape[2])
    out = np.full((len(x), height, width), BACKGROUND / 255)
    top, left = (height - tall) // 2, (width - wide) // 2
    grey = np.clip((resized(x, tall, wide) / LATENT_ENDS + 1) / 2, 0, 1)
    out[:, top : top + tall, left : left + wide] = grey
    return out[..., None].repeat(3, axis=3)


def _row_names(results: Results, method: MethodInfo, trajectory: Trajectory) -> list[str]:
    """The classes that were asked for; none if the method ignores them."""
    names = results.study.data.classes
    return [names[label][:3] for label in trajectory.labels] if method.conditional else []


def _range_picture(
    caption: str,
    states: tuple[NDArray[np.float32], ...],
    method: MethodInfo,
    shade: Color,
    band: tuple[float, float] | None = None,
) -> Picture:
    """How far the numbers of a reverse process reach, state by state; `band`: of pixels."""
    ranges = np.array([np.quantile(x, [0, 0.01, 0.99, 1]) for x in states])
    steps, numbers = np.arange(len(ranges)), "pixels" if band else "numbers"
    lines = [
        Line(steps, ranges[:, 3], shade, f"all {numbers}", width=1.8),
        Line(steps, ranges[:, 0], shade, width=1.8),
        Line(steps, ranges[:, 2], shade, "98% of them", "--", 1.1),
        Line(steps, ranges[:, 1], shade, "", "--", 1.1),
    ]
    axis = "standardised value" if band else "value in standard deviations"
    return Picture(
        f"range-{method.name}",
        "Range of values on the way",
        caption,
        f"Extremes of the {numbers} of {method.title} from {ranges[0, 0]:.1f} and "
        f"{ranges[0, 3]:.1f} in noise to {ranges[-1, 0]:.1f} and {ranges[-1, 3]:.1f}.",
        curves(lines, "steps done", axis, (3.5, 5.4), whole=True, band=band),
    )


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
    film = pictures(torch.stack(columns, dim=1).flatten(0, 1))
    block = Block(
        in_domain_colors(film, *data.domain),
        len(columns),
        zoom(height, 56),
        top=top,
        left=[data.classes[label][:3] for label in labels],
    )
    number = IN_PAPER.get(segment.name)
    figure = f" Figure {number} of the paper." if number else ""
    given = "" if beside is None else " The first column is what the network is given beside x_t."
    return Picture(
        f"forward-{segment.name}",
        f"Forward process of {segment.name}",
        f"{len(labels)} real images at {height}×{width} in {len(states)} of {schedule.states} "
        f"states; blue lies below black, red above white.{given}{figure}",
        f"Real images at {height} by {width} pixels dissolve into noise from left to right.",
        sheet([block], MARGIN),
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
