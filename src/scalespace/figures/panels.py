"""Charts of many small parts: histograms, maps of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from scalespace.figures.charts import Size
from scalespace.figures.picture import Color, Drawing, Theme

FIT_POINTS = 120  # of a normal curve


@dataclass(frozen=True)
class Histogram:
    """Counts [bins] between edges [bins + 1], and the normal distribution to draw over them.

    Args:
        std: 0 for values that are all alike, which have no such distribution.
    """

    title: str
    counts: NDArray[np.integer]
    edges: NDArray[np.floating]
    mean: float
    std: float


@dataclass(frozen=True)
class Maps:
    """Numbers [k, h, w] >= 0 as k maps in one row, on one scale from 0 to `top`."""

    label: str
    values: NDArray[np.floating]
    color: Color
    top: float


def histograms(parts: Sequence[Histogram], columns: int, size: Size) -> Drawing:
    """Small histograms, each with the normal distribution of the same mean and deviation."""

    def draw(figure: FigureBase, theme: Theme) -> None:
        rows = -(-len(parts) // columns)
        width, height = size
        cell_w, cell_h = (width - 0.1) / columns, (height - 0.05) / rows
        for k, part in enumerate(parts):
            row, column = divmod(k, columns)
            left, bottom = 0.1 + column * cell_w, height - (row + 1) * cell_h + 0.25
            ax = figure.add_axes(
                (left / width, bottom / height, (cell_w - 0.2) / width, (cell_h - 0.55) / height)
            )
            _histogram(ax, part, theme)

    return Drawing(size, draw)


def maps(rows: Sequence[Maps], titles: Sequence[str], cell: float = 0.8) -> Drawing:
    """Rows of maps under common titles, each row with a scale of its own beside it.

    Args:
        rows: each with a map for each title.
        titles: a word above each column.
        cell: side of a map in inches.
    """
    left, right, head, gap = 0.9, 0.75, 0.3, 0.08
    count = len(titles)
    size = (left + count * (cell + gap) + right, head + len(rows) * (cell + gap) + 0.1)

    def draw(figure: FigureBase, theme: Theme) -> None:
        width, height = size
        for r, row in enumerate(rows):
            colormap = LinearSegmentedColormap.from_list(
                "amount", [theme.paper, theme.color(row.color), theme.ink]
            )
            bottom = height - head - (r + 1) * (cell + gap) + gap
            for k, values in enumerate(row.values):
                x = left + k * (cell + gap)
                ax = figure.add_axes((x / width, bottom / height, cell / width, cell / height))
                shown = ax.imshow(values, cmap=colormap, vmin=0, vmax=row.top, aspect="auto")
                ax.set_xticks([])
                ax.set_yticks([])
                ax.spines[:].set_visible(True)
                ax.spines[:].set_color(theme.muted)
                if r == 0:
                    ax.set_title(titles[k], fontsize=8.5, pad=3)
            x = left + count * (cell + gap) + 0.05
            bar = figure.add_axes((x / width, bottom / height, 0.1 / width, cell / height))
            figure.colorbar(shown, cax=bar)
            bar.yaxis.set_major_locator(MaxNLocator(nbins=3))
            bar.tick_params(labelsize=8)
            figure.text(
                (left - 0.1) / width,
                (bottom + cell / 2) / height,
                row.label,
                ha="right",
                va="center",
                fontsize=9,
                color=theme.ink,
            )

    return Drawing(size, draw)


def _histogram(ax: Any, part: Histogram, theme: Theme) -> None:
    wide = np.diff(part.edges)
    # one patch: separate bars took most of a report's time
    ax.stairs(part.counts, part.edges, fill=True, color=theme.color(0), alpha=0.55)
    ax.set_ylim(bottom=0)
    if part.std > 0:
        x = np.linspace(part.edges[0], part.edges[-1], FIT_POINTS)
        z = (x - part.mean) / part.std
        density = np.exp(-0.5 * z**2) / (part.std * np.sqrt(2 * np.pi))
        ax.plot(x, density * part.counts.sum() * wide.mean(), color=theme.color(1), lw=1.6)
    ax.set_title(part.title, fontsize=8.5, pad=3)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=2))
    ax.xaxis.set_major_formatter(FuncFormatter(_plain))
    ax.tick_params(labelsize=8)


def _plain(value: float, position: int) -> str:
    return f"{value:g}".replace("-", "−")
