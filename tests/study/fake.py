"""Study folders made up in a moment: the contract of `study.json` and `results.jsonl` in code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from scalespace.config import CASConfig, Config, Recipe, StudyConfig
from scalespace.data.info import DataInfo
from scalespace.data.samples import Samples, write_samples

TITLES = {"baseline": "Baseline", "small": "Small, upscaled", "cascaded": "Cascaded"}
STAGES_OF = {"baseline": ["baseline"], "small": ["small"], "cascaded": ["small", "upscaler"]}
STAGES = {
    "baseline": {"states": 30, "scale": 1, "conditioned": False},
    "small": {"states": 20, "scale": 2, "conditioned": False},
    "upscaler": {"states": 10, "scale": 1, "conditioned": True},
}
MEANS = {
    "real": 0.9784,
    "real-down-up": 0.9471,
    "baseline": 0.9532,
    "small": 0.9384,
    "cascaded": 0.9601,
}
Row = dict[str, Any]


def make_study(
    folder: Path,
    *,
    data: str = "mnist",
    classes: int = 10,
    seeds: Sequence[int] = (0,),
    methods: Sequence[str] = tuple(TITLES),
    classifiers: int = 3,
    images: np.ndarray | None = None,
    pictures: bool = True,
    latency: bool = True,
    means: dict[str, float] | None = None,
) -> Path:
    """Writes a finished study; without `pictures`, one whose files are still to come.

    Args:
        folder: where to.
        data, classes, seeds, methods, classifiers: what the study says of itself.
        images: what every samples file holds, float32 [n, 28, 28], image i of class i mod classes.
        pictures: write samples, trajectories and training metrics.
        latency: write what `bench` measures.
        means: CAS by name, over `MEANS`.
    """
    rng = np.random.default_rng(0)
    names = tuple("0123456789" if classes == 10 else [chr(65 + k) for k in range(classes)])
    info = DataInfo(data, names, 28, 28, 0.1307, 0.3081, "0123abcd")
    config = replace(
        Config(),
        study=StudyConfig(tuple(methods), tuple(seeds), 100),
        cas=CASConfig(classifiers=classifiers),
    )
    used = list(dict.fromkeys(stage for method in methods for stage in STAGES_OF[method]))
    study = {
        "format": 1,
        "preset": "default",
        "data": asdict(info),
        "config": asdict(config),
        "recipes": {stage: asdict(Recipe()) for stage in used},
        "methods": [
            {
                "name": name,
                "title": TITLES[name],
                "doc": f"The method called {name}.",
                "calls": sum(STAGES[stage]["states"] - 1 for stage in STAGES_OF[name]),
                "stages": STAGES_OF[name],
            }
            for name in methods
        ],
        "stages": [
            {"name": name, **STAGES[name], "parameters": 122_097, "last_signal": 0.013}
            for name in used
        ],
        "seeds": list(seeds),
        "machine": {
            "cpu": "An Example CPU",
            "cores": 2,
            "memory_gib": 8,
            "device": "cpu",
            "gpu": None,
            "system": "Linux",
        },
        "versions": {"scalespace": "0.1.0", "python": "3.11", "torch": "2.13", "numpy": "2.0"},
        "command": f"scalespace study --preset default --data {data} --out study",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(json.dumps(study))
    if images is None:
        images = _blobs(4 * classes, classes)
    rows: list[Row] = []
    for name in ("real", "real-down-up", *methods):
        mean = {**MEANS, **(means or {})}[name]
        alone = seeds if name in methods and len(seeds) > 1 else ()
        for seed in (None, *alone):
            rows += _cas(rng, name, seed, mean - 0.002 * (seed or 0), classes, classifiers)
    for stage in used:
        for seed in seeds:
            own = {"stage": stage, "seed": seed, "n": 50_000}
            rows.append({**own, "metric": "train_seconds", "value": 300.0 + seed})
            if pictures:
                path = f"trainings/{stage}-{seed}/metrics.jsonl"
                _metrics(folder / path, STAGES[stage]["states"])
                rows.append(_artefact("metrics", path, stage=stage, seed=seed))
    for k, name in enumerate(methods if latency else ()):
        rows += _bench(name, 0.040 + 0.01 * k)
    for name in ("real", "real-down-up", *methods) if pictures else ():
        control = name not in methods
        for seed in (None,) if control else seeds:
            path = f"units/{name}-{seed}/samples.npz"
            _samples(folder / path, images, classes)
            kind = "real_samples" if control else "samples"
            rows.append(_artefact(kind, path, method=name, seed=seed))
            if not control:
                path = f"units/{name}-{seed}/trajectory.npz"
                _trajectory(folder / path, name, images[:12], classes, info)
                rows.append(_artefact("trajectory", path, method=name, seed=seed))
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def _cas(
    rng: np.random.Generator, name: str, seed: int | None, mean: float, classes: int, m: int
) -> list[Row]:
    """Scores whose mean over the classifiers is `mean`, their sd over three 0.002."""
    rows = []
    for k in range(m):
        hits = np.clip(mean + 0.04 * rng.normal(size=classes), 0, 0.999)
        confusion = np.diag(np.round(hits * 1000).astype(int))
        for true in range(classes):
            wrong = 1000 - int(confusion[true, true])
            confusion[true, (true + 5) % classes] += wrong - wrong // 3
            confusion[true, (true + 2) % classes] += wrong // 3
        rows.append(
            {
                "method": name,
                "seed": seed,
                "metric": "cas",
                "classifier": k,
                "value": mean + 0.002 * (k - (m - 1) / 2),
                "per_class": (np.diag(confusion) / 1000).tolist(),
                "confusion": confusion.tolist(),
                "n": 10_000,
                "config": "abc",
                "device": "cpu",
            }
        )
    return rows


def _bench(name: str, seconds: float) -> list[Row]:
    own = {"method": name, "seed": None, "n": 1000}
    values = {
        "latency_mean": seconds,
        "latency_median": seconds - 0.001,
        "latency_q1": seconds - 0.002,
        "latency_q3": seconds + 0.001,
        "calls": sum(STAGES[stage]["states"] - 1 for stage in STAGES_OF[name]),
        "macs": {"baseline": 373.4e6, "small": 61.2e6}.get(name, 177.1e6),
        "parameters": 122_097,
    }
    rows = [{**own, "metric": metric, "value": value} for metric, value in values.items()]
    extra = {"batch_size": 64, "throughput": {"16": 100.0, "64": 123.4}}
    return [*rows, {**own, "metric": "images_per_s", "value": 123.4, **extra}]


def _artefact(kind: str, path: str, **where: Any) -> Row:
    return {**where, "metric": "artefact", "kind": kind, "path": path, "value": None, "n": None}


def _blobs(n: int, classes: int) -> np.ndarray:
    """Round spots, a place for each class: float32 [n, 28, 28]."""
    y, x = np.mgrid[:28, :28]
    angle = 2 * np.pi * (np.arange(n) % classes) / classes
    cy, cx = 14 + 7 * np.sin(angle), 14 + 7 * np.cos(angle)
    square = (y - cy[:, None, None]) ** 2 + (x - cx[:, None, None]) ** 2
    return np.exp(-square / 18).astype(np.float32)


def _samples(path: Path, images: np.ndarray, classes: int) -> None:
    labels = np.arange(len(images)) % classes
    write_samples(path, Samples(images, labels, {}))


def _metrics(path: Path, states: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "epoch": epoch,
            "step": 390 * epoch,
            "loss": 0.2 / epoch**0.4,
            "lr": 1e-3,
            "seconds": 10.0 * epoch,
            "val_loss": 0.18 / epoch**0.4,
            "val_loss_per_t": [0.18 / t**0.5 for t in range(1, states)],
        }
        for epoch in range(1, 11)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _trajectory(path: Path, method: str, images: np.ndarray, classes: int, info: DataInfo) -> None:
    """From noise to `images`, through every stage of the method at its own size."""
    rng = np.random.default_rng(1)
    x0 = (images - info.mean) / info.std
    half = x0.reshape(len(x0), 14, 2, 14, 2).mean(axis=(2, 4))
    t: list[int] = []
    x: list[np.ndarray] = []
    for stage in STAGES_OF[method]:
        clean = half if STAGES[stage]["scale"] == 2 else x0
        last = STAGES[stage]["states"] - 1
        for state in range(last, -1, -1):
            a = np.cos(state / last * np.pi / 2)
            t.append(state)
            x.append(a * clean + np.sqrt(1 - a**2) * rng.normal(size=clean.shape))
    if method == "small":
        t.append(0)
        x.append(half.repeat(2, axis=1).repeat(2, axis=2))
    arrays = {f"x_{k:03d}": part.astype(np.float32) for k, part in enumerate(x)}
    labels = np.arange(len(images)) % classes
    np.savez(path, t=np.array(t), steps=np.array(len(t)), labels=labels, **arrays)  # type: ignore[arg-type]
