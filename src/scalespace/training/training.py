"""One training of one stage: what decides its outcome, where it lives, and what came of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalespace.core.noise import derive_seed
from scalespace.core.torch_state import check_defaults
from scalespace.data import DataSplits
from scalespace.data.info import DataInfo
from scalespace.errors import InputError, unknown
from scalespace.fields import digest
from scalespace.stages.base import Models, Stage, StageModel
from scalespace.training.checkpoint import (
    load_tensors,
    load_weights,
    save_tensors,
    under_prefix,
    with_prefix,
)

FINISHED = "stage.safetensors"
FEW_STEPS = 200
"""A network that takes fewer steps in all has hardly begun to learn."""


@dataclass(frozen=True)
class Training:
    """One training of one stage; `identity` addresses its outcome.

    Args:
        stage: what is trained.
        recipe: of the stage's `recipe` type.
        seed: of its weights, order and noise.
        data: of the data set.
        needs: the trainings of the stages that it builds on.
    """

    stage: Stage[Any]
    recipe: Any
    seed: int
    data: DataInfo
    needs: tuple[Training, ...] = ()

    @property
    def identity(self) -> str:
        """Hash of everything that decides the outcome, without what matters in sampling alone.

        How another stage is sampled counts if its samples are the data. Fields at their default are
        left out, so that a later version can add one without renaming any training.
        """
        needs: list[Any] = [training.identity for training in self.needs]
        needs += [need.sampling for need in self.needs if need.stage in self.stage.samples]
        parts = [chosen(self.stage), self.choices, self.seed, self.data.identity, needs]
        return digest([type(self.stage).__name__, *parts])

    @property
    def choices(self) -> dict[str, Any]:
        """The recipe's fields that decide the outcome and are not at their default."""
        return {k: v for k, v in chosen(self.recipe).items() if k not in self.stage.idle}

    @property
    def sampling(self) -> dict[str, Any]:
        """The recipe's fields that matter in sampling alone and are not at their default."""
        found = {}
        for part, names in self.resampling.items():
            own = getattr(self.recipe, part)
            default = type(own)()
            for name in names:
                if getattr(own, name) != getattr(default, name):
                    found[f"{part}.{name}"] = getattr(own, name)
        return found

    @property
    def resampling(self) -> dict[str, tuple[str, ...]]:
        """The names of the recipe's fields that matter in sampling alone, by part."""
        parts = {part.name: getattr(self.recipe, part.name) for part in fields(self.recipe)}
        return {name: part.SAMPLING for name, part in parts.items() if hasattr(part, "SAMPLING")}

    @property
    def every_need(self) -> tuple[Training, ...]:
        """The trainings that it builds on, and those that they build on."""
        return tuple(one for need in self.needs for one in (*need.every_need, need))

    def steps(self, images: int) -> tuple[int, int]:
        """Images a step, and steps in all, if it learns from so many images."""
        train = self.recipe.train
        batch = min(train.batch_size, images)
        return batch, train.epochs * (images // batch)

    def folder(self, root: Path) -> Path:
        """Where below `root` this training lives."""
        return root / f"{self.stage.name}-{self.identity}"

    def build(self, needs: Models | None = None) -> StageModel:
        """The untrained model; its first weights depend on the seed and the stage alone.

        Args:
            needs: trained models of the stages it builds on; those that are not among them are
                built untrained, with which it can sample, but not be trained.

        Raises:
            InputError: a recipe that does not fit the data, or changed defaults of torch.
        """
        check_defaults()
        needs = Models(needs or {})
        for need in self.needs:  # each after those that it builds on
            if need.stage.name not in needs:
                needs[need.stage.name] = need.build(needs)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, self.stage.name, "weights"))
            model: StageModel = self.stage.build(self.recipe, self.data, needs)
        _check_steps(self, model)
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _check_steps(training: Training, model: StageModel) -> None:
    """Refuses steps of a scale that the stage does not have."""
    process = getattr(training.recipe, "process", None)
    if process is None or not isinstance(process.steps, Mapping):
        return
    names = [leg.segment.name for leg in model.legs()]
    for name in process.steps:
        if name not in names:
            raise unknown(f"scale of stage '{training.stage.name}'", name, names)


def with_needs(trainings: Iterable[Training]) -> list[Training]:
    """Each training after those that it builds on; what several build on is there several times."""
    return [one for own in trainings for one in (*own.every_need, own)]


def hurried(
    trainings: Iterable[Training], splits: DataSplits, done: Collection[str] = ()
) -> Iterator[str]:
    """A sentence on each training of fewer than `FEW_STEPS` steps, those that it needs included.

    None on those whose identities are in `done`.
    """
    every = {one.identity: one for one in with_needs(trainings)}
    for training in (one for identity, one in every.items() if identity not in done):
        name, epochs = training.stage.name, training.recipe.train.epochs
        images = len(training.stage.parts(splits)[0])
        batch, steps = training.steps(images)
        if steps < FEW_STEPS:
            enough = -(-FEW_STEPS // (images // batch))
            times = "1 step" if steps == 1 else f"{steps} steps"
            yield (
                f"{name} learns for {times} only ({images} images, epochs: {epochs}), which is too "
                f"little: give it more, by --stages.{name}.train.epochs={enough} say"
            )


def chosen(config: Any) -> dict[str, Any]:
    """The fields of nested dataclasses that are neither at their default nor idle in training.

    A dataclass lists its idle fields in `SAMPLING` and `WATCHING`. A field whose default has
    changed keeps the first one in its metadata as `unnamed`: that value is left out in place of the
    present default, so that trainings made before the change keep their names, and no others get
    them.
    """
    idle = (*getattr(config, "SAMPLING", ()), *getattr(config, "WATCHING", ()))
    found = {}
    for part in fields(config):
        value = getattr(config, part.name)
        default = part.default_factory() if callable(part.default_factory) else part.default
        unnamed = part.metadata.get("unnamed", default)
        if part.name in idle or (value == unnamed and not is_dataclass(value)):
            continue
        inner = chosen(value) if is_dataclass(value) else value
        if isinstance(value, tuple) and any(map(is_dataclass, value)):
            inner = [[type(one).__name__, chosen(one)] for one in value]
        if inner != {}:  # {} is a part that differs in idle fields only
            found[part.name] = inner
    return found


@dataclass(frozen=True)
class TrainedStage:
    """The outcome: `ema` is what sampling uses, `raw` the last weights, `record` how it went."""

    training: Training
    ema: dict[str, Tensor]
    raw: dict[str, Tensor]
    record: dict[str, Any]

    @classmethod
    def from_tensors(
        cls, training: Training, tensors: Mapping[str, Tensor], record: dict[str, Any]
    ) -> TrainedStage:
        """The outcome whose `tensors` were written to a file."""
        return cls(training, under_prefix("ema", tensors), under_prefix("raw", tensors), record)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Both sets of weights under names of their own, as files hold them."""
        return {**with_prefix("ema", self.ema), **with_prefix("raw", self.raw)}

    def model(self, device: torch.device | str = "cpu", needs: Models | None = None) -> StageModel:
        """The stage with its averaged weights, ready to sample.

        Args:
            device: where.
            needs: as for `Training.build`.
        """
        model = self.training.build(needs)
        load_weights(model, self.ema, f"stage '{self.training.stage.name}'")
        model.fix()
        return model.to(device).eval()


def models_of(stages: Mapping[str, TrainedStage], device: torch.device | str = "cpu") -> Models:
    """Trained stages by name, each built on those before it, ready to sample."""
    models = Models()
    for name, stage in stages.items():
        models[name] = stage.model(device, models)
    return models


def save_stage(stage: TrainedStage, folder: Path) -> None:
    """Writes an outcome into its training's folder, where `load_stage` finds it."""
    record = {**stage.record, "identity": stage.training.identity}
    save_tensors(folder / FINISHED, stage.tensors, record)


def load_stage(training: Training, root: Path) -> TrainedStage:
    """The finished outcome of a training below `root`; `InputError` if absent or damaged."""
    path = training.folder(root) / FINISHED
    tensors, record = load_tensors(path, "trained stage")
    if record.get("identity") != training.identity:
        raise InputError(f"{path} holds another training than its folder says: delete the folder")
    return TrainedStage.from_tensors(training, tensors, record)
