"""A table of a report: cells of text in a frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from scalespace.report.results import Results
from scalespace.report.words import NONE, spread

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


def over_seeds(values: pd.Series[float], *, share: bool = False) -> str:
    """The mean of a figure over training seeds, with their deviation."""
    return spread(values.mean(), values.std(), share=share) if len(values) else NONE


def each_alone(metric: str) -> Cell:
    """`over_seeds` of a metric of the study for a method, where there are several seeds."""

    def cell(results: Results, name: str) -> str:
        if not results.alone:
            return NONE
        share = results.study.metrics[metric].share
        return over_seeds(results.by_seed(metric, name), share=share)

    return cell


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
