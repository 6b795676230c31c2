"""Table 2: how near every set of images is to the real ones, beside the real floor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scalespace.evaluation.cas import sample_sd
from scalespace.evaluation.controls import FLOOR
from scalespace.study import cells
from scalespace.study.cells import NONE, Table, TableRow, digits, join, times
from scalespace.study.findings import EMBEDDED_DATA, has_cas, ratio_to_floor, shows_paper
from scalespace.study.results import REAL, Results, Row
from scalespace.study.views import JudgeView, judge_of_study

TITLE = "Quality beside the real floor"
Cell = Callable[[Results, str], str]

SERIES_FLOOR = 0.30
SERIES_FD = {
    FLOOR: (SERIES_FLOOR, "0.30"),
    "latent": (6.02, "6.02"),
    "latent-flow": (3.0, "about 3"),
    "pixel-noise": (48.43, "48.43"),
    "vae": (63.49, "63.49"),
}
"""FD in the author's series of articles, on MNIST: the number, and as it is printed there."""


def make_quality(results: Results) -> Table | None:
    """A row for each set, the floor first; None for a study of CAS alone.

    A metric that was not asked for has no column.
    """
    titles = results.measured | results.reconstructions
    if not titles:
        return None
    controls = {*results.feature_controls, *results.reconstructions}
    names = sorted(titles, key=lambda name: (name not in controls, name != results.floor))
    filled = []
    for key, title, cell in _columns(results):
        column = [cell(results, name) for name in names]
        # FD has its column even before it is known
        if key == "fd" or any(value != NONE for value in column):
            filled.append((key, title, column))
    rows = [
        TableRow(
            titles[name],
            tuple(column[k] for _, _, column in filled),
            "control" if name in controls else "",
        )
        for k, name in enumerate(names)
    ]
    return Table(
        tuple(key for key, _, _ in filled),
        tuple(title for _, title, _ in filled),
        tuple(rows),
        tuple(_notes(results, judge_of_study(results))),
        TITLE,
    )


def _columns(results: Results) -> list[tuple[str, str, Cell]]:
    metrics, seeds = results.study.config.study.metrics, len(results.study.seeds)
    out: list[tuple[str, str, Cell]] = []
    if "fd" in metrics:
        out += [
            ("fd", "FD (95% interval)", _fd),
            ("floor", "× floor", _times_floor),
            ("fd-seeds", f"FD, {seeds} seeds each alone", _seed_fd),
            ("fd-before-relu", "FD before the ReLU", _plain("fd_before_relu", digits)),
        ]
        if shows_paper(results):
            out.append(("series", "FD, published (× own floor)", _series))
    if "kid" in metrics:
        out.append(("kid", "KID × 1,000", _kid))
    if "prdc" in metrics:
        out += [
            (name, name.capitalize(), _plain(name, lambda value: f"{value:.3f}"))
            for name in ("precision", "recall", "density", "coverage")
        ]
    if "copies" in metrics:
        out += [
            ("copies", "Copies", _plain("copies", lambda value: f"{value:.2%}")),
            ("distance", "Nearest training image", _plain("median_distance", digits)),
        ]
    if "variety" in metrics:
        out += [
            (name, name.capitalize(), _plain(name, lambda value: f"{value:.3f}"))
            for name in ("variety", "detail")
        ]
    if has_cas(results):
        out.append(("cas", "CAS", cells.cas))
    return [
        *out,
        ("calls", "Network calls", cells.calls),
        ("latency", "Latency, median (ms)", cells.latency),
        ("macs", "Multiply-adds (millions)", cells.macs),
        ("parameters", "Parameters", cells.parameters),
    ]


def _plain(metric: str, written: Callable[[float], str]) -> Cell:
    def cell(results: Results, name: str) -> str:
        row = results.figure(metric, name)
        return NONE if row is None else written(row["value"])

    return cell


def _fd(results: Results, name: str) -> str:
    row = results.figure("fd", name)
    if row is None:
        return NONE
    if row.get("low") is None or row.get("high") is None:
        return digits(row["value"])
    return f"{digits(row['value'])} ({digits(row['low'])}–{digits(row['high'])})"


def _times_floor(results: Results, name: str) -> str:
    ratio = ratio_to_floor(results, name)
    return NONE if ratio is None else times(ratio)


def _seed_fd(results: Results, name: str) -> str:
    found = np.array([row["value"] for row in results.seed_figures("fd", name)])
    if len(found) < 2:
        return NONE
    return f"{digits(float(found.mean()))} ± {digits(sample_sd(found), 2)}"


def _series(results: Results, name: str) -> str:
    if name not in SERIES_FD:
        return NONE
    value, text = SERIES_FD[name]
    return f"{text} ({times(value / SERIES_FLOOR)} ×)"


def _kid(results: Results, name: str) -> str:
    row = results.figure("kid", name)
    if row is None:
        return NONE
    spread = f" ± {1000 * row['sd']:.2f}" if isinstance(row.get("sd"), float) else ""
    return f"{1000 * row['value']:.2f}{spread}".replace("-", "−")


def _notes(results: Results, judge: JudgeView | None) -> list[str]:
    rows = {
        metric: _rows(results, metric) for metric in ("fd", "kid", "precision", "copies", "variety")
    }
    notes = []
    if any(rows.values()):
        notes.append(_sizes(results, [row for found in rows.values() for row in found]))
    if rows["fd"] or rows["kid"] or rows["precision"]:
        notes.append(_seen(results, rows["fd"] or rows["kid"] or rows["precision"], judge))
    if rows["fd"]:
        n = " or ".join(f"{size:,}" for size in sorted({row["reference_n"] for row in rows["fd"]}))
        notes.append(
            f"FD: Fréchet distance of the judge's features, after its ReLU, to those of all {n} "
            f"training images. The interval is ± 1.96 standard errors, which come from drawing the "
            f"set's own images anew (bootstrap); it holds no spread over trainings. “× floor” is "
            f"FD in units of that of real {results.study.part} images, about what a perfect "
            "generator would reach."
        )
        notes.append(
            "FD is too large at any finite number of images, and more so for fewer: only rows of "
            "equal n can be compared."
        )
        normal = "FD compares means and covariances: it takes features for normally distributed."
        notes.append(f"{normal} {judge.unseen}" if judge else normal)
    if results.seed_figures("fd", results.study.methods[0].name):
        notes.append(
            f"FD of seeds each alone: mean ± sample standard deviation over "
            f"{len(results.study.seeds)} trainings."
        )
    if rows["fd"] and shows_paper(results):
        orientation = " (for orientation)" if results.study.data.name == EMBEDDED_DATA else ""
        notes.append(
            f"FD, published: by the same author for MNIST{orientation}, with a judge of the same "
            "shape but other weights, and for images of no class in particular; in brackets in "
            f"units of its own floor, {SERIES_FLOOR:.2f}. FDs of two judges can be compared in "
            "such units at best."
        )
    if results.reconstructions:
        notes.append(
            f"Real {results.study.part} images through an autoencoder are as near to the real ones "
            "as what it decodes may be expected to come: the floor of the methods that work in "
            "its latents."
        )
    if rows["kid"]:
        notes.append(
            "KID: squared maximum mean discrepancy with a cubic kernel, mean ± standard deviation "
            "over 100 pairs of subsets; unbiased, so that it may be negative for real images."
        )
    if rows["precision"]:
        notes.append(
            "Precision (how many images lie among real ones), recall (how many real ones lie among "
            "them), density and coverage: by balls to the 5th neighbour, against as many real "
            f"training images as the set has. Real {results.study.part} images show what can be "
            "reached."
        )
    if rows["copies"]:
        notes.append(
            "Copies: share of images less than a third as far from the nearest training image, in "
            f"pixels, as from the second nearest. Real {results.study.part} images are no copies, "
            "so a set that has more of them than these has memorised. Nearest training image: "
            "median distance, in units of a pixel's range."
        )
    if rows["variety"]:
        notes.append(
            "Variety: variance within a class over that of all training images, along the class's "
            "ten main principal components of the pixels (detail: along the others), the mean "
            "over the classes."
        )
    if has_cas(results):
        real = results.scores.get(REAL)
        beside = f"; of real training images it is {real.mean:.4f}" if real else ""
        blind = any(not method.conditional for method in results.study.methods)
        without = f" “{cells.NO_CLASSES}”: made without labels." if blind else ""
        notes.append(f"CAS: as in Table 1{beside}.{without}")
    return notes


def _rows(results: Results, metric: str) -> list[Row]:
    found = (results.figure(metric, name) for name in results.measured)
    return [row for row in found if row is not None]


def _sizes(results: Results, rows: list[Row]) -> str:
    sizes = sorted({int(row["n"]) for row in rows if row.get("n") is not None})
    seeds = len(results.study.seeds)
    pooled = f"pooled from {seeds} training seeds" if seeds > 1 else "of one training seed"
    n = join(f"{size:,}" for size in sizes)
    return f"n = {n} images a set, generated ones {pooled}."


def _seen(results: Results, rows: list[Row], judge: JudgeView | None) -> str:
    names = sorted({str(row["judge"]) for row in rows if row.get("judge")})
    if judge is None:
        return (
            f"Judge {join(names)}: the network whose features FD, KID, precision to coverage see."
        )
    reads = f"; it reads {judge.reads} images" if judge.reads else ""
    text = (
        f"Judge {join(names)}: the network whose features FD, KID and precision to coverage see; "
        f"trained on {judge.trained_on}{reads}."
    )
    if results.study.data.name == EMBEDDED_DATA != judge.trained_on:
        text += " All of the embedded digits were among its training images, the test part's too."
    return text
