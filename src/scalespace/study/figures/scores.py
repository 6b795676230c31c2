"""Scores in charts: CAS of each class, confusions, and what a score costs."""

from __future__ import annotations

import numpy as np

from scalespace.evaluation.controls import CONTROLS
from scalespace.figures.charts import Point, Series, bars, dots, matrix, scatter
from scalespace.figures.picture import Picture
from scalespace.study.cells import join
from scalespace.study.figures.common import color, of_seeds
from scalespace.study.findings import confusions
from scalespace.study.results import Results

AXES = {
    "macs": ("million multiply-adds a sample", 1e-6, "Multiply-adds"),
    "latency_median": ("median latency of one image (ms)", 1e3, "Latency"),
}
"""What an image costs: the axis, its unit in the results', and a word for titles."""
SIZE = (5.5, 3.6)


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
    n = join(f"{size:,}" for size in sorted({score.n for score in scores.values()}))
    seeds = of_seeds(results.study.seeds)
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


def confusion(results: Results) -> list[Picture]:
    """What the classifiers take each class for."""
    names, pictures = results.study.data.classes, []
    side = 3.5 if len(names) <= 12 else 8.0
    for name, score in results.scores.items():
        totals = score.together.sum(axis=1, keepdims=True)
        share = score.together / np.maximum(totals, 1)
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
    """What quality costs: CAS, then FD, against multiply-adds and against latency."""
    return [*_cas_costs(results), *_fd_costs(results)]


def _cas_costs(results: Results) -> list[Picture]:
    scores = results.scores
    levels = [(CONTROLS[c], color(results, c), scores[c].mean) for c in CONTROLS if c in scores]
    pictures = []
    for metric, (label, unit, word) in AXES.items():
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
                    scatter(points, levels, label, "CAS", SIZE),
                )
            )
    return pictures


def _fd_costs(results: Results) -> list[Picture]:
    floor = results.figure("fd", results.floor)
    levels = []
    if floor and floor["value"] > 0:
        levels = [(results.measured[results.floor], color(results, results.floor), floor["value"])]
    pictures = []
    for metric, (label, unit, word) in AXES.items():
        points, sizes = [], set()
        for method in results.study.methods:
            value = results.value(metric, method=method.name)
            row = results.figure("fd", method.name)
            if value is None or row is None or row["value"] <= 0:
                continue
            # an error bar down to 0 has no place on a logarithmic axis
            spread = min(1.96 * row.get("se", 0.0), 0.99 * row["value"])
            shade = color(results, method.name)
            points.append(Point(method.title, shade, value * unit, row["value"], spread))
            sizes.add(row["n"])
        if points:
            listed = "; ".join(f"{p.label} {p.y:.3g} at {p.x:,.1f}" for p in points)
            n = join(f"{size:,}" for size in sorted(sizes))
            dashed = f"; dashed: as many real {results.study.part} images" if levels else ""
            pictures.append(
                Picture(
                    f"cost-fd-{metric}",
                    f"FD against {word.lower()}",
                    f"Lower is nearer to the real images. FD of {n} images with its 95% interval, "
                    f"on a logarithmic axis{dashed}.",
                    f"FD against {label}: {listed}.",
                    scatter(points, levels, label, "FD", SIZE, log=True),
                )
            )
    return pictures
