"""What was measured of a model, as its `config.json` carries it and its card shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def _number(name: str, value: Any, optional: bool = False) -> None:
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{name} must be a number, got {value!r}")


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, got {value!r}")


def _mapping(name: str, value: Any) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise TypeError(f"{name} must be a mapping, got {value!r}")


@dataclass(frozen=True)
class Measure:
    """One figure of a model's images, beside the same figure of the controls.

    Args:
        metric: its short name, such as fd.
        title: its name in tables.
        value: of this model alone.
        n: images that were measured.
        sd: sample standard deviation, over classifiers (CAS) or subsets (KID); None if unknown.
        low, high: ends of its 95 % interval, if it has one.
        reference_n: training images that they were compared with, if they were.
        judge: hash of the judge that saw them; empty if none did.
        seeds: the figure of each training seed's model, this one among them.
        controls: the figure of sets of real images and of noise, by title.
    """

    metric: str
    title: str
    value: float
    n: int
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    reference_n: int | None = None
    judge: str = ""
    seeds: tuple[float, ...] = ()
    controls: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", tuple(self.seeds))
        for name in ("metric", "title", "judge"):
            _text(name, getattr(self, name))
        for name in ("value", "n"):
            _number(name, getattr(self, name))
        for name in ("sd", "low", "high", "reference_n"):
            _number(name, getattr(self, name), optional=True)
        for value in self.seeds:
            _number("seeds", value)
        _mapping("controls", self.controls)
        for name, value in self.controls.items():
            _number(name, value)


@dataclass(frozen=True)
class Figures:
    """The figures of one model, and where they are from.

    Args:
        preset: of the study that measured them.
        seed: of this model's trainings.
        seeds: all training seeds of the study.
        machine: that it ran on: plain values.
        versions: of what the figures depend on.
        measures: the figures.
        latency: seconds for one image alone, median; None if not measured.
        macs: multiply-adds of one image; None if not measured.
    """

    preset: str
    seed: int
    seeds: tuple[int, ...]
    machine: dict[str, Any]
    versions: dict[str, str]
    measures: tuple[Measure, ...]
    latency: float | None = None
    macs: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", tuple(self.seeds))
        object.__setattr__(self, "measures", tuple(self.measures))
        _text("preset", self.preset)
        for seed in (self.seed, *self.seeds):
            _number("seed", seed)
        for name in ("machine", "versions"):
            _mapping(name, getattr(self, name))
        for name in ("latency", "macs"):
            _number(name, getattr(self, name), optional=True)

    @classmethod
    def from_json(cls, value: Any) -> Figures:
        """Figures from the plain values that `dataclasses.asdict` made of them.

        Raises:
            TypeError: a field is absent, unknown, or of the wrong type.
        """
        _mapping("figures", value)
        if not isinstance(value.get("measures"), list | tuple):
            raise TypeError(f"measures must be a list, got {value.get('measures')!r}")
        for measure in value["measures"]:
            _mapping("measure", measure)
        measures = tuple(Measure(**measure) for measure in value["measures"])
        return cls(**{**value, "measures": measures})
