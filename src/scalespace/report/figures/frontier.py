"""What quality costs: a curve for each method, over few and many network calls."""

from __future__ import annotations

from collections.abc import Sequence

from scalespace.evaluation.controls import CONTROLS
from scalespace.figures.frontier import Level, Point, Trail, frontier, logarithmic
from scalespace.figures.picture import Picture
from scalespace.report import paper
from scalespace.report.about import MethodInfo
from scalespace.report.figures.common import color
from scalespace.report.metrics import MetricInfo, foremost
from scalespace.report.results import Results
from scalespace.report.words import digits

AXES = {
    "macs": ("million multiply-adds a sample", 1e-6, "Multiply-adds"),
    "latency_median": ("median latency of one image (ms)", 1e3, "Latency"),
}
"""The costs of an image: the axis, the factor from the results' unit, and a word for titles."""
SIZE = (5.4, 4.1)


def frontiers(results: Results) -> list[Picture]:
    """Quality against cost, over the variants of each method that were timed."""
    return [
        picture
        for axis in AXES
        for metric in foremost(results.study.decides)
        if (picture := _frontier(results, axis, metric)) is not None
    ]


def _frontier(results: Results, axis: str, metric: MetricInfo) -> Picture | None:
    label, _, word = AXES[axis]
    found = (_trail(results, method, axis, metric.name) for method in results.study.methods)
    trails = [trail for trail in found if trail is not None]
    if not trails:
        return None
    seeds, study = len(results.study.seeds), results.study
    name = metric.title
    told = "; ".join(
        f"{trail.label} {', '.join(digits(y) for y in trail.y)} at "
        f"{', '.join(f'{x:,.3g}' for x in trail.x)}"
        for trail in trails
    )
    spread = f"mean ± standard deviation of {seeds} trainings" if seeds > 1 else "one training"
    known = levels(results, metric)
    marks = _paper(results) if metric.name == "cas" and axis == "macs" else []
    crosses = " Crosses: the paper's three methods with its own networks." if marks else ""
    return Picture(
        f"frontier-{metric.name}-{axis}",
        f"{name} against {word.lower()}",
        f"{how_to_read(trails, known, marks)}. {spread[0].upper()}{spread[1:]}, "
        f"{study.config.study.images:,} images each"
        f"{'; dashed: real images' if known else ''}.{crosses}",
        f"{name} against {label}: {told}.",
        frontier(trails, known, marks, label, name, SIZE, better=metric.better, share=metric.share),
    )


def how_to_read(
    trails: Sequence[Trail], levels: Sequence[Level], marks: Sequence[Point] = ()
) -> str:
    """What axes, numbers and lines of such a picture mean; without the full stop."""
    scale = "both axes are" if logarithmic(trails, levels, marks) else "the axis of cost is"
    return (
        f"Up is better, left is cheaper; {scale} logarithmic. Numbers are network calls; a line "
        "joins a method's points that are better than all cheaper ones"
    )


def points(
    results: Results, method: MethodInfo, axis: str, metric: str
) -> list[tuple[float, float, float, str]]:
    """A method's variants that were timed: cost, mean score, its spread, calls in words."""
    unit, found = AXES[axis][1], []
    for variant in results.study.of_method(method.name):
        view = results.of(variant.name)
        cost, calls = (view.value(one, method=method.name) for one in (axis, "calls"))
        scores = view.by_seed(metric, method.name)
        if not cost or calls is None or scores.empty:
            continue  # a logarithmic axis has no 0
        spread = scores.std() if len(scores) > 1 else 0.0
        found.append((cost * unit, scores.mean(), spread, f"{calls:g}"))
    return found


def _trail(results: Results, method: MethodInfo, axis: str, metric: str) -> Trail | None:
    found = points(results, method, axis, metric)
    if not found:
        return None
    x, y, spreads, words = zip(*sorted(set(found)), strict=True)
    return Trail(method.title, color(results, method.name), x, y, spreads, words)


def levels(results: Results, metric: MetricInfo) -> list[Level]:
    """What real images score."""
    if not metric.floor:
        return [
            (title, color(results, name), score)
            for name, title in CONTROLS.items()
            if (score := results.known(metric.name, name)) is not None
        ]
    rows = (results.measurement(metric.name, method.name) for method in results.study.methods)
    sizes = {row["n"] for row in rows if row}
    floor = results.floor_of(sizes.pop(), metric.name) if len(sizes) == 1 else None
    if floor is None:
        return []
    return [(results.measured[results.floor], color(results, results.floor), floor)]


def _paper(results: Results) -> list[Point]:
    if not paper.shown(results.study):
        return []
    return [
        Point(f"{method.title}, paper", color(results, name), paper.MACS[name], paper.CAS[name][0])
        for method in results.study.methods
        if (name := method.name) in paper.MACS
    ]
