"""Table 1 of the paper with this study's numbers."""

from __future__ import annotations

from collections.abc import Callable

from scalespace.evaluation.controls import CONTROLS
from scalespace.report import paper
from scalespace.report.results import Results
from scalespace.report.tables.base import Cell, Table, each_alone, fill
from scalespace.report.words import NONE, by_size, milliseconds, plural, plus_minus, signed

NO_CLASSES = "no classes"


def methods_table(results: Results) -> Table:
    """A column for each control and method; what was not measured is a dash.

    A study without CAS has the methods' costs alone, and the paper's latency stands beside its CAS.
    """
    study, m = results.study, results.study.config.cas.classifiers
    first = f"CAS, {plural(m, 'classifier') if m > 1 else 'one classifier'}"
    orientation = ", for orientation" if study.data.name == paper.EMBEDDED_DATA else ""
    paper_cas = f"CAS, paper (MNIST, 10,000 images{orientation})"
    paper_latency = "Latency, mean (ms), paper (T4 GPU)"
    rows: dict[str, Cell] = {
        first: cas,
        paper_cas: _paper_cas,
        f"CAS, {len(study.seeds)} seeds each alone": each_alone("cas"),
        "CAS above or below its control": gap,
        "Latency, mean (ms)": _value("latency_mean", milliseconds),
        "Latency, median [quartiles] (ms)": _quartiles,
        paper_latency: _paper_latency,
        "Network calls a sample": _calls,
        "Multiply-adds a sample (millions)": _value("macs", lambda macs: f"{macs / 1e6:,.1f}"),
        "Parameters": _parameters,
        "Images/s at the best batch size": _rate,
        "Training, all stages, a seed (s)": _training,
    }
    theirs = (paper_cas, paper_latency)
    published = study.has_cas and paper.shown(study)
    chosen = {
        title: row
        for title, row in rows.items()
        if (study.has_cas or not title.startswith("CAS")) and (published or title not in theirs)
    }
    titles = results.titles if study.has_cas else {m.name: m.title for m in study.methods}
    cells = fill(results, titles, chosen, keep=first)
    return Table(cells.T, tuple(_notes(results)), kinds=dict.fromkeys(theirs, "paper"))


def cas(results: Results, name: str) -> str:
    """CAS with its spread over the classifiers."""
    method, score = results.study.method(name), results.scores.get(name)
    if score is None:
        return NONE if method is None or method.conditional else NO_CLASSES
    return plus_minus(score.mean, score.sd)


def gap(results: Results, name: str, form: str = "{} ({})") -> str:
    """CAS of a method minus that of its control, and the control's title."""
    method = results.study.method(name)
    control = results.control(method) if method else None
    if name not in results.scores or control not in results.scores:
        return NONE
    own, its = (results.scores[one].mean for one in (name, control))
    return form.format(signed(own - its), CONTROLS[control])


def _paper_cas(results: Results, name: str) -> str:
    return plus_minus(*paper.CAS[name]) if name in paper.CAS else NONE


def _paper_latency(results: Results, name: str) -> str:
    return f"{paper.LATENCY_MS[name]:.1f}" if name in paper.LATENCY_MS else NONE


def _value(metric: str, written: Callable[[float], str]) -> Cell:
    def cell(results: Results, name: str) -> str:
        value = results.value(metric, method=name)
        return NONE if value is None else written(value)

    return cell


def _quartiles(results: Results, name: str) -> str:
    found = [results.value(f"latency_{part}", method=name) for part in ("median", "q1", "q3")]
    known = [milliseconds(value) for value in found if value is not None]
    return f"{known[0]} [{known[1]}–{known[2]}]" if len(known) == 3 else NONE


def _calls(results: Results, name: str) -> str:
    method = results.study.method(name)
    return str(method.calls) if method else NONE


def _parameters(results: Results, name: str) -> str:
    """Of all stages together."""
    method = results.study.method(name)
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
    method = results.study.method(name)
    stages = (method.trained or method.stages) if method else ()
    found = [results.value("train_seconds", stage=stage) for stage in stages]
    known = [seconds for seconds in found if seconds is not None]
    return f"{sum(known):,.0f}" if known and len(known) == len(found) else NONE


def _notes(results: Results) -> list[str]:
    study = results.study
    m, seeds, notes = study.config.cas.classifiers, len(study.seeds), []
    if study.has_cas:
        n = by_size({results.titles[name]: score.n for name, score in results.scores.items()})
        pooled = f"pooled from {seeds} training seeds" if seeds > 1 else "from one training seed"
        spread = (
            f"mean ± sample standard deviation over {m} classifiers"
            if m > 1
            else "of one classifier, so that its spread is not known"
        )
        notes.append(
            f"CAS: accuracy on the real {study.part} images of classifiers trained on n = "
            f"{n or f'{study.config.study.images:,}'} images; {spread}; generated images {pooled}."
        )
        if any(not method.conditional for method in study.methods):
            notes.append(f"“{NO_CLASSES}”: made without labels.")
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
            f"{where or 'an unknown machine'}, by the engine {timed[0].get('engine', 'torch')}."
        )
        if study.config.ablation.batch_mode:
            notes[-1] += " Batch norm by the batch's statistics computes two images for each."
    if results.find("train_seconds") and len(study.methods) > 1:
        teachers = any(set(method.trained) - set(method.stages) for method in study.methods)
        notes.append(
            "Training: a stage that two methods share was trained once and counts in both"
            + (", as the teacher of a student does." if teachers else ".")
        )
    return notes
