"""Study folders made up in a moment: the contract of `study.json` and `results.jsonl` in code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from fake_inside import inspect_autoencoder, inspect_judge

from scalespace.config import (
    AutoencoderConfig,
    AutoencoderRecipe,
    CASConfig,
    Config,
    ProcessConfig,
    Recipe,
    StudyConfig,
    TrainRecipe,
)
from scalespace.data.info import DataInfo
from scalespace.data.samples import Samples, write_samples
from scalespace.evaluation.controls import CONTROLS, FEATURE_CONTROLS

TITLES = {"baseline": "Baseline", "small": "Small, upscaled", "cascaded": "Cascaded"}
SERIES_TITLES = {
    "small": "Small, upscaled",
    "vae": "VAE",
    "latent": "Latent diffusion",
    "latent-flow": "Latent flow",
}
"""The methods of a study with stages of every kind."""
STAGES_OF = {
    "baseline": ["baseline"],
    "small": ["small"],
    "cascaded": ["small", "upscaler"],
    "vae": ["vae"],
    "latent": ["vae", "latent"],
    "latent-flow": ["vae", "latent-flow"],
}
LATENT = (2, 4, 4)
STAGES: dict[str, dict[str, Any]] = {
    "baseline": {"states": 30, "scale": 1, "conditioned": False},
    "small": {"states": 20, "scale": 2, "conditioned": False},
    "upscaler": {"states": 10, "scale": 1, "conditioned": True},
    "vae": {"kind": "vae", "latent": list(LATENT), "needs": []},
    "latent": {"kind": "diffusion", "states": 14, "needs": ["vae"]},
    "latent-flow": {"kind": "diffusion", "states": 5, "needs": ["vae"]},
    "judge": {"kind": "judge"},
}
RECIPES: dict[str, Any] = {
    "vae": AutoencoderRecipe(AutoencoderConfig(channels=(2, 2, 4), latent=2, beta=0.5)),
    "latent": Recipe(process=ProcessConfig(schedule="linear")),
    "latent-flow": Recipe(process=ProcessConfig(schedule="flow", predict="flow", sampler="ddim")),
    "judge": TrainRecipe(),
}
MEANS = {
    "real": 0.9784,
    "real-down-up": 0.9471,
    "baseline": 0.9532,
    "small": 0.9384,
    "cascaded": 0.9601,
    "vae": 0.9001,
    "latent": 0.9401,
    "latent-flow": 0.9501,
}
DISTANCES = {
    "real-test": 0.3,
    "real-down-up": 4.5,
    "pixel-noise": 48.0,
    "small": 6.0,
    "vae": 60.0,
    "latent": 2.4,
    "latent-flow": 0.9,
}
"""FD of each set, pooled over seeds."""
JUDGE_HASH = "0123456789ab"
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
    metrics: Sequence[str] = ("cas",),
    unconditional: Sequence[str] = (),
    distances: dict[str, float] | None = None,
) -> Path:
    """Writes a finished study; without `pictures`, one whose files are still to come.

    Args:
        folder: where to.
        data, classes, seeds, methods, classifiers: what the study says of itself.
        images: what every samples file holds, float32 [n, 28, 28], image i of class i mod classes.
        pictures: write samples, trajectories and training metrics.
        latency: write what `bench` measures.
        means: CAS by name, over `MEANS`.
        metrics: what was measured; with more than CAS the study has trained a judge.
        unconditional: methods that do not heed the labels.
        distances: FD by name, over `DISTANCES`.
    """
    rng = np.random.default_rng(0)
    names = tuple("0123456789" if classes == 10 else [chr(65 + k) for k in range(classes)])
    info = DataInfo(data, names, 28, 28, 0.1307, 0.3081, "0123abcd")
    config = replace(
        Config(),
        study=StudyConfig(tuple(methods), tuple(seeds), 100, tuple(metrics)),
        cas=CASConfig(classifiers=classifiers),
    )
    used = list(dict.fromkeys(stage for method in methods for stage in STAGES_OF[method]))
    measured = [metric for metric in metrics if metric != "cas"]
    judge = ["judge"] if measured else []
    study = {
        "format": 1,
        "preset": "default",
        "data": asdict(info),
        "config": asdict(config),
        "recipes": {stage: asdict(RECIPES.get(stage, Recipe())) for stage in (*used, *judge)},
        "methods": [
            {
                "name": name,
                "title": {**TITLES, **SERIES_TITLES}[name],
                "doc": f"The method called {name}.",
                "calls": _calls(name),
                "stages": STAGES_OF[name],
                "conditional": name not in unconditional,
            }
            for name in methods
        ],
        "stages": [
            {"name": name, **STAGES[name], "parameters": 122_097, "last_signal": 0.013}
            for name in (*used, *judge)
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
    if images is None:
        images = _blobs(4 * classes, classes)
    rows: list[Row] = []
    scored = [name for name in methods if name not in unconditional]
    for name in ("real", "real-down-up", *scored) if "cas" in metrics else ():
        mean = {**MEANS, **(means or {})}[name]
        alone = seeds if name in methods and len(seeds) > 1 else ()
        for seed in (None, *alone):
            rows += _cas(rng, name, seed, mean - 0.002 * (seed or 0), classes, classifiers)
    for name in (*FEATURE_CONTROLS, *methods) if measured else ():
        fd = {**DISTANCES, **(distances or {})}[name]
        for seed in (None, *(seeds if name in methods and len(seeds) > 1 else ())):
            rows += _measures(name, seed, fd * (1 + 0.1 * (seed or 0)), measured)
    for stage in (*used, *judge):
        for seed in seeds[:1] if stage == "judge" else seeds:
            own = {"stage": stage, "seed": seed, "n": 50_000}
            rows.append({**own, "metric": "train_seconds", "value": 300.0 + seed})
            if pictures:
                path = f"trainings/{stage}-{seed}/metrics.jsonl"
                _metrics(folder / path, STAGES[stage].get("states", 2))
                rows.append(_artefact("metrics", path, stage=stage, seed=seed))
    for k, name in enumerate(methods if latency else ()):
        rows += _bench(name, 0.040 + 0.01 * k)
    controls = (CONTROLS if "cas" in metrics else {}) | (FEATURE_CONTROLS if measured else {})
    for name in (*controls, *methods) if pictures else ():
        control = name in controls
        for seed in (None,) if control else seeds:
            path = f"units/{name}-{seed}/samples.npz"
            _samples(folder / path, images, classes)
            kind = "real_samples" if control else "samples"
            rows.append(_artefact(kind, path, method=name, seed=seed))
            if not control:
                path = f"units/{name}-{seed}/trajectory.npz"
                _trajectory(folder / path, name, images[:12], classes, info)
                rows.append(_artefact("trajectory", path, method=name, seed=seed))
    labels = np.arange(len(images)) % classes
    if pictures and "vae" in used:
        path = "units/inspect-vae/inspection.npz"
        inspect_autoencoder(folder / path, info, RECIPES["vae"], images, labels)
        rows.append(_artefact("inspection", path, stage="vae", seed=seeds[0]))
    if pictures and judge:
        path = "units/inspect-judge/inspection.npz"
        inspect_judge(folder / path, info, images, labels)
        about = {"judge": JUDGE_HASH, "accuracy": {"train": 0.99, "test": 0.98}}
        about |= {"trained_on": data, "shipped": False}
        rows.append(_artefact("inspection", path, stage="judge", seed=None, **about))
    rows = [{**row, "task": _task(row)} for row in rows]
    study["tasks"] = {row["task"]: row["task"] for row in rows}
    (folder / "study.json").write_text(json.dumps(study))
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def _task(row: Row) -> str:
    """The task that a row comes from, in words."""
    seed = "" if row.get("seed") is None else f"-seed{row['seed']}"
    return f"{row.get('kind', row['metric'])} {row.get('method', row.get('stage'))}{seed}"


def make_series(folder: Path, **changes: Any) -> Path:
    """A study with stages of every kind and every metric; see `make_study`."""
    metrics = ("cas", "fd", "kid", "prdc", "copies")
    fixed: dict[str, Any] = {"methods": tuple(SERIES_TITLES), "metrics": metrics, "seeds": (0, 1)}
    return make_study(folder, **{**fixed, **changes})


def edit_rows(folder: Path, metric: str, method: str, /, **fields: object) -> None:
    """Changes the rows of a metric of one set."""
    path = folder / "results.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        if (row["metric"], row.get("method")) == (metric, method):
            row.update(fields)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _calls(method: str) -> int:
    return sum(max(1, STAGES[stage].get("states", 2) - 1) for stage in STAGES_OF[method])


def _measures(name: str, seed: int | None, fd: float, metrics: Sequence[str]) -> list[Row]:
    """What is measured of one set besides CAS; all is worse where FD is."""
    own = {"method": name, "seed": seed, "config": "abc", "device": "cpu"}
    seen = {"n": 10_000, "reference_n": 60_000, "judge": JUDGE_HASH}
    worse = fd / (fd + 10)
    values: dict[str, list[Row]] = {
        "fd": [
            {"metric": "fd", "value": fd, "se": fd / 20, "low": 0.902 * fd, "high": 1.098 * fd},
            {"metric": "fd_before_relu", "value": 2 * fd, "se": 0.1, "low": fd, "high": 3 * fd},
        ],
        "kid": [{"metric": "kid", "value": (fd - 0.4) / 1000, "sd": 0.0002}],
        "prdc": [
            {"metric": metric, "value": 1 - worse}
            for metric in ("precision", "recall", "density", "coverage")
        ],
        "copies": [
            {"metric": "copies", "value": 0.001},
            {"metric": "median_distance", "value": 5 + fd / 100},
        ],
        "variety": [
            {"metric": "variety", "value": 1 - worse},
            {"metric": "detail", "value": 1 + worse},
        ],
        "c2st": [
            {"metric": "told", "value": (1 + worse) / 2},
            {"metric": "told_in_noise", "value": (1 + worse / 2) / 2},
        ],
    }
    return [{**own, **seen, **row} for metric in metrics for row in values[metric]]


def counted(value: float, classes: int, rng: np.random.Generator) -> Row:
    """A classifier's answers to 1,000 images a class, `value` of which are right."""
    hits = np.round(np.clip(value + 0.04 * rng.normal(size=classes), 0, 0.999) * 1000).astype(int)
    while over := int(hits.sum()) - round(value * 1000 * classes):
        # a hit at a time, from the class that has most of them or to the one that has fewest
        hits[hits.argmax() if over > 0 else hits.argmin()] -= 1 if over > 0 else -1
    confusion = np.diag(hits)
    for true in range(classes):
        wrong = 1000 - int(hits[true])
        confusion[true, (true + 5) % classes] += wrong - wrong // 3
        confusion[true, (true + 2) % classes] += wrong // 3
    return {
        "value": float(hits.sum()) / (1000 * classes),
        "per_class": (hits / 1000).tolist(),
        "confusion": confusion.tolist(),
    }


def _cas(
    rng: np.random.Generator, name: str, seed: int | None, mean: float, classes: int, m: int
) -> list[Row]:
    """Scores whose mean over the classifiers is `mean`, their sd over three 0.002."""
    return [
        {
            "method": name,
            "seed": seed,
            "metric": "cas",
            "classifier": k,
            **counted(mean + 0.002 * (k - (m - 1) / 2), classes, rng),
            "n": 10_000,
            "config": "abc",
            "device": "cpu",
        }
        for k in range(m)
    ]


def _bench(name: str, seconds: float) -> list[Row]:
    own = {"method": name, "seed": None, "n": 1000}
    values = {
        "latency_mean": seconds,
        "latency_median": seconds - 0.001,
        "latency_q1": seconds - 0.002,
        "latency_q3": seconds + 0.001,
        "calls": _calls(name),
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
    tiles = rng.normal(size=(len(x0), 2 * LATENT[1], LATENT[2]))  # see `stages.vae.sheet`
    t: list[int] = []
    x: list[np.ndarray] = []
    latents = "vae" in STAGES_OF[method]
    # a method that has no process but its autoencoder starts from one latent
    for stage in STAGES_OF[method][1:] if latents else STAGES_OF[method]:
        clean = tiles if latents else half if STAGES[stage]["scale"] == 2 else x0
        last = STAGES[stage]["states"] - 1
        for state in range(last, -1, -1):
            a = np.cos(state / last * np.pi / 2)
            t.append(state)
            x.append(a * clean + np.sqrt(1 - a**2) * rng.normal(size=clean.shape))
    if latents:
        if not t:
            t.append(1)
            x.append(tiles)
        t.append(0)
        x.append(x0)
    if method == "small":
        t.append(0)
        x.append(half.repeat(2, axis=1).repeat(2, axis=2))
    arrays = {f"x_{k:03d}": part.astype(np.float32) for k, part in enumerate(x)}
    labels = np.arange(len(images)) % classes
    np.savez(path, t=np.array(t), steps=np.array(len(t)), labels=labels, **arrays)  # type: ignore[arg-type]
