"""The experiment's pictures: the paper's Figures 3 and 4, and what explains them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter, MaxNLocator
from torch import Tensor

from scalespace.core.denoiser import Condition
from scalespace.figures.charts import Line, axes, curves, legend_above
from scalespace.figures.picture import Drawing, Picture, Theme, save
from scalespace.toy.config import PAPER, braces
from scalespace.toy.measures import Paths
from scalespace.toy.mixture import Mixture
from scalespace.toy.model import Toy
from scalespace.toy.strays import astray
from scalespace.toy.trajectories import forward

SHOWN = 150  # trajectories of a picture
COLOURED = 6  # strays at most
FEW = 2  # strays at least, if need be from beyond the first SHOWN trajectories
LEVELS = 4  # states whose eps is drawn
LINEAR = 1e-3  # an axis of shares is linear up to here, then logarithmic


def draw(
    out: Path,
    results: Mapping[str, Any],
    models: Sequence[Toy],
    found: Sequence[Paths],
    seeds: Sequence[int],
) -> dict[str, list[Picture]]:
    """Writes the pictures, and returns them by file name.

    Args:
        out: folder.
        results: what `toy.json` holds.
        models: trained with the paper's settings, one a seed.
        found: their trajectories.
        seeds: theirs.

    Raises:
        InputError: the file system refuses.
    """
    tolerance = results["settings"]["tolerance"]
    made = {
        "toy-forward.png": [forward_picture(models[0], seeds[0])],
        "toy-reverse.png": reverse_pictures(models[0], found[0], tolerance, seeds[0]),
        "toy-eps.png": eps_pictures(models, seeds),
        "toy-strays.png": [strays_picture(results)],
        "toy-causes.png": [blame_picture(results), states_picture(results)],
    }
    for name, pictures in made.items():
        save(out / name, pictures)
    return made


def forward_picture(model: Toy, seed: int) -> Picture:
    """Figure 3: points on their way to noise."""
    x = forward(model.mixture, model.schedule, SHOWN, seed).numpy()
    ends = np.digitize(x[0], np.array(model.mixture.points[1:]))
    lines = [
        Line(np.arange(len(x)), x[:, k], int(ends[k]), width=0.8, alpha=0.35)
        for k in range(x.shape[1])
    ]
    return Picture(
        "toy-forward",
        f"Forward process of {braces(model.mixture.points)}",
        f"{SHOWN} trajectories of the forward chain, in the colour of the point they start from "
        "(the paper's Figure 3).",
        "Lines fan out from each point until they are mixed in one normal distribution.",
        curves(lines, "t", "x_t", (5.7, 4.0), whole=True),
    )


def reverse_pictures(model: Toy, found: Paths, tolerance: float, seed: int) -> list[Picture]:
    """Figure 4, the learnt process, and the exact one under the same noise."""
    mixture = model.mixture
    strays = astray(found.learnt[0], mixture, tolerance).nonzero()[:, 0].tolist()
    first = [k for k in strays if k < SHOWN]
    coloured = (first if len(first) >= FEW else strays[:FEW])[:COLOURED]
    others = sum(k >= SHOWN for k in coloured)
    ends = [float(found.learnt[0, k]) for k in coloured]
    listed = ", ".join(f"{end:.2f}".replace("-", "−") for end in ends)
    caption = f"The first {min(SHOWN, found.learnt.shape[1])} trajectories of seed {seed}"
    caption += f" and {others} more strays" if others else ""
    if coloured:
        caption += f"; in colour, {len(coloured)} that end astray when learnt, at {listed}"
    about = {
        "learnt": ("learnt", f"{caption} (the paper's Figure 4)."),
        "exact": ("exact eps*", "The same noise with the exact eps*; the same ones in colour."),
    }
    low, high = (float(f(found.learnt[:, :SHOWN].numpy())) for f in (np.min, np.max))
    return [
        Picture(
            f"toy-reverse-{name}",
            f"Reverse process of {braces(mixture.points)}, {title}",
            words,
            "Lines from a normal distribution that part into a trail to each point.",
            _trails(getattr(found, name), coloured, (low - 0.2, high + 0.2)),
        )
        for name, (title, words) in about.items()
    ]


def eps_pictures(models: Sequence[Toy], seeds: Sequence[int]) -> list[Picture]:
    """The noise that each trained network predicts and the exact eps*, in several states."""
    model = models[0]
    states = np.linspace(1, model.schedule.last, LEVELS).round().astype(int).tolist()
    width = 11.5 / LEVELS - 0.01
    about = (
        f"what the networks of seeds {', '.join(map(str, seeds))} take for the noise of x_t, and "
        "eps* dashed, in this state and others. The grey ground holds 99.9% of the forward process."
    )
    return [
        Picture(
            f"toy-eps-{t}",
            f"t = {t}",
            "" if k else about,
            "Curves of the predicted noise over x_t in some states, beside the exact one.",
            _eps_chart(models, seeds, int(t), (width, 2.9), legend=k == 0),
        )
        for k, t in enumerate(dict.fromkeys(states))
    ]


def strays_picture(results: Mapping[str, Any]) -> Picture:
    """Strays of each arm with their intervals, learnt and exact."""
    arms, n = results["arms"], results["arms"][PAPER]["n"]

    def fill(figure: FigureBase, theme: Theme) -> None:
        size = (9.0, 0.9 + 0.3 * len(arms))
        ax = axes(figure, size, left=3.0, bottom=0.55, top=0.34, right=0.3)
        ax.set_xscale("symlog", linthresh=LINEAR)
        kinds = (("learnt", "learnt", 1, "o", -0.14), ("exact", "exact eps*", 0, "D", 0.14))
        for kind, label, color, marker, shift in kinds:
            at = np.arange(len(arms)) + shift
            found = [arm[kind]["strays"] for arm in arms.values()]
            mid = np.array([f["share"] for f in found])
            spread = [mid - [f["low"] for f in found], [f["high"] for f in found] - mid]
            ax.errorbar(
                mid,
                at,
                xerr=np.maximum(spread, 0),
                fmt=marker,
                ms=5,
                color=theme.color(color),
                label=label,
                elinewidth=1.4,
                capsize=2,
            )
            if kind == "learnt":
                for y, arm in zip(at, arms.values(), strict=True):
                    each = [one[kind]["strays"]["share"] for one in arm["seeds"].values()]
                    seen = "each seed" if y == at[0] else "_"
                    mark = {"color": theme.color(color), "alpha": 0.7, "label": seen}
                    ax.plot(each, [y] * len(each), "|", ms=8, **mark)
        ax.set_yticks(np.arange(len(arms)), [arm["title"] for arm in arms.values()])
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(len(arms) - 0.5, -0.5)
        ax.set_xlim(-1e-4, 1)
        ax.set_xticks([0, 1e-3, 1e-2, 1e-1, 1])
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
        ax.set_xlabel("strays (linear up to 0.1%)")
        ax.grid(axis="x", lw=0.8)
        legend_above(ax)

    return Picture(
        "toy-strays",
        "Strays and their cures",
        f"Share of trajectories that end astray, n = {n:,} an arm, with 95% intervals; strokes: "
        "each trained seed.",
        "Points for each arm: strays of the learnt process and of the exact one.",
        Drawing((9.0, 0.9 + 0.3 * len(arms)), fill),
    )


def blame_picture(results: Mapping[str, Any]) -> Picture:
    """Strays by which states are left to the network."""
    parts = (
        ("late", 1, "network in states 1 … k"),
        ("early", 2, "network in states k+1 … T"),
    )
    lines = []
    for part, color, label in parts:
        found = results["blame"][part]
        k = np.arange(len(found))
        lines.append(Line(k, [100 * f["share"] for f in found], color, label, width=2))
        for end in ("low", "high"):
            lines.append(Line(k, [100 * f[end] for f in found], color, width=0.7, alpha=0.6))
    return Picture(
        "toy-blame",
        "Whose errors make the strays",
        "Strays when the network answers in some states and eps* in the others; thin: 95%.",
        "Two curves over the state at which network and exact answer take turns.",
        curves(lines, "k", "strays (%)", (5.7, 3.6), whole=True, ylim=(0, None)),
    )


def states_picture(results: Mapping[str, Any]) -> Picture:
    """Strays of the exact process by its number of states."""

    def fill(figure: FigureBase, theme: Theme) -> None:
        ax = axes(figure, (5.7, 3.6), left=0.8, bottom=0.52, top=0.36)
        rows = results["states"]
        states = [row["states"] for row in rows]
        for color, (name, label) in enumerate((("ancestral", "ancestral"), ("ddim", "DDIM"))):
            mid = np.array([row[name]["share"] for row in rows])
            spread = [mid - [r[name]["low"] for r in rows], [r[name]["high"] for r in rows] - mid]
            ax.errorbar(
                np.array(states) * (0.97 if color else 1.03),
                mid,
                yerr=np.maximum(spread, 0),
                fmt="o-",
                ms=5,
                lw=1.2,
                capsize=2,
                color=theme.color(color),
                label=label,
            )
        ax.set_xscale("log")
        ax.set_xticks(states, [f"{s:,}" for s in states])
        ax.set_xticks([], minor=True)
        ax.set_yscale("symlog", linthresh=LINEAR)
        ax.set_yticks([0, 1e-3, 1e-2, 1e-1, 1])
        ax.set_ylim(-1e-4, 1)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
        ax.set_xlabel("states")
        ax.set_ylabel("strays")
        ax.grid(axis="y", lw=0.8)
        legend_above(ax)

    n = results["states"][0]["ancestral"]["n"]
    return Picture(
        "toy-states",
        "Discretisation alone: exact eps*, fewer and more states",
        f"Strays of the exact process, n = {n:,} each, with 95% intervals.",
        "Strays fall to none as states are added.",
        Drawing((5.7, 3.6), fill),
    )


def _trails(x: Tensor, coloured: Sequence[int], ylim: tuple[float, float]) -> Drawing:
    done = np.arange(len(x))
    table = x.flip(0).numpy()
    plain = [k for k in range(min(SHOWN, table.shape[1])) if k not in coloured]
    lines = [Line(done, table[:, k], "muted", width=0.7, alpha=0.3) for k in plain]
    lines += [Line(done, table[:, k], i, width=1.8) for i, k in enumerate(coloured)]
    return curves(lines, "steps done", "x_t", (5.7, 4.0), whole=True, ylim=ylim)


def _eps_chart(
    models: Sequence[Toy], seeds: Sequence[int], t: int, size: tuple[float, float], legend: bool
) -> Drawing:
    mixture = models[0].mixture
    a, b = models[0].schedule.scales(t)
    low, high = mixture.domain
    x = torch.linspace(a * low - 4 * b, a * high + 4 * b, 401, dtype=torch.float64)[:, None]
    usual = _usual(mixture, a, b, x[:, 0])

    def fill(figure: FigureBase, theme: Theme) -> None:
        ax = axes(figure, size, left=0.55, bottom=0.52, top=0.05, right=0.12)
        for left, right in usual:
            ax.axvspan(left, right, color=theme.grid, alpha=0.7, lw=0)
        at = x[:, 0].numpy()
        for k, (seed, model) in enumerate(zip(seeds, models, strict=True)):
            eps = (x - a * model.learnt(x, t, Condition())) / b
            ax.plot(at, eps[:, 0].numpy(), color=theme.color(k), lw=1.2, label=f"seed {seed}")
        exact = mixture.eps(x, a, b)[:, 0].numpy()
        ax.plot(at, exact, "--", color=theme.ink, lw=1.2, label="eps*")
        ax.set_ylim(1.15 * exact.min(), 1.15 * exact.max())
        ax.set_xlabel("x_t")
        ax.set_ylabel("eps", labelpad=0)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
        ax.grid(axis="y", lw=0.8)
        if legend:
            ax.legend(loc="lower right", handlelength=1.2, fontsize=8)

    return Drawing(size, fill)


def _usual(mixture: Mixture, a: float, b: float, x: Tensor) -> list[tuple[float, float]]:
    """The intervals of highest density that hold 99.9% of the forward process in one state."""
    density = mixture.log_density(x, a, b).exp()
    ordered = density.sort(descending=True).values
    held = ordered.cumsum(0) / density.sum()
    inside = density >= ordered[int((held < 0.999).sum())]
    edges = torch.diff(inside.int(), prepend=torch.zeros(1, dtype=torch.int32)).nonzero()[:, 0]
    starts = [int(i) for i in edges if inside[i]]
    ends = [int(i) for i in edges if not inside[i]]
    if len(ends) < len(starts):
        ends.append(len(x) - 1)
    return [(float(x[i]), float(x[j])) for i, j in zip(starts, ends, strict=True)]
