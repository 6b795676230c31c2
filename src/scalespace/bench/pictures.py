"""The two pictures of the suite: the time of one image, and images a second by batch size."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import FigureBase
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from scalespace.bench.cases import Row
from scalespace.figures.charts import axes, plain_log_ticks
from scalespace.figures.picture import Color, Drawing, Picture, Theme


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
    reference = rows[0]["case"]
    rows = sorted(rows, key=lambda row: -float(row["median"]))
    size = (8.6, 0.75 + 0.3 * len(rows))

    def draw(figure: FigureBase, theme: Theme) -> None:
        ax = axes(figure, size, left=3.3, bottom=0.52, right=1.1)
        for k, row in enumerate(rows):
            color = theme.color(_family(row, rows))
            spread = [[row["median"] - row["q1"]], [row["q3"] - row["median"]]]
            ax.errorbar([row["median"]], [k], xerr=spread, fmt="o", ms=5, color=color)
            times = row["ratio"]
            words = f"{row['median']:.3g} ({times:.{0 if times >= 10 else 1}f} ×)"
            ax.annotate(words, (row["q3"], k), (6, 0), textcoords="offset points", va="center")
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_yticks(range(len(rows)), [row["case"] for row in rows])
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.grid(lw=0.8)
        ax.set_xlabel("one image (ms)")

    words = f"{rows[0]['case']} takes {rows[0]['median']:.3g} ms, {rows[-1]['case']} "
    words += f"{rows[-1]['median']:.3g} ms"
    caption = (
        f"One image alone: median and quartiles of {rows[0]['n']}, all in turns. In brackets how "
        f"many times faster than: {reference}."
    )
    return Picture("bench-one-image", "One image", caption, f"{words}.", Drawing(size, draw))


def _batches(rows: Sequence[Row]) -> Picture:
    size = (8.6, 4.2)
    cases = {row["case"]: row for row in rows}

    def draw(figure: FigureBase, theme: Theme) -> None:
        ax = axes(figure, size, bottom=0.52, right=3.4)
        for case, first in cases.items():
            own = [row for row in rows if row["case"] == case]
            x, y = [row["batch"] for row in own], [row["median"] for row in own]
            style = "--" if case.endswith("torch") else "-" if "macs" in first else ":"
            color = theme.color(_family(first, rows))
            ax.plot(x, y, style, marker="o", ms=4, color=color, label=case)
        ax.set_xscale("log")
        ax.set_yscale("log")
        plain_log_ticks(ax)
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


def _family(row: Row, rows: Sequence[Row]) -> Color:
    """A colour for each model, whatever runs it; one for all other libraries."""
    if "macs" not in row:
        return "muted"

    def name(one: Row) -> str:
        return str(one["case"]).rpartition(",")[0]

    return sorted({name(one) for one in rows if "macs" in one}).index(name(row))
