"""Choosing, among images made for each class, those that teach a classifier most.

A model that samples in few calls leaves most of a sampling budget unspent. Spent on more images
than are needed, it pays for a choice: a judge drops those that it reads as another class, and of
the rest keeps the ones that it is least sure of. Such images are rare, in real data and more so in
generated ones, and a classifier learns most from them (for real data: Sorscher et al. 2022, "Beyond
neural scaling laws", section 3).

A learner that compares with single images, as nearest neighbours do, learns most from images that
are spread evenly over all that there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from scalespace.config import SelectionConfig
from scalespace.config.build import build
from scalespace.data.info import DataInfo, listed_classes
from scalespace.data.samples import Samples, check
from scalespace.errors import InputError
from scalespace.evaluation.judge import Judge, named_judge
from scalespace.evaluation.medoids import medoids


def check_labelled(conditional: bool) -> None:
    """Raises `InputError` unless images are made for their labels, by which a judge chooses."""
    if not conditional:
        raise InputError(
            "a judge chooses images that it reads as the class they were made for, and these are "
            "made without classes: keep all (one candidate each)"
        )


@dataclass(frozen=True)
class Selector:
    """A judge and a rule to choose by.

    Args:
        judge: reads the candidates. It must not have learnt from images that a score is measured
            on.
        config: how many are kept, and which.
        device: where the judge computes.
    """

    judge: Judge
    config: SelectionConfig
    device: torch.device | str = "cpu"

    def check(self, data: DataInfo) -> None:
        """Raises `InputError` unless the judge reads the classes of images like `data`."""
        if self.judge.data.classes != data.classes:
            own, others = (listed_classes(one.classes) for one in (self.judge.data, data))
            raise InputError(
                f"a judge chooses among images of the classes that it reads ({own}), and those "
                f"here are {others}: name another by its folder, or train one with 'scalespace "
                "train judge'"
            )

    def asked(self, labels: Sequence[int]) -> list[int]:
        """The labels of the candidates that images of `labels` are chosen from."""
        return [*labels] * self.config.candidates

    def select(self, samples: Samples, labels: Sequence[int] = ()) -> Samples:
        """The images worth keeping: one in `config.candidates` of each class.

        Args:
            samples: the candidates, of each class a multiple of `config.candidates`.
            labels: the classes of the images to keep, in order; if empty, the classes in turn.

        Returns:
            the chosen images. `meta["selection"]` has the rule, the judge and the share of
            candidates that it reads as another class. `meta["indices"]` tells which image of its
            seed each one is, if the candidates have a seed. With one candidate each, all are kept,
            as they are.

        Raises:
            InputError: there are not that many of a class, they were made without classes, or the
                judge sees other images.
        """
        count = self.config.candidates
        if count > 1:
            check_labelled(samples.conditional)
        for label, own in zip(*np.unique(samples.labels, return_counts=True), strict=True):
            if own % count:
                raise InputError(
                    f"one in {count} images is to be kept, and of class {label} there are {own}, "
                    f"which is no multiple of {count}"
                )
        if count == 1:
            return samples
        sure = self.judge.probabilities(samples.images, self.device).cpu().numpy()
        chosen = choose(samples.labels, sure, self.config, samples.images)
        if len(labels):
            in_order = np.empty_like(chosen)
            by_class = np.argsort(samples.labels[chosen], kind="stable")
            in_order[np.argsort(np.asarray(labels), kind="stable")] = chosen[by_class]
            chosen = in_order
        meta = {name: value for name, value in samples.meta.items() if name != "first"}
        if "seed" in meta:
            first = samples.meta.get("first", 0)
            indices = np.asarray(meta.get("indices", range(first, first + len(samples))))
            meta["indices"] = indices[chosen].tolist()
        meta["selection"] = {
            **asdict(self.config),
            "judge": self.judge.hash,
            "read_otherwise": float((sure.argmax(axis=1) != samples.labels).mean()),
        }
        return Samples(samples.images[chosen], samples.labels[chosen], meta)


def select(
    samples: Samples,
    candidates: int,
    hard: float = 1.0,
    judge: Judge | str = "mnist",
    others: Literal["any", "even"] = "any",
) -> Samples:
    """One in `candidates` of the images of each class: those that teach most.

    Args:
        samples: images to choose from, generated or real; of each class a multiple of
            `candidates`.
        candidates: how many there are for each one that is kept.
        hard: share of the kept ones that are the hardest to read, 0 to 1.
        judge: reads them: a judge, its folder, or the name of a shipped one.
        others: which the others are: any, or spread evenly over all there are.

    Raises:
        InputError: a number is out of range, or what `Selector.select` raises.
    """
    config = build(SelectionConfig, {"candidates": candidates, "hard": hard, "others": others})
    found = judge if isinstance(judge, Judge) else named_judge(judge)
    good = check(samples.images, samples.labels, samples.meta, classes=len(found.data.classes))
    return Selector(found, config).select(good)


def choose(
    labels: NDArray[np.integer],
    sure: NDArray[np.floating],
    config: SelectionConfig,
    images: NDArray[np.floating],
) -> NDArray[np.int64]:
    """Which candidates are kept, as indices, the classes in turn.

    One in `config.candidates` of each class is kept. The share `config.hard` of these are the
    hardest: the judge reads them as their class, and gives it the lowest probability. Other images
    that it reads as their class fill the rest: the next ones in their order, which is random, or
    those that are spread evenly (`medoids` of the pixels). If there are too few, those follow to
    which it gives their class the highest probability.

    Args:
        labels: the classes that the candidates were made as, int [n].
        sure: the judge's probabilities, [n, classes].
        images: float [n, ...].
    """
    own = np.take_along_axis(sure, labels[:, None], axis=1)[:, 0]
    right = sure.argmax(axis=1) == labels
    kept = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = len(rows) // config.candidates
        good, wrong = rows[right[rows]], rows[~right[rows]]
        hardest = good[np.argsort(own[good], kind="stable")[: round(config.hard * count)]]
        others = good[~np.isin(good, hardest)]
        if config.others == "even":
            others = others[medoids(images[others], count - len(hardest))]
        likeliest = wrong[np.argsort(-own[wrong], kind="stable")]
        kept.append(np.sort(np.concatenate([hardest, others, likeliest])[:count]))
    chosen = np.concatenate(kept)
    place = np.concatenate([np.arange(len(rows)) for rows in kept])  # of each within its class
    return chosen[np.argsort(place, kind="stable")]
