"""Table 2: how near every set of images is to the real ones, beside the real floor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scalespace.report import paper
from scalespace.report.inside import JudgeView, judge_of_study
from scalespace.report.results import Results
from scalespace.report.tables.base import Cell, Table, each_alone, fill
from scalespace.report.words import NONE, digits, join, times

TITLE = "Quality beside the real floor"
FD = "FD (95% interval)"
WRITTEN: dict[str, Callable[[float], str]] = {
    "copies": "{:.2%}".format,
    "median_distance": digits,
}
"""How values are written that are no shares in three places."""


def quality_table(results: Results) -> Table | None:
    """A row for each set, the floor first; None for a study of CAS alone.

    A metric that was not asked for has no column.
    """
    sets = results.measured | results.reconstructions
    if not sets:
        return None
    controls = {name for name in sets if results.study.method(name) is None}
    names = sorted(sets, key=lambda name: (name not in controls, name != results.floor))
    cells = fill(results, {name: sets[name] for name in names}, _columns(results), keep=FD)
    notes = tuple(_notes(results, judge_of_study(results)))
    return Table(cells, notes, TITLE, {sets[name]: "control" for name in controls})


def ratio_to_floor(results: Results, name: str) -> float | None:
    """FD of a set in units of the floor's, if both are known and of equally many images."""
    row = results.measurement("fd", name)
    floor = results.floor_of(row["n"]) if row else None
    return float(row["value"]) / floor if row and floor and floor > 0 else None


def _columns(results: Results) -> dict[str, Cell]:
    metrics, seeds = results.study.config.study.metrics, len(results.study.seeds)
    out: dict[str, Cell] = {}
    if "fd" in metrics:
        out |= {FD: _cell("fd", _with_interval), "× floor": _times_floor}
        out[f"FD, {seeds} seeds each alone"] = each_alone("fd")
        out["FD before the ReLU"] = _number("fd_before_relu")
        if paper.shown(results.study):
            out["FD, published (× own floor)"] = _series
    if "kid" in metrics:
        out["KID × 1,000"] = _cell("kid", _thousand)
    for metric in results.study.metrics.values():
        own = metric.name not in ("cas", "fd", "kid")
        for name, title in metric.figures.items() if own else ():
            out[title] = _number(name, WRITTEN.get(name, "{:.3f}".format))
    return out


def _cell(metric: str, written: Callable[[dict[str, Any]], str]) -> Cell:
    def cell(results: Results, name: str) -> str:
        row = results.measurement(metric, name)
        return NONE if row is None else written(row)

    return cell


def _number(metric: str, written: Callable[[float], str] = digits) -> Cell:
    return _cell(metric, lambda row: written(row["value"]))


def _with_interval(row: dict[str, Any]) -> str:
    ends = [digits(row[end]) for end in ("low", "high") if row.get(end) is not None]
    return digits(row["value"]) + (f" ({'–'.join(ends)})" if ends else "")


def _thousand(row: dict[str, Any]) -> str:
    sd = f" ± {1000 * row['sd']:.2f}" if isinstance(row.get("sd"), float) else ""
    return f"{1000 * row['value']:.2f}{sd}".replace("-", "−")


def _times_floor(results: Results, name: str) -> str:
    ratio = ratio_to_floor(results, name)
    return NONE if ratio is None else times(ratio)


def _series(results: Results, name: str) -> str:
    if name not in paper.SERIES_FD:
        return NONE
    value, text = paper.SERIES_FD[name]
    return f"{text} ({times(value / paper.SERIES_FLOOR)} ×)"


def _notes(results: Results, judge: JudgeView | None) -> list[str]:
    study, part = results.study, results.study.part
    found = {
        metric: [row for name in results.measured if (row := results.measurement(metric, name))]
        for metric in ("fd", "kid", "precision", "copies", "variety", "told")
    }
    seen = found["fd"] or found["kid"] or found["precision"]
    notes = []
    if rows := [row for of_metric in found.values() for row in of_metric]:
        n = join(f"{size:,}" for size in sorted({int(row["n"]) for row in rows if row.get("n")}))
        seeds = len(study.seeds)
        pooled = f"pooled from {seeds} training seeds" if seeds > 1 else "of one training seed"
        notes.append(f"n = {n} images a set, generated ones {pooled}.")
    if seen:
        notes.append(_judge(results, join(sorted({str(r["judge"]) for r in seen})), judge))
    if found["fd"]:
        n = " or ".join(f"{size:,}" for size in sorted({row["reference_n"] for row in found["fd"]}))
        notes += [
            f"FD: Fréchet distance of the judge's features, after its ReLU, to those of all {n} "
            "training images. The interval is ± 1.96 standard errors from a bootstrap over the "
            "set's own images; it does not include the spread over trainings. “× floor” is FD "
            f"relative to that of real {part} images, about what a perfect generator would reach.",
            "FD is biased upwards, more so for fewer images: only rows of equal n can be compared.",
            "FD compares only means and covariances: it assumes that features are normal."
            + (f" {judge.unseen}" if judge else ""),
        ]
        if results.alone:
            notes.append(
                f"FD of seeds each alone: mean ± sample standard deviation over "
                f"{len(study.seeds)} trainings."
            )
        if paper.shown(study):
            orientation = " (for orientation)" if study.data.name == paper.EMBEDDED_DATA else ""
            notes.append(
                f"FD, published: by the paper's author for MNIST{orientation}, with a judge of the "
                "same shape but other weights, and for images of no class in particular; in "
                f"brackets, relative to its own floor, {paper.SERIES_FLOOR:.2f}. FDs of two judges "
                "can be compared relative to their floors at best."
            )
    if results.reconstructions:
        notes.append(
            f"Real {part} images through an autoencoder are the floor of the methods that work in "
            "its latents: no decoded images can be expected to come nearer to the real ones."
        )
    if found["kid"]:
        notes.append(
            "KID: squared maximum mean discrepancy to all training images, with a cubic kernel; "
            "mean ± standard deviation over 100 pairs of subsets. Unbiased, so that it may be "
            "negative for real images."
        )
    if found["precision"]:
        notes.append(
            "Precision (how many images lie among real ones), recall (how many real ones lie among "
            "them), density and coverage: by balls to the 5th neighbour, against as many real "
            f"training images as the set has. Real {part} images show what can be reached."
        )
    if found["copies"]:
        notes.append(
            "Copies: share of images less than a third as far from the nearest training image, in "
            f"pixels, as from the second nearest. Real {part} images are not copies, so a set with "
            "a larger share than theirs has memorised. The distance to the nearest training image "
            "is the median, in units of a pixel's range."
        )
    if found["variety"]:
        notes.append(
            "Variety: variance within a class over that of all training images, along the class's "
            "ten main principal components of the pixels (detail: along the others), the mean "
            "over the classes."
        )
    if found["told"]:
        notes.append(
            "Told from real: a small network learns from three quarters of the set, and as many "
            "training images, to tell the two apart. This is its accuracy on the rest; 1/2 is "
            "chance. In noise: with Gaussian noise added to both, of standard deviation 0.3 (white "
            "is 1), which hides grey levels and leaves strokes."
        )
    return notes


def _judge(results: Results, hashes: str, judge: JudgeView | None) -> str:
    text = f"Judge {hashes}: the network whose features FD, KID and precision to coverage compare"
    if judge is None:
        return f"{text}."
    reads = f"; it reads {judge.reads} images" if judge.reads else ""
    text += f"; trained on {judge.trained_on}{reads}."
    if results.study.data.name == paper.EMBEDDED_DATA != judge.trained_on:
        text += " All of the embedded digits were among its training images, the test part's too."
    return text
