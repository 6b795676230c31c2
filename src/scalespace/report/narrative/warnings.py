"""What a reader must know before believing a number."""

from __future__ import annotations

import math

from scalespace.evaluation.judge import doubts
from scalespace.report import paper
from scalespace.report.inside import judge_of_study
from scalespace.report.results import Results
from scalespace.report.words import by_size


def warnings(results: Results) -> list[str]:
    """Scores above their control, sets of unequal size, a poor judge, and what numbers are of."""
    out = [*_above_control(results), *_unequal(results)]
    if (judge := judge_of_study(results)) and (doubt := doubts(judge.accuracy)):
        out.append(doubt)
    out += _chosen_by_who_knows(results)
    if results.study.data.name == paper.EMBEDDED_DATA:
        out.append(
            "These numbers are for the embedded digits, a small subset of MNIST's training part: "
            "they are not MNIST's. The paper's numbers (MNIST, 10,000 images) are shown for "
            "orientation only."
        )
    return out


def _above_control(results: Results) -> list[str]:
    """A warning for each method that scores above its control."""
    scores, titles = results.scores, results.titles
    out = []
    for method in results.study.methods:
        control = results.control(method)
        if method.name not in scores or control not in scores:
            continue
        own, its = scores[method.name], scores[control]
        known = [score.sd for score in (own, its) if not math.isnan(score.sd)]
        sd = math.hypot(*known)
        if own.mean > its.mean + 2 * sd:
            beyond = f", more than 2 sd ({2 * sd:.4f}). This" if known else ". If not by chance, it"
            out.append(
                f"{titles[method.name]} scores {own.mean - its.mean:.4f} above its control "
                f"{titles[control]}{beyond} needs an explanation: "
                f"generated images cannot teach what the real ones lack, unless the generator saw "
                f"more real images than the {its.n:,} of the control, its images were chosen among "
                f"more, or {results.study.part} images leaked."
                + (f" It was also given more images, {own.n:,}." if own.n > its.n else "")
            )
    return out


def _chosen_by_who_knows(results: Results) -> list[str]:
    """A warning if a judge has chosen images that are scored by images which it has learnt from."""
    study = results.study
    if study.part != "validation" or not any(
        (found := results.of(variant).examples(method.name, study.seeds[0]))
        and found.candidates > 1
        for variant in study.variants
        for method in study.methods
    ):
        return []
    return [
        "A judge has chosen some of these images. The shipped judges, and those that 'scalespace "
        "train judge' makes, have learnt from the validation part, too: scores on it flatter what "
        "they choose. The test part decides."
    ]


def _unequal(results: Results) -> list[str]:
    """A warning if FDs in one table are of different numbers of images."""
    found = {title: results.measurement("fd", name) for name, title in results.measured.items()}
    sizes = {title: int(row["n"]) for title, row in found.items() if row}
    if len(set(sizes.values())) < 2:
        return []
    return [
        f"FD is larger for fewer images, and its rows have different numbers of them: "
        f"{by_size(sizes)}. These FDs cannot be compared."
    ]
