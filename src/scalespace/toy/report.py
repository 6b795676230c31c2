"""The experiment's results as a page of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scalespace.figures.picture import Picture
from scalespace.toy.config import PAPER, braces

Found = Mapping[str, Any]


def markdown(results: Found, pictures: Mapping[str, Sequence[Picture]]) -> str:
    """The tables of `toy.json`, with n, seeds and intervals, and the pictures.

    Args:
        results: what `toy.json` holds.
        pictures: by the names of their files.
    """
    settings, arms = results["settings"], results["arms"]
    seeds, n = settings["seeds"], arms[PAPER]["n"]
    points = tuple(settings["points"])
    lines = [
        f"# Diffusion of {braces(points)} in {settings['process']['states']} states",
        "",
        f"A stray ends further than {settings['tolerance']:g} half-gaps from every point. Each row "
        f"has n = {n:,} trajectories: {settings['samples']:,} of each trained seed "
        f"({', '.join(map(str, seeds))}), and as many of the exact process under the same noise. "
        f"Training: {settings['epochs']} epochs of {settings['batches']} × "
        f"{settings['batch_size']} points, Adam at {settings['lr']:g}. Intervals are Wilson's, "
        "95%, over trajectories; what seeds differ by is in the column beside.",
        "",
        "## Strays",
        "",
        *strays_table(results),
        "",
        "Both: put down to discretisation. Only learnt: to learning. Only exact: saved by the "
        "network's own errors.",
        "",
        "## Where they end, and what left the domain on the way",
        "",
        *_table(
            (
                *("", "nearest to the least point", "each seed", "the same, exact eps*"),
                *("an x0_hat outside", "final x outside", "furthest stray"),
            ),
            [
                (
                    arm["title"],
                    percent(arm["learnt"]["landed"][0]),
                    ", ".join(
                        _plain(one["learnt"]["landed"][0]["share"]) for one in arm["seeds"].values()
                    ),
                    percent(arm["exact"]["landed"][0]),
                    percent(arm["learnt"]["x0_hat_left_domain"]),
                    percent(arm["learnt"]["left_domain"]),
                    f"{arm['learnt']['largest_distance']:.2f}",
                )
                for arm in arms.values()
            ],
        ),
        "",
        f"Outside: beyond the convex hull of the points by more than {settings['tolerance']:g} "
        "half-gaps. Furthest stray: distance to the nearest point, in half-gaps.",
        "",
        "## What is called a stray",
        "",
        "Strays at other tolerances, in half-gaps.",
        "",
        *_tolerances(results),
        "",
        "## The paper's settings, state by state",
        "",
        "Undecided: between two trails, that is, further than 3 standard deviations of the forward "
        "process from every point's own mean. Outside: x_t beyond the points, as noise has to be. "
        "The forward process's shares are in closed form. x0 error: root mean square of the learnt "
        "minus the exact E[x0 | x_t] over the forward process, mean of the seeds.",
        "",
        *_states(arms[PAPER]),
        "",
        "## Whose errors make the strays",
        "",
        "Strays when the network answers in some states only, and the exact answer in the others.",
        "",
        *_table(
            ("k", "network in states 1 … k", "network in states k+1 … T"),
            [
                (str(k), percent(late), percent(early))
                for k, (late, early) in enumerate(
                    zip(results["blame"]["late"], results["blame"]["early"], strict=True)
                )
            ],
        ),
        "",
        "## Strays of the exact process by its number of states",
        "",
        *_table(
            ("states", "ancestral", "DDIM", "sqrt(alpha_bar) in the last state"),
            [
                (
                    f"{row['states']:,}",
                    percent(row["ancestral"]),
                    percent(row["ddim"]),
                    f"{row['last_signal']:.5f}",
                )
                for row in results["states"]
            ],
        ),
        "",
        *_pictures(pictures),
    ]
    return "\n".join(lines)


def strays_table(results: Found) -> list[str]:
    """The lines of the table that answers the question: whose fault are the strays?"""
    return _table(
        ("", "strays", "each seed", "exact eps*", "both", "only learnt", "only exact"),
        [
            (
                arm["title"],
                percent(arm["learnt"]["strays"]),
                ", ".join(
                    _plain(one["learnt"]["strays"]["share"]) for one in arm["seeds"].values()
                ),
                percent(arm["exact"]["strays"]),
                *(f"{arm['split'][key]:,}" for key in ("both", "only_learnt", "only_exact")),
            )
            for arm in results["arms"].values()
        ],
    )


def percent(found: Found) -> str:
    """A share with its interval: 2.56% (2.27–2.89)."""
    low, high = (_plain(found[end]).rstrip("%") for end in ("low", "high"))
    return f"{_plain(found['share'])} ({low}–{high})"


def _plain(share: float) -> str:
    if 0 < share < 0.0001:
        return f"{share:.4%}"
    return f"{share:.3%}" if 0 < share < 0.001 else f"{share:.2%}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    rule = " | ".join(["---", *["---:"] * (len(head) - 1)])
    return [f"| {' | '.join(head)} |", f"| {rule} |", *(f"| {' | '.join(row)} |" for row in rows)]


def _pictures(pictures: Mapping[str, Sequence[Picture]]) -> list[str]:
    lines = ["## Pictures", ""]
    for file, parts in pictures.items():
        alt = " ".join(dict.fromkeys(part.alt for part in parts))
        captions = [f"{part.title}: {part.caption}" for part in parts if part.caption]
        lines += [f"![{alt}]({file})", "", "\n\n".join(captions), ""]
    return lines


def _tolerances(results: Found) -> list[str]:
    arms = results["arms"]
    limits = tuple(arms[PAPER]["learnt"]["strays_by_tolerance"])
    rows = [(arm["title"], arm["learnt"]) for arm in arms.values()]
    rows.append(("the paper's settings, exact eps*", arms[PAPER]["exact"]))
    return _table(
        ("", *limits),
        [
            (title, *(percent(found["strays_by_tolerance"][limit]) for limit in limits))
            for title, found in rows
        ],
    )


def _states(arm: Found) -> list[str]:
    kinds = ("learnt", "exact", "forward")
    seeds = arm["seeds"].values()
    rows = []
    for t in reversed(range(len(arm["forward"]["undecided_at"]))):
        error = ""
        if t:
            error = f"{sum(one['x0_error'][t - 1] for one in seeds) / len(seeds):.4f}"
        rows.append(
            (
                str(t),
                *(_plain(arm[kind]["undecided_at"][t]) for kind in kinds),
                *(_plain(arm[kind]["outside_at"][t]) for kind in kinds),
                _plain(arm["learnt"]["x0_hat_left_domain_at"][t - 1]) if t else "",
                error,
            )
        )
    head = [f"{what}, {kind}" for what in ("undecided", "outside") for kind in kinds]
    return _table(("t", *head, "x0_hat outside, learnt", "x0 error"), rows)
