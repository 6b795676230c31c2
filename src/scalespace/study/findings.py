"""What a study found, in sentences computed from its numbers, and what it still lacks."""

from __future__ import annotations

import itertools
import math

import numpy as np

from scalespace.evaluation.cas import CASResult, sample_sd
from scalespace.evaluation.controls import CONTROLS
from scalespace.evaluation.evaluate import METRICS
from scalespace.stages.judge import JUDGE
from scalespace.study.cells import digits, join, times
from scalespace.study.results import REAL, Results, Row

PAPER_CAS = {
    "real": (0.9764, 0.0043),
    "baseline": (0.7300, 0.0401),
    "small": (0.8188, 0.0323),
    "cascaded": (0.5997, 0.0477),
}
PAPER_LATENCY_MS = {"baseline": 60.7, "small": 41.2, "cascaded": 67.1}
PAPER_DATA = "mnist"
EMBEDDED_DATA = "digits"  # a subset of MNIST: the paper's figures are an orientation only
MEASURED = {
    "fd": "FD",
    "kid": "KID",
    "prdc": "precision and recall",
    "copies": "copies",
    "variety": "variety",
}
"""The metrics besides CAS, in words."""


def has_cas(results: Results) -> bool:
    """Whether the study was asked for CAS."""
    return "cas" in results.study.config.study.metrics


def shows_paper(results: Results) -> bool:
    """Whether the paper's figures stand beside those of this study's data."""
    return results.study.data.name in (PAPER_DATA, EMBEDDED_DATA)


def spread(results: Results, name: str) -> float:
    """The larger of a score's sd over classifiers and that over training seeds; 0 if unknown."""
    over_seeds = sample_sd(np.array([score.mean for score in results.seed_scores(name)]))
    known = [sd for sd in (results.scores[name].sd, over_seeds) if not math.isnan(sd)]
    return max(known, default=0.0)


def ranking(results: Results) -> list[str]:
    """The scored methods, best first."""
    scores = results.scores
    names = [name for name in scores if name not in CONTROLS]
    return sorted(names, key=lambda name: -scores[name].mean)


def headline(results: Results) -> str:
    """The main result in one sentence."""
    scores, titles, names = results.scores, results.titles, ranking(results)
    if not names:
        if {"cas", "fd"}.isdisjoint(results.study.config.study.metrics):
            return "This study measured neither CAS nor FD: what it did measure is in Table 2."
        return nearest(results) or "No method of this study has been scored yet."
    best = scores[names[0]]
    leaders = [name for name in names if _tied(results, names[0], name)]
    top = titles[names[0]]
    if len(leaders) > 1:
        quoted = [f"“{titles[name]}”" for name in leaders]
        listed = f"{', '.join(quoted[:-1])} and {quoted[-1]}"
        start, what = f"{listed} are too close to call", f"images of “{top}”"
    elif len(names) > 1:
        start, what = f"“{top}” makes the most useful images", "of them"
    else:
        start, what = f"“{top}” stands alone in this study", "of its images"
    outcome = f"a classifier trained on {best.n:,} {what} reads {best.mean:.1%} of "
    outcome += f"real {results.study.part} images"
    if REAL in scores:
        real = scores[REAL]
        real_n = "as many real ones" if real.n == best.n else f"{real.n:,} real ones"
        outcome += f", one trained on {real_n} {real.mean:.1%}"
    return f"{start}: {outcome}."


def remarks(results: Results) -> list[str]:
    """The sentences after the headline: the order of the methods, beside the paper's."""
    scores, titles, names = results.scores, results.titles, ranking(results)
    out = []
    for first, second in itertools.pairwise(names):
        gap = scores[first].mean - scores[second].mean
        noise = math.hypot(spread(results, first), spread(results, second))
        verdict = "within" if _tied(results, first, second) else "more than"
        out.append(
            f"{titles[first]} is {gap:.4f} above {titles[second]}: {verdict} two standard "
            f"deviations of the difference ({2 * noise:.4f})."
        )
    compared = [name for name in names if name in PAPER_CAS]
    if shows_paper(results) and len(compared) > 1:
        theirs = sorted(compared, key=lambda name: -PAPER_CAS[name][0])
        ours, paper = (" > ".join(titles[n] for n in order) for order in (compared, theirs))
        out.append(f"Order here: {ours}. Order in the paper: {paper}.")
    if names and (near := nearest(results)):
        out.append(near)
    return out


def ratio_to_floor(results: Results, name: str) -> float | None:
    """FD of a set in units of the floor's, if both are known and the latter is above 0."""
    row, floor = results.figure("fd", name), results.figure("fd", results.floor)
    return row["value"] / floor["value"] if row and floor and floor["value"] > 0 else None


def nearest(results: Results) -> str:
    """Which method's images are nearest to the real ones, by FD; empty if it is not known."""
    found = {method.name: results.figure("fd", method.name) for method in results.study.methods}
    rows = {name: row for name, row in found.items() if row is not None}
    if not rows:
        return ""
    names = sorted(rows, key=lambda name: rows[name]["value"])
    first = names[0]
    leaders = [name for name in names if _as_near(results, rows, first, name)]
    found_floor = {name: ratio_to_floor(results, name) for name in leaders}
    if len(leaders) > 1:
        quoted = join(f"“{results.titles[name]}”" for name in leaders)
        listed = join(
            digits(rows[name]["value"]) + (f" ({times(ratio)} times the floor)" if ratio else "")
            for name, ratio in found_floor.items()
        )
        return f"By FD {quoted} are too close to call: {listed}."
    ratio = found_floor[first]
    units = f", {times(ratio)} times the floor" if ratio else ""
    value = digits(rows[first]["value"])
    if len(rows) == 1:
        return f"FD of “{results.titles[first]}” is {value}{units}."
    return f"“{results.titles[first]}” is nearest to the real images: FD {value}{units}."


def _as_near(results: Results, rows: dict[str, Row], first: str, name: str) -> bool:
    """Whether two FDs lie within two standard deviations of their difference."""

    def spread(name: str) -> float:
        alone = np.array([row["value"] for row in results.seed_figures("fd", name)])
        known = [rows[name].get("se") or 0.0, sample_sd(alone)]
        return max(sd for sd in known if not math.isnan(sd))

    gap = rows[name]["value"] - rows[first]["value"]
    return bool(name == first or gap <= 2 * math.hypot(spread(first), spread(name)))


def warnings(results: Results) -> list[str]:
    """What a reader must know before believing a number: scores above their control."""
    scores, titles = results.scores, results.titles
    out = []
    for method in results.study.methods:
        control = results.control(method)
        if method.name not in scores or control not in scores:
            continue
        own, its = scores[method.name], scores[control]
        sd = math.hypot(_zero(own), _zero(its))
        if own.mean > its.mean + 2 * sd:
            out.append(
                f"{titles[method.name]} scores {own.mean - its.mean:.4f} above its control "
                f"{titles[control]}, more than 2 sd ({2 * sd:.4f}). This needs an explanation: "
                f"generated images cannot teach what the real ones lack, unless the generator saw "
                f"more real images than the {its.n:,} of the control, or {results.study.part} "
                "images leaked."
                + (f" It was also given more images, {own.n:,}." if own.n > its.n else "")
            )
    out += _unequal(results)
    if results.study.data.name == EMBEDDED_DATA:
        out.append(
            "These figures are for the embedded digits, a small subset of MNIST's training part: "
            "they are not MNIST's. The paper's figures (MNIST, 10,000 images) are shown for "
            "orientation only."
        )
    return out


def missing(results: Results) -> list[str]:
    """What the finished study would hold and this one does not."""
    study, out = results.study, []
    metrics = study.config.study.metrics
    alone = study.seeds if len(study.seeds) > 1 else ()
    unconditional = {method.name for method in study.methods if not method.conditional}
    if has_cas(results):
        out += [
            f"CAS of {title}"
            for name, title in results.titles.items()
            if name not in results.scores and name not in unconditional
        ]
    for metric, words in MEASURED.items():
        if metric not in metrics:
            continue
        figures = _figures(metric)
        for name, title in results.measured.items():
            if any(results.figure(figure, name) is None for figure in figures):
                out.append(f"{words} of {title}")
    for method in study.methods:
        if has_cas(results) and method.conditional:
            out += _seeds(
                f"CAS of {method.title} alone",
                [s for s in alone if results.score(method.name, s) is None],
            )
        for metric, words in MEASURED.items():
            if metric in metrics:
                figures = _figures(metric)
                lacking = [
                    s
                    for s in alone
                    if any(results.figure(figure, method.name, s) is None for figure in figures)
                ]
                out += _seeds(f"{words} of {method.title} alone", lacking)
        for kind in ("samples", "trajectory"):
            lacking = [
                s
                for s in study.seeds
                if not results.find("artefact", kind=kind, method=method.name, seed=s)
            ]
            out += _seeds(f"{kind} of {method.title}", lacking)
        if results.value("latency_mean", method=method.name) is None:
            out.append(f"latency of {method.title}")
    for stage in study.stages:
        # a study has one judge
        lacking = [
            s
            for s in (study.seeds[:1] if stage.kind == "judge" else study.seeds)
            if not results.find("artefact", kind="metrics", stage=stage.name, seed=s)
        ]
        out += _seeds(f"training curves of stage {stage.name}", lacking)
        if stage.kind == "vae" and not _looked_into(results, stage.name):
            out.append(f"a look into stage {stage.name}")
    if any(METRICS[metric].judged for metric in metrics) and not _looked_into(results, JUDGE.name):
        out.append("a look into the judge")
    controls = CONTROLS if has_cas(results) else {}
    controls = controls | (results.feature_controls if results.measured else {})
    for name, title in controls.items():
        if not results.find("artefact", kind="real_samples", method=name):
            out.append(f"images of {title}")
    return out


def confusions(score: CASResult, names: tuple[str, ...], most: int = 3) -> list[str]:
    """The largest confusions in words: '4 read as 9: 35 of 982 (3.6 %)', over all classifiers."""
    wrong = score.together
    np.fill_diagonal(wrong, 0)
    totals = score.together.sum(axis=1)
    out = []
    for flat in np.argsort(-wrong, axis=None, kind="stable")[:most]:
        true, read = divmod(int(flat), len(names))
        count, total = int(wrong[true, read]), int(totals[true])
        if count:
            out.append(
                f"{names[true]} read as {names[read]}: {count:,} of {total:,} ({count / total:.1%})"
            )
    return out


def _tied(results: Results, first: str, second: str) -> bool:
    gap = results.scores[first].mean - results.scores[second].mean
    return gap <= 2 * math.hypot(spread(results, first), spread(results, second))


def _unequal(results: Results) -> list[str]:
    """A warning where FDs stand side by side that are of different numbers of images."""
    sizes: dict[int, list[str]] = {}
    for name, title in results.measured.items():
        if row := results.figure("fd", name):
            sizes.setdefault(int(row["n"]), []).append(title)
    if len(sizes) < 2:
        return []
    listed = "; ".join(f"{n:,} ({', '.join(titles)})" for n, titles in sorted(sizes.items()))
    return [
        f"FD is larger for fewer images, and its rows are not all of the same number: {listed}. "
        "They cannot be compared as they stand."
    ]


def _figures(metric: str) -> list[str]:
    """The metrics of the rows that a measurement leaves."""
    return [*METRICS[metric].figures, *(["fd_before_relu"] if metric == "fd" else [])]


def _looked_into(results: Results, stage: str) -> bool:
    return bool(results.find("artefact", kind="inspection", stage=stage))


def _zero(score: CASResult) -> float:
    return 0.0 if math.isnan(score.sd) else score.sd


def _seeds(what: str, seeds: list[int]) -> list[str]:
    listed = ", ".join(map(str, seeds))
    return [f"{what} (seed{'s' if len(seeds) > 1 else ''} {listed})"] if seeds else []
