"""`scalespace train` trains one method, or a judge, into a model folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from scalespace import options as opt
from scalespace.config import Config
from scalespace.data import DataSplits, load
from scalespace.data.catalog import DATASETS
from scalespace.data.origins import find_origin
from scalespace.errors import InputError, unknown
from scalespace.fields import mapping
from scalespace.methods import METHODS, get_method
from scalespace.model import Model, train
from scalespace.model.folder import CONFIG, check_own_model
from scalespace.model.trained import check_trainings
from scalespace.plugins import HINT
from scalespace.settings import load_config, make_training, make_trainings, stage_recipe
from scalespace.stages.base import Stage
from scalespace.stages.judge import JUDGE
from scalespace.training.reuse import why_not
from scalespace.training.runtime import is_helper
from scalespace.training.training import Training, hurried
from scalespace.verbs.common import (
    check_folder,
    data_dir_option,
    find_model,
    make_runtime,
    note,
    preset_option,
    runtime_options,
)


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("method", help="a method (scalespace models lists them), or judge")
    preset_option(parser)
    parser.add_argument("--seed", type=int, default=0, help="for weights, order and noise")
    parser.add_argument("--out", help="the model folder to write")
    parser.add_argument(
        "--dry-run", action="store_true", help="show the recipe of each stage, and train nothing"
    )
    parser.add_argument(
        "--trainings", help="folder of stage trainings, shared by methods (default: OUT/trainings)"
    )
    parser.add_argument(
        "--reuse",
        help="models, as in cascaded,runs/mine: take their stages and train only the others "
        "(recipe, seed and data must agree)",
    )
    data_dir_option(parser)
    runtime_options(parser)
    opt.add_config(parser, unset="the preset")


def act(options: Namespace, given: dict[str, Any]) -> None:
    own = opt.config_fields(given)
    config = load_config(options.preset, own)
    if options.method not in METHODS and options.method != JUDGE.name:
        raise unknown("method", options.method, [*METHODS, JUDGE.name], HINT)
    _check_read(options.method, own)
    if options.dry_run:
        _ready(options)
        _try_out(options.method, config, options.seed, options.data_dir)
        _show(options.method, config)
        return
    if options.out is None:
        raise InputError("--out is missing: the model folder to write")
    out = Path(options.out)
    trainings = Path(options.trainings or out / "trainings")
    check_folder("--out", out)
    check_folder("--trainings", trainings)
    ready = _ready(options)
    if options.method == JUDGE.name:
        _train_judge(options, config, out, trainings)
        return
    check_own_model(out)
    method = get_method(options.method)
    splits = load(config.data, options.data_dir, size=config.size)
    wanted = make_trainings(config, method, options.seed, splits.info)
    runtime = make_runtime(options)
    _tell_of_replaced(out, wanted)
    _tell_of_reused(ready, wanted)
    _tell_of_hurried(wanted, splits, ready.values())
    model = train(method.name, splits, config, trainings, options.seed, runtime, ready.values())
    if is_helper():
        return  # one of several processes that train together; the first one writes
    model.save(out)
    for name, stage in model.stages.items():
        seconds, loss = stage.record["seconds"], stage.record["val_loss"]
        note(f"{name}: {seconds:.0f} s of training, validation loss {loss:.4f}")
    print(f"model: {out}")


def _ready(options: Namespace) -> dict[str, Model]:
    """The models to take stages from, by name.

    Raises:
        InputError: one is not found, or a judge is to be trained, which has no such stages.
    """
    if options.reuse and options.method == JUDGE.name:
        raise InputError("--reuse is for methods: a judge is one training of its own")
    return {name: find_model(name) for name in opt.words(options.reuse)}


def _tell_of_replaced(out: Path, wanted: Sequence[Training]) -> None:
    """Notes it if the folder holds a model that is trained otherwise: it is not gone on with."""
    if is_helper() or not (out / CONFIG).exists():
        return
    try:
        there = Model.load(out).stages.values()
    except InputError:  # it is no model, or a damaged one
        return
    if {one.training.identity for one in there} != {one.identity for one in wanted}:
        note(
            f"{out} holds a model of another recipe, seed or data: this one is trained from the "
            "start, and then takes its place"
        )


def _tell_of_reused(models: Mapping[str, Model], wanted: Sequence[Training]) -> None:
    """Notes which stages are taken from models, and why others are not."""
    for model_name, model in () if is_helper() else models.items():
        for name, stage in model.stages.items():
            reason = why_not(stage, wanted)
            note(f"{model_name}: {name} is " + (f"not taken: {reason}" if reason else "taken"))


def _tell_of_hurried(
    wanted: Iterable[Training], splits: DataSplits, ready: Iterable[Model] = ()
) -> None:
    """Notes which trainings to come, not in models that are ready, are too short to learn much."""
    done = {stage.training.identity for model in ready for stage in model.stages.values()}
    if not is_helper():
        for sentence in hurried(wanted, splits, done):
            note(sentence)


def _stages(method: str) -> dict[str, Stage[Any]]:
    """What is trained, by name: those that others need come first."""
    own = (JUDGE,) if method == JUDGE.name else get_method(method).stages
    return {one.name: one for stage in own for one in (*stage.needs, stage)}


def _check_read(method: str, given: Mapping[str, Any]) -> None:
    """Refuses fields that none of the stages reads.

    Raises:
        InputError: which, and what they read.
    """
    stages = _stages(method)
    parts = [part.name for one in stages.values() for part in fields(one.recipe)]
    idle = set.intersection(*({*one.idle} for one in stages.values()))
    read = dict.fromkeys(name for name in parts if name not in idle)
    for name in given:
        if name not in {*read, "data", "size", "stages"}:
            raise InputError(
                f"{name}: training '{method}' does not read it; it reads {', '.join(read)}"
            )
    known = {*stages, *(one.like.name for one in stages.values() if one.like)}
    for name in mapping(given.get("stages") or {}, "stages"):
        if name not in known:
            raise InputError(
                f"stages.{name}: training '{method}' does not need that stage; it trains "
                f"{', '.join(stages)}"
            )


def _try_out(method: str, config: Config, seed: int, data_dir: Path | str | None) -> None:
    """Looks for the data, and builds the networks if these are published ones of a known size.

    No image is read, and nothing is downloaded.

    Raises:
        InputError: as training would, but for what the images alone tell.
    """
    find_origin(config.data, data_dir, config.size).check()
    if config.data not in DATASETS:
        return
    info = DATASETS[config.data].nominal
    if method == JUDGE.name:
        make_training(config, JUDGE, seed, info).build()
    else:
        check_trainings(get_method(method), make_trainings(config, get_method(method), seed, info))


def _show(method: str, config: Config) -> None:
    """Prints the recipe of each stage, with all fields, as YAML that a preset may hold.

    Those of the stages that they need come first.
    """
    recipes = {name: asdict(stage_recipe(config, one)) for name, one in _stages(method).items()}
    shown = {"data": config.data, "stages": json.loads(json.dumps(recipes))}
    print(yaml.safe_dump(shown, sort_keys=False, default_flow_style=None, width=100), end="")


def _train_judge(options: Namespace, config: Config, out: Path, trainings: Path) -> None:
    from scalespace.evaluation.judge import check_own_judge, doubts
    from scalespace.training.judge import train_judge

    check_own_judge(out)
    splits = load(config.data, options.data_dir, size=config.size)
    training = make_training(config, JUDGE, options.seed, splits.info)
    runtime = make_runtime(options)
    _tell_of_hurried([training], splits)
    judge = train_judge(training, splits, trainings, runtime)
    if is_helper():
        return
    judge.save(out)
    shares = ", ".join(f"{share:.2%} of {part}" for part, share in judge.record["accuracy"].items())
    note(f"judge {judge.hash}: reads {shares} images")
    if doubt := doubts(judge.record["accuracy"]):
        note(doubt)
    print(f"judge: {out}")
