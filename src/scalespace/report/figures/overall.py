"""What quality costs, over several studies of the same data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain

from scalespace.figures.frontier import Level, Trail, frontier
from scalespace.figures.picture import Picture
from scalespace.report.figures.frontier import AXES, how_to_read, levels, points
from scalespace.report.metrics import MetricInfo, of_all
from scalespace.report.results import Results
from scalespace.report.words import join

SIZE = (8.6, 4.8)


def overall(studies: Mapping[str, Results], title: str) -> list[Picture]:
    """Quality against multiply-adds: a curve for each method, over comparable studies.

    There is a picture for each way of scoring (judge, number of images, classifiers) by each score.

    Args:
        studies: by name, of the same data.
        title: of the data.
    """
    pictures = []
    colors = list(dict.fromkeys(m.title for one in studies.values() for m in one.study.methods))
    for metric in of_all(one.study.decides for one in studies.values()):
        alike: dict[str, dict[str, Results]] = {}
        for name, results in studies.items():
            if metric.name in results.study.metrics:
                alike.setdefault(_way(results, metric), {})[name] = results
        for k, found in enumerate(alike.values()):
            trails = [trail for one in colors if (trail := _trail(found, one, colors, metric.name))]
            if trails:
                pictures.append(_picture(metric, k, found, trails, title))
    return pictures


def _way(results: Results, metric: MetricInfo) -> str:
    """How a study is scored: only equal ways can be compared."""
    images = results.study.config.study.images
    if metric.name == "cas":
        return f"{images} {replace(results.study.config.cas, classifiers=1)}"
    if not metric.judged:
        return str(images)
    return f"{images} {sorted({str(row.get('judge')) for row in results.find(metric.name)})}"


def _trail(
    studies: Mapping[str, Results], title: str, colors: list[str], metric: str
) -> Trail | None:
    """The points of a method in all studies."""
    every = sorted(
        set(
            chain.from_iterable(
                points(results, method, "macs", metric)
                for results in studies.values()
                for method in results.study.methods
                if method.title == title
            )
        )
    )
    if not every:
        return None
    x, y, spreads, calls = zip(*every, strict=True)
    return Trail(title, colors.index(title), x, y, spreads, calls)


def _real(studies: Mapping[str, Results], metric: MetricInfo) -> list[Level]:
    """What real images score, where that is one number for all of the studies."""
    known = [found for results in studies.values() if (found := levels(results, metric))]
    return known[0] if known and (metric.floor or len(studies) == 1) else []


def _picture(
    metric: MetricInfo, k: int, studies: Mapping[str, Results], trails: list[Trail], data: str
) -> Picture:
    label, _, word = AXES["macs"]
    name = metric.title
    best = max if metric.better > 0 else min
    real = _real(studies, metric)
    told = "; ".join(f"{trail.label} {best(trail.y):.3g}" for trail in trails)
    return Picture(
        re.sub(r"\W+", "-", f"overall-{metric.name}-{k}-{data}"),
        f"{name} against {word.lower()}, {data}",
        f"{how_to_read(trails, real)}, over {join(studies)}. "
        "Mean ± standard deviation over training seeds.",
        f"{name} against {label}; each method's best: {told}.",
        frontier(trails, real, [], label, name, SIZE, better=metric.better, share=metric.share),
    )
