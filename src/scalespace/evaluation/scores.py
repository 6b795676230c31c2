"""What each metric gives: plain dictionaries, as JSON holds them, with the types of their values.

A score with a `floor` has that of as many held-out real images there.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Classifier(TypedDict):
    """One classifier of CAS, as `CASScore` has all of them together."""

    per_class: list[float | None]
    confusion: list[list[int]]


class CASScore(TypedDict):
    """Of `cas`: mean accuracy of the classifiers, its deviation, and what it is made of.

    Deviations are None for a single classifier, and what is told by class is None where a class has
    no test images. `confusion` counts [true class][predicted class]. `absent` are the labels that
    the scored images lack: no classifier has learnt them.
    """

    cas: float
    sd: float | None
    accuracy: list[float]
    per_class: list[float | None]
    per_class_sd: list[float | None]
    confusion: list[list[int]]
    classifiers: list[Classifier]
    n: int
    absent: list[int]


class Distance(TypedDict):
    """A Fréchet distance, its standard error, and its 95 % interval."""

    fd: float
    se: float
    low: float
    high: float


class FDScore(Distance):
    """Of `fd`; `before_relu` is the distance in the features before the last rectifier."""

    before_relu: Distance
    n: int
    reference_n: int
    judge: str
    floor: NotRequired[FDScore]


class KIDScore(TypedDict):
    """Of `kid`."""

    kid: float
    sd: float
    n: int
    reference_n: int
    judge: str
    floor: NotRequired[KIDScore]


class PRDCScore(TypedDict):
    """Of `prdc`."""

    precision: float
    recall: float
    density: float
    coverage: float
    n: int
    reference_n: int
    judge: str
    floor: NotRequired[PRDCScore]


class CopiesScore(TypedDict):
    """Of `copies`."""

    copies: float
    median_distance: float
    n: int
    reference_n: int
    floor: NotRequired[CopiesScore]


class VarietyScore(TypedDict):
    """Of `variety`."""

    variety: float
    detail: float
    n: int
    reference_n: int
    floor: NotRequired[VarietyScore]


class C2STScore(TypedDict):
    """Of `c2st`."""

    told: float
    told_in_noise: float
    n: int
    reference_n: int
    floor: NotRequired[C2STScore]


class Scores(TypedDict, total=False):
    """The scores of one set of images: those of the metrics that were asked for."""

    cas: CASScore
    fd: FDScore
    kid: KIDScore
    prdc: PRDCScore
    copies: CopiesScore
    variety: VarietyScore
    c2st: C2STScore
