"""Scores a samples file, whoever made it, against real data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from scalespace.config import CASConfig
from scalespace.data import DataSplits, ImageSet, Samples, balanced_sample, check
from scalespace.data.pixels import pictures, planes
from scalespace.errors import InputError, unknown
from scalespace.evaluation.cas import cas
from scalespace.evaluation.controls import FLOORS, HeldOut, control, controls_beside
from scalespace.evaluation.copies import copies, nearest_two
from scalespace.evaluation.frechet import Frechet
from scalespace.evaluation.judge import Judge, find_judge
from scalespace.evaluation.kid import kid
from scalespace.evaluation.prdc import prdc
from scalespace.evaluation.scores import Scores
from scalespace.evaluation.two_sample import LEAST, two_sample
from scalespace.evaluation.variety import Components, components, variety
from scalespace.files import write_arrays
from scalespace.nets.judge import Features
from scalespace.plugins import HINT

INTERVAL = 1.96  # standard errors to either side of an estimate: 95 %


@dataclass(frozen=True)
class Real:
    """The real data that samples are compared with; what several sets need is computed once.

    Args:
        config: the protocol of CAS.
        judge: of fd, kid and prdc: a judge, its folder or name, or None for the shipped one.
        part: the held-out images that CAS tests on and that are the floor. With validation, nothing
            reads the test part.
        cache: folder that keeps the features of the real images for other processes.
    """

    splits: DataSplits
    config: CASConfig = field(default_factory=CASConfig)
    judge: Judge | Path | str | None = None
    device: torch.device | str = "cpu"
    progress: bool = False
    part: HeldOut = "test"
    cache: Path | None = None
    _last: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def held_out(self) -> ImageSet:
        """The real images that are held out from generators."""
        return self.splits.test() if self.part == "test" else self.splits.val

    @cached_property
    def reference(self) -> ImageSet:
        """The images that metrics other than CAS compare with: all of the training files (60,000
        for MNIST), less the validation part where that is held out."""
        return self.splits.whole if self.part == "test" else self.splits.train

    @cached_property
    def eye(self) -> Judge:
        """The judge itself; `InputError` if there is none for this data."""
        if isinstance(self.judge, Judge):
            return self.judge
        return find_judge(self.splits.info, self.judge or None, self.splits.options)

    @cached_property
    def features(self) -> Features:
        """Features of every reference image."""

        def compute() -> Features:
            return self.eye.features(self.reference.unit(), self.device)

        if self.cache is None:
            return compute()
        about = [self.splits.info.fingerprint, self.eye.hash, self.part]
        kind = torch.device(self.device).type
        path = self.cache / f"features-{'-'.join(about)}-{kind}.npz"
        return _kept(path, self.device) or _keep(path, compute())

    def seen(self, samples: Samples) -> Features:
        """Features of samples; the last ones' are kept, for several metrics need them."""
        if self._last.get("samples") is not samples:
            self._last.update(
                samples=samples, features=self.eye.features(samples.images, self.device)
            )
        found: Features = self._last["features"]
        return found

    @cached_property
    def frechet(self) -> dict[str, Frechet]:
        """The Fréchet distance to the reference images in each kind of features."""
        return {kind: Frechet(part) for kind, part in self.features._asdict().items()}

    @cached_property
    def pixels(self) -> Tensor:
        """Every reference image: float32 [n, h, w] or [n, h, w, 3] in [0, 1]."""
        return torch.from_numpy(pictures(self.reference.unit()))

    @cached_property
    def components(self) -> dict[int, Components]:
        """The principal components of each class of reference images."""
        return components(self.pixels, self.reference.labels)


def _keep(path: Path, features: Features) -> Features:
    """Writes features, and returns them."""
    write_arrays(path, {kind: part.cpu().numpy() for kind, part in features._asdict().items()})
    return features


def _kept(path: Path, device: torch.device | str) -> Features | None:
    """Features that another process has written; None if they are absent or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Features(
                *(torch.from_numpy(arrays[kind]).to(device) for kind in Features._fields)
            )
    except Exception:  # damaged bytes make its parsers raise errors of any kind
        return None


Result = dict[str, Any]


def _cas(samples: Samples, real: Real) -> Result:
    if not samples.conditional:
        raise InputError(
            "these images were made without classes, so their labels mean nothing: "
            "cas does not apply (try --metrics fd,kid,prdc,copies)"
        )
    splits = real.splits
    found = cas(
        samples.images,
        samples.labels,
        real.held_out,
        splits.mean,
        splits.std,
        real.config,
        device=real.device,
        progress=real.progress,
    )
    absent = sorted(set(splits.info.labels) - set(samples.labels.tolist()))
    return {**found.as_dict(), "absent": absent}


def _fd(samples: Samples, real: Real) -> Result:
    features = real.seen(samples)
    out: Result = {}
    for kind, part in features._asdict().items():
        frechet = real.frechet[kind]
        distance, se = frechet.distance(part), frechet.standard_error(part)
        out[kind] = {
            "fd": distance,
            "se": se,
            "low": max(0.0, distance - INTERVAL * se),
            "high": distance + INTERVAL * se,
        }
    return {**out.pop("pooled"), "before_relu": out.pop("linear"), **_about(samples, real)}


def _kid(samples: Samples, real: Real) -> Result:
    features = real.seen(samples)
    mean, sd = kid(features.pooled, real.features.pooled)
    return {"kid": mean, "sd": sd, **_about(samples, real)}


def _prdc(samples: Samples, real: Real) -> Result:
    features = real.seen(samples)
    # two manifolds are compared fairly with as many real images as samples
    labels = real.reference.labels
    chosen = balanced_sample(labels, min(len(samples), len(labels)), seed=0)
    reference = real.features.pooled[torch.as_tensor(chosen, device=features.pooled.device)]
    found = prdc(features.pooled, reference)
    return {**found._asdict(), **_about(samples, real), "reference_n": len(reference)}


def _copies(samples: Samples, real: Real) -> Result:
    found = copies(nearest_two(torch.from_numpy(samples.images), real.pixels))
    return {**found._asdict(), "reference_n": len(real.pixels)}


def _variety(samples: Samples, real: Real) -> Result:
    labels, real_labels = _classes(samples, real)
    within = real.components if samples.conditional else components(real.pixels, real_labels)
    found = variety(torch.from_numpy(samples.images), labels, within)
    return {**found._asdict(), "reference_n": len(real.pixels)}


def _c2st(samples: Samples, real: Real) -> Result:
    labels, real_labels = _classes(samples, real)
    told, in_noise, pairs = two_sample(
        planes(samples.images),
        labels,
        planes(real.pixels),
        real_labels,
        device=real.device,
        progress=real.progress,
    )
    return {"told": told, "told_in_noise": in_noise, "n": len(samples), "reference_n": pairs}


def _classes(samples: Samples, real: Real) -> tuple[Tensor, Tensor]:
    """Labels of both, to be compared; of images made without classes, one class of everything."""
    labels, real_labels = torch.from_numpy(samples.labels), real.reference.labels
    if samples.conditional:
        return labels, real_labels
    return torch.zeros_like(labels), torch.zeros_like(real_labels)


def _about(samples: Samples, real: Real) -> Result:
    return {"n": len(samples), "reference_n": len(real.reference), "judge": real.eye.hash}


@dataclass(frozen=True)
class Metric:
    """A metric of a set of images.

    Args:
        measure: the samples and the real data to plain values for JSON: a number for each of
            `figures`, `n`, and what else is worth keeping. A standard error under the name `se`
            lets reports tell differences from chance.
        figures: which of these values to report, and their titles in tables.
        floor: whether held-out real images are its floor (not for CAS, which tests on them).
            Without one, training images stand beside it, as they do beside CAS.
        judged: whether it needs a judge.
        least: the fewest images that it needs.
        of_a_class: whether these must be of one class.
        better: 1 if more is better, -1 if less is: then reports decide by it what is best, and
            compare methods and variants by the value of its own name. 0 for one that they only
            show.
        share: whether it is a share of 1, which reports write in four places.
    """

    measure: Callable[[Samples, Real], Result]
    figures: dict[str, str]
    floor: bool = True
    judged: bool = True
    least: int = 1
    of_a_class: bool = False
    better: int = 0
    share: bool = False

    @property
    def facts(self) -> dict[str, Any]:
        """What reports must know of it, for JSON: a study can then be read without it."""
        names = ("figures", "floor", "judged", "better", "share")
        return {name: getattr(self, name) for name in names}

    def fewest(self, classes: int) -> int:
        """The fewest images, balanced by class, that it needs."""
        return (self.least - 1) * classes + 1 if self.of_a_class else self.least

    def beside(self, part: HeldOut) -> dict[str, str]:
        """Its control sets and their titles, with `part` held out."""
        return controls_beside(self.floor, part)


METRICS: dict[str, Metric] = {
    "cas": Metric(_cas, {"cas": "CAS"}, floor=False, judged=False, better=1, share=True),
    "fd": Metric(_fd, {"fd": "FD"}, least=2, better=-1),
    "kid": Metric(_kid, {"kid": "KID"}, least=2),
    "prdc": Metric(
        _prdc,
        {name: name.capitalize() for name in ("precision", "recall", "density", "coverage")},
        least=6,  # one more than its k
    ),
    "copies": Metric(
        _copies,
        {"copies": "Copies", "median_distance": "Distance to the nearest training image"},
        judged=False,
    ),
    "variety": Metric(
        _variety,
        {"variety": "Variety", "detail": "Detail"},
        judged=False,
        least=2,
        of_a_class=True,
    ),
    "c2st": Metric(
        _c2st,
        {"told": "Told from real", "told_in_noise": "Told from real in noise"},
        judged=False,
        least=LEAST,
    ),
}
"""The metrics of a samples file, by name."""


def check_metrics(metrics: Sequence[str]) -> None:
    """Raises `InputError` for a name that is not in `METRICS`, or a metric that cannot decide."""
    for name in metrics:
        if name not in METRICS:
            raise unknown("metric", name, METRICS, HINT)
        if METRICS[name].better and name not in METRICS[name].figures:
            raise InputError(
                f"metric {name}: it says what is better, so reports compare its value '{name}', "
                "which must be one of its figures"
            )


def measure(name: str, samples: Samples, real: Real) -> Result:
    """The values of one metric; see `evaluate`.

    Raises:
        InputError: what the metric raises, or it does not give all that it must.
    """
    metric = METRICS[name]
    found = metric.measure(samples, real)
    needed = dict.fromkeys((*metric.figures, "n"))
    for key in needed:
        value = found.get(key) if isinstance(found, dict) else None
        if not isinstance(value, int | float):
            raise InputError(
                f"metric {name} must give {', '.join(needed)} as plain numbers in a dict, but its "
                f"{key} is {value!r:.60}"
            )
    return found


def evaluate(
    samples: Samples,
    real: Real | DataSplits,
    metrics: Sequence[str] = ("cas",),
    floor: bool = False,
) -> Scores:
    """Scores a set of labelled images: `{metric: {name: value}}`, see `evaluation/scores.py`.

    Args:
        samples: images float32 [n, h, w] or [n, h, w, 3] in [0, 1] and labels int64 [n].
        real: the real data; a `Real` has more options, and keeps what several sets need.
        metrics: names from `METRICS`.
        floor: also measure as many held-out real images, as `{metric: {"floor": {...}}}`.

    Raises:
        InputError: an unknown metric, images that do not fit the data set, or no judge for it.
    """
    check_metrics(metrics)
    real = real if isinstance(real, Real) else Real(real)
    train = real.splits.train
    samples = check(
        samples.images,
        samples.labels,
        samples.meta,
        shape=real.splits.info.shape,
        classes=len(train.classes),
    )
    for name in metrics:
        if len(samples) < (least := METRICS[name].least):
            raise InputError(
                f"{name}: too few images ({len(samples)}), at least {least} are needed"
            )
    found = {name: measure(name, samples, real) for name in metrics}
    if floor and any(METRICS[name].floor for name in metrics):
        held_out = control(FLOORS[real.part], real.splits, len(samples), samples.conditional)
        for name in metrics:
            if METRICS[name].floor:
                found[name]["floor"] = measure(name, held_out, real)
    return cast(Scores, found)
