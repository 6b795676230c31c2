"""Runs each kind of task, from the results that it needs to its own rows and files."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scalespace.bench import benchmark
from scalespace.config import Config, SelectionConfig
from scalespace.data import (
    DataSplits,
    Samples,
    balanced_sample,
    read_samples,
    write_samples,
)
from scalespace.data.pixels import pictures, planes
from scalespace.evaluation.controls import control
from scalespace.evaluation.evaluate import METRICS, Real, measure
from scalespace.evaluation.judge import Judge
from scalespace.evaluation.selection import Selector
from scalespace.fields import digest
from scalespace.files import sha256, write_arrays, write_json, write_rows
from scalespace.machine import machine, versions
from scalespace.methods import get_method
from scalespace.model import Model
from scalespace.stages.base import StageModel
from scalespace.stages.judge import JUDGE
from scalespace.studies.costs import COSTS, RATE
from scalespace.studies.folder import CACHE, DONE, TASKS, TRAININGS, made_anew
from scalespace.studies.plan import TRAJECTORY_IMAGES, Plan, Task
from scalespace.training.fit import fit
from scalespace.training.judge import train_judge
from scalespace.training.metrics import METRICS_FILE
from scalespace.training.runtime import Runtime
from scalespace.training.training import TrainedStage, Training, load_stage

Row = dict[str, Any]

FAR = 1e6  # values of a diverging trajectory are clipped to this
LEAK_IMAGES = 512  # of the validation part


@dataclass(frozen=True)
class Context:
    """What every task may use."""

    folder: Path
    config: Config
    splits: DataSplits
    plan: Plan
    runtime: Runtime

    def place(self, task: Task) -> Path:
        """The task's own folder."""
        return self.folder / TASKS / task.id

    @property
    def trainings(self) -> Path:
        """Where trained stages live."""
        return self.folder / TRAININGS

    @cached_property
    def blind(self) -> Real:
        """The real data without a judge, for metrics that need none: it may not be trained yet."""
        return self._real(None)

    @cached_property
    def real(self) -> Real:
        """The real data with the study's judge."""
        judge: Judge | str = self.config.study.judge
        if self.plan.judge:  # none ships for this data: the study trains one
            judge = train_judge(self.plan.judge, self.splits, self.trainings, self.runtime)
        return self._real(judge or None)

    def _real(self, judge: Judge | str | None) -> Real:
        device, progress = self.runtime.torch_device, self.runtime.progress
        part = self.config.study.part
        cache = self.folder / CACHE
        return Real(self.splits, self.config.cas, judge, device, progress, part, cache)

    def training(self, task: Task) -> Training:
        """The training that a task is about."""
        return self.plan.trainings[task.id][0]

    def stage(self, task: Task) -> StageModel:
        """The outcome of that training, ready to use."""
        return load_stage(self.training(task), self.trainings).model(self.runtime.torch_device)

    def model(self, name: str, task: Task) -> Model:
        """A method with the stages that the plan has trained for a task."""
        method, used = get_method(name), {t.stage.name: t for t in self.plan.trainings[task.id]}
        stages = {
            stage.name: load_stage(used[stage.name], self.trainings) for stage in method.stages
        }
        return Model(method, stages, self.runtime.torch_device)

    def selector(self, selection: Mapping[str, Any] | None) -> Selector | None:
        """What chooses by the fields of a `SelectionConfig`; None for a method that keeps all."""
        if not selection:
            return None
        return Selector(self.real.eye, SelectionConfig(**selection), self.runtime.torch_device)

    def relative(self, path: Path) -> str:
        """A path relative to the study's folder, as the results name it."""
        return path.relative_to(self.folder).as_posix()


def train(task: Task, context: Context) -> list[Row]:
    """Trains one stage with one seed."""
    training = context.training(task)
    stage = fit(training, context.splits, context.trainings, context.runtime)
    own = {"stage": training.stage.name, "seed": training.seed, "config": training.identity}
    metrics = training.folder(context.trainings) / METRICS_FILE
    if not metrics.exists():  # the stage was trained already: its record has what a report shows
        write_rows(metrics, _remembered(stage))
    n = stage.record["images"]
    return [
        {**own, "metric": "train_seconds", "value": stage.record["seconds"], "n": n},
        {**own, "metric": "loss", "value": stage.record["loss"], "n": n},
        {**own, "metric": "val_loss", "value": stage.record["val_loss"], "n": n},
        _artefact(own, "metrics", metrics, context, sealed=False),
    ]


def _remembered(stage: TrainedStage) -> list[Row]:
    """The rows of a training's metrics, as far as its record has them."""
    record, epochs = stage.record, stage.training.recipe.train.epochs
    last = {name: record[name] for name in ("loss", "val_loss", "val_loss_per_t")}
    return [*record.get("history", [])[:-1], {"epoch": epochs, **last}]


def sample(task: Task, context: Context) -> list[Row]:
    """Makes a method's images with one seed, balanced by class, and one trajectory.

    With several candidates for each, the judge chooses.

    A recipe that is wrong on purpose may diverge. That is a finding, not a failure: NaN becomes
    black, and counts as outside the images' domain.
    """
    seed = task.inputs["seed"]
    n = task.inputs["images"]
    model = context.model(task.inputs["method"], task)
    known = model.data.labels
    labels = [known[i % len(known)] for i in range(n)]
    selector = context.selector(task.inputs.get("selection"))
    labels = selector.asked(labels) if selector else labels
    model = model.with_engine(context.runtime.engine, len(labels))
    place = context.place(task)
    samples = model.sample(labels, seed, progress=context.runtime.progress)
    np.nan_to_num(samples.images, copy=False, nan=0.0)
    if selector:
        samples = selector.select(samples)
    write_samples(place / "samples.npz", samples)
    outside = {f"outside_{name}": share for name, share in samples.meta["outside"].items()}
    labels = labels[:TRAJECTORY_IMAGES]
    steps = list(model.trajectory(labels, seed))
    if all(getattr(one, "domain", None) == model.data.domain for one in model.models.values()):
        found = [model.data.outside(step.x0_hat) for step in steps if step.x0_hat is not None]
        pixels = torch.cat([beyond.flatten() for beyond in found])
        outside["outside_x0_hat"] = float(pixels.float().mean())
    arrays: dict[str, Any] = {
        f"x_{k:03d}": np.nan_to_num(pictures(step.x.float())).clip(-FAR, FAR)
        for k, step in enumerate(steps)
    }
    arrays |= {"t": np.array([step.t for step in steps]), "steps": np.array(len(steps))}
    write_arrays(place / "trajectory.npz", {"labels": np.array(labels), **arrays})
    own = {"method": model.method.name, "seed": seed, "config": model.hash, "n": n}
    return [
        _artefact(own, "samples", place / "samples.npz", context),
        _artefact(own, "trajectory", place / "trajectory.npz", context),
        *({**own, "metric": name, "value": float(share)} for name, share in outside.items()),
    ]


def real(task: Task, context: Context) -> list[Row]:
    """Makes a control set; see `scalespace.evaluation.controls`."""
    samples = control(task.name, context.splits, task.inputs["images"])
    path = context.place(task) / "samples.npz"
    write_samples(path, samples)
    own = {"method": task.name, "seed": None, "config": task.id, "n": len(samples)}
    return [_artefact(own, "real_samples", path, context)]


def reconstruct(task: Task, context: Context) -> list[Row]:
    """Sends held-out real images through an autoencoder: the floor for what it decodes."""
    autoencoder = context.stage(task)
    samples = _samples(task.needs[1], context)
    unit_range = planes(samples.images).to(context.runtime.torch_device)
    images = pictures(autoencoder.reconstruct(unit_range))
    path = context.place(task) / "samples.npz"
    write_samples(path, Samples(images, samples.labels, {"method": task.name}))
    own = {"method": task.name, "seed": None, "config": task.id, "n": len(images)}
    return [_artefact(own, "real_samples", path, context)]


def score(task: Task, context: Context) -> list[Row]:
    """Measures one metric of the images that the task needs."""
    images = [need for need in task.needs if need.kind in ("sample", "real", "reconstruct")]
    samples = pool([_samples(need, context) for need in images], task.inputs["images"])
    metric = task.inputs["metric"]
    real = context.real if METRICS[metric].judged else context.blind
    found = measure(metric, samples, real)
    own = {"method": task.inputs["method"], "seed": task.inputs["seed"], "config": task.id}
    return _ROWS.get(metric, _plain)(own, metric, found)


def _plain(own: Row, metric: str, found: dict[str, Any]) -> list[Row]:
    """A row for each reported value of a metric, with what else was found (n, judge, interval)."""
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


def inspect(task: Task, context: Context) -> list[Row]:
    """Inspects a stage on validation images, or the judge on the held-out images of the scores."""
    name, path = task.name, context.place(task) / "inspection.npz"
    own: Row = {"stage": name, "seed": task.inputs.get("seed"), "config": task.id}
    if name == JUDGE.name:
        judge = context.real.eye
        arrays = judge.inspect(context.real.held_out)
        own |= {"judge": judge.hash, "accuracy": judge.record.get("accuracy")}
        own |= {
            "trained_on": judge.data.title,
            "shipped": not (task.needs or context.config.study.judge),
        }
    else:
        held_out = context.splits.val.to(context.runtime.torch_device)
        arrays = context.stage(task).inspect(held_out.unit(), held_out.labels)
    write_arrays(path, arrays)
    return [_artefact(own, "inspection", path, context)]


def leak(task: Task, context: Context) -> list[Row]:
    """Measures the loss at each state, in batches of one state or of all, by both statistics.

    A network that reads the noise level off its batch has its lowest loss on batches like those of
    training (all states, batch statistics). It fails in sampling, where a batch has one state.
    """
    training, model = context.training(task), context.stage(task)
    held_out = context.splits.val
    chosen = balanced_sample(held_out.labels, min(LEAK_IMAGES, len(held_out)), seed=0)
    images = held_out.subset(chosen).to(context.runtime.torch_device)
    batch = model.prepare(training.data.standardize(images.unit()))
    found = model.losses_by_company(batch, images.labels)
    own = {"stage": training.stage.name, "seed": training.seed, "config": training.identity}
    own["n"] = len(images)
    return [
        {
            **own,
            "metric": "state_loss",
            "batches": batches,
            "statistics": statistics,
            "value": float(per_t.mean()),
            "per_t": per_t.tolist(),
        }
        for (batches, statistics), per_t in found.items()
    ]


def bench(task: Task, context: Context) -> list[Row]:
    """Measures what an image costs by each method, or by each variant of it, in turns."""
    seed, every = task.inputs["seed"], context.config.bench.variants
    models: dict[str, Model] = {}
    rows_of: dict[str, Row] = {}
    selectors: dict[str, Selector] = {}
    for arm in context.plan.timed(context.config):
        name = f"{arm.method.name}, {arm.variant.name}" if every else arm.method.name
        stages = {t.stage.name: load_stage(t, context.trainings) for t in arm.trainings[seed]}
        model = Model(arm.method, stages, context.runtime.torch_device)
        models[name] = model.with_engine(context.runtime.engine)
        if selector := context.selector(arm.selects):
            selectors[name] = selector
        rows_of[name] = {"method": arm.method.name}
        if every and arm.variant.name:
            rows_of[name]["variant"] = arm.variant.name
    costs = benchmark(models, context.config.bench, context.runtime.progress, selectors)
    found: dict[str, dict[str, Any]] = {name: {**cost} for name, cost in costs.items()}
    where, rows = machine(context.runtime.torch_device), []
    for name, model in models.items():
        cost = found[name]
        own = {**rows_of[name], "seed": None, "config": model.hash, "engine": model.engine.name}
        own |= {"n": cost["productions"], "machine": where["gpu"] or where["cpu"]}
        rows += [{**own, "metric": metric, "value": cost[key]} for key, metric in COSTS.items()]
        batch = {"batch_size": cost["best_batch_size"], "throughput": cost["throughput"]}
        rows.append({**own, "metric": RATE, "value": cost["images_per_s"], **batch})
    return rows


def pool(parts: list[Samples], n: int) -> Samples:
    """Equally many images from each part, shuffled and cut to n (paper, section 0.2)."""
    each = -(-n // len(parts))
    images = np.concatenate([part.images[:each] for part in parts])
    labels = np.concatenate([part.labels[:each] for part in parts])
    order = np.random.default_rng(0).permutation(len(labels))[:n]
    conditional = all(part.conditional for part in parts)
    meta = {"conditional": conditional, "parts": [part.meta for part in parts]}
    return Samples(images[order], labels[order], meta)


KINDS: dict[str, Callable[[Task, Context], list[Row]]] = {
    "train": train,
    "sample": sample,
    "real": real,
    "reconstruct": reconstruct,
    "score": score,
    "inspect": inspect,
    "leak": leak,
    "bench": bench,
}


def _samples(task: Task, context: Context) -> Samples:
    """The images that a task has made."""
    path = context.place(task) / "samples.npz"
    with made_anew(path):
        return read_samples(path)


def _artefact(own: Row, kind: str, path: Path, context: Context, sealed: bool = True) -> Row:
    """The row of a file; a sealed one is what it is for good, and has a checksum."""
    row = {"n": None, **own, "metric": "artefact", "kind": kind, "value": None}
    row["path"] = context.relative(path)
    return {**row, "sha256": sha256(path)} if sealed else row


def run_task(context: Context, task: Task) -> None:
    """Runs one task and writes its result last, so that it is there whole or not at all."""
    place = context.place(task)
    if place.exists():
        shutil.rmtree(place, ignore_errors=True)  # what a killed run left
    began = time.monotonic()
    rows = KINDS[task.kind](task, context)
    seconds = round(time.monotonic() - began, 3)
    about = {"device": context.runtime.torch_device.type, "versions": versions()}
    rows = json.loads(json.dumps([{**row, **about} for row in rows]))  # as they are read back
    result = {"unit": task.id, "seconds": seconds, "rows": rows, "checksum": digest(rows)}
    write_json(place / DONE, result)
