"""Draws what quality costs from the tables of a page of results.

    python tools/draw_family.py docs/results/family.md

The page compares methods in the variants of the preset `family`: a row for each method, a column
for each variant, `FD ± spread · CAS ± spread · millions of multiply-adds` in a cell. A picture of
the page is drawn from the last such table above it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scalespace import InputError, Model, load_config
from scalespace.evaluation.controls import CONTROLS, FEATURE_CONTROLS, FLOOR
from scalespace.figures.frontier import Level, Trail, frontier
from scalespace.figures.picture import Color, Picture, save
from scalespace.files import read_text
from scalespace.report.figures.frontier import AXES
from scalespace.studies.plan import make_plan


@dataclass(frozen=True)
class Real:
    """A data set and the scores of its real images; FD of as many test images, if there are."""

    data: str
    fd: float | None
    cas: float
    half_size: float

    def levels(self, score: str) -> list[Level]:
        """The lines to draw for `fd` or `cas`."""
        if score == "cas":
            real, half = CONTROLS.values()
            return [(real, "control0", self.cas), (half, "control1", self.half_size)]
        return [] if self.fd is None else [(FEATURE_CONTROLS[FLOOR], "control0", self.fd)]


DIGITS = Real("digits", 0.251, 0.9779, 0.9660)
CLOTHES = Real("clothes", 0.050, 0.8729, 0.7940)
LETTERS = Real("letters", None, 0.9125, 0.8917)
PICTURES = {
    "family-three.png": DIGITS,
    "family-all.png": DIGITS,
    "family-clothes-three.png": CLOTHES,
    "family-clothes-all.png": CLOTHES,
    "family-letters-three.png": LETTERS,
    "family-letters-all.png": LETTERS,
}
COLUMNS = ["every state", "9 (+ 3)", "6 (+ 2)", "3 (+ 1)"]
"""The last headers of a table, in the order of the preset's variants."""
COLORS: dict[str, Color] = {
    "baseline": 0,
    "blurring": 8,
    "small": 1,
    "pyramid": 9,
    "cascaded": 2,
    "cascaded-3": 10,
    "scale-space": 6,
    "scale-space-3": 14,
    "scale-space-shared": 22,
    "dimensionality-varying": 7,
    "latent-flow": 4,
}
"""As on other pages. Relatives share a colour and differ in their lines: 8 begins a second lap."""


@dataclass(frozen=True)
class Cell:
    """A method in a variant: means and spreads over trainings (0 of one); multiply-adds in 10^6."""

    fd: tuple[float, float]
    cas: tuple[float, float]
    macs: float


Table = dict[str, list[Cell]]
"""The cells of each method, by its name."""


@dataclass(frozen=True)
class Known:
    """A method's title, and its network calls in each variant."""

    title: str
    calls: list[int]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("page", type=Path)
    page = parser.parse_args(argv).page
    try:
        draw(page)
    except InputError as error:
        print(f"draw_family: {error}", file=sys.stderr)
        sys.exit(2)


def draw(page: Path) -> None:
    """Writes the pictures of `PICTURES` that a page shows, beside it."""
    methods = known_methods()
    for name, table in tables(read_text(page, "page")):
        scores = [picture(score, table, methods, PICTURES[name]) for score in ("fd", "cas")]
        save(page.with_name(name), scores)


def tables(text: str) -> Iterator[tuple[str, Table]]:
    """The pictures that a page shows, each with the table above it.

    Raises:
        InputError: there is no table above a picture, or a cell of it reads otherwise.
    """
    table: Table = {}
    for block in text.strip().split("\n\n"):
        lines = block.splitlines()
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        if rows and rows[0][-len(COLUMNS) :] == COLUMNS:
            named = {row[0].strip("`"): row[-len(COLUMNS) :] for row in rows}
            found = {name: [*map(read_cell, named[name])] for name in named if name in COLORS}
            table = found or table  # differences between methods have such columns, too
        elif (shown := re.match(r"!\[.*\]\((.+)\)", block)) and shown[1] in PICTURES:
            if not table:
                raise InputError(f"there is no table above {shown[1]}")
            yield shown[1], table


def read_cell(cell: str) -> Cell:
    """What a cell says; bold or not.

    Raises:
        InputError: it reads otherwise.
    """
    try:
        fd, cas, macs = cell.replace("*", "").split(" · ")
        return Cell(_spread(fd), _spread(cas), float(macs))
    except ValueError:
        raise InputError(f"a cell must read FD · CAS · multiply-adds, got {cell!r}") from None


def _spread(text: str) -> tuple[float, float]:
    mean, _, spread = text.partition(" ± ")
    return float(mean), float(spread or 0)


def known_methods() -> dict[str, Known]:
    """The methods of the preset, by name."""
    digits = Model.from_pretrained("baseline").data
    known: dict[str, Known] = {}
    for arm in make_plan(load_config(preset="family"), digits).arms:
        one = known.setdefault(arm.method.name, Known(arm.method.title, []))
        one.calls.append(arm.method.calls(arm.models))
    return known


def picture(score: str, table: Table, methods: dict[str, Known], real: Real) -> Picture:
    """What `fd` or `cas` costs in multiply-adds, a curve for each method."""
    trails = []
    for name, cells in sorted(table.items(), key=lambda row: list(COLORS).index(row[0])):
        points = sorted(zip(cells, methods[name].calls, strict=True), key=lambda one: one[0].macs)
        y, spread = zip(*(getattr(cell, score) for cell, _ in points), strict=True)
        x, calls = [cell.macs for cell, _ in points], [str(number) for _, number in points]
        trails.append(Trail(methods[name].title, COLORS[name], x, y, spread, calls))
    size = (8.6, 4.0 if len(trails) < 6 else 4.8)
    better, word = (1 if score == "cas" else -1), score.upper()
    across = AXES["macs"][0]
    drawing = frontier(
        trails, real.levels(score), [], across, word, size, better=better, share=score == "cas"
    )
    return Picture(score, f"{word} against multiply-adds, {real.data}", "", "", drawing)


if __name__ == "__main__":
    main()
