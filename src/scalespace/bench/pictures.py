"""The two pictures of the suite: the time of one image, and images a second by batch size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import FigureBase
from matplotlib.ticker import NullLocator

from scalespace.figures.charts import axes
from scalespace.figures.picture import Drawing, Picture, Theme

Row = dict[str, Any]


def pictures(rows: Sequence[Row]) -> list[Picture]:
    """Those whose section was measured."""
    single = [row for row in rows if row["section"] == "one image"]
    many = [row for row in rows if row["section"] == "batches"]
    found = []
    if single:
        found.append(_one_image(single))
    if many:
        found.append(_batches(many))
    return found


def _one_image(rows: Sequence[Row]) -> Picture:
    rows = sorted(rows, key=lambda row: -float(row["median"]))
    size = (8.6, 0.75 + 0.3 * len(rows))

    def draw(figure: FigureBase, theme: Theme) -> None:
        ax = axes(figure, size, left=3.3, bottom=0.52, right=0.9)
        at, medians = np.arange(len(rows)), np.array([row["median"] for row in rows])
        colors = [theme.color("control1" if "macs" not in row else 0) for row in rows]
        ax.barh(at, medians, color=colors, height=0.62)
        ax.set_xscale("log")
        for k, row in enumerate(rows):
            times = f"{row['median']:.3g}" + (f" ({row['ratio']:.2g} ×)" if "ratio" in row else "")
            ax.annotate(times, (medians[k], k), (4, 0), textcoords="offset points", va="center")
        ax.set_yticks(at, [row["case"] for row in rows])
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel("one image (ms), median; in brackets how many times faster than the first")
        ax.invert_yaxis()

    words = f"{rows[0]['case']} takes {rows[0]['median']:.3g} ms, {rows[-1]['case']} "
    words += f"{rows[-1]['median']:.3g} ms"
    caption = f"One image alone: the median of {rows[0]['n']}, all in turns."
    return Picture("bench-one-image", "One image", caption, f"{words}.", Drawing(size, draw))


def _batches(rows: Sequence[Row]) -> Picture:
    size = (8.6, 4.2)
    cases = list(dict.fromkeys(row["case"] for row in rows))

    def draw(figure: FigureBase, theme: Theme) -> None:
        ax = axes(figure, size, bottom=0.52, right=3.4)
        for k, case in enumerate(cases):
            own = [row for row in rows if row["case"] == case]
            style = "--" if k >= len(theme.series) else "-"
            x, y = [row["batch"] for row in own], [row["median"] for row in own]
            ax.plot(x, y, style, marker="o", ms=4, color=theme.color(k), label=case)
        ax.set_xscale("log")
        ax.set_yscale("log")
        sizes = sorted({row["batch"] for row in rows})
        ax.set_xticks(sizes, [str(batch) for batch in sizes])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel("images at a time")
        ax.set_ylabel("images a second")
        ax.grid(lw=0.8)
        figure.legend(*ax.get_legend_handles_labels(), loc="center right", fontsize=8)

    best = max(rows, key=lambda row: float(row["median"]))
    words = f"{best['case']} makes {best['median']:,.0f} images a second at batch {best['batch']}"
    caption = "Images a second, by how many are made at a time."
    return Picture("bench-batches", "Throughput", caption, f"{words}.", Drawing(size, draw))
