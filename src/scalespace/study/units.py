"""How each kind of unit is carried out: from the results it needs to rows and files of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scalespace.config import Config
from scalespace.data import (
    DataSplits,
    Samples,
    read_samples,
    write_samples,
)
from scalespace.evaluation.cas import cas, plain
from scalespace.evaluation.controls import control
from scalespace.files import atomic
from scalespace.methods import get_method
from scalespace.model import Model, benchmark
from scalespace.study.plan import TRAJECTORY_IMAGES, Plan, Unit
from scalespace.training.fit import fit
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


def score(unit: Unit, context: Context) -> list[Row]:
    """The classifiers' accuracies on the test part, trained on the images of the units below."""
    files = [context.place(need) / "samples.npz" for need in unit.needs]
    samples = pool([read_samples(path) for path in files], unit.inputs["images"])
    splits = context.splits
    result = cas(
        samples.images,
        samples.labels,
        splits.test(),
        splits.mean,
        splits.std,
        context.config.cas,
        device=context.runtime.torch_device,
        progress=context.runtime.progress,
    )
    own = {"method": unit.inputs["method"], "seed": unit.inputs["seed"], "config": unit.id}
    return [
        {
            **own,
            "metric": "cas",
            "classifier": k,
            "value": float(result.accuracy[k]),
            "n": result.n,
            "per_class": plain(result.per_class[k]),
            "confusion": result.confusion[k].tolist(),
        }
        for k in range(len(result.accuracy))
    ]


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
    "score": score,
    "bench": bench,
}


def _artefact(own: Row, kind: str, path: str) -> Row:
    return {"n": None, **own, "metric": "artefact", "kind": kind, "path": path, "value": None}
