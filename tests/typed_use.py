"""A user's program that calls every public function: mypy --strict reads it, nothing runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

import scalespace as sc


def configured() -> sc.Config:
    config = sc.load_config("quick", {"train.epochs": 3, "net": {"channels": [8, 16]}})
    epochs: int = config.train.epochs
    print(sc.__version__, epochs, config.study.seeds, list(sc.METHODS))
    return config


def trained(config: sc.Config) -> tuple[sc.Model, sc.DataSplits]:
    data: sc.DataSplits = sc.load_data("folder:pictures", size=28)
    print(data.info.title, len(data.train), data.train.classes)
    runtime = sc.Runtime(device="cpu", progress=False, logs="tensorboard")
    return sc.train("cascaded", data, config, Path("trainings"), seed=1, runtime=runtime), data


def sampled(model: sc.Model) -> sc.Samples:
    on: sc.Model = sc.Model.from_pretrained("cascaded").to("cpu").with_engine("torch")
    other = on.resampled({"process.sampler": "ddim"}).stepped({"small": 4}).guided(0.0)
    samples: sc.Samples = other.sample([2, 0, 2, 6], seed=1, steps="all")
    pictures: list[Image.Image] = samples.pil()
    images: NDArray[np.float32] = samples.images
    labels: NDArray[np.int64] = samples.labels
    print(len(samples), pictures[0].size, images.mean(), labels.max(), samples.to_folder("out"))
    frames: list[NDArray[np.float32]] = []
    step: sc.Step
    for step in model.trajectory([7], seed=1):
        x: torch.Tensor = step.x
        guess: torch.Tensor | None = step.x0_hat
        frames.append(model.data.to_unit(x)[:, 0].numpy())
        print(step.t, step.segment, guess is None)
    sc.save_grid("grid.png", images, columns=4)
    sc.save_strip("strip.png", frames)
    sc.save_gif("way.gif", frames, columns=1)
    sc.write_samples("samples.npz", samples)
    return sc.read_samples("samples.npz")


def edited(model: sc.Model, samples: sc.Samples) -> list[sc.Samples]:
    keep = np.zeros((28, 28), dtype=bool)
    return [
        sc.redraw(model, samples.images, [7] * 4, at={"small": 12}),
        sc.fill(model, samples.images, keep, [7] * 4),
        sc.interpolate(model, [2, 7], 8),
        sc.same_noise(model, [0, 1, 2]),
        sc.reconstruct(model, samples),
        sc.select(samples, candidates=2),
        sc.to_diffusers(model)([2, 0], seed=1),
    ]


def measured(model: sc.Model, samples: sc.Samples, data: sc.DataSplits) -> float:
    scores: sc.Scores = sc.evaluate(samples, data, ["cas", "fd"], floor=True)
    spread: float | None = scores["cas"]["sd"]
    classes: list[float | None] = scores["cas"]["per_class"]
    low, floor = scores["fd"]["low"], scores["fd"]["floor"]["fd"]
    print(spread, classes, low - floor, sc.CASConfig(classifiers=1).epochs)
    costs: dict[str, sc.Cost] = sc.benchmark({"mine": model}, sc.BenchConfig(productions=10))
    milliseconds: float = 1000 * costs["mine"]["median"]
    return milliseconds / costs["mine"]["calls"]


def studied(config: sc.Config) -> pd.DataFrame:
    report: Path = sc.study("runs/mine", config, jobs=2)
    table: pd.DataFrame = sc.results(report.parent)
    return table[table["metric"] == "fd"]


def shared(model: sc.Model) -> sc.Model | None:
    folder: Path = model.save("mine")
    model.save_pretrained("shared")
    try:
        return sc.Model.load(folder)
    except sc.InputError as error:
        line: str = str(error)
        print(line)
        return None
