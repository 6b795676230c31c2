"""A chart of what quality costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import FigureBase
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from scalespace.figures.charts import (
    ROW,
    Size,
    axes,
    legend_above,
    legend_columns,
    plain_log_ticks,
)
from scalespace.figures.picture import Color, Drawing, Theme

LEFT, RIGHT = 0.72, 0.14
"""Margins in inches."""
STYLES = (("o", "-"), ("s", "--"), ("^", ":"))
"""Marker and line of the first curves of each colour, the second ones, and so on."""


@dataclass(frozen=True)
class Point:
    """A labelled point."""

    label: str
    color: Color
    x: float
    y: float


@dataclass(frozen=True)
class Trail:
    """A curve of labelled points in rising order of x, each with a vertical spread."""

    label: str
    color: Color
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float]
    words: Sequence[str]


Level = tuple[str, Color, float]
"""A horizontal line: its label, colour and score."""


def frontier(
    trails: Sequence[Trail],
    levels: Sequence[Level],
    marks: Sequence[Point],
    xlabel: str,
    ylabel: str,
    size: Size,
    *,
    better: int = -1,
    share: bool = False,
) -> Drawing:
    """Curves of quality (up) against cost (right), both logarithmic, but for scores below 0.

    A curve joins those of its points that are better than all cheaper ones; the others stand alone.

    Args:
        trails: the curves; y is a score.
        levels: lines to compare them with.
        marks: single points to compare them with.
        size: in inches.
        better: 1 if a higher score is better, -1 if a lower one is.
        share: the score is a share of 1. If more of it is better, the axis shows what is missing.
    """
    missing = share and better > 0
    upwards = better > 0 and not missing
    scores, log = _scores(trails, levels, marks), logarithmic(trails, levels, marks)

    def height(y: float) -> float:
        at = 1 - y if missing else y
        return max(at, 1e-4) if log else at  # a logarithmic axis has no 0

    def draw(figure: FigureBase, theme: Theme) -> None:
        names = [trail.label for trail in trails]
        columns = legend_columns(names, 72 * (size[0] - LEFT - RIGHT))
        top = 0.36 + ROW * max(-(-len(names) // columns) - 2, 0)
        ax = axes(figure, size, left=LEFT, bottom=0.52, top=top, right=RIGHT)
        across = [x for trail in trails for x in trail.x] + [mark.x for mark in marks]
        up = [height(y) for y in scores]
        ax.set(xscale="log", yscale="log" if log else "linear", autoscale_on=False)
        ax.set_xlim(*_ends(across, 0.06))
        low, high = _ends(up, 0.1) if log else _linear_ends(up)
        ax.set_ylim(*(low, high) if upwards else (high, low))
        widest = max(x for trail in trails for x in trail.x)
        for trail in trails:
            at = [height(y) for y in trail.y]
            color = theme.color(trail.color)
            rank = at if upwards else [-y for y in at]
            best = [k for k in range(len(at)) if all(rank[k] > one for one in rank[:k])]
            marker, line = STYLES[theme.lap(trail.color) % len(STYLES)]
            joined = [trail.x[k] for k in best], [at[k] for k in best]
            ax.plot(*joined, lw=1.8, ls=line, color=color)
            ax.errorbar(
                trail.x,
                at,
                yerr=[min(s, 0.9 * y) if log else s for s, y in zip(trail.spread, at, strict=True)],
                fmt=marker,
                ms=4,
                elinewidth=1.0,
                color=color,
                label=trail.label,
            )
            for x, y, words in zip(trail.x, at, trail.words, strict=True):
                ax.annotate(
                    words,
                    (x, y),
                    xytext=(0, 5),
                    textcoords="offset points",
                    ha="center",
                    fontsize=6.5,
                    color=color,
                )
        for label, shade, y in levels:
            ax.axhline(height(y), color=theme.color(shade), lw=1.2, ls="--")
            ax.annotate(
                label,
                (0, height(y)),
                xycoords=("axes fraction", "data"),
                xytext=(3, 2),
                textcoords="offset points",
                fontsize=8,
                color=theme.muted,
            )
        for mark in marks:
            color, left = theme.color(mark.color), mark.x > 0.2 * widest
            ax.plot(mark.x, height(mark.y), "x", ms=8, mew=2, color=color)
            ax.annotate(
                mark.label,
                (mark.x, height(mark.y)),
                xytext=(-8 if left else 8, 0),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
                fontsize=8,
                color=color,
            )
        if log:
            plain_log_ticks(ax)
        if missing:
            ax.yaxis.set_major_formatter(lambda y, _: f"{1 - y:.4g}")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
        ax.grid(lw=0.6)
        legend_above(ax)

    return Drawing(size, draw)


def logarithmic(trails: Sequence[Trail], levels: Sequence[Level], marks: Sequence[Point]) -> bool:
    """Whether scores are drawn on a logarithmic axis: not if one is negative."""
    return min(_scores(trails, levels, marks)) >= 0


def _scores(
    trails: Sequence[Trail], levels: Sequence[Level], marks: Sequence[Point]
) -> list[float]:
    """Every score in the picture."""
    curves = [y for trail in trails for y in trail.y]
    return curves + [y for _, _, y in levels] + [mark.y for mark in marks]


def _ends(values: Sequence[float], margin: float) -> tuple[float, float]:
    """The ends of a logarithmic axis, which lie apart even where the values do not."""
    low, high = min(values), max(values)
    beyond = max((high / low) ** margin, 1.5)
    return low / beyond, high * beyond


def _linear_ends(values: Sequence[float]) -> tuple[float, float]:
    """The ends of a linear axis, which lie apart even where the values do not."""
    low, high = min(values), max(values)
    beyond = 0.1 * (high - low) or max(abs(high), 1.0)
    return low - beyond, high + beyond
