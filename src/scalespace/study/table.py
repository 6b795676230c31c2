"""Table 1 of the paper with this study's numbers, and both tables as Markdown."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scalespace.evaluation.cas import sample_sd
from scalespace.evaluation.controls import CONTROLS
from scalespace.study import cells, comparison
from scalespace.study.cells import (
    NONE,
    Table,
    TableRow,
    markdown_lines,
    method_of,
    milliseconds,
    plus_minus,
    signed,
)
from scalespace.study.findings import (
    EMBEDDED_DATA,
    PAPER_CAS,
    PAPER_LATENCY_MS,
    has_cas,
    headline,
    missing,
    nearest,
    shows_paper,
    warnings,
)
from scalespace.study.quality import make_quality
from scalespace.study.results import Results


def make_table(results: Results) -> Table:
    """Table 1: a column for each control and method; what was not measured is a dash.

    A study without CAS has the methods' costs alone.
    """
    with_cas = has_cas(results)
    titles = results.titles if with_cas else {m.name: m.title for m in results.study.methods}
    cas, seeds = results.study.config.cas, len(results.study.seeds)
    m = f"{cas.classifiers} classifiers" if cas.classifiers > 1 else "one classifier"
    quality = [
        _row(f"CAS, {m}", titles, lambda name: cells.cas(results, name)),
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
        quality.insert(1, _row(f"CAS, {where}", titles, _paper_cas, "paper"))
        cost.append(_row("Latency, mean (ms), paper (T4 GPU)", titles, _paper_latency, "paper"))
    cost += [
        _row("Network calls a sample", titles, lambda name: cells.calls(results, name)),
        _row("Multiply-adds a sample (millions)", titles, lambda name: cells.macs(results, name)),
        _row("Parameters", titles, lambda name: cells.parameters(results, name)),
        _row("Images/s at the best batch size", titles, lambda name: _rate(results, name)),
        _row("Training, all stages, a seed (s)", titles, lambda name: _training(results, name)),
    ]
    # the score has its row even before it is known
    rows = [
        row
        for row in (*(quality if with_cas else ()), *cost)
        if row is quality[0] or any(cell != NONE for cell in row.cells)
    ]
    return Table(tuple(titles), tuple(titles.values()), tuple(rows), tuple(_notes(results)))


def markdown(results: Results) -> str:
    """The tables with their headline and notes, for papers and pull requests."""
    table, quality, study = make_table(results), make_quality(results), results.study
    top, near = headline(results), nearest(results)
    if compared := comparison.markdown(results):
        compared = [f"**{comparison.headline(results)}**", "", *compared]
        compared += [f"What follows is of the variant “{results.variant}”.", ""]
    lines = [
        *compared,
        f"**{top}**",
        "",
        *([near, ""] if near and near != top else []),
        f"Data `{study.data.name}`, preset `{study.preset}`, "
        f"training seeds {', '.join(map(str, study.seeds))}.",
        "",
        *markdown_lines(table),
        "",
        *(f"- {note}" for note in table.notes),
    ]
    if quality:
        lines += ["", f"**{quality.title}**", "", *markdown_lines(quality), ""]
        lines += [f"- {note}" for note in quality.notes]
    lines += [f"- **Note.** {warning}" for warning in warnings(results)]
    if lacking := [*missing(results), *comparison.missing(results)]:
        lines.append(f"- **Not finished.** Missing: {'; '.join(lacking)}.")
    return "\n".join(lines) + "\n"


def _row(
    label: str, titles: dict[str, str], cell: Callable[[str], str], kind: str = ""
) -> TableRow:
    return TableRow(label, tuple(cell(name) for name in titles), kind)


def _seed_cas(results: Results, name: str) -> str:
    means = np.array([score.mean for score in results.seed_scores(name)])
    return plus_minus(float(means.mean()), sample_sd(means)) if len(means) > 1 else NONE


def _difference(results: Results, name: str) -> str:
    method = method_of(results, name)
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


def _rate(results: Results, name: str) -> str:
    value = results.value("images_per_s", method=name)
    if value is None:
        return NONE
    rate = f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
    size = results.find("images_per_s", method=name)[-1].get("batch_size")
    return rate if size is None else f"{rate} (batch {size})"


def _training(results: Results, name: str) -> str:
    method = method_of(results, name)
    stages = method.stages if method else ()
    found = [results.value("train_seconds", stage=stage) for stage in stages]
    known = [seconds for seconds in found if seconds is not None]
    return f"{sum(known):,.0f}" if known and len(known) == len(found) else NONE


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
    notes = []
    if has_cas(results):
        notes.append(
            f"CAS: accuracy on the real {study.part} images of classifiers trained on n = {n} "
            f"images; {spread}; generated images {pooled}."
        )
    alone = sorted({s.n for method in study.methods for s in results.seed_scores(method.name)})
    if alone:
        each = " or ".join(f"{size:,}" for size in alone)
        notes.append(
            f"Seeds each alone: mean ± sample standard deviation over {seeds} seeds; for each, the "
            f"mean of {cas.classifiers} classifiers trained on n = {each} images of that seed."
        )
    timed = results.find("latency_mean")
    if timed:
        # which a study that goes on elsewhere need not be on any more
        where = timed[0].get("machine") or study.machine.get("gpu") or study.machine.get("cpu")
        where = where or "an unknown machine"
        notes.append(
            f"Latency: one image at a time, {timed[0].get('n') or 0:,} productions, on {where}."
        )
        if study.config.ablation.batch_mode:
            notes[-1] += " Where batch norm goes by the batch, the network computes two for it."
    if results.find("train_seconds") and len(study.methods) > 1:
        notes.append(
            "Training: a stage that two methods share was trained once and counts in both."
        )
    return notes
