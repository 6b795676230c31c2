"""A table of a report: cells of text in a frame, and the cells that several tables share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from scalespace.report.results import Results
from scalespace.report.words import NONE, milliseconds, plus_minus

NO_CLASSES = "no classes"
Cell = Callable[[Results, str], str]
"""The text in a column for a set of images, by its name."""


@dataclass(frozen=True)
class Table:
    """Text by row and column.

    Args:
        cells: the index labels the rows.
        notes: what the numbers are, a sentence or more each.
        title: empty for none.
        kinds: of the rows that a page styles differently: paper, control.
    """

    cells: pd.DataFrame
    notes: tuple[str, ...] = ()
    title: str = ""
    kinds: Mapping[str, str] | None = None

    @property
    def rows(self) -> list[tuple[str, str, list[str]]]:
        """Label, kind and cells of each row."""
        kinds = self.kinds or {}
        return [
            (str(label), kinds.get(str(label), ""), list(map(str, row)))
            for label, row in zip(self.cells.index, self.cells.to_numpy(), strict=True)
        ]

    def markdown(self) -> list[str]:
        """The table and its notes in Markdown, a line each."""
        lines = [
            _line(("", *self.cells.columns)),
            _line(("---", *["---:"] * len(self.cells.columns))),
            *(_line((label, *cells)) for label, _, cells in self.rows),
            "",
            *(f"- {note}" for note in self.notes),
        ]
        return [f"**{self.title}**", "", *lines] if self.title else lines


def fill(
    results: Results, sets: Mapping[str, str], columns: Mapping[str, Cell], keep: str = ""
) -> pd.DataFrame:
    """A row for each set of images, by its title, and a column for each kind of cell.

    A column without any value is left out, except `keep`.
    """
    cells = pd.DataFrame(
        {title: [cell(results, name) for name in sets] for title, cell in columns.items()},
        index=list(sets.values()),
        dtype=object,
    )
    known = (cells != NONE).any() | (cells.columns == keep)
    return cells.loc[:, known]


def cas(results: Results, name: str) -> str:
    """CAS with its spread over the classifiers."""
    method, score = results.study.method(name), results.scores.get(name)
    if score is None:
        return NONE if method is None or method.conditional else NO_CLASSES
    return plus_minus(score.mean, score.sd)


def calls(results: Results, name: str) -> str:
    """Network calls a sample."""
    method = results.study.method(name)
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
    method = results.study.method(name)
    if method is None:
        return NONE
    known = {stage.name: stage.parameters for stage in results.study.stages}
    return f"{sum(known.get(stage, 0) for stage in method.stages):,}"


COSTS: dict[str, Cell] = {
    "Network calls": calls,
    "Latency, median (ms)": latency,
    "Multiply-adds (millions)": macs,
    "Parameters": parameters,
}
"""What a sample costs, as columns."""


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
