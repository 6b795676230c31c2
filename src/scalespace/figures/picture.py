"""A picture that can be drawn in a light or a dark theme, alone or among others.

Everything goes through matplotlib's objects: no pyplot, no current figure, no window system.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure, FigureBase

from scalespace.errors import InputError
from scalespace.files import atomic

DPI = 144
CSS_PIXELS = 96  # an inch on a web page; a picture has 1.5 pixels for each of them
FORMATS = ("png", "svg", "pdf")
TITLE = 0.4  # inches above a picture for its title, when several share a sheet
SHEET_WIDTH = 11.5

Color = int | str


@dataclass(frozen=True)
class Theme:
    """The colours of one appearance.

    `series` is colour-blind safe (after Okabe & Ito 2008; any two of them differ by 12 or more in
    CIELAB, whatever the kind of colour blindness) and goes to the methods in their order, in every
    chart alike; `controls` to real images and their downscaled copies.
    """

    ink: str
    muted: str
    grid: str
    paper: str
    series: tuple[str, ...]
    controls: tuple[str, str]

    def color(self, color: Color) -> str:
        """The colour of a series (its number), `control0`, `control1`, or a field's name."""
        if isinstance(color, int):
            return self.series[color % len(self.series)]
        if color.startswith("control"):
            return self.controls[int(color[-1])]
        return str(getattr(self, color))

    def lap(self, color: Color) -> int:
        """How many times the colours of series have been through before a series has its own."""
        return color // len(self.series) if isinstance(color, int) else 0

    def context(self) -> AbstractContextManager[None]:
        """Matplotlib's own defaults with this theme's colours, whatever the user's settings are."""
        ink, muted = self.ink, self.muted
        rc = {
            "font.size": 10,
            "axes.titlesize": 10,
            "axes.labelsize": 10,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.fontsize": 9,
            "legend.frameon": False,
            "text.color": ink,
            "axes.labelcolor": ink,
            "axes.edgecolor": muted,
            "xtick.color": muted,
            "ytick.color": muted,
            "xtick.labelcolor": ink,
            "ytick.labelcolor": ink,
            "axes.facecolor": "none",
            "figure.facecolor": "none",
            "savefig.facecolor": "none",
            "grid.color": self.grid,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "svg.hashsalt": "scalespace",
        }
        context: AbstractContextManager[None] = matplotlib.style.context(["default", rc])
        return context


LIGHT = Theme(
    ink="#1d2129",
    muted="#6f7682",
    grid="#e3e6ea",
    paper="#ffffff",
    series=(
        *("#0072b2", "#d55e00", "#009e73", "#cc79a7"),
        *("#5c2a0a", "#56b4e9", "#8b2be8", "#aa9955"),
    ),
    controls=("#4b5260", "#a9b0bb"),
)
DARK = Theme(
    ink="#e7eaee",
    muted="#969eaa",
    grid="#2f353e",
    paper="#15181d",
    series=(
        *("#4aa8e0", "#f0813a", "#2fc79a", "#e39bc4"),
        *("#a87444", "#8fd0f5", "#a066ff", "#e8d98a"),
    ),
    controls=("#c9cfd8", "#79818d"),
)

Draw = Callable[[FigureBase, Theme], None]


@dataclass(frozen=True)
class Spots:
    """A grid of equal cells in a drawing, and what a pointer on each of them tells.

    Args:
        box: left, top, width and height, as shares of the drawing's.
        columns: cells a row.
        told: a line for each cell, row by row; empty for one that tells nothing.
    """

    box: tuple[float, float, float, float]
    columns: int
    told: tuple[str, ...]


@dataclass(frozen=True)
class Drawing:
    """How to fill a (sub)figure of `size` (width, height) in inches.

    One that is not `themed` uses neutral colours that can be read on light and dark alike.
    """

    size: tuple[float, float]
    draw: Draw
    themed: bool = True
    spots: tuple[Spots, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A drawing with the words that belong to it.

    Args:
        name: short, unique among the pictures of a page.
        title: a few words.
        caption: what is seen, with n and seeds.
        alt: what someone who cannot see it should know.
    """

    name: str
    title: str
    caption: str
    alt: str
    drawing: Drawing

    @property
    def css_width(self) -> int:
        """The width on a page, in CSS pixels."""
        return round(self.drawing.size[0] * CSS_PIXELS)

    def png(self, theme: Theme = LIGHT) -> bytes:
        """The picture alone, on a transparent ground."""
        buffer = io.BytesIO()
        with theme.context():
            figure = Figure(figsize=self.drawing.size, dpi=DPI)
            self.drawing.draw(figure, theme)
            figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
        return buffer.getvalue()


def save(path: Path | str, pictures: Sequence[Picture]) -> None:
    """Writes pictures, with their titles, into one file.

    Args:
        path: ends in .png, .svg or .pdf, which decides the format.
        pictures: at least one; they fill rows as wide as a page.

    Raises:
        InputError: another suffix, or the file system refuses.
    """
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise InputError(f"cannot write {path}: a picture's name ends in .png, .svg or .pdf")
    date = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with LIGHT.context(), atomic(path) as aside:
        figure = _sheet(_rows(pictures))
        figure.savefig(aside, format=kind, dpi=DPI, facecolor=LIGHT.paper, metadata=date)


def _rows(pictures: Sequence[Picture]) -> list[list[Picture]]:
    rows: list[list[Picture]] = []
    room = 0.0
    for picture in pictures:
        width = picture.drawing.size[0]
        if not rows or width > room:
            rows.append([])
            room = SHEET_WIDTH
        rows[-1].append(picture)
        room -= width
    return rows


def _sheet(rows: list[list[Picture]]) -> Figure:
    widths = [[p.drawing.size[0] for p in row] for row in rows]
    heights = [TITLE + max(p.drawing.size[1] for p in row) for row in rows]
    width = max(sum(row) for row in widths)
    figure = Figure(figsize=(width, sum(heights)), dpi=DPI)
    bands = figure.add_gridspec(len(rows), 1, height_ratios=heights, hspace=0)
    for k, (row, across, height) in enumerate(zip(rows, widths, heights, strict=True)):
        strip = figure.add_subfigure(bands[k, 0])
        # One more cell at the end takes the space that a row or a column does not need.
        ratios = [*across, width - sum(across) + 1e-6]
        cells = strip.add_gridspec(1, len(ratios), width_ratios=ratios, wspace=0)
        for column, picture in enumerate(row):
            own = picture.drawing.size[1]
            cell = strip.add_subfigure(cells[0, column])
            ratios = [TITLE, own, height - TITLE - own + 1e-6]
            parts = cell.add_gridspec(3, 1, height_ratios=ratios, hspace=0)
            title = cell.add_subfigure(parts[0, 0])
            title.text(0.12 / picture.drawing.size[0], 0.35, picture.title, weight="bold")
            picture.drawing.draw(cell.add_subfigure(parts[1, 0]), LIGHT)
    return figure
