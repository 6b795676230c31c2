"""The figures of a study of variants: their images, differences, and what batch norm leaks."""

from __future__ import annotations

import math

import numpy as np

from scalespace.figures.charts import Line, Series, curves, gaps
from scalespace.figures.picture import Color, Picture
from scalespace.figures.sheets import Block, sheet
from scalespace.study.arms import ALL_RIGHT, ALL_WRONG
from scalespace.study.comparison import compares, metrics
from scalespace.study.figures.common import GRID_COLUMNS, of_seeds, zoom
from scalespace.study.leaks import leaks
from scalespace.study.pairs import Paired, paired, two_sided
from scalespace.study.results import MethodInfo, Results

LETTER = 10  # dots that a letter takes beside a row of images
CURVES: dict[tuple[str, str], tuple[str, Color, str]] = {
    ("mixed", "batch"): ("mixed, batch", 0, "-"),
    ("single", "batch"): ("one state, batch", 1, "-"),
    ("mixed", "running"): ("mixed, running", 0, "--"),
    ("single", "running"): ("one state, running", 1, "--"),
}
"""How each of `losses_by_state`'s curves is called and drawn."""


def variant_samples(results: Results) -> list[Picture]:
    """A row of images for each variant of a method, one of each class."""
    if not compares(results):
        return []
    pictures, study = [], results.study
    classes = study.data.classes[:GRID_COLUMNS]
    for method in study.methods:
        found = {}
        for arm in study.arms(method.name):
            for seed in study.seeds:
                images = results.of(arm.name).examples(method.name, seed)
                if images is not None:
                    found[arm.name] = images[: len(classes), 0]
                    break
        if not found:
            continue
        block = Block(
            np.concatenate(list(found.values())),
            len(classes),
            zoom(study.data.height, 44),
            top=[name[:6] for name in classes] if method.conditional else [],
            left=list(found),
        )
        pictures.append(
            Picture(
                f"variant-samples-{method.name}",
                f"{method.title}, by variant",
                f"The first image of every class, not selected; {of_seeds(study.seeds[:1])}, the "
                "same noise in every row.",
                f"Grid of images of {method.title}, a row for each of {len(found)} variants.",
                sheet([block], margin=LETTER * max(map(len, found))),
            )
        )
    return pictures


def variant_gaps(results: Results) -> list[Picture]:
    """The differences of a method's variants, or of its switches in both directions."""
    if not compares(results):
        return []
    return [
        picture
        for method in results.study.methods
        for metric in metrics(results)
        if (picture := _gaps(results, method, metric)) is not None
    ]


def _gaps(results: Results, method: MethodInfo, metric: str) -> Picture | None:
    study, name = results.study, metric.upper()
    if switches := list(study.config.study.switches):
        both = [two_sided(results, metric, method.name, switch) for switch in switches]
        rows, columns = switches, {
            f"right alone, beside “{ALL_WRONG}”": [right for right, _ in both],
            f"wrong alone, beside “{ALL_RIGHT}”": [wrong for _, wrong in both],
        }  # fmt: skip
    else:
        arms = [arm for arm in study.arms(method.name) if arm.base != arm.name]
        rows = [arm.name for arm in arms]
        columns = {
            f"beside “{base}”": [
                paired(results, metric, method.name, arm.name, base) if arm.base == base else None
                for arm in arms
            ]
            for base in dict.fromkeys(arm.base for arm in arms)
        }
    if not any(gap is not None for column in columns.values() for gap in column):
        return None
    series = [
        Series(
            label,
            k,
            np.array([math.nan if gap is None else gap.mean for gap in column]),
            np.array([_spread(gap) for gap in column]),
        )
        for k, (label, column) in enumerate(columns.items())
    ]
    told = "; ".join(
        f"{row} {', '.join(f'{s.values[k]:+.3g}' for s in series if not math.isnan(s.values[k]))}"
        for k, row in enumerate(rows)
    )
    better = "Right is better" if metric == "cas" else "Left is better"
    n = len(study.seeds)
    spread = f"mean ± standard deviation of {n} paired differences" if n > 1 else "of one seed"
    return Picture(
        f"variant-{metric}-{method.name}",
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
        norm = " It has no batch norm, so that a batch's company cannot matter."
        if two:
            norm = " By the batch's own statistics, or by the running ones."
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


def _spread(gap: Paired | None) -> float:
    return 0.0 if gap is None or math.isnan(gap.sd) else gap.sd
