"""The charts of a report, each a `Drawing` made from plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_rgb
from matplotlib.figure import FigureBase
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from numpy.typing import ArrayLike, NDArray

from scalespace.figures.lettering import font, shortened
from scalespace.figures.picture import Color, Drawing, Theme

Size = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """Named values with an optional spread (a standard deviation), all of one length."""

    label: str
    color: Color
    values: NDArray[np.floating]
    spread: NDArray[np.floating]


@dataclass(frozen=True)
class Line:
    """A curve; one without a label stays out of the legend."""

    x: ArrayLike
    y: ArrayLike
    color: Color = "ink"
    label: str = ""
    style: str = "-"
    width: float = 1.5
    alpha: float = 1.0


def dots(groups: Sequence[str], series: Sequence[Series], ylabel: str, size: Size) -> Drawing:
    """Grouped points with error bars, on an axis narrow enough to show small differences."""

    def draw(figure: FigureBase, theme: Theme) -> None:
        ax = axes(figure, size, top=0.42)
        at = np.arange(len(groups), dtype=float)
        for left in at[::2]:
            ax.axvspan(left - 0.5, left + 0.5, color=theme.grid, alpha=0.45, lw=0)
        _points(ax, series, at, 0.7 / len(series), theme)
        ax.set_xticks(at, [shortened(name) for name in groups])
        ax.tick_params(axis="x", length=0)
        ax.set_xlim(-0.5, len(groups) - 0.5)
        ax.set_xlabel("class")
        ax.set_ylabel(ylabel)
        ax.grid(axis="y", lw=0.8)
        ax.set_ylim(top=min(ax.get_ylim()[1], 1.004))  # no accuracy is above 1
        legend_above(ax)

    return Drawing(size, draw)


def gaps(rows: Sequence[str], series: Sequence[Series], xlabel: str, width: float) -> Drawing:
    """Differences as points with error bars, a row for each, beside a line at 0.

    Args:
        rows: their names, from the top.
        series: values that are NaN have no point.
        xlabel: what the differences are of.
        width: in inches; the height follows from the rows.
    """
    words = sum(0.45 + 0.075 * len(s.label) for s in series)  # inches
    lines = 1 if words < width else len(series)
    head = 0.14 + 0.22 * lines
    size = (width, 0.59 + head + 0.3 * len(rows))
    shared = np.sum([~np.isnan(s.values) for s in series], axis=0).max() > 1

    def draw(figure: FigureBase, theme: Theme) -> None:
        left = min(0.5 * width, 0.25 + 0.075 * max(map(len, rows)))
        ax = axes(figure, size, left=left, bottom=0.52, top=head)
        at = np.arange(len(rows), dtype=float)
        ax.axvline(0, color=theme.muted, lw=1)
        for top in at[::2]:
            ax.axhspan(top - 0.5, top + 0.5, color=theme.grid, alpha=0.45, lw=0)
        step = 0.5 / len(series) if shared else 0.0
        _points(ax, series, at, step, theme, across=True)
        ax.set_yticks(at, rows)
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.set_xlabel(xlabel)
        ax.grid(axis="x", lw=0.8)
        # labels too long for `legend_above` start at the picture's edge
        figure.legend(
            *ax.get_legend_handles_labels(),
            loc="upper left",
            ncols=-(-len(series) // lines),
            handlelength=1.0,
            borderpad=0.2,
            columnspacing=1.0,
        )

    return Drawing(size, draw)


def curves(
    lines: Sequence[Line],
    xlabel: str,
    ylabel: str,
    size: Size,
    *,
    log: bool = False,
    whole: bool = False,
    band: tuple[float, float] | None = None,
    ylim: tuple[float, float | None] | None = None,
) -> Drawing:
    """Curves over a common axis.

    Args:
        size: in inches.
        log: a logarithmic vertical axis.
        whole: whole numbers only on the horizontal axis.
        band: a range of y to shade.
        ylim: the vertical axis' ends; None for one that the curves decide.
    """

    def draw(figure: FigureBase, theme: Theme) -> None:
        labelled = any(line.label for line in lines)
        ax = axes(figure, size, left=0.68, bottom=0.52, top=0.36 if labelled else 0.14)
        if band is not None:
            ax.axhspan(*band, color=theme.grid, alpha=0.7, lw=0)
        for line in lines:
            # a single point has no extent as a line
            marker = "o" if np.size(line.x) == 1 else None
            ax.plot(
                line.x,
                line.y,
                line.style,
                color=theme.color(line.color),
                label=line.label or "_",
                lw=line.width,
                alpha=line.alpha,
                marker=marker,
            )
        if log:
            ax.set_yscale("log")
            plain_log_ticks(ax)
        if whole:
            ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        if ylim:
            ax.set_ylim(*ylim)
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
        ax.grid(axis="y", lw=0.8)
        if labelled:
            legend_above(ax)

    return Drawing(size, draw)


def matrix(share: NDArray[np.floating], names: Sequence[str], color: Color, size: Size) -> Drawing:
    """A confusion matrix [classes, classes] of shares of each row, written in as per cent.

    Colours follow the root of the share, so that a confusion of one in a hundred can be seen.
    """
    classes = len(names)
    font = min(7.5, 110 / classes)
    # With many classes, only the larger shares have room for a number.
    written = 0.005 if classes <= 12 else 0.02

    def draw(figure: FigureBase, theme: Theme) -> None:
        ax = axes(figure, size, left=0.62, bottom=0.55, top=0.08, right=0.08)
        colormap = LinearSegmentedColormap.from_list("share", [theme.paper, theme.color(color)])
        norm = PowerNorm(0.5, 0, 1)
        ax.imshow(share, cmap=colormap, norm=norm, aspect="auto")
        for true, predicted in np.argwhere(np.nan_to_num(share) >= written):
            value = 100 * share[true, predicted]
            ax.text(
                predicted,
                true,
                f"{value:.0f}" if value >= 9.95 or classes > 12 else f"{value:.1f}",
                ha="center",
                va="center",
                fontsize=font,
                weight="bold" if true == predicted else "normal",
                color=_readable_on(colormap(float(norm(share[true, predicted]))), theme),
            )
        ticks, short = np.arange(classes), [shortened(name) for name in names]
        size_of_ticks = min(8.5, 200 / classes)
        turn = 90 if max(map(len, names)) > 2 else 0
        ax.set_xticks(ticks, short, fontsize=size_of_ticks, rotation=turn)
        ax.set_yticks(ticks, short, fontsize=size_of_ticks)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_xlabel("read as")
        ax.set_ylabel("true class")

    return Drawing(size, draw)


def axes(
    figure: FigureBase,
    size: Size,
    *,
    left: float = 0.72,
    bottom: float = 0.5,
    top: float = 0.14,
    right: float = 0.14,
) -> Any:
    """Axes with margins given in inches: the same in every chart, and no layout to solve."""
    width, height = size
    return figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    )


def _points(
    ax: Any,
    series: Sequence[Series],
    at: NDArray[np.floating],
    step: float,
    theme: Theme,
    across: bool = False,
) -> None:
    """Points with error bars at the places `at`, the series `step` apart; `across`: in rows."""
    for k, s in enumerate(series):
        places = at + (k - (len(series) - 1) / 2) * step
        x, y = (s.values, places) if across else (places, s.values)
        ax.errorbar(
            x,
            y,
            **{"xerr" if across else "yerr": s.spread},
            fmt="o",
            ms=5,
            elinewidth=1.4,
            color=theme.color(s.color),
            label=s.label,
        )


LEGEND = 9  # points, the height of a legend's words where there is room
CLOSE = 8  # the same where it is set close
ROW = 0.19  # inches


def legend_columns(labels: Sequence[str], width: float) -> int:
    """How many columns of a legend that is set close, six at most, a width in points has."""
    widths = [font(CLOSE).getlength(label) + 1.8 * CLOSE for label in labels]  # handle, gaps
    for columns in range(6, 1, -1):
        rows = -(-len(labels) // columns)
        if sum(max(widths[k : k + rows]) for k in range(0, len(labels), rows)) <= width:
            return columns
    return 1


def legend_above(ax: Any) -> None:
    """A legend above the axes, set closer and in more rows where it has many words."""
    labels = ax.get_legend_handles_labels()[1]
    width = 72 * ax.get_window_extent().width / ax.figure.dpi
    around = 4.1 * LEGEND  # handle, gaps
    close = sum(font(LEGEND).getlength(label) + around for label in labels) > width
    tight = {"handlelength": 0.6, "columnspacing": 0.9, "handletextpad": 0.3, "fontsize": CLOSE}
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=legend_columns(labels, width) if close else 6,
        borderpad=0.2,
        **(tight if close else {"handlelength": 1.3}),
    )


def plain_log_ticks(ax: Any) -> None:
    """Ticks like 0.05 and 0.1 on a logarithmic axis, few enough whatever it spans."""
    low, high = sorted(ax.get_ylim())
    subs: tuple[float, ...] = (1, 1.5, 2, 3, 5, 7) if high < 30 * low else (1, 3)
    # a locator that skips decades draws no ticks between them
    ax.yaxis.set_major_locator(LogLocator(subs=subs if high < 1e5 * low else (1,)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def _readable_on(background: tuple[float, ...], theme: Theme) -> str:
    """The theme's ink or paper, whichever is further in brightness from a background."""

    def brightness(color: Any) -> float:
        return float(np.dot(to_rgb(color), (0.299, 0.587, 0.114)))

    ground = brightness(background[:3])
    return max(theme.ink, theme.paper, key=lambda color: abs(brightness(color) - ground))
