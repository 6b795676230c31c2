"""A study's folder as data: `study.json`, `results.jsonl` and the files that its rows name."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from scalespace.data import first_of_each, places_of_first, read_samples
from scalespace.errors import InputError, in_words
from scalespace.evaluation.cas import CASResult
from scalespace.evaluation.controls import CONTROLS, FLOORS, TITLES, controls_beside
from scalespace.files import no_folder, parse_json, read_text, sha256
from scalespace.report.about import MethodInfo, read_study
from scalespace.report.arrays import (
    Arrays,
    Examples,
    Row,
    Trajectory,
    read_epochs,
    read_inspection,
    read_trajectory,
)
from scalespace.studies.costs import COST_METRICS
from scalespace.studies.folder import ABOUT, RESULTS, made_anew
from scalespace.studies.plan import reconstruction

T = TypeVar("T")

REAL, REAL_DOWN_UP = "real", "real-down-up"
EXAMPLES = 4  # images of each class that a report shows of a samples file
KEYS = ("variant", "method", "stage", "metric", "seed", "classifier", "value", "n")
"""The columns of a study's table that are always there, in order."""


def results(folder: Path | str) -> pd.DataFrame:
    """A study's measurements as a tidy table: a row for each.

    Columns: `variant`, `method`, `stage`, `metric`, `seed` (missing: the images of all seeds
    together), `classifier`, `value`, `n` (images), and all other numbers and words about a
    measurement, such as `low` and `high` (a 95 % interval), `judge`, `machine`.

        table = sc.results("runs/few-mnist")
        table[table.metric == "fd"].groupby(["method", "variant"]).value.agg(["mean", "std"])

    Raises:
        InputError: the folder is not a study, or is damaged.
    """
    return Results(folder).table


class Results:
    """The content of a study folder for one variant: the first; `of` gives the others.

    Rows are those of that variant and those that belong to none, such as the controls'.

    Raises:
        InputError: the folder, `study.json` or `results.jsonl` is absent or damaged; or, when it is
            read, a file that a row names.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise no_folder("study", self.folder)
        self.study = read_study(self.folder / ABOUT)
        first = next(iter(self.study.variants))
        rows = _read_rows(self.folder / RESULTS, len(self.study.data.classes))
        self.every = [_placed(row, first) for row in rows]
        self.table = _table(self.every)  # of all variants, and so the same in every view
        self._views: dict[str, Results] = {}
        self._see(first)

    def of(self, variant: str) -> Results:
        """The same study for another of its variants."""
        if variant not in self._views:
            other = copy.copy(self)
            other.__dict__.pop("scores", None)
            other._see(variant)
            self._views[variant] = other
        return self._views[variant]

    def _see(self, variant: str) -> None:
        self.variant = variant
        self.rows = [row for row in self.every if row.get("variant", variant) == variant]
        self._examples: dict[tuple[str, int | None], Examples | None] = {}

    # What is scored

    @property
    def titles(self) -> dict[str, str]:
        """The title of everything that CAS scores, by name: controls first, then methods."""
        return CONTROLS | {method.name: method.title for method in self.study.methods}

    @property
    def floor(self) -> str:
        """The name of the set of held-out real images."""
        return FLOORS[self.study.config.study.part]

    def floor_of(self, n: int, metric: str = "fd") -> float | None:
        """The floor's score, where it is of n images, too: of fewer, FD comes out too high."""
        row = self.measurement(metric, self.floor)
        return self.known(metric, self.floor) if row and row["n"] == n else None

    @property
    def measured(self) -> dict[str, str]:
        """The title of everything that is compared with the training images, by name.

        Controls first, the floor among them, then methods; empty in a study of CAS alone.
        """
        metrics = [one for one in self.study.metrics.values() if one.name != "cas"]
        if not metrics:
            return {}
        controls: dict[str, str] = {}
        for floor in sorted({one.floor for one in metrics}, reverse=True):
            controls |= controls_beside(floor, self.study.config.study.part)
        return controls | {method.name: method.title for method in self.study.methods}

    @property
    def reconstructions(self) -> dict[str, str]:
        """The title of the real images that went through each autoencoder, by name."""
        sets = {row.get("method") for row in self.find("artefact", kind="real_samples")}
        return {
            name: f"Real {self.study.part} images through {stage.name}"
            for stage in self.study.stages
            if (name := reconstruction(stage.name)) in sets
        }

    def of_classes(self, name: str) -> bool:
        """Whether the images of a set are of the classes that they are labelled with."""
        method = self.study.method(name)
        return name != "pixel-noise" and (method is None or method.conditional)

    def control(self, method: MethodInfo) -> str:
        """The control of a method: `REAL_DOWN_UP` if it never works at full size, else `REAL`."""
        scales = [stage.scale for stage in self.study.stages if stage.name in method.stages]
        return REAL_DOWN_UP if scales and min(scales) > 1 else REAL

    # Measurements

    def find(self, metric: str, **where: Any) -> list[Row]:
        """The rows of a metric whose fields are as given; a field that is absent is None."""
        return [
            row
            for row in self.rows
            if row["metric"] == metric
            and all(row.get(field) == value for field, value in where.items())
        ]

    def value(self, metric: str, **where: Any) -> float | None:
        """The mean of a metric's values over the rows that fit; None if there are none."""
        values = [row["value"] for row in self.find(metric, **where) if row["value"] is not None]
        return float(np.mean(values)) if values else None

    def measurement(self, metric: str, method: str, seed: int | None = None) -> Row | None:
        """The row of a metric other than CAS: pooled over seeds, or of one seed alone."""
        rows = self.find(metric, method=method, seed=seed)
        return rows[-1] if rows and rows[-1]["value"] is not None else None

    def known(self, metric: str, name: str) -> float | None:
        """A metric of a control or method, over all seeds together; None for NaN, too."""
        if metric == "cas":
            return self.scores[name].mean if name in self.scores else None
        row = self.measurement(metric, name)
        return None if row is None or math.isnan(row["value"]) else float(row["value"])

    def score(self, method: str, seed: int | None = None) -> CASResult | None:
        """CAS of a control or method, pooled over seeds or of one seed alone, if it is there."""
        rows = {row["classifier"]: row for row in self.find("cas", method=method, seed=seed)}
        if not rows:
            return None
        chosen = [rows[k] for k in sorted(rows)]
        counts = np.array([row["confusion"] for row in chosen], dtype=np.int64)
        return CASResult(counts, int(chosen[0]["n"]))

    @cached_property
    def scores(self) -> dict[str, CASResult]:
        """CAS over all seeds together, of all that was scored, in the order of `titles`."""
        found = {name: self.score(name) for name in self.titles}
        return {name: score for name, score in found.items() if score is not None}

    def by_seed(self, metric: str, method: str, variant: str | None = None) -> pd.Series[float]:
        """A metric of each training seed alone, as far as known; index: the seeds.

        CAS is the mean over the classifiers.
        """
        table, seeds = self.table, self.study.seeds
        named = self.variant if variant is None else variant
        rows = table[
            (table.metric == metric)
            & (table.method == method)
            & table.variant.fillna(named).eq(named)
        ]
        if len(seeds) == 1:  # the images of all seeds together are that seed's
            rows = rows.assign(seed=rows.seed.fillna(seeds[0]))
        values = rows.dropna(subset=["seed", "value"]).groupby("seed").value.mean()
        return values[values.index.isin(seeds)]

    @property
    def alone(self) -> tuple[int, ...]:
        """The seeds that have scores of their own: none where there is only one."""
        return self.study.seeds if len(self.study.seeds) > 1 else ()

    @property
    def missing(self) -> list[str]:
        """The tasks that are not done, in words; a study of an early version lists none."""
        done = {row.get("task") for row in self.every}
        return [str(words) for task, words in self.study.tasks.items() if task not in done]

    # Files

    def inspection(self, stage: str, axes: Mapping[str, str]) -> Arrays:
        """The arrays of a stage's inspection, see `read_inspection`; {} if the study has none."""
        return self._file("inspection", partial(read_inspection, axes=axes), stage=stage) or {}

    def epochs(self, stage: str, seed: int) -> list[Row]:
        """A training's epochs, see `read_epochs`; [] if the study has none."""
        return self._file("metrics", read_epochs, stage=stage, seed=seed) or []

    def trajectory(self, method: str, seed: int) -> Trajectory | None:
        """A recorded reverse process of a method, if there is one."""
        read = partial(read_trajectory, classes=len(self.study.data.classes))
        return self._file("trajectory", read, method=method, seed=seed)

    def examples(self, method: str, seed: int | None) -> Examples | None:
        """The first images of each class of a control (seed None) or of a method's seed.

        None if the study has no images of it. A samples file is read once and only these are kept.
        """
        data = self.study.data
        classes, shape = len(data.classes), data.shape

        def read(path: Path) -> Examples:
            samples = read_samples(path, shape=shape, classes=classes)
            places = places_of_first(samples.labels, classes, EXAMPLES)
            indices = np.asarray(samples.meta.get("indices", range(len(samples))))  # if chosen
            return Examples(
                first_of_each(samples.images, samples.labels, classes, EXAMPLES),
                np.where(places < 0, places, indices[places]),
                _candidates(samples.meta.get("selection")),
            )

        if (method, seed) not in self._examples:
            kind = "real_samples" if method in TITLES else "samples"
            self._examples[method, seed] = self._file(kind, read, method=method, seed=seed)
        return self._examples[method, seed]

    def _file(self, kind: str, read: Callable[[Path], T], **where: Any) -> T | None:
        """The content of a file of that kind, if the study has one."""
        rows = self.find("artefact", kind=kind, **where)
        if not rows:
            return None
        inside = Path(str(rows[-1].get("path")))
        if inside.is_absolute() or ".." in inside.parts:
            raise InputError(f"{self.folder}: the {kind} file '{inside}' is not inside the study")
        path, seal = self.folder / inside, rows[-1].get("sha256")
        with made_anew(path):
            if seal and sha256(path, kind) != seal:
                raise InputError(f"{kind} {path} is damaged: it is not what the study wrote")
            return read(path)


def _candidates(selection: object) -> int:
    """How many images each one was chosen from, by what its samples file says."""
    found = selection.get("candidates") if isinstance(selection, dict) else None
    return found if isinstance(found, int) else 1


def _read_rows(path: Path, classes: int) -> list[Row]:
    rows = []
    for number, line in enumerate(read_text(path, "results").splitlines(), start=1):
        try:
            rows.append(_checked(parse_json(line), classes))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputError(
                f"{path}, line {number} is damaged: {in_words(error)} (run the study again: it "
                "writes this file anew)"
            ) from error
    return rows


def _table(every: list[Row]) -> pd.DataFrame:
    """All measurements; see `results`."""
    rows = [
        {key: value for key, value in row.items() if not isinstance(value, list | dict)}
        for row in every
        if row["metric"] != "artefact"
    ]
    table = pd.DataFrame(rows)
    more = [name for name in table.columns if name not in KEYS]
    table = table.reindex(columns=[*KEYS, *more])
    words = dict.fromkeys(("variant", "method", "stage", "metric"), "str")
    return table.astype(words | {"seed": "Int64", "classifier": "Int64"})


def _placed(row: Row, first: str) -> Row:
    """A cost that names no variant is the first one's: no other was timed."""
    unsaid = first and row["metric"] in COST_METRICS and "variant" not in row
    return row | {"variant": first} if unsaid else row


def _checked(row: Any, classes: int) -> Row:
    """Checks that a row has the fields that every row, or its metric, needs, and returns it."""
    if not isinstance(row, dict) or not isinstance(row.get("metric"), str):
        raise ValueError("not a JSON object with a 'metric'")
    if not isinstance(row.get("value"), int | float | None):
        raise ValueError(f"the value of '{row['metric']}' is no number")
    for name in ("seed", "classifier"):
        if not isinstance(row.get(name), int | None):
            raise ValueError(f"its {name} is no whole number")
    if row["metric"] == "cas":
        for name in ("value", "n", "classifier"):
            float(row[name])
        if np.array(row["per_class"], dtype=np.float64).shape != (classes,):
            raise ValueError(f"per_class must be {classes} numbers")
        counts = np.array(row["confusion"], dtype=np.int64)
        if counts.shape != (classes, classes) or counts.min() < 0 or not counts.any():
            raise ValueError(f"confusion must be {classes} x {classes} counts")
        if abs(np.trace(counts) / counts.sum() - row["value"]) > 1e-6:
            raise ValueError(f"its score, {row['value']}, is not what its counts give")
    if row["metric"] == "state_loss":
        if not all(isinstance(row[name], str) for name in ("stage", "batches", "statistics")):
            raise ValueError("a loss by state must say of what")
        int(row["seed"]), str(row["config"])
        if np.array(row["per_t"], dtype=np.float64).ndim != 1:
            raise ValueError("per_t must be a row of numbers")
    row.setdefault("value", None)
    return row
