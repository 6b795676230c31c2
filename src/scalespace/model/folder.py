"""The folder of a model.

`config.json` (method, data, recipes, how training went, and the figures of a model that was
measured) and `model.safetensors` (for each stage the averaged weights, which sampling uses, and the
last ones). A model saved for others also has a card, and the averaged weights alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalespace.config.build import build
from scalespace.config.checks import check_history
from scalespace.data.info import DataInfo
from scalespace.errors import InputError, in_words
from scalespace.fields import digest
from scalespace.files import atomic, check_own, no_folder, read_object, write_json
from scalespace.hub.figures import Figures
from scalespace.methods import Method, get_method
from scalespace.stages.base import Stage
from scalespace.training.checkpoint import load_tensors, save_tensors, under_prefix
from scalespace.training.training import TrainedStage, Training

FORMAT = 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"


@dataclass(frozen=True)
class Stored:
    """What a folder holds of a model.

    Args:
        method: what is sampled.
        stages: its trained stages, by name.
        figures: what was measured of it, if anything was.
        name: the model's hash.
    """

    method: Method
    stages: dict[str, TrainedStage]
    figures: Figures | None
    name: str


def read(folder: Path) -> Stored:
    """What `write` wrote.

    Raises:
        InputError: a file is absent, damaged, edited, or does not fit the other.
    """
    if not folder.is_dir():
        raise no_folder("model", folder)
    path = folder / CONFIG
    config = read_object(path, "model config")
    if "judge" in config:
        raise InputError(f"{folder} is a judge: evaluate --judge and plot take it")
    try:
        if config["format"] != FORMAT:
            raise InputError(
                f"it has format {config['format']}, this version reads format {FORMAT}"
            )
        method, expected = get_method(config["method"]), config["hash"]
        data = DataInfo.from_json(config["data"])
        figures = Figures.from_json(config["figures"]) if "figures" in config else None
        own = config["stages"]
        needed = {**own, **config.get("needs", {})}

        def training(stage: Stage[Any], told: Mapping[str, Any] = needed) -> Training:
            part, needs = told[stage.name], tuple(map(training, stage.needs))
            recipe = build(stage.recipe, part["recipe"])
            return Training(stage, recipe, int(part["seed"]), data, needs)

        trainings = {stage.name: training(stage, own) for stage in method.stages}
        records = {name: _record(config["stages"][name]["record"]) for name in trainings}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{path}: {error}") from error
        raise InputError(f"{path} is no model config: {in_words(error)}") from error
    tensors, about = load_tensors(folder / WEIGHTS, "model weights")
    for key, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.int64):
            raise InputError(
                f"{folder / WEIGHTS}: '{key}' is of type {str(tensor.dtype).removeprefix('torch.')}"
                ", where scalespace writes float32 (and int64 to count)"
            )
    if about.get("hash") != expected:
        raise InputError(f"{folder}: {WEIGHTS} and {CONFIG} are of different models")
    if "checksum" in config and config["checksum"] != _checksum(config, tensors):
        raise InputError(
            f"{folder}: {CONFIG} or {WEIGHTS} was edited or damaged since the model was saved: "
            "copy or download the model again, or save it anew (`resampled` and `scalespace sample "
            "--process...` sample otherwise)"
        )
    stages = {
        name: TrainedStage.from_tensors(training, under_prefix(name, tensors), records[name])
        for name, training in trainings.items()
    }
    return Stored(method, stages, figures, expected)


def check_own_model(folder: Path, files: Sequence[str] = (CONFIG,)) -> None:
    """Raises `InputError` if a model in this folder would replace files of something else."""
    check_own(folder, {"format", "method", "hash"}, "scalespace model", files)


def write(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Writes both files; a model that is there is replaced.

    Args:
        folder: where to.
        config: a model's, without the checksum.
        tensors: of all its stages, each stage's under its name.

    Raises:
        InputError: a config.json of something else is there, or the files cannot be written; a
            model that was there then stays whole.
    """
    check_own_model(folder)
    # the new config is on the disk before the old weights are replaced
    with atomic(folder / CONFIG) as aside:
        write_json(aside, {**config, "checksum": _checksum(config, tensors)})
        save_tensors(folder / WEIGHTS, tensors, {"hash": config["hash"]})


def _checksum(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Hash of all that a model folder holds."""
    content = hashlib.sha256()
    for name in sorted(tensors):
        content.update(name.encode())
        content.update(tensors[name].cpu().contiguous().numpy().tobytes())
    told = {key: value for key, value in config.items() if key != "checksum"}
    return digest([told, content.hexdigest()])


def _record(value: Any) -> dict[str, Any]:
    """A training's record, checked for the numbers that commands print."""
    for name in ("images", "seconds", "val_loss"):
        if not isinstance(value[name], int | float):
            raise TypeError(f"{name} must be a number, got {value[name]!r}")
    check_history(value.get("history", []))
    return dict(value)
