"""Views of a training, a judge or an autoencoder, from a study or from its own folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scalespace.config.checks import HISTORY
from scalespace.data import DataSplits
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.evaluation.judge import Judge
from scalespace.model import Model
from scalespace.report.about import StageInfo
from scalespace.report.arrays import Arrays, Row
from scalespace.report.results import Results
from scalespace.report.words import compared, digits
from scalespace.stages.judge import JUDGE

KINDS = {"pooled": "after the ReLU", "linear": "before it"}
"""The two kinds of features, in words."""
JUDGE_ARRAYS = {
    "n": "",
    **{f"activations_{k}": f"class channel_{k} height_{k} width_{k}" for k in (1, 2, 3)},
    **{f"{kind}_counts": f"{kind} bin" for kind in KINDS},
    **{f"{kind}_edges": f"{kind} edge" for kind in KINDS},
    **{f"{kind}_{name}": kind for kind in KINDS for name in ("mean", "std", "ks", "w2")},
    **{f"history_{name}": "epoch" for name in HISTORY},
}
ENCODER_ARRAYS = {
    **dict.fromkeys(("originals", "reconstructions"), "image height width"),
    "interpolations": "image step height width",
    "traversals": "number step height width",
    "traversed": "number",
    "kl": "part row column",
    "posterior_std": "part row column",
    "error": "example",
}
"""What the figures of a judge, and of an autoencoder, show of its inspection: the axes of each."""


@dataclass(frozen=True)
class JudgeView:
    """A judge, inspected on held-out images.

    Args:
        arrays: see `scalespace.evaluation.normality.inside`; and its training's `history_*`.
        classes: their names.
        trained_on: the name of its data.
        accuracy: shares of the images that it reads correctly, by part.
        floor: FD of real held-out images, if a study has measured it.
        part: the held-out part: test or validation.
    """

    arrays: Arrays
    classes: tuple[str, ...]
    hash: str
    trained_on: str
    accuracy: Mapping[str, float] = field(default_factory=dict)
    floor: float | None = None
    part: str = "test"

    @property
    def n(self) -> int:
        """How many held-out images the judge was inspected on."""
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
        return " and ".join(
            f"{share:.2%} of {part.replace('train', 'training')}"
            for part, share in self.accuracy.items()
        )


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
        if stage.kind == "judge" and results.find("artefact", kind="inspection", stage=stage.name):
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
    if not (arrays := results.inspection(JUDGE.name, JUDGE_ARRAYS)):
        return None
    row = results.find("artefact", kind="inspection", stage=JUDGE.name)[-1]
    found = row.get("accuracy")
    accuracy = {
        str(part): float(share)
        for part, share in (found.items() if isinstance(found, dict) else ())
        if isinstance(share, int | float)
    }
    floor = results.measurement("fd", results.floor)
    return JudgeView(
        arrays,
        results.study.data.classes,
        str(row.get("judge", "")),
        str(row.get("trained_on", "")),
        accuracy,
        floor["value"] if floor else None,
        results.study.part,
    )


Find = Callable[[DataInfo], DataSplits]
"""Finds the data that something was trained on."""


def judge_of_folder(judge: Judge, find: Find) -> JudgeView:
    """A judge, inspected on the test part of its own data.

    Raises:
        InputError: the data cannot be loaded, or do not fit the judge.
    """
    splits = find(judge.data)
    _check_fit(judge.data, splits)
    return JudgeView(
        judge.inspect(splits.test()),
        judge.data.classes,
        judge.hash,
        judge.data.title,
        judge.record.get("accuracy", {}),
    )


def encoders_of_study(results: Results) -> list[EncoderView]:
    """The autoencoders that a study has inspected."""
    return [
        EncoderView(stage.name, arrays, results.study.seeds[0])
        for stage in results.study.stages
        if stage.kind == "vae" and (arrays := results.inspection(stage.name, ENCODER_ARRAYS))
    ]


def encoders_of_model(model: Model, find: Find) -> list[EncoderView]:
    """The autoencoders of a model, inspected on the validation part of its data.

    Raises:
        InputError: the data cannot be loaded, or do not fit the model.
    """
    names = [name for name, stage in model.models.items() if stage.facts().get("kind") == "vae"]
    if not names:
        return []
    splits = find(model.data)
    _check_fit(model.data, splits)
    images, labels = splits.val.unit(), splits.val.labels
    return [
        EncoderView(
            name, model.models[name].inspect(images, labels), model.stages[name].training.seed
        )
        for name in names
    ]


def _check_fit(data: DataInfo, splits: DataSplits) -> None:
    theirs = (*splits.train.shape, len(splits.train.classes))
    if theirs != (data.height, data.width, len(data.classes)):
        raise InputError(
            f"it was trained on {data.name} of {data.height}x{data.width} pixels in "
            f"{len(data.classes)} classes; those found: {theirs[0]}x{theirs[1]} in {theirs[2]}"
        )
