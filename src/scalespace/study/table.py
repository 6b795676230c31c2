"""Table 1 of the paper with this study's numbers, as cells and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scalespace.evaluation.controls import CONTROLS
from scalespace.study.findings import (
    EMBEDDED_DATA,
    PAPER_CAS,
    PAPER_LATENCY_MS,
    headline,
    missing,
    shows_paper,
    warnings,
)
from scalespace.study.results import MethodInfo, Results, sample_sd

NONE = "–"


@dataclass(frozen=True)
class TableRow:
    """A label and a cell for each column; `paper` marks figures that are not this study's."""

    label: str
    cells: tuple[str, ...]
    paper: bool = False


@dataclass(frozen=True)
class Table:
    """Columns by name and title, rows, and notes that say what the numbers are."""

    names: tuple[str, ...]
    titles: tuple[str, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...]


def make_table(results: Results) -> Table:
    """Table 1: a column for each control and method; what was not measured is a dash."""
    titles = results.titles
    cas, seeds = results.study.config.cas, len(results.study.seeds)
    m = f"{cas.classifiers} classifiers" if cas.classifiers > 1 else "one classifier"
    quality = [
        _row(f"CAS, {m}", titles, lambda name: _cas(results, name)),
        _row(f"CAS, {seeds} seeds each alone", titles, lambda name: _seed_cas(results, name)),
        _row("CAS above or below its control", titles, lambda name: _difference(results, name)),
    ]
    cost = [
        _row("Latency, mean (ms)", titles, lambda name: _latency(results, name)),
        _row("Latency, median [quartiles] (ms)", titles, lambda name: _quartiles(results, name)),
    ]
    if shows_paper(results):
        orientation = ", for orientation" if results.study.data.name == EMBEDDED_DATA else ""
        where = f"paper (MNIST, 10,000 images{orientation})"
        quality.insert(1, _row(f"CAS, {where}", titles, _paper_cas, paper=True))
        cost.append(_row("Latency, mean (ms), paper (T4 GPU)", titles, _paper_latency, paper=True))
    cost += [
        _row("Network calls a sample", titles, lambda name: _calls(results, name)),
        _row("Multiply-adds a sample (millions)", titles, lambda name: _macs(results, name)),
        _row("Parameters", titles, lambda name: _parameters(results, name)),
        _row("Images/s at the best batch size", titles, lambda name: _rate(results, name)),
        _row("Training, all stages, a seed (s)", titles, lambda name: _training(results, name)),
    ]
    # the score has its row even before it is known
    rows = [
        row
        for row in (*quality, *cost)
        if row is quality[0] or any(cell != NONE for cell in row.cells)
    ]
    return Table(tuple(titles), tuple(titles.values()), tuple(rows), tuple(_notes(results)))


def markdown(results: Results) -> str:
    """The table with its headline and notes, for papers and pull requests."""
    table, study = make_table(results), results.study
    lines = [
        f"**{headline(results)}**",
        "",
        f"Data `{study.data.name}`, preset `{study.preset}`, "
        f"training seeds {', '.join(map(str, study.seeds))}.",
        "",
        _line(("", *table.titles)),
        _line(("---", *["---:"] * len(table.titles))),
        *(_line((row.label, *row.cells)) for row in table.rows),
        "",
        *(f"- {note}" for note in table.notes),
        *(f"- **Note.** {warning}" for warning in warnings(results)),
    ]
    if lacking := missing(results):
        lines.append(f"- **Not finished.** Missing: {'; '.join(lacking)}.")
    return "\n".join(lines) + "\n"


def plus_minus(mean: float, sd: float) -> str:
    """'0.9764 ± 0.0043', without the spread where it is not known."""
    return f"{mean:.4f}" if math.isnan(sd) else f"{mean:.4f} ± {sd:.4f}"


def signed(value: float) -> str:
    """'+0.0123' or '−0.0123', with a minus sign that is as wide as the plus."""
    return f"{value:+.4f}".replace("-", "−")


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds with three figures or more."""
    value = 1000 * seconds
    return f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def _row(
    label: str, titles: dict[str, str], cell: Callable[[str], str], paper: bool = False
) -> TableRow:
    return TableRow(label, tuple(cell(name) for name in titles), paper)


def _cas(results: Results, name: str) -> str:
    score = results.scores.get(name)
    return plus_minus(score.mean, score.sd) if score else NONE


def _seed_cas(results: Results, name: str) -> str:
    means = np.array([score.mean for score in results.seed_scores(name)])
    return plus_minus(float(means.mean()), sample_sd(means)) if len(means) > 1 else NONE


def _difference(results: Results, name: str) -> str:
    method = _method(results, name)
    control = results.control(method) if method else None
    if name not in results.scores or control not in results.scores:
        return NONE
    gap = results.scores[name].mean - results.scores[control].mean
    return f"{signed(gap)} ({CONTROLS[control]})"


def _paper_cas(name: str) -> str:
    return plus_minus(*PAPER_CAS[name]) if name in PAPER_CAS else NONE


def _paper_latency(name: str) -> str:
    return f"{PAPER_LATENCY_MS[name]:.1f}" if name in PAPER_LATENCY_MS else NONE


def _latency(results: Results, name: str) -> str:
    value = results.value("latency_mean", method=name)
    return NONE if value is None else milliseconds(value)


def _quartiles(results: Results, name: str) -> str:
    found = [results.value(f"latency_{part}", method=name) for part in ("median", "q1", "q3")]
    known = [milliseconds(value) for value in found if value is not None]
    return f"{known[0]} [{known[1]}–{known[2]}]" if len(known) == 3 else NONE


def _calls(results: Results, name: str) -> str:
    method = _method(results, name)
    return str(method.calls) if method else NONE


def _macs(results: Results, name: str) -> str:
    value = results.value("macs", method=name)
    return NONE if value is None else f"{value / 1e6:,.1f}"


def _parameters(results: Results, name: str) -> str:
    method = _method(results, name)
    if method is None:
        return NONE
    known = {stage.name: stage.parameters for stage in results.study.stages}
    return f"{sum(known.get(stage, 0) for stage in method.stages):,}"


def _rate(results: Results, name: str) -> str:
    value = results.value("images_per_s", method=name)
    if value is None:
        return NONE
    rate = f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
    size = results.find("images_per_s", method=name)[-1].get("batch_size")
    return rate if size is None else f"{rate} (batch {size})"


def _training(results: Results, name: str) -> str:
    method = _method(results, name)
    stages = method.stages if method else ()
    found = [results.value("train_seconds", stage=stage) for stage in stages]
    known = [seconds for seconds in found if seconds is not None]
    return f"{sum(known):,.0f}" if known and len(known) == len(found) else NONE


def _method(results: Results, name: str) -> MethodInfo | None:
    return next((m for m in results.study.methods if m.name == name), None)


def _notes(results: Results) -> list[str]:
    study = results.study
    cas, seeds = study.config.cas, len(study.seeds)
    sizes: dict[int, list[str]] = {}
    for name, score in results.scores.items():
        sizes.setdefault(score.n, []).append(results.titles[name])
    n = f"{study.config.study.images:,}"
    if len(sizes) == 1:
        n = f"{next(iter(sizes)):,}"
    elif sizes:
        n = ", ".join(f"{size:,} ({'; '.join(names)})" for size, names in sizes.items())
    pooled = f"pooled from {seeds} training seeds" if seeds > 1 else "from one training seed"
    spread = (
        f"mean ± sample standard deviation over {cas.classifiers} classifiers"
        if cas.classifiers > 1
        else "of one classifier, so that its spread is not known"
    )
    notes = [
        f"CAS: accuracy on the real test images of classifiers trained on n = {n} images; "
        f"{spread}; generated images {pooled}."
    ]
    alone = sorted({s.n for method in study.methods for s in results.seed_scores(method.name)})
    if alone:
        each = " or ".join(f"{size:,}" for size in alone)
        notes.append(
            f"Seeds each alone: mean ± sample standard deviation over {seeds} seeds; for each, the "
            f"mean of {cas.classifiers} classifiers trained on n = {each} images of that seed."
        )
    timed = results.find("latency_mean")
    if timed:
        where = study.machine.get("gpu") or study.machine.get("cpu") or "the study's machine"
        notes.append(
            f"Latency: one image at a time, {timed[0].get('n') or 0:,} productions, on {where}."
        )
    if results.find("train_seconds") and len(study.methods) > 1:
        notes.append(
            "Training: a stage that two methods share was trained once and counts in both."
        )
    return notes


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
