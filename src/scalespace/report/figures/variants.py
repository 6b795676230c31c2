"""The figures of a study of variants: their images, differences, and what batch norm leaks."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from scalespace.figures.charts import Line, Series, curves, gaps
from scalespace.figures.picture import Color, Picture
from scalespace.figures.sheets import Block, sheet
from scalespace.report.about import MethodInfo
from scalespace.report.arrays import Examples
from scalespace.report.batch_leaks import leaks
from scalespace.report.differences import paired, right_alone, wrong_alone
from scalespace.report.figures.common import GRID_COLUMNS, about_image, zoom
from scalespace.report.metrics import MetricInfo
from scalespace.report.results import Results
from scalespace.report.words import of_seeds
from scalespace.studies.variants import ALL_RIGHT, ALL_WRONG

LETTER = 10  # dots that a letter takes beside a row of images
CURVES: dict[tuple[str, str], tuple[str, Color, str]] = {
    ("mixed", "batch"): ("mixed, batch", 0, "-"),
    ("single", "batch"): ("one state, batch", 1, "-"),
    ("mixed", "running"): ("mixed, running", 0, "--"),
    ("single", "running"): ("one state, running", 1, "--"),
}
"""The label, colour and style of each of `losses_by_company`'s curves."""


def variant_samples(results: Results) -> list[Picture]:
    """A row of images for each variant of a method, one of each class."""
    if not results.study.compares:
        return []
    pictures, study = [], results.study
    classes = study.data.classes[:GRID_COLUMNS]
    for method in study.methods:
        shown = {
            variant.name: results.of(variant.name).examples(method.name, study.seeds[0])
            for variant in study.of_method(method.name)
        }
        found = {name: own for name, own in shown.items() if own is not None}
        if not found:
            continue
        block = Block(
            np.concatenate([own.images[: len(classes), 0] for own in found.values()]),
            len(classes),
            zoom(study.data.height, 44),
            top=list(classes) if method.conditional else [],
            left=list(found),
            told=[
                about_image(
                    study.seeds[0], int(place), label, classes if method.conditional else ()
                )
                for own in found.values()
                for label, place in enumerate(own.places[: len(classes), 0])
            ],
        )
        pictures.append(
            Picture(
                f"variant-samples-{method.name}",
                f"{method.title}, by variant",
                _told(found.values(), of_seeds(study.seeds[:1])),
                f"Grid of images of {method.title}, a row for each of {len(found)} variants.",
                sheet([block], margin=LETTER * max(map(len, found))),
            )
        )
    return pictures


def _told(rows: Collection[Examples], seed: str) -> str:
    """The caption of a picture of rows of images."""
    first = "The first image of every class"
    if all(one.candidates == 1 for one in rows):
        return f"{first}, not selected; {seed}, the same noise in every row."
    kept = {one.candidates for one in rows} - {1}
    among = " or ".join(map(str, sorted(kept)))
    rest = "" if all(one.candidates > 1 for one in rows) else ", in the other rows not selected"
    return f"{first}, where a judge chooses each among {among}{rest}; {seed}."


def variant_gaps(results: Results) -> list[Picture]:
    """The differences of a method's variants, or of its switches in both directions."""
    if not results.study.compares:
        return []
    return [
        picture
        for method in results.study.methods
        for metric in results.study.decides
        if (picture := _gaps(results, method, metric)) is not None
    ]


def _gaps(results: Results, method: MethodInfo, metric: MetricInfo) -> Picture | None:
    study, name = results.study, metric.title
    if rows := list(study.config.study.switches):
        columns = {
            f"{words} alone, beside “{base}”": [
                alone(results, metric, method.name, s) for s in rows
            ]
            for words, base, alone in (
                ("right", ALL_WRONG, right_alone),
                ("wrong", ALL_RIGHT, wrong_alone),
            )
        }
    else:
        own = [one for one in study.of_method(method.name) if one.base != one.name]
        rows = [one.name for one in own]
        columns = {
            f"beside “{base}”": [
                paired(results, metric, method.name, one.name, base) if one.base == base else None
                for one in own
            ]
            for base in dict.fromkeys(one.base for one in own)
        }
    if not any(gap is not None for column in columns.values() for gap in column):
        return None
    series = [
        Series(
            label,
            k,
            np.array([math.nan if gap is None else gap.mean for gap in column]),
            np.nan_to_num([0.0 if gap is None else gap.sd for gap in column]),
        )
        for k, (label, column) in enumerate(columns.items())
    ]
    told = "; ".join(
        f"{row} {', '.join(f'{s.values[k]:+.3g}' for s in series if not math.isnan(s.values[k]))}"
        for k, row in enumerate(rows)
    )
    better = "Right is better" if metric.better > 0 else "Left is better"
    n = len(study.seeds)
    spread = f"mean ± standard deviation of {n} paired differences" if n > 1 else "of one seed"
    return Picture(
        f"variant-{metric.name}-{method.name}",
        f"{method.title}: {name}",
        f"{better}: {spread}, {of_seeds(study.seeds)}.",
        f"Differences in {name} of {method.title}: {told}.",
        gaps(rows, series, f"difference in {name}", 5.5),
    )


def leak_curves(results: Results) -> list[Picture]:
    """The loss at each state, on batches of that state alone and on mixed ones."""
    pictures = []
    for k, leak in enumerate(leaks(results)):
        two = any(statistics == "batch" for _, statistics in leak.losses)
        lines = [
            Line(range(1, len(per_t) + 1), per_t, color, _called(label, two), style)
            for key, (label, color, style) in CURVES.items()
            if (per_t := leak.losses.get(key)) is not None
        ]
        told = "; ".join(
            f"{_called(CURVES[key][0], two)} {per_t.mean():.3g}"
            for key, per_t in leak.losses.items()
        )
        seeds = f"{'mean over ' if len(leak.seeds) > 1 else ''}{of_seeds(leak.seeds)}"
        norm = " It has no batch norm, so the rest of its batch cannot matter to an image."
        if two:
            norm = " Batch norm uses the batch's own statistics, or the running ones."
        pictures.append(
            Picture(
                f"leak-{k}-{leak.stage}",
                leak.title,
                f"Loss on validation images, {seeds}. Mean over the states: {told}.{norm} "
                f"Variants: {', '.join(leak.variants)}.",
                f"Loss of stage {leak.stage} by state. Means: {told}.",
                curves(lines, "state t", "loss", (7.0, 3.4), log=True, whole=True),
            )
        )
    return pictures


def _called(label: str, two: bool) -> str:
    return label if two else label.partition(",")[0]
