"""A study folder as typed values; nothing outside the folder is read.

`study.json` says what was asked, `results.jsonl` what was measured and which files belong to it.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalespace.config import AutoencoderRecipe, Config, Recipe, TrainRecipe
from scalespace.core.sampling import int_if_whole
from scalespace.data import read_samples
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.evaluation.cas import CASResult
from scalespace.evaluation.controls import CONTROLS, FLOORS, TITLES, feature_controls
from scalespace.files import read_bytes, read_json, read_text
from scalespace.presets import build
from scalespace.study.arms import Variant, carried_out, make_variants
from scalespace.training.loop import read_metrics

FORMAT = 1
REAL, REAL_DOWN_UP = "real", "real-down-up"
EXAMPLES = 4  # images of each class that a report shows of a samples file

RECIPES = {"diffusion": Recipe, "vae": AutoencoderRecipe, "judge": TrainRecipe}
"""What a stage's recipe is, by its kind."""

Row = dict[str, Any]


@dataclass(frozen=True)
class MethodInfo:
    """A method of the study: its name, its title in tables, network calls a sample, stages.

    Args:
        conditional: whether its images are of the classes asked for.
        unlabelled: the variants in which they are not.
    """

    name: str
    title: str
    doc: str
    calls: int
    stages: tuple[str, ...]
    conditional: bool = True
    unlabelled: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageInfo:
    """A stage of the study: its size and, if it is one, its process.

    Args:
        name: of the stage.
        parameters: of its networks.
        kind: diffusion, vae or judge.
        needs: stages that it builds on; a diffusion stage with one works in its latents.
        states: S of a process; 0 for what is none.
        scale: images are taken down by it first.
        conditioned: the network also sees the image at half the scale.
        last_signal: sqrt(alpha_bar) at the process's end.
        latent: shape of an autoencoder's latents.
        conditional: whether it heeds the labels.
    """

    name: str
    parameters: int
    kind: str = "diffusion"
    needs: tuple[str, ...] = ()
    states: int = 0
    scale: int = 1
    conditioned: bool = False
    last_signal: float = 0.0
    latent: tuple[int, ...] = ()
    conditional: bool = True

    @property
    def in_pixels(self) -> bool:
        """Whether it is a process over images."""
        return self.kind == "diffusion" and not self.needs


@dataclass(frozen=True)
class Study:
    """What `study.json` says; `details` is the file as it is.

    Of methods, stages and recipes it tells those of the first variant. A study that compares
    methods alone has one variant, of no name.
    """

    preset: str
    data: DataInfo
    config: Config
    recipes: dict[str, Any]
    methods: tuple[MethodInfo, ...]
    stages: tuple[StageInfo, ...]
    seeds: tuple[int, ...]
    machine: dict[str, Any]
    versions: dict[str, str]
    command: str
    details: dict[str, Any]
    variants: dict[str, Variant]

    @property
    def part(self) -> str:
        """The real images that scores are of, in a word."""
        return self.config.study.part

    def arms(self, method: str) -> list[Variant]:
        """The variants that a method is carried out in."""
        study = self.config.study
        return [one for one in self.variants.values() if carried_out(study, method, one)]


@dataclass(frozen=True)
class Trajectory:
    """One reverse process: `x[k]` float32 [images, h_k, w_k], standardised, in state `t[k]`."""

    t: tuple[float, ...]
    x: tuple[NDArray[np.float32], ...]
    labels: NDArray[np.int64]


class Results:
    """A study folder, read, as seen by one of its variants: the first; `of` gives the others.

    Rows are those of that variant and those that belong to none, such as the controls'.

    Raises:
        InputError: the folder, `study.json` or `results.jsonl` is absent or damaged; later, when a
            file that a row names is.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError(f"study folder not found: {self.folder}")
        self.study = _read_study(self.folder / "study.json")
        self.every = _read_rows(self.folder / "results.jsonl", len(self.study.data.classes))
        self._views: dict[str, Results] = {}
        self._see(next(iter(self.study.variants)))

    def of(self, variant: str) -> Results:
        """The same study as seen by another of its variants."""
        if variant not in self._views:
            other = copy.copy(self)
            other.__dict__.pop("scores", None)
            other._see(variant)
            self._views[variant] = other
        return self._views[variant]

    def _see(self, variant: str) -> None:
        self.variant = variant
        self.rows = [row for row in self.every if row.get("variant", variant) == variant]
        self._examples: dict[tuple[str, int | None], NDArray[np.float32] | None] = {}

    @property
    def titles(self) -> dict[str, str]:
        """The title of everything that is scored, by name: controls first, then methods."""
        return CONTROLS | {method.name: method.title for method in self.study.methods}

    @property
    def floor(self) -> str:
        """The name of the set of held-out real images."""
        return FLOORS[self.study.config.study.part]

    @property
    def feature_controls(self) -> dict[str, str]:
        """The title of the sets beside what is compared with the training images, by name."""
        return feature_controls(self.study.config.study.part)

    @property
    def measured(self) -> dict[str, str]:
        """The title of everything that is compared with the training images, by name.

        Controls first, the floor among them, then methods: none in a study of CAS alone.
        """
        if set(self.study.config.study.metrics) <= {"cas"}:
            return {}
        return self.feature_controls | {method.name: method.title for method in self.study.methods}

    @property
    def reconstructions(self) -> dict[str, str]:
        """The title of real images through each autoencoder, by name, where there are any."""
        sets = {row.get("method") for row in self.find("artefact", kind="real_samples")}
        return {
            name: f"Real {self.study.part} images through {stage.name}"
            for stage in self.study.stages
            if (name := reconstruction(stage.name)) in sets
        }

    def figure(self, metric: str, method: str, seed: int | None = None) -> Row | None:
        """The row of a metric other than CAS: pooled over seeds, or of one seed alone."""
        rows = self.find(metric, method=method, seed=seed)
        return rows[-1] if rows and rows[-1]["value"] is not None else None

    def seed_figures(self, metric: str, method: str) -> list[Row]:
        """The same of each training seed alone; a study of one seed has only the pooled one."""
        found = [self.figure(metric, method, seed) for seed in self.study.seeds]
        return [row for row in found if row is not None]

    def inspection(self, stage: str) -> dict[str, NDArray[Any]]:
        """What a stage showed from inside: arrays by name; {} if the study has none of it."""
        path = self._artefact("inspection", stage=stage)
        if path is None:
            return {}
        with made_anew(path):
            return _read_arrays(path)

    @cached_property
    def scores(self) -> dict[str, CASResult]:
        """CAS over all seeds together, of all that was scored, in the order of `titles`."""
        found = {name: self.score(name) for name in self.titles}
        return {name: score for name, score in found.items() if score is not None}

    def score(self, method: str, seed: int | None = None) -> CASResult | None:
        """CAS of a control or method, pooled over seeds or of one seed alone, if it is there."""
        rows = {
            row["classifier"]: row
            for row in self.rows
            if (row["metric"], row.get("method"), row.get("seed")) == ("cas", method, seed)
        }
        if not rows:
            return None
        chosen = [rows[k] for k in sorted(rows)]
        counts = np.array([row["confusion"] for row in chosen], dtype=np.int64)
        return CASResult(counts, int(chosen[0]["n"]))

    def seed_scores(self, method: str) -> list[CASResult]:
        """CAS of each training seed alone; a study of one seed has only the pooled score."""
        found = [self.score(method, seed) for seed in self.study.seeds]
        return [score for score in found if score is not None]

    def control(self, method: MethodInfo) -> str:
        """What a method is held to: one that never works at full size, to images without it."""
        scales = [stage.scale for stage in self.study.stages if stage.name in method.stages]
        return REAL_DOWN_UP if scales and min(scales) > 1 else REAL

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

    def examples(self, method: str, seed: int | None) -> NDArray[np.float32] | None:
        """The first images of each class of a control (seed None) or of a method's seed.

        Float32 [classes, EXAMPLES, h, w] in [0, 1], black where a class has too few; None if the
        study has no images of it. A samples file is read once and only these are kept.
        """
        if (method, seed) not in self._examples:
            self._examples[method, seed] = self._read_examples(method, seed)
        return self._examples[method, seed]

    def metrics(self, stage: str, seed: int) -> list[Row]:
        """A training's epochs: `epoch`, `loss` and, where validated, `val_loss(_per_t)`."""
        path = self._artefact("metrics", stage=stage, seed=seed)
        if path is None:
            return []
        with made_anew(path):
            return _read_metrics(path)

    def recorded(self, method: str, seed: int) -> Trajectory | None:
        """A recorded reverse process of a method, if there is one."""
        path = self._artefact("trajectory", method=method, seed=seed)
        if path is None:
            return None
        with made_anew(path):
            return _read_trajectory(path, len(self.study.data.classes))

    def _read_examples(self, method: str, seed: int | None) -> NDArray[np.float32] | None:
        kind = "real_samples" if method in TITLES else "samples"
        path = self._artefact(kind, method=method, seed=seed)
        if path is None:
            return None
        data = self.study.data
        classes, shape = len(data.classes), (data.height, data.width)
        with made_anew(path):
            samples = read_samples(path, shape=shape, classes=classes)
        out = np.zeros((classes, EXAMPLES, *shape), dtype=np.float32)
        for label in range(classes):
            chosen = samples.images[samples.labels == label][:EXAMPLES]
            out[label, : len(chosen)] = chosen
        return out

    def _artefact(self, kind: str, **where: Any) -> Path | None:
        rows = self.find("artefact", kind=kind, **where)
        if not rows:
            return None
        inside = Path(str(rows[-1].get("path")))
        if inside.is_absolute() or ".." in inside.parts:
            raise InputError(f"{self.folder}: the {kind} file '{inside}' is not inside the study")
        return self.folder / inside


def reconstruction(stage: str) -> str:
    """The name of the set of real images that an autoencoder has encoded and decoded."""
    return f"{stage}-reconstruction"


@contextmanager
def made_anew(path: Path) -> Iterator[None]:
    """Adds to what is wrong with a file that a study has made how the study makes it anew."""
    try:
        yield
    except InputError as error:
        first = "delete it and run" if path.exists() else "run"
        raise InputError(f"{error} ({first} the study again to make it anew)") from error


def _read_study(path: Path) -> Study:
    value = read_json(path, "study")
    try:
        if value["format"] != FORMAT:
            raise InputError(f"it has format {value['format']}, this version reads {FORMAT}")
        stages = tuple(build(StageInfo, stage) for stage in value["stages"])
        kinds = {stage.name: RECIPES[stage.kind] for stage in stages}
        config = build(Config, value["config"])
        return Study(
            preset=str(value["preset"]),
            data=build(DataInfo, value["data"]),
            config=config,
            recipes={
                name: build(kinds[name], recipe)
                for name, recipe in value["recipes"].items()
                if name in kinds
            },
            methods=tuple(build(MethodInfo, method) for method in value["methods"]),
            stages=stages,
            seeds=tuple(int(seed) for seed in value["seeds"]),
            machine=dict(value.get("machine") or {}),
            versions=dict(value.get("versions") or {}),
            command=str(value.get("command", "")),
            details=value,
            variants=make_variants(config.study),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__} {error}"
        raise InputError(f"{path} cannot be used: {reason}") from error


def _read_rows(path: Path, classes: int) -> list[Row]:
    rows = []
    for number, line in enumerate(read_text(path, "results").splitlines(), start=1):
        try:
            rows.append(_checked(json.loads(line), classes))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{path}, line {number} is damaged: {reason}") from error
    return rows


def _checked(row: Any, classes: int) -> Row:
    """The row, if it has what every row must have, and a score's fields where it is one."""
    if not isinstance(row, dict) or not isinstance(row.get("metric"), str):
        raise ValueError("not a JSON object with a 'metric'")
    if not isinstance(row.get("value"), int | float | None):
        raise ValueError(f"the value of '{row['metric']}' is no number")
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


def _read_metrics(path: Path) -> list[Row]:
    # it may be cut short in the middle of a letter, but must be text and have rows
    read_text(path, "training metrics")
    rows = read_metrics(path)
    try:
        for row in rows:
            numbers = (row["epoch"], row["loss"], row.get("val_loss") or 0)
            np.array([*numbers, *(row.get("val_loss_per_t") or ())], dtype=np.float64)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"training metrics {path} are damaged: {error}") from error
    if not rows:
        raise InputError(f"training metrics {path} are damaged: there are no rows")
    return rows


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    content = read_bytes(path, "inspection")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if not all(array.dtype.kind in "iuf" for array in arrays.values()):
            raise ValueError("it holds something that is no number")
    # what the parsers of zip and npy raise on damaged bytes is an open list
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"inspection {path} is damaged: {reason}") from error
    return arrays


def _read_trajectory(path: Path, classes: int) -> Trajectory:
    content = read_bytes(path, "trajectory")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            t = tuple(int_if_whole(float(state)) for state in file["t"])
            x = tuple(np.asarray(file[f"x_{k:03d}"], dtype=np.float32) for k in range(len(t)))
            labels = np.asarray(file["labels"], dtype=np.int64)
        if not x or any(part.ndim != 3 or len(part) != len(labels) for part in x):
            raise ValueError("its arrays do not fit together")
        if not all(np.isfinite(part).all() for part in x):
            raise ValueError("not all of its values are finite")
        if len(labels) == 0 or labels.min() < 0 or labels.max() >= classes:
            raise ValueError("its labels are none of the study's classes")
    # what the parsers of zip and npy raise on damaged bytes is an open list
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"trajectory {path} is damaged: {reason}") from error
    return Trajectory(t, x, labels)
