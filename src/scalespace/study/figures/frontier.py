"""What quality costs: every method in few calls and in many, a curve for each."""

from __future__ import annotations

import math

import numpy as np

from scalespace.evaluation.cas import sample_sd
from scalespace.evaluation.controls import CONTROLS
from scalespace.figures.charts import Point, Trail, frontier
from scalespace.figures.picture import Picture
from scalespace.study.cells import digits
from scalespace.study.comparison import metrics
from scalespace.study.figures.common import color
from scalespace.study.figures.scores import AXES
from scalespace.study.findings import PAPER_CAS, shows_paper
from scalespace.study.pairs import by_seed
from scalespace.study.results import MethodInfo, Results

PAPER_MACS = {"baseline": 478.6, "small": 73.5, "cascaded": 223.1}
"""Million multiply-adds a sample of the networks in the paper's text, by `scalespace bench`."""
SIZE = (5.6, 4.2)


def frontiers(results: Results) -> list[Picture]:
    """Quality against cost, over the variants of each method; [] where one alone was timed."""
    if not results.study.config.bench.variants:
        return []
    return [
        picture
        for axis in AXES
        for metric in reversed(metrics(results))  # FD first: it tells more apart
        if (picture := _frontier(results, axis, metric)) is not None
    ]


def _frontier(results: Results, axis: str, metric: str) -> Picture | None:
    label, unit, word = AXES[axis]
    found = (_trail(results, method, axis, unit, metric) for method in results.study.methods)
    trails = [trail for trail in found if trail is not None]
    if not trails:
        return None
    share = metric == "cas"
    seeds, study = len(results.study.seeds), results.study
    name = metric.upper()
    told = "; ".join(
        f"{trail.label} {', '.join(digits(y) for y in trail.y)} at "
        f"{', '.join(f'{x:,.3g}' for x in trail.x)}"
        for trail in trails
    )
    spread = f"mean ± standard deviation of {seeds} trainings" if seeds > 1 else "one training"
    marks = _paper(results) if share and axis == "macs" else []
    crosses = " Crosses: the paper's three, its own networks." if marks else ""
    return Picture(
        f"frontier-{metric}-{axis}",
        f"{name} against {word.lower()}",
        f"Up is better, left is cheaper; both axes are logarithmic. Numbers are network calls; the "
        f"line joins what is better than all that is cheaper. "
        f"{spread[0].upper()}{spread[1:]}, {study.config.study.images:,} images each; dashed: real "
        f"images.{crosses}",
        f"{name} against {label}: {told}.",
        frontier(trails, _levels(results, metric), marks, label, name, SIZE, share=share),
    )


def _trail(
    results: Results, method: MethodInfo, axis: str, unit: float, metric: str
) -> Trail | None:
    points = []
    for arm in results.study.arms(method.name):
        view = results.of(arm.name)
        cost, calls = (view.value(one, method=method.name) for one in (axis, "calls"))
        scores = list(by_seed(results, metric, method.name, arm.name).values())
        if cost is None or calls is None or not scores:
            continue
        sd = sample_sd(np.array(scores))
        spread = 0.0 if math.isnan(sd) else sd
        points.append((cost * unit, float(np.mean(scores)), spread, f"{calls:g}"))
    if not points:
        return None
    x, y, spreads, words = zip(*sorted(set(points)), strict=True)
    return Trail(method.title, color(results, method.name), x, y, spreads, words)


def _levels(results: Results, metric: str) -> list[tuple[str, str | int, float]]:
    if metric == "cas":
        return [
            (CONTROLS[name], color(results, name), results.scores[name].mean)
            for name in CONTROLS
            if name in results.scores
        ]
    floor = results.figure("fd", results.floor)
    if floor is None or floor["value"] <= 0:
        return []
    return [(results.measured[results.floor], color(results, results.floor), floor["value"])]


def _paper(results: Results) -> list[Point]:
    if not shows_paper(results):
        return []
    return [
        Point(f"{method.title}, paper", color(results, method.name), PAPER_MACS[name], cas, 0.0)
        for method in results.study.methods
        if (name := method.name) in PAPER_MACS
        for cas, _ in [PAPER_CAS[name]]
    ]
