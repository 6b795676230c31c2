"""Scores in charts: CAS of each class, and confusions."""

from __future__ import annotations

import numpy as np

from scalespace.evaluation.cas import CASResult
from scalespace.figures.charts import Series, dots, matrix
from scalespace.figures.picture import Picture
from scalespace.report.figures.common import color
from scalespace.report.results import Results
from scalespace.report.words import join, of_seeds


def cas_per_class(results: Results) -> list[Picture]:
    """Figure 1: accuracy within each class, of all that was scored."""
    scores, names = results.scores, results.study.data.classes
    if not scores:
        return []
    series = []
    for name, score in scores.items():
        many = len(score.accuracy) > 1
        sd = score.per_class.std(axis=0, ddof=1) if many else np.zeros(len(names))
        mean = score.per_class.mean(axis=0)
        series.append(Series(results.titles[name], color(results, name), mean, sd))
    m = max(len(score.accuracy) for score in scores.values())
    n = join(f"{size:,}" for size in sorted({score.n for score in scores.values()}))
    seeds = of_seeds(results.study.seeds)
    what = f"Mean and standard deviation over {m} classifiers, each trained on {n} images ({seeds})"
    worst = [f"{s.label}: class {names[int(np.nanargmin(s.values))]}" for s in series]
    return [
        Picture(
            "cas",
            "CAS of each class",
            f"{what}. Figure 1 of the paper, here with an axis that does not start at 0.",
            f"Accuracy by class. Hardest class of each set: {'; '.join(worst)}.",
            dots(names, series, "accuracy", (11.3, 3.7)),
        )
    ]


def confusion(results: Results) -> list[Picture]:
    """The confusion matrix of the classifiers, for each set of images."""
    names, pictures = results.study.data.classes, []
    side = 3.5 if len(names) <= 12 else 8.0
    for name, score in results.scores.items():
        totals = score.together.sum(axis=1, keepdims=True)
        share = score.together / np.maximum(totals, 1)
        largest = confusions(score, names)
        words = f"Most frequent: {'; '.join(largest)}." if largest else "No confusions."
        pictures.append(
            Picture(
                f"confusion-{name}",
                f"Trained on {results.titles[name]}",
                f"Per cent of each true class, {len(score.accuracy)} classifiers together, each "
                f"trained on {score.n:,} images. {words}",
                f"Confusion matrix of classifiers trained on {results.titles[name]}. {words}",
                matrix(share, names, color(results, name), (side, side)),
            )
        )
    return pictures


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
