"""Table 1 of the paper with this study's numbers."""

from __future__ import annotations

from scalespace.evaluation.controls import CONTROLS
from scalespace.report import paper
from scalespace.report.results import Results
from scalespace.report.tables import base
from scalespace.report.tables.base import Cell, Table, fill
from scalespace.report.words import NONE, milliseconds, plural, plus_minus, signed


def methods_table(results: Results) -> Table:
    """A column for each control and method; what was not measured is a dash.

    A study without CAS has the methods' costs alone.
    """
    study = results.study
    m, seeds = study.config.cas.classifiers, len(study.seeds)
    first = f"CAS, {plural(m, 'classifier') if m > 1 else 'one classifier'}"
    orientation = ", for orientation" if study.data.name == paper.EMBEDDED_DATA else ""
    paper_cas, paper_latency = (
        f"CAS, paper (MNIST, 10,000 images{orientation})",
        "Latency, mean (ms), paper (T4 GPU)",
    )
    rows: dict[str, Cell] = {
        first: base.cas,
        paper_cas: _paper_cas,
        f"CAS, {seeds} seeds each alone": _seed_cas,
        "CAS above or below its control": _gap,
        "Latency, mean (ms)": _latency,
        "Latency, median [quartiles] (ms)": _quartiles,
        paper_latency: _paper_latency,
        "Network calls a sample": base.calls,
        "Multiply-adds a sample (millions)": base.macs,
        "Parameters": base.parameters,
        "Images/s at the best batch size": _rate,
        "Training, all stages, a seed (s)": _training,
    }
    theirs = (paper_cas, paper_latency)
    chosen = [
        row
        for row in rows
        if (study.has_cas or not row.startswith("CAS"))
        and (paper.shown(study) or row not in theirs)
    ]
    titles = results.titles if study.has_cas else {m.name: m.title for m in study.methods}
    cells = fill(results, titles, {row: rows[row] for row in chosen}, keep=first)
    return Table(cells.T, tuple(_notes(results)), kinds=dict.fromkeys(theirs, "paper"))


def _seed_cas(results: Results, name: str) -> str:
    means = results.by_seed("cas", name)
    return plus_minus(means.mean(), means.std()) if len(means) > 1 else NONE


def _gap(results: Results, name: str) -> str:
    method = results.study.method(name)
    control = results.control(method) if method else None
    if name not in results.scores or control not in results.scores:
        return NONE
    gap = results.scores[name].mean - results.scores[control].mean
    return f"{signed(gap)} ({CONTROLS[control]})"


def _paper_cas(results: Results, name: str) -> str:
    return plus_minus(*paper.CAS[name]) if name in paper.CAS else NONE


def _paper_latency(results: Results, name: str) -> str:
    return f"{paper.LATENCY_MS[name]:.1f}" if name in paper.LATENCY_MS else NONE


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
    method = results.study.method(name)
    stages = method.stages if method else ()
    found = [results.value("train_seconds", stage=stage) for stage in stages]
    known = [seconds for seconds in found if seconds is not None]
    return f"{sum(known):,.0f}" if known and len(known) == len(found) else NONE


def _notes(results: Results) -> list[str]:
    study = results.study
    m, seeds, notes = study.config.cas.classifiers, len(study.seeds), []
    if study.has_cas:
        pooled = f"pooled from {seeds} training seeds" if seeds > 1 else "from one training seed"
        spread = (
            f"mean ± sample standard deviation over {m} classifiers"
            if m > 1
            else "of one classifier, so that its spread is not known"
        )
        notes.append(
            f"CAS: accuracy on the real {study.part} images of classifiers trained on n = "
            f"{_sizes(results)} images; {spread}; generated images {pooled}."
        )
    own = results.table[(results.table.metric == "cas") & results.table.seed.notna()]
    if results.alone and len(own):
        each = " or ".join(f"{size:,}" for size in sorted(map(int, own.n.unique())))
        notes.append(
            f"Seeds each alone: mean ± sample standard deviation over {seeds} seeds; for each, the "
            f"mean of {m} classifiers trained on n = {each} images of that seed."
        )
    if timed := results.find("latency_mean"):
        # a study resumed elsewhere is on another machine now
        where = timed[0].get("machine") or study.machine.get("gpu") or study.machine.get("cpu")
        notes.append(
            f"Latency: one image at a time, {timed[0].get('n') or 0:,} productions, on "
            f"{where or 'an unknown machine'}."
        )
        if study.config.ablation.batch_mode:
            notes[-1] += " Batch norm by the batch's statistics computes two images for each."
    if results.find("train_seconds") and len(study.methods) > 1:
        notes.append(
            "Training: a stage that two methods share was trained once and counts in both."
        )
    return notes


def _sizes(results: Results) -> str:
    """How many images the classifiers were trained on, of each set where that differs."""
    sizes: dict[int, list[str]] = {}
    for name, score in results.scores.items():
        sizes.setdefault(score.n, []).append(results.titles[name])
    if len(sizes) > 1:
        return ", ".join(f"{size:,} ({'; '.join(names)})" for size, names in sizes.items())
    return f"{next(iter(sizes), results.study.config.study.images):,}"


def spread(results: Results, name: str) -> float:
    """The larger of a score's deviations, over classifiers and over seeds; 0 if unknown."""
    over_seeds = float(results.by_seed("cas", name).std())
    return max((sd for sd in (results.scores[name].sd, over_seeds) if sd > 0), default=0.0)
