"""The parts of a report's tables: cells that hold one number each, and how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scalespace.study.results import MethodInfo, Results

NONE = "–"
NO_CLASSES = "no classes"


@dataclass(frozen=True)
class TableRow:
    """A label and a cell for each column; `kind` (paper, control) tells a page how to show it."""

    label: str
    cells: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """Columns by name and title, rows, notes that say what the numbers are, and its own title."""

    names: tuple[str, ...]
    titles: tuple[str, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...]
    title: str = ""


def markdown_lines(table: Table, corner: str = "") -> list[str]:
    """The table in Markdown, a line each."""
    return [
        _line((corner, *table.titles)),
        _line(("---", *["---:"] * len(table.titles))),
        *(_line((row.label, *row.cells)) for row in table.rows),
    ]


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


def digits(value: float, most: int = 3) -> str:
    """A number of any size in three figures: '48.4', '0.00511', '12,300', '0'."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, most - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}".replace("-", "−")


def times(ratio: float) -> str:
    """A ratio: '3.1', '472'."""
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"


def compared(value: float, unit: float) -> str:
    """How much of another number it is: '4.1 times', '24% of'."""
    ratio = value / unit
    if ratio < 0.01:
        return "less than 1% of"
    return f"{times(ratio)} times" if ratio >= 1 else f"{ratio:.0%} of"


def join(words: Iterable[str]) -> str:
    """'a, b and c'."""
    listed = list(words)
    return " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


def method_of(results: Results, name: str) -> MethodInfo | None:
    """The method of that name, if it is one of the study's."""
    return next((m for m in results.study.methods if m.name == name), None)


def cas(results: Results, name: str) -> str:
    """CAS with its spread over the classifiers."""
    method, score = method_of(results, name), results.scores.get(name)
    if score is None:
        return NONE if method is None or method.conditional else NO_CLASSES
    return plus_minus(score.mean, score.sd)


def calls(results: Results, name: str) -> str:
    """Network calls a sample."""
    method = method_of(results, name)
    return str(method.calls) if method else NONE


def latency(results: Results, name: str) -> str:
    """Median latency of one image in milliseconds."""
    value = results.value("latency_median", method=name)
    return NONE if value is None else milliseconds(value)


def macs(results: Results, name: str) -> str:
    """Million multiply-adds a sample."""
    value = results.value("macs", method=name)
    return NONE if value is None else f"{value / 1e6:,.1f}"


def parameters(results: Results, name: str) -> str:
    """Parameters of all stages together."""
    method = method_of(results, name)
    if method is None:
        return NONE
    known = {stage.name: stage.parameters for stage in results.study.stages}
    return f"{sum(known.get(stage, 0) for stage in method.stages):,}"


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
