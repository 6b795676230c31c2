"""The figures of a study, by name: each a function from its results to pictures.

The report shows them all; `render` writes one of them to a file. A figure for which a study holds
nothing yet has no pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from scalespace.core.noise import NoiseStreams
from scalespace.core.process import q_sample
from scalespace.core.scale import down, up
from scalespace.core.schedule import Schedule, cosine
from scalespace.errors import InputError, unknown
from scalespace.evaluation.controls import CONTROLS
from scalespace.figures.charts import Line, Point, Series, bars, curves, dots, matrix, scatter
from scalespace.figures.picture import Color, Picture, save
from scalespace.figures.sheets import Block, in_domain_colors, sheet
from scalespace.study.findings import confusions
from scalespace.study.results import EXAMPLES, REAL, MethodInfo, Results, StageInfo, Trajectory

Figure = Callable[[Results], list[Picture]]

STATES = 12  # of a process that are shown, the first and the last among them
GRID_COLUMNS = 13  # more classes than this go on in a second band
FORWARD_ROWS = 6
MARGIN = 34  # dots for a short word beside a row of images
IN_PAPER = {
    "forward": {"baseline": 5, "small": 6, "upscaler": 7},
    "samples": {"baseline": 8, "small": 9, "cascaded": 10},
}


def color(results: Results, name: str) -> Color:
    """The colour of a control or method: the same in every chart of a study."""
    if name in CONTROLS:
        return f"control{list(CONTROLS).index(name)}"
    return [method.name for method in results.study.methods].index(name)


def cas_per_class(results: Results) -> list[Picture]:
    """Figure 1: accuracy within each class, of all that was scored."""
    scores, names = results.scores, results.study.data.classes
    if not scores:
        return []
    series = []
    for name, score in scores.items():
        many = len(score.accuracy) > 1
        sd = score.per_class.std(axis=0, ddof=1) if many else np.zeros(len(names))
        mean = score.per_class.mean(axis=0)
        series.append(Series(results.titles[name], color(results, name), mean, sd))
    m = max(len(score.accuracy) for score in scores.values())
    n = _join(f"{size:,}" for size in sorted({score.n for score in scores.values()}))
    seeds = _seeds(results.study.seeds)
    what = f"Mean and standard deviation over {m} classifiers, each trained on {n} images ({seeds})"
    worst = [f"{s.label}: class {names[int(np.nanargmin(s.values))]}" for s in series]
    alt = f"Accuracy by class. Hardest class of each set: {'; '.join(worst)}."
    return [
        Picture(
            "cas",
            "CAS of each class",
            f"{what}. Figure 1 of the paper.",
            alt,
            bars(names, series, "accuracy", (11.3, 3.5)),
        ),
        Picture(
            "cas-closer",
            "The same, closer",
            f"{what}. The axis does not start at 0, so that small differences can be seen.",
            alt,
            dots(names, series, "accuracy", (11.3, 3.7)),
        ),
    ]


def reverse(results: Results) -> list[Picture]:
    """Figure 2: reverse processes from noise to image, and the range of values on the way."""
    pictures = []
    for method in results.study.methods:
        for seed in results.study.seeds:
            if trajectory := results.trajectory(method.name, seed):
                pictures += _reverse(results, method, seed, trajectory)
                break
    return pictures


def forward(results: Results) -> list[Picture]:
    """Figures 5 to 7: real images on their way to noise, by each stage's own schedule."""
    real = results.examples(REAL, None)
    pictures = []
    for stage in results.study.stages:
        if stage.name not in results.study.recipes:
            continue
        p = results.study.recipes[stage.name].process
        schedule = cosine(stage.states, p.power, stop_short=p.stop_short)
        if real is not None:
            pictures.append(_forward_sheet(results, stage, schedule, real))
        pictures.append(_schedule_curve(stage, schedule))
    return pictures


def samples(results: Results) -> list[Picture]:
    """Figures 8 to 10: images of every class, a block a training seed, and the controls."""
    pictures = []
    # methods first: the controls, one block each, are for comparing
    for name, title in sorted(results.titles.items(), key=lambda item: item[0] in CONTROLS):
        seeds = [None] if name in CONTROLS else list(results.study.seeds)
        found = [(seed, results.examples(name, seed)) for seed in seeds]
        blocks = [
            block
            for seed, images in found
            if images is not None
            for block in _sample_blocks(results, images, "" if seed is None else f"seed {seed}")
        ]
        if not blocks:
            continue
        shown = _seeds([seed for seed, images in found if images is not None and seed is not None])
        number = IN_PAPER["samples"].get(name)
        figure = f" Figure {number} of the paper." if number else ""
        if name in CONTROLS:
            caption = f"The first {EXAMPLES} training images of every class."
        else:
            each = "" if len(found) == 1 else "a block each for "
            caption = f"The first {EXAMPLES} images of every class, not selected; {each}{shown}."
        pictures.append(
            Picture(
                f"samples-{name}",
                title,
                caption + figure,
                f"Grid of images of {title}, one column for each of "
                f"{len(results.study.data.classes)} classes.",
                sheet(blocks),
            )
        )
    return pictures


def training(results: Results) -> list[Picture]:
    """The loss of every stage against its epochs, and at the end against the state t."""
    pictures = []
    for stage in results.study.stages:
        runs = {seed: results.metrics(stage.name, seed) for seed in results.study.seeds}
        runs = {seed: rows for seed, rows in runs.items() if rows}
        if not runs:
            continue
        lines, levels = [], []
        for k, rows in enumerate(runs.values()):
            label = k == 0
            x = [row["epoch"] for row in rows]
            y = [row["loss"] for row in rows]
            lines.append(Line(x, y, "muted", "training" if label else "", width=1.1))
            checked = [row for row in rows if row.get("val_loss") is not None]
            x = [row["epoch"] for row in checked]
            y = [row["val_loss"] for row in checked]
            lines.append(Line(x, y, 0, "validation" if label else "", width=1.6))
            if checked and checked[-1].get("val_loss_per_t"):
                per_t = checked[-1]["val_loss_per_t"]
                levels.append(Line(range(1, len(per_t) + 1), per_t, 0, width=1.4))
        last = [rows[-1] for rows in runs.values()]
        seeds = _seeds(list(runs))
        final = ", ".join(f"{row['val_loss']:.4f}" for row in last if row.get("val_loss"))
        words = f"Stage {stage.name}: mean squared error over {last[0]['epoch']} epochs, {seeds}."
        pictures.append(
            Picture(
                f"training-{stage.name}",
                f"Training of {stage.name}",
                f"{words} A line a seed. Validation loss at the end: {final or 'not measured'}.",
                f"Training and validation loss of stage {stage.name} against the epoch.",
                curves(lines, "epoch", "loss", (5.5, 3.2), log=True, whole=True),
            )
        )
        if levels:
            pictures.append(
                Picture(
                    f"per-t-{stage.name}",
                    f"Loss of {stage.name} at each state",
                    f"Validation loss of the last epoch against the state t, {seeds}.",
                    f"Validation loss of stage {stage.name} for t = 1 to {stage.states - 1}.",
                    curves(levels, "state t", "loss", (5.5, 3.2), log=True, whole=True),
                )
            )
    return pictures


def confusion(results: Results) -> list[Picture]:
    """What the classifiers take each class for."""
    names, pictures = results.study.data.classes, []
    side = 3.5 if len(names) <= 12 else 8.0
    for name, score in results.scores.items():
        totals = score.confusion.sum(axis=1, keepdims=True)
        share = score.confusion / np.maximum(totals, 1)
        largest = confusions(score, names)
        words = f"Most frequent: {'; '.join(largest)}." if largest else "No confusions."
        pictures.append(
            Picture(
                f"confusion-{name}",
                f"Trained on {results.titles[name]}",
                f"Per cent of each true class, {len(score.accuracy)} classifiers together, each "
                f"trained on {score.n:,} images. {words}",
                f"Confusion matrix of classifiers trained on {results.titles[name]}. {words}",
                matrix(share, names, color(results, name), (side, side)),
            )
        )
    return pictures


def cost(results: Results) -> list[Picture]:
    """What the score costs: CAS against multiply-adds and against latency."""
    scores = results.scores
    levels = [(CONTROLS[c], color(results, c), scores[c].mean) for c in CONTROLS if c in scores]
    axes = {
        "macs": ("million multiply-adds a sample", 1e-6, "Multiply-adds"),
        "latency_median": ("median latency of one image (ms)", 1e3, "Latency"),
    }
    pictures = []
    for metric, (label, unit, word) in axes.items():
        points = []
        for method in results.study.methods:
            value = results.value(metric, method=method.name)
            if value is None or method.name not in scores:
                continue
            score = scores[method.name]
            sd = score.sd if len(score.accuracy) > 1 else 0.0
            shade = color(results, method.name)
            points.append(Point(method.title, shade, value * unit, score.mean, sd))
        if points:
            listed = "; ".join(f"{p.label} {p.y:.3f} at {p.x:,.1f}" for p in points)
            pictures.append(
                Picture(
                    f"cost-{metric}",
                    f"CAS against {word.lower()}",
                    "Mean ± standard deviation over classifiers; dashed: the controls.",
                    f"CAS against {label}: {listed}.",
                    scatter(points, levels, label, "CAS", (5.5, 3.6)),
                )
            )
    return pictures


FIGURES: dict[str, Figure] = {
    "cas": cas_per_class,
    "reverse": reverse,
    "forward": forward,
    "samples": samples,
    "training": training,
    "confusion": confusion,
    "cost": cost,
}
"""Every figure by its name on the command line."""


def render(folder: Path | str, name: str, out: Path | str) -> Path:
    """Writes one figure of a study as a picture file and returns its path.

    Args:
        folder: the study.
        name: one of `FIGURES`.
        out: ends in .png, .svg or .pdf, which decides the format.

    Raises:
        InputError: no such figure or format, the study cannot be read, or it holds nothing that
            the figure could show.
    """
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    pictures = FIGURES[name](Results(folder))
    if not pictures:
        raise InputError(f"the study {folder} holds nothing to show as '{name}' yet")
    save(out, pictures)
    return Path(out)


def _reverse(
    results: Results, method: MethodInfo, seed: int, trajectory: Trajectory
) -> list[Picture]:
    data = results.study.data
    low, high = data.domain
    chosen = _evenly(len(trajectory.x), STATES)
    shown = [_resized(trajectory.x[k], data.height, data.width) for k in chosen]
    # rows are images and columns states
    film = np.stack(shown, axis=1).reshape(-1, data.height, data.width)
    sizes = [trajectory.x[k].shape[1:] for k in chosen]
    runs = [k for k in range(len(sizes)) if k == 0 or sizes[k] != sizes[k - 1]]
    ends = [*runs[1:], len(sizes)]
    groups = [(f"{sizes[a][0]}×{sizes[a][1]}", a, b - a) for a, b in zip(runs, ends, strict=True)]
    block = Block(
        in_domain_colors(film, low, high),
        len(chosen),
        _zoom(data.height, 84),
        top=[f"t={trajectory.t[k]}" for k in chosen],
        left=[data.classes[label][:3] for label in trajectory.labels],
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
    steps = np.arange(len(trajectory.x))
    ranges = np.array([np.quantile(x, [0, 0.01, 0.99, 1]) for x in trajectory.x])
    shade = color(results, method.name)
    lines = [
        Line(steps, ranges[:, 3], shade, "all pixels", width=1.8),
        Line(steps, ranges[:, 0], shade, width=1.8),
        Line(steps, ranges[:, 2], shade, "98% of them", "--", 1.1),
        Line(steps, ranges[:, 1], shade, "", "--", 1.1),
    ]
    return [
        Picture(
            f"reverse-{method.name}",
            f"Reverse process of {method.title}",
            caption,
            f"Film strips: {len(trajectory.labels)} images of {method.title} emerge from noise.",
            sheet([block], MARGIN + 6),
        ),
        Picture(
            f"range-{method.name}",
            "Range of values on the way",
            f"Pixels of the same images after each step, in standardised units. The band is the "
            f"images' domain, black ({low:.2f}) to white ({high:.2f}).".replace("-", "−"),
            f"Extremes of the pixel values of {method.title} from {ranges[0, 0]:.1f} and "
            f"{ranges[0, 3]:.1f} in noise to {ranges[-1, 0]:.1f} and {ranges[-1, 3]:.1f}.",
            curves(
                lines,
                "steps done",
                "standardised value",
                (3.5, 5.4),
                whole=True,
                band=(low, high),
            ),
        ),
    ]


def _forward_sheet(
    results: Results, stage: StageInfo, schedule: Schedule, real: NDArray[np.float32]
) -> Picture:
    data = results.study.data
    labels = _evenly(len(data.classes), FORWARD_ROWS)
    unit = torch.from_numpy(real[labels, :1])
    x0 = down(data.standardize(unit), stage.scale)
    # one noise an image for all its states: what changes from left to right is the mixture alone
    noise = NoiseStreams(0, range(len(labels)), "forward").normal(x0.shape[1:])
    states = _evenly(schedule.states, STATES)
    columns = [
        q_sample(schedule, x0, torch.full((len(labels),), t, dtype=torch.int64), noise)
        for t in states
    ]
    top = [f"t={t}" for t in states]
    if stage.conditioned:
        columns.insert(0, up(down(x0)))
        top.insert(0, "given")
    height, width = x0.shape[-2:]
    film = torch.cat(columns, dim=1).reshape(-1, height, width).numpy()
    block = Block(
        in_domain_colors(film, *data.domain),
        len(columns),
        _zoom(height, 56),
        top=top,
        left=[data.classes[label][:3] for label in labels],
    )
    number = IN_PAPER["forward"].get(stage.name)
    figure = f" Figure {number} of the paper." if number else ""
    given = (
        " The first column is what the network is given beside x_t." if stage.conditioned else ""
    )
    return Picture(
        f"forward-{stage.name}",
        f"Forward process of {stage.name}",
        f"{len(labels)} real images at {height}×{width} in {len(states)} of {schedule.states} "
        f"states; blue lies below black, red above white.{given}{figure}",
        f"Real images at {height} by {width} pixels dissolve into noise from left to right.",
        sheet([block], MARGIN),
    )


def _schedule_curve(stage: StageInfo, schedule: Schedule) -> Picture:
    t = np.arange(schedule.states)
    alpha_bar = schedule.alpha_bar.numpy()
    left = schedule.last_signal
    lines = [
        Line(t, alpha_bar, 0, "ᾱ", width=2.2),
        Line(t, np.sqrt(alpha_bar), "ink", "signal √ᾱ", "--", 1.2),
        Line(t, np.sqrt(1 - alpha_bar), "muted", "noise √(1−ᾱ)", ":", 1.6),
    ]
    return Picture(
        f"schedule-{stage.name}",
        f"Schedule of {stage.name}",
        f"{schedule.states} states, {schedule.last} network calls. At the last state a share of "
        f"√ᾱ = {left:.3f} of the image is left.",
        f"The signal falls from 1 to {left:.3f} and the noise rises to 1.",
        curves(lines, "state t", "", (5.7, 3.1), whole=True, ylim=(-0.03, 1.05)),
    )


def _sample_blocks(results: Results, images: NDArray[np.float32], title: str) -> list[Block]:
    """Images as bands of at most `GRID_COLUMNS` classes."""
    names = results.study.data.classes
    bands = -(-len(names) // GRID_COLUMNS)
    columns = -(-len(names) // bands)
    blocks = []
    for start in range(0, len(names), columns):
        part = images[start : start + columns]
        height, width = part.shape[2:]
        rows = part.swapaxes(0, 1).reshape(-1, height, width)
        word = title if start == 0 else ""
        top = [name[:6] for name in names[start : start + columns]]
        blocks.append(Block(rows, len(part), _zoom(height, 56), top=top, title=word))
    return blocks


def _resized(x: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Images [n, h, w] at another size, each pixel as the nearest of its own."""
    rows = np.arange(height) * x.shape[1] // height
    columns = np.arange(width) * x.shape[2] // width
    return x[:, rows][:, :, columns]


def _evenly(n: int, most: int) -> list[int]:
    """At most `most` of the indices 0 .. n-1, first and last included, evenly spread."""
    return [int(k) for k in np.unique(np.linspace(0, n - 1, min(n, most)).round())]


def _zoom(height: int, dots: int) -> int:
    return max(1, round(dots / height))


def _seeds(seeds: Iterable[int | None]) -> str:
    listed = [str(seed) for seed in seeds]
    return f"training seed{'s' if len(listed) > 1 else ''} {_join(listed)}"


def _join(words: Iterable[str]) -> str:
    listed = list(words)
    return " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)
