"""Views of a training, a judge or an autoencoder, from a study or from its own folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalespace.data import DataSplits, ImageSet, load
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.evaluation.judge import HISTORY, Judge
from scalespace.model import Model
from scalespace.report.about import StageInfo
from scalespace.report.arrays import Arrays, Row, check_shapes
from scalespace.report.results import EXAMPLES, Results
from scalespace.report.words import compared, digits
from scalespace.stages.judge import JUDGE

KINDS = {"pooled": "after the ReLU", "linear": "before it"}
"""The two kinds of features, in words."""


@dataclass(frozen=True)
class JudgeView:
    """A judge, inspected on held-out images.

    Args:
        arrays: see `scalespace.evaluation.normality.inside`; and its training's `history_*`.
        classes: their names.
        trained_on: the name of its data.
        accuracy: shares of the images that it reads correctly, by part.
        images: the first held-out images of each class, float [classes, k, h, w].
        floor: FD of real held-out images, if a study has measured it.
        part: the held-out part: test or validation.
    """

    arrays: Arrays
    classes: tuple[str, ...]
    hash: str
    trained_on: str
    accuracy: Mapping[str, float] = field(default_factory=dict)
    images: NDArray[np.float32] | None = None
    floor: float | None = None
    part: str = "test"

    @property
    def n(self) -> int:
        """The number of held-out images that it was inspected on."""
        return int(self.arrays["n"])

    def blind_spot(self, kind: str = "pooled") -> float:
        """The least that FD cannot see: the sum of `w2`; see `scalespace.evaluation.normality`."""
        return float(np.nansum(self.arrays[f"{kind}_w2"]))

    @property
    def unseen(self) -> str:
        """What FD cannot see in these features, compared with the FD of real images, in words."""
        seen = self.blind_spot("pooled")
        text = (
            f"FD is 0 between these features and a normal distribution of the same mean and "
            f"covariance, although their squared Wasserstein distance is at least {digits(seen)} "
            f"({digits(self.blind_spot('linear'))} before the ReLU)"
        )
        if self.floor:
            beside = f"the FD of real {self.part} images, {digits(self.floor)}"
            text += f": {compared(seen, self.floor)} {beside}"
        return f"{text}."

    @property
    def reads(self) -> str:
        """Its accuracy in words; empty if it is not known."""
        names = {"train": "training"}
        parts = {names.get(part, part): share for part, share in self.accuracy.items()}
        return " and ".join(f"{share:.2%} of {part}" for part, share in parts.items())


@dataclass(frozen=True)
class EncoderView:
    """An autoencoder, inspected: the arrays of `scalespace.stages.vae.VAE.inspect`."""

    name: str
    arrays: Arrays
    seed: int


@dataclass(frozen=True)
class TrainingView:
    """How a stage was trained.

    Args:
        recipe: None if not known.
        runs: by seed, a row an epoch: `epoch`, `loss` and, where validated, `val_loss` and, for a
            process, `val_loss_per_t` [states - 1].
    """

    stage: StageInfo
    recipe: Any
    runs: Mapping[int, Sequence[Row]]


def trainings_of_study(results: Results) -> list[TrainingView]:
    """The trainings of a study; an inspected judge's is left to the figures of the judge."""
    views = []
    for stage in results.study.stages:
        if stage.kind == "judge" and results.inspection(stage.name):
            continue
        runs = {seed: results.epochs(stage.name, seed) for seed in results.study.seeds}
        if runs := {seed: rows for seed, rows in runs.items() if rows}:
            views.append(TrainingView(stage, results.study.recipes.get(stage.name), runs))
    return views


def trainings_of_model(model: Model) -> list[TrainingView]:
    """The trainings of a model's stages whose records have a history."""
    views = []
    for name, trained in model.stages.items():
        record, training = trained.record, trained.training
        if not (rows := [dict(row) for row in record.get("history", [])]):
            continue
        rows[-1]["val_loss_per_t"] = record.get("val_loss_per_t", [])
        facts = model.models[name].facts()
        info = StageInfo(name, 0, kind=facts.get("kind", "other"), states=facts.get("states", 0))
        views.append(TrainingView(info, training.recipe, {training.seed: rows}))
    return views


def judge_of_study(results: Results) -> JudgeView | None:
    """The judge of a study, if the study has inspected it."""
    if not (arrays := results.inspection(JUDGE.name)):
        return None
    row = results.find("artefact", kind="inspection", stage=JUDGE.name)[-1]
    classes = results.study.data.classes
    found = row.get("accuracy")
    accuracy = {
        str(part): float(share)
        for part, share in (found.items() if isinstance(found, dict) else ())
        if isinstance(share, int | float)
    }
    floor = results.measurement("fd", results.floor)
    return JudgeView(
        check_shapes(
            arrays, _judge_shapes(arrays, len(classes)), results.folder / str(row["path"])
        ),
        classes,
        str(row.get("judge", "")),
        str(row.get("trained_on", "")),
        accuracy,
        results.examples(results.floor, None),
        floor["value"] if floor else None,
        results.study.part,
    )


def judge_of_folder(judge: Judge, data_dir: Path | str | None) -> JudgeView:
    """A judge, inspected on the test part of its own data.

    Raises:
        InputError: the data cannot be loaded, or do not fit the judge.
    """
    splits = load(judge.data.name, data_dir)
    _check_fit(judge.data, splits)
    test = splits.test()
    accuracy = judge.record.get("accuracy", {})
    return JudgeView(
        judge.inspect(test),
        judge.data.classes,
        judge.hash,
        judge.data.title,
        accuracy,
        _examples(test),
    )


def encoders_of_study(results: Results) -> list[EncoderView]:
    """The autoencoders that a study has inspected."""
    views = []
    for stage in results.study.stages:
        if stage.kind != "vae" or not (arrays := results.inspection(stage.name)):
            continue
        row = results.find("artefact", kind="inspection", stage=stage.name)[-1]
        path = results.folder / str(row["path"])
        arrays = check_shapes(arrays, _encoder_shapes(arrays, results.study.data), path)
        numbers, size = arrays["traversed"], arrays["kl"].size
        if numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= size:
            raise InputError(f"inspection {path} is damaged: 'traversed' must lie in 0..{size - 1}")
        seed = row.get("seed")
        views.append(
            EncoderView(stage.name, arrays, int(results.study.seeds[0] if seed is None else seed))
        )
    return views


def encoders_of_model(model: Model, data_dir: Path | str | None) -> list[EncoderView]:
    """The autoencoders of a model, inspected on the validation part of its data.

    Raises:
        InputError: the data cannot be loaded, or do not fit the model.
    """
    names = [name for name, stage in model.models.items() if stage.facts().get("kind") == "vae"]
    if not names:
        return []
    splits = load(model.data.name, data_dir)
    _check_fit(model.data, splits)
    images, labels = splits.val.unit(), splits.val.labels
    return [
        EncoderView(
            name, model.models[name].inspect(images, labels), model.stages[name].training.seed
        )
        for name in names
    ]


def _judge_shapes(arrays: Arrays, classes: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"n": ()}
    shapes |= {f"activations_{k}": (classes, -1, -1, -1) for k in (1, 2, 3)}
    for kind in KINDS:
        d, bins = (*np.shape(arrays.get(f"{kind}_counts", ())), 0, 0)[:2]
        shapes |= {f"{kind}_counts": (-1, -1), f"{kind}_edges": (d, bins + 1)}
        measures = ("mean", "std", "skewness", "kurtosis", "ks", "w2")
        shapes |= {f"{kind}_{name}": (d,) for name in measures}
    epochs = np.shape(arrays.get("history_epoch", ()))
    return {**shapes, **{f"history_{key}": epochs for key in HISTORY}}


def _encoder_shapes(arrays: Arrays, data: DataInfo) -> dict[str, tuple[int, ...]]:
    size = (data.height, data.width)
    shown = len(arrays.get("originals", ()))
    moved = len(arrays.get("traversed", ()))
    latent = np.shape(arrays.get("kl", ()))
    return {
        "originals": (-1, *size),
        "reconstructions": (shown, *size),
        "interpolations": (-1, -1, *size),
        "traversed": (-1,),
        "traversals": (moved, -1, *size),
        "kl": (-1, -1, -1),
        "posterior_std": latent,
        "error": (-1,),
    }


def _check_fit(data: DataInfo, splits: DataSplits) -> None:
    theirs = (*splits.train.shape, len(splits.train.classes))
    if theirs != (data.height, data.width, len(data.classes)):
        raise InputError(
            f"it was trained on {data.name} of {data.height}x{data.width} pixels in "
            f"{len(data.classes)} classes; those found: {theirs[0]}x{theirs[1]} in {theirs[2]}"
        )


def _examples(images: ImageSet) -> NDArray[np.float32]:
    grid, columns = images.examples(EXAMPLES)
    return grid.reshape(EXAMPLES, columns, *images.shape).swapaxes(0, 1)
