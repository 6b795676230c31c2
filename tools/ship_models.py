"""Writes the models that ship with the package, from the trainings of a finished study.

    python tools/ship_models.py --study runs/few-mnist
    python tools/ship_models.py --study runs/guidance-mnist --as cascaded=guided
    python tools/ship_models.py --study runs/fast-mnist --as cascaded-fast=cascaded-fast

Each of `baseline`, `small` and `cascaded` that the study carries out becomes a model folder with
its averaged weights, the study's figures and a card; the others stay as they are. `--as` ships one
method alone, by a name. The training seed that ships, 0, was fixed before anything was
measured: `--seed` is for trying the tool out, not for choosing by figures.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scalespace import pretrained
from scalespace.errors import InputError
from scalespace.evaluation.controls import CONTROLS, FEATURE_CONTROLS
from scalespace.evaluation.evaluate import METRICS
from scalespace.hub.figures import Figures, Measure
from scalespace.methods import get_method
from scalespace.model import Model
from scalespace.model.folder import WEIGHTS
from scalespace.report.results import Results
from scalespace.settings import stage_recipe
from scalespace.stages.base import Stage
from scalespace.training.checkpoint import load_tensors
from scalespace.training.training import FINISHED, TrainedStage, Training

SHIPPED = ("baseline", "small", "cascaded")
SEED = 0
MOST_BYTES = 7_900_000  # of all weights: with cards and configs below 8 MB


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--study", required=True, type=Path, help="the finished study's folder")
    parser.add_argument("--seed", type=int, default=SEED, help="the training seed (default: 0)")
    parser.add_argument("--out", type=Path, default=pretrained.FOLDER, help="where to write")
    parser.add_argument("--as", dest="named", metavar="METHOD=NAME", help="one method, by a name")
    options = parser.parse_args(argv)
    try:
        ship(Results(options.study), options.seed, options.out, named(options.named))
    except InputError as error:
        print(f"ship_models: {error}", file=sys.stderr)
        sys.exit(2)


def named(text: str | None) -> dict[str, str]:
    """'cascaded=guided' as {"cascaded": "guided"}; without it the methods by their own names."""
    if text is None:
        return {method: method for method in SHIPPED}
    method, equals, name = text.partition("=")
    if not (method and equals and re.fullmatch(r"[a-z0-9-]+", name)):
        raise InputError(f"--as takes a method and a name, as in cascaded=guided: got '{text}'")
    return {get_method(method).name: name}


def ship(results: Results, seed: int, out: Path, names: Mapping[str, str]) -> None:
    """Writes the model folders; none before all of them are there.

    Args:
        results: of the study.
        seed: of the trainings that ship.
        out: where the folders are.
        names: what the model of a method is called.

    Raises:
        InputError: the study has none of the methods, or no finished training of a stage, or the
            models are too large.
    """
    methods = {method.name for method in results.study.methods}
    models = {
        name: shipped_model(results, method, seed)
        for method, name in names.items()
        if method in methods
    }
    if not models:
        raise InputError(f"{results.folder} carries out none of {', '.join(names)}")
    stages = [stage for model in models.values() for stage in model.stages.values()]
    size = sum(tensor.nbytes for stage in stages for tensor in stage.ema.values())
    size += sum(
        path.stat().st_size for path in out.glob(f"*/{WEIGHTS}") if path.parent.name not in models
    )
    if size > MOST_BYTES:
        raise InputError(
            f"the weights have {size:,} bytes, more than the {MOST_BYTES:,} that a package may ship"
        )
    for name, model in models.items():
        model.save_pretrained(out / name, repo_id=name)
        own = sum(path.stat().st_size for path in (out / name).iterdir())
        print(f"{name}: {model.parameters:,} parameters, {own:,} bytes in {out / name}")


def shipped_model(results: Results, name: str, seed: int) -> Model:
    """A method with the study's trainings of one seed, and the study's figures of it."""
    method = get_method(name)
    stages = {stage.name: trained_stage(results, stage, seed) for stage in method.stages}
    return Model(method, stages, figures=figures(results, name, seed))


def trained_stage(results: Results, stage: Stage[Any], seed: int) -> TrainedStage:
    """A finished training of the study: the one that its own results name.

    They name it by the identity that it had when it was trained; a later version of the package
    may count it up in another way.
    """
    rows = results.find("train_seconds", stage=stage.name, seed=seed)
    if not rows or stage.name not in results.study.recipes:
        raise InputError(
            f"{results.folder} has no finished training of '{stage.name}', seed {seed}"
        )
    identity = str(rows[-1]["config"])
    path = results.folder / "trainings" / f"{stage.name}-{identity}" / FINISHED
    tensors, record = load_tensors(path, "trained stage")
    if record.pop("identity", None) != identity:
        raise InputError(f"{path} holds another training than its folder says")
    training = training_of(results, stage, seed)
    return replace(TrainedStage.from_tensors(training, tensors, record), raw={})


def training_of(results: Results, stage: Stage[Any], seed: int) -> Training:
    """The training of a stage by the study's recipes, with those that it builds on."""
    study = results.study
    recipe = study.recipes.get(stage.name) or stage_recipe(study.config, stage)
    needs = tuple(training_of(results, need, seed) for need in stage.needs)
    return Training(stage, recipe, seed, stage.units(recipe, study.data), needs)


def figures(results: Results, method: str, seed: int) -> Figures:
    """What the study measured of a method's model of one training seed."""
    study = results.study
    names = {
        name: title
        for metric in study.config.study.metrics
        for name, title in METRICS[metric].figures.items()
    }
    found = [
        cas(results, method, seed, title)
        if name == "cas"
        else measure(results, method, seed, name, title)
        for name, title in names.items()
    ]
    macs = results.value("macs", method=method)
    return Figures(
        preset=study.preset,
        seed=seed,
        seeds=study.seeds,
        machine=study.machine,
        versions=study.versions,
        measures=tuple(one for one in found if one is not None),
        latency=results.value("latency_median", method=method),
        macs=None if macs is None else round(macs),
    )


def cas(results: Results, method: str, seed: int, title: str) -> Measure | None:
    """The Classification Accuracy Score of one seed's images alone, if the study has it."""
    every = {own: results.score(method, _kept(results, own)) for own in results.study.seeds}
    own = every[seed]
    if own is None:
        return None
    controls = {label: results.score(name) for name, label in CONTROLS.items()}
    return Measure(
        "cas",
        title,
        own.mean,
        own.n,
        sd=None if math.isnan(own.sd) else own.sd,
        seeds=tuple(score.mean for score in every.values() if score is not None),
        controls={label: score.mean for label, score in controls.items() if score is not None},
    )


def measure(results: Results, method: str, seed: int, name: str, title: str) -> Measure | None:
    """Any other figure of one seed's images alone, if the study has it."""
    every = {
        own: results.measurement(name, method, _kept(results, own)) for own in results.study.seeds
    }
    own = every[seed]
    if own is None:
        return None
    controls = {
        label: results.measurement(name, control) for control, label in FEATURE_CONTROLS.items()
    }
    return Measure(
        name,
        title,
        own["value"],
        own["n"],
        sd=own.get("sd"),
        low=own.get("low"),
        high=own.get("high"),
        reference_n=own.get("reference_n"),
        judge=own.get("judge") or "",
        seeds=tuple(row["value"] for row in every.values() if row is not None),
        controls={label: row["value"] for label, row in controls.items() if row is not None},
    )


def _kept(results: Results, seed: int) -> int | None:
    """How a study's rows name a seed: one with a single seed has only figures over all seeds."""
    return None if len(results.study.seeds) == 1 else seed


if __name__ == "__main__":
    main()
