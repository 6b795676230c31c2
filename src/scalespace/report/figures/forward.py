"""Forward processes, from real images to noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np
import torch
from numpy.typing import NDArray

from scalespace.config import NetConfig, ProcessConfig
from scalespace.core.bands import Fading
from scalespace.core.denoiser import Condition
from scalespace.core.frequencies import Blurring
from scalespace.core.noise import NoiseStreams
from scalespace.core.segment import Segment
from scalespace.data.pixels import pictures, planes
from scalespace.errors import InputError
from scalespace.figures.charts import Line, curves
from scalespace.figures.grids import STATES, evenly
from scalespace.figures.lettering import shortened
from scalespace.figures.picture import Picture
from scalespace.figures.sheets import Block, in_domain_colors, sheet
from scalespace.methods import stages
from scalespace.report.about import StageInfo
from scalespace.report.figures.common import ends, margin, zoom
from scalespace.report.results import REAL, Results
from scalespace.report.words import join
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
    for stage, segments in _learnt(results):
        process = results.study.recipes[stage.name].process
        for segment in segments:
            if real is not None and stage.in_pixels:
                pictures.append(_forward_sheet(results, segment, real.images))
            what = "the image" if stage.in_pixels else "the latent"
            pictures.append(_schedule_curve(segment, process, what))
    return pictures


@dataclass(frozen=True)
class Kinds:
    """What the processes of a study are, for the words beside their figures.

    Args:
        whole: whether some mix the whole image, or latent, with noise.
        cosine: whether each of these does so by the cosine schedule.
        bands: whether some take the image apart.
        shown: the segments that begin with noise alone, although a coarser image is there.
        carried: the segments that go on from the coarser image.
        onward: the stages that begin with one of these.
        apart: the stages that have other schedules than the one that their recipe names.
    """

    whole: bool
    cosine: bool
    bands: bool
    shown: tuple[str, ...]
    carried: tuple[str, ...]
    onward: tuple[str, ...]
    apart: tuple[str, ...]


def kinds(results: Results) -> Kinds:
    """What is told of the forward and reverse processes of a study."""
    learnt = list(_learnt(results))
    process = {stage.name: results.study.recipes[stage.name].process for stage, _ in learnt}
    every = [(segment, process[stage.name]) for stage, own in learnt for segment in own]
    whole = [(segment, its) for segment, its in every if segment.plain]
    return Kinds(
        whole=bool(whole) or not every,
        cosine=all(its.schedule == "cosine" and _follows(one, its) for one, its in whole),
        bands=any(len(segment.schedules) > 1 for segment, _ in every),
        shown=tuple(s.name for s, _ in every if s.jump.factor > 1 and not s.jump.carries),
        carried=tuple(segment.name for segment, _ in every if segment.jump.carries),
        onward=tuple(stage.name for stage, own in learnt if own[0].jump.carries),
        apart=tuple(
            stage.name
            for stage, own in learnt
            if not any(_follows(segment, process[stage.name]) for segment in own)
        ),
    )


@singledispatch
def parts(segment: Segment, what: str) -> tuple[str, ...]:
    """What each band of a segment is, in words; bands of one name are told of together.

    A segment of one's own tells more if `parts.register` is told how.
    """
    others = len(segment.schedules) - 1
    return ("the first band", *["the others"] * others) if others else (what,)


@parts.register
def _(segment: Fading, what: str) -> tuple[str, ...]:
    return "the block means", "the detail"


@parts.register
def _(segment: Blurring, what: str) -> tuple[str, ...]:
    return "the image's mean", *["the frequencies"] * len(segment.fades)


def _follows(segment: Segment, process: ProcessConfig) -> bool:
    """Whether a segment has the schedule that its recipe names."""
    try:
        named = make_schedule(process, segment.schedule.states)
    except InputError:  # it has too few states for that
        return False
    return torch.equal(named.alpha_bar, segment.schedule.alpha_bar)


def _learnt(results: Results) -> Iterator[tuple[StageInfo, tuple[Segment, ...]]]:
    """The stages that are processes, with their segments; of one in latents, its schedule's."""
    for stage in results.study.stages:
        if stage.kind != "diffusion" or stage.states < 2 or stage.name not in results.study.recipes:
            continue
        if stage.teacher:  # its states are some of its teacher's
            continue
        if stage.in_pixels:
            yield stage, _segments(results, stage)
        else:
            process = results.study.recipes[stage.name].process
            yield stage, (Segment(stage.name, make_schedule(process, stage.states), (1, 1, 1)),)


def _segments(results: Results, stage: StageInfo) -> tuple[Segment, ...]:
    """The segments of a stage in pixels."""
    recipe, data = results.study.recipes[stage.name], results.study.data
    # their network does not matter, and may be code that nobody has let run: any of one level fits
    recipe = replace(recipe, net=NetConfig(channels=(8,)))
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
    away = "take on noise" if segment.jump.carries else "dissolve into noise"
    return Picture(
        f"forward-{segment.name}",
        f"Forward process of {segment.name}",
        f"{len(labels)} real images at {height}×{width} in {len(states)} of {schedule.states} "
        f"states; {ends(data.channels > 1)}.{given}{_begins(segment)}{figure}",
        f"Real images at {height} by {width} pixels {away} from left to right.",
        sheet([block], margin(names)),
    )


def _begins(segment: Segment) -> str:
    """A sentence on a segment that does not begin with noise; empty for one that does."""
    if not segment.jump.carries:
        return ""
    state = "its last state" if segment.first == segment.schedule.last else f"state {segment.first}"
    return f" The segment goes on from the coarser image in {state}, which need not be noise."


def _left(segment: Segment, what: str) -> str:
    """A sentence on what is left of the image where sampling begins.

    Empty for states of one's own that are not a x_0 + b eps in any band.
    """
    if not segment.plain and len(segment.schedules) == 1:
        return ""
    found: dict[str, list[float]] = {}
    for name, level in zip(parts(segment, what), segment.levels(segment.first), strict=True):
        found.setdefault(name, []).append(level.unit * level.a)
    told = [f"{_span(shares)} of {name}" for name, shares in found.items()]
    last = segment.first == segment.schedule.last
    where = "At the last state" if last else f"In state {segment.first}, where sampling begins"
    return f" {where}, a share of √ᾱ = {join(told)} is left."


def _span(shares: list[float]) -> str:
    """'0.013', or '0.001 to 0.013'."""
    return " to ".join(dict.fromkeys(f"{share:.3f}" for share in (min(shares), max(shares))))


def _schedule_curve(segment: Segment, process: ProcessConfig, what: str) -> Picture:
    """The schedule of a segment, and of the bands beside the first."""
    schedule, *bands = segment.schedules
    first, *others = parts(segment, what)
    t, alpha_bar = np.arange(schedule.states), schedule.alpha_bar.numpy()
    told = {name: k for k, name in reversed(list(enumerate(others)))}  # a legend names it once
    lines = [
        Line(t, alpha_bar, 0, f"ᾱ of {first}" if bands else "ᾱ", width=2.2),
        *(
            Line(
                t,
                band.alpha_bar.numpy(),
                1,
                f"ᾱ of {name}" if told[name] == k else "",
                width=2.2 if len(bands) == 1 else 1.0,
            )
            for k, (name, band) in enumerate(zip(others, bands, strict=True))
        ),
        Line(t, np.sqrt(alpha_bar), "ink", "signal √ᾱ", "--", 1.2),
        Line(t, np.sqrt(1 - alpha_bar), "muted", "noise √(1−ᾱ)", ":", 1.6),
    ]
    kind = SCHEDULES.get(process.schedule, "") if _follows(segment, process) else ""
    a, b = schedule.scales(schedule.last)
    return Picture(
        f"schedule-{segment.name}",
        f"Schedule of {segment.name}",
        f"{kind}{schedule.states} states.{_left(segment, what)}{_begins(segment)}",
        f"The signal falls from 1 to {a:.3f} and the noise rises to {b:.3g}.",
        curves(lines, "state t", "", (5.5, 3.1), whole=True, ylim=(-0.03, 1.05)),
    )
