"""How each kind of unit is carried out: from the results it needs to rows and files of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scalespace.config import Config
from scalespace.data import (
    DataSplits,
    Samples,
    read_samples,
    write_samples,
)
from scalespace.evaluation.controls import control
from scalespace.evaluation.evaluate import METRICS, Real
from scalespace.evaluation.judge import Judge
from scalespace.files import atomic
from scalespace.methods import get_method
from scalespace.model import Model, benchmark
from scalespace.stages.judge import JUDGE
from scalespace.study.plan import TRAJECTORY_IMAGES, Plan, Unit
from scalespace.training.fit import fit
from scalespace.training.judge import train_judge
from scalespace.training.runtime import Runtime
from scalespace.training.training import load_stage

Row = dict[str, Any]

COSTS = {
    "mean": "latency_mean",
    "median": "latency_median",
    "q1": "latency_q1",
    "q3": "latency_q3",
    "macs": "macs",
    "calls": "calls",
    "parameters": "parameters",
}
"""Which field of a benchmark becomes which metric."""


@dataclass(frozen=True)
class Context:
    """What every unit may use."""

    folder: Path
    config: Config
    splits: DataSplits
    plan: Plan
    runtime: Runtime

    def place(self, unit: Unit) -> Path:
        """The unit's own folder."""
        return self.folder / "units" / unit.id

    @property
    def trainings(self) -> Path:
        """Where trained stages live."""
        return self.folder / "trainings"

    @cached_property
    def blind(self) -> Real:
        """The same without a judge, for what needs none: the study's own may still be trained."""
        device, progress = self.runtime.torch_device, self.runtime.progress
        return Real(self.splits, self.config.cas, device=device, progress=progress)

    @cached_property
    def real(self) -> Real:
        """The real data that every set is measured against, with the study's judge."""
        judge: Judge | str = self.config.study.judge
        own = (JUDGE.name, self.config.study.seeds[0])
        if own in self.plan.trainings:  # none ships for this data: the study trains one
            training = self.plan.training(*own)
            judge = train_judge(training, self.splits, self.trainings, self.runtime)
        return Real(
            self.splits,
            self.config.cas,
            judge or None,
            self.runtime.torch_device,
            self.runtime.progress,
        )

    def model(self, name: str, seed: int) -> Model:
        """A method with the stages that the plan's `train` units made with a seed."""
        method = get_method(name)
        stages = {
            stage.name: load_stage(self.plan.training(stage.name, seed), self.trainings)
            for stage in method.stages
        }
        return Model(method, stages, self.runtime.torch_device)

    def relative(self, path: Path) -> str:
        """A path as the results name it."""
        return path.relative_to(self.folder).as_posix()


def train(unit: Unit, context: Context) -> list[Row]:
    """Trains one stage with one seed."""
    training = context.plan.training(unit.inputs["stage"], unit.inputs["seed"])
    stage = fit(training, context.splits, context.trainings, context.runtime)
    own = {"stage": training.stage.name, "seed": training.seed, "config": training.identity}
    metrics = training.folder(context.trainings) / "metrics.jsonl"
    n = stage.record["images"]
    return [
        {**own, "metric": "train_seconds", "value": stage.record["seconds"], "n": n},
        {**own, "metric": "loss", "value": stage.record["loss"], "n": n},
        {**own, "metric": "val_loss", "value": stage.record["val_loss"], "n": n},
        _artefact(own, "metrics", context.relative(metrics)),
    ]


def sample(unit: Unit, context: Context) -> list[Row]:
    """Makes a method's images with one seed, balanced by class, and one trajectory."""
    seed = unit.inputs["seed"]
    model = context.model(unit.inputs["method"], seed)
    n, classes = unit.inputs["images"], len(model.data.classes)
    labels = [i % classes for i in range(n)]
    place = context.place(unit)
    write_samples(
        place / "samples.npz", model.sample(labels, seed, progress=context.runtime.progress)
    )
    labels = labels[:TRAJECTORY_IMAGES]
    steps = list(model.trajectory(labels, seed))
    arrays: dict[str, Any] = {
        f"x_{k:03d}": step.x[:, 0].float().cpu().numpy() for k, step in enumerate(steps)
    }
    arrays |= {"t": np.array([step.t for step in steps]), "steps": np.array(len(steps))}
    with atomic(place / "trajectory.npz") as aside:
        np.savez(aside, labels=np.array(labels), **arrays)
    own = {"method": model.method.name, "seed": seed, "config": model.hash, "n": n}
    return [
        _artefact(own, "samples", context.relative(place / "samples.npz")),
        _artefact(own, "trajectory", context.relative(place / "trajectory.npz")),
    ]


def real(unit: Unit, context: Context) -> list[Row]:
    """Real training images, as they are or taken down and up again: what samples are held to."""
    samples = control(unit.name, context.splits, unit.inputs["images"])
    path = context.place(unit) / "samples.npz"
    write_samples(path, samples)
    own = {"method": unit.name, "seed": None, "config": unit.id, "n": len(samples)}
    return [_artefact(own, "real_samples", context.relative(path))]


def reconstruct(unit: Unit, context: Context) -> list[Row]:
    """Real test images through an autoencoder: as near as anything it decodes may come."""
    training, test = context.plan.training(unit.inputs["stage"], unit.inputs["seed"]), unit.needs[1]
    autoencoder = load_stage(training, context.trainings).model(context.runtime.torch_device)
    samples = read_samples(context.place(test) / "samples.npz")
    unit_range = torch.from_numpy(samples.images)[:, None].to(context.runtime.torch_device)
    images = autoencoder.reconstruct(unit_range)[:, 0].cpu().numpy()  # type: ignore[operator]
    path = context.place(unit) / "samples.npz"
    write_samples(path, Samples(images, samples.labels, {"method": unit.name}))
    own = {"method": unit.name, "seed": None, "config": unit.id, "n": len(images)}
    return [_artefact(own, "real_samples", context.relative(path))]


def score(unit: Unit, context: Context) -> list[Row]:
    """One metric of the images of the units below."""
    images = [need for need in unit.needs if need.kind in ("sample", "real", "reconstruct")]
    files = [context.place(need) / "samples.npz" for need in images]
    samples = pool([read_samples(path) for path in files], unit.inputs["images"])
    metric = unit.inputs["metric"]
    real = context.real if METRICS[metric].judged else context.blind
    found = METRICS[metric].measure(samples, real)
    own = {"method": unit.inputs["method"], "seed": unit.inputs["seed"], "config": unit.id}
    return _ROWS.get(metric, _plain)(own, metric, found)


def _plain(own: Row, metric: str, found: dict[str, Any]) -> list[Row]:
    """A row for each figure of a metric, with what else was found (n, judge, interval)."""
    figures = METRICS[metric].figures
    about = {key: value for key, value in found.items() if key not in figures}
    return [{**own, **about, "metric": name, "value": found[name]} for name in figures]


def _cas(own: Row, metric: str, found: dict[str, Any]) -> list[Row]:
    """A row for each classifier."""
    return [
        {
            **own,
            "metric": "cas",
            "classifier": k,
            "value": found["accuracy"][k],
            "n": found["n"],
            "per_class": found["classifiers"][k]["per_class"],
            "confusion": found["classifiers"][k]["confusion"],
        }
        for k in range(len(found["accuracy"]))
    ]


def _fd(own: Row, metric: str, found: dict[str, Any]) -> list[Row]:
    """A row for each kind of features."""
    linear = found.pop("before_relu")
    [row] = _plain(own, metric, found)
    return [row, {**row, "metric": "fd_before_relu", "value": linear.pop("fd"), **linear}]


_ROWS: dict[str, Callable[..., list[Row]]] = {"cas": _cas, "fd": _fd}


def inspect(unit: Unit, context: Context) -> list[Row]:
    """What a stage shows from inside, on held-out images; the judge on the test part."""
    name, path = unit.name, context.place(unit) / "inspection.npz"
    own: Row = {"stage": name, "seed": unit.inputs.get("seed"), "config": unit.id}
    if name == JUDGE.name:
        judge = context.real.eye
        arrays = judge.inspect(context.splits.test())
        own |= {"judge": judge.hash, "accuracy": judge.record.get("accuracy")}
        own |= {
            "trained_on": judge.data.name,
            "shipped": not (unit.needs or context.config.study.judge),
        }
    else:
        training = context.plan.training(name, unit.inputs["seed"])
        stage = load_stage(training, context.trainings).model(context.runtime.torch_device)
        held_out = context.splits.val.to(context.runtime.torch_device)
        arrays = stage.inspect(held_out.unit(), held_out.labels)
    with atomic(path) as aside, open(aside, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return [_artefact(own, "inspection", context.relative(path))]


def bench(unit: Unit, context: Context) -> list[Row]:
    """What an image costs by each method, measured in turns."""
    models = [context.model(name, unit.inputs["seed"]) for name in unit.inputs["methods"]]
    found = benchmark(models, context.config.bench, progress=context.runtime.progress)
    rows = []
    for model in models:
        cost = found[model.method.name]
        own = {"method": model.method.name, "seed": None, "config": model.hash}
        own["n"] = cost["productions"]
        rows += [{**own, "metric": metric, "value": cost[name]} for name, metric in COSTS.items()]
        batch = {"batch_size": cost["best_batch_size"], "throughput": cost["throughput"]}
        rows.append({**own, "metric": "images_per_s", "value": cost["images_per_s"], **batch})
    return rows


def pool(parts: list[Samples], n: int) -> Samples:
    """As many images from each part as make n together, shuffled and cut to n (section 0.2)."""
    each = -(-n // len(parts))
    images = np.concatenate([part.images[:each] for part in parts])
    labels = np.concatenate([part.labels[:each] for part in parts])
    order = np.random.default_rng(0).permutation(len(labels))[:n]
    return Samples(images[order], labels[order], {"parts": [part.meta for part in parts]})


KINDS: dict[str, Callable[[Unit, Context], list[Row]]] = {
    "train": train,
    "sample": sample,
    "real": real,
    "reconstruct": reconstruct,
    "score": score,
    "inspect": inspect,
    "bench": bench,
}


def _artefact(own: Row, kind: str, path: str) -> Row:
    return {"n": None, **own, "metric": "artefact", "kind": kind, "path": path, "value": None}
