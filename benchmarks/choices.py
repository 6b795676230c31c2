"""What each choice of the `default` preset is worth, on the validation part.

    python benchmarks/choices.py --data-dir DIR [--epochs 4] [--seeds 0,1] [--out FILE.md]

The small stage is trained with the default recipe and a shortened budget, and again with one
choice at a time turned back to what the seed paper has. Each is scored by CAS on the *validation*
part (nothing here reads the test part): 10,000 samples, bilinearly up, 3 classifiers. Trainings
are kept in --work and not repeated.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from scalespace import Runtime, load_config, load_data
from scalespace.config import CASConfig
from scalespace.evaluation.cas import cas
from scalespace.evaluation.controls import CONTROLS, control
from scalespace.files import write_text
from scalespace.model import train

CHANGES: dict[str, dict[str, Any]] = {
    "the default recipe": {},
    "predict the noise (paper)": {"process.predict": "noise"},
    "predict x0": {"process.predict": "x0"},
    "one image as the target (paper)": {"stages.small.objective.target": "sample"},
    "nothing clipped (paper)": {"process.x0": "none"},
    "dynamic thresholding": {"process.x0": "dynamic"},
    "schedule one state short (published code)": {"process.stop_short": True},
    "BatchNorm (paper)": {"net.norm": "batch"},
    "FiLM at the encoders only (paper)": {
        "net.film": "encoders",
        "net.channels": [16, 32, 64],
    },
    "no moving average (paper)": {"train.ema": 0.0},
    "learning rate 0.001, no decay (paper)": {
        "train.lr": 1e-3,
        "train.decay": "none",
        "train.warmup": 0,
    },
}


def main() -> None:
    """Trains, scores and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-dir")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--work", type=Path, default=Path("runs/choices"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    splits = load_data(options.data, options.data_dir)
    protocol = CASConfig(classifiers=3)
    labels = [i % len(splits.train.classes) for i in range(options.images)]
    seeds = [int(seed) for seed in options.seeds.split(",")]
    lines = [
        f"Small stage, {options.epochs} epochs, seeds {options.seeds}; CAS on the validation part, "
        f"n = {options.images:,}, {protocol.classifiers} classifiers a seed.",
        "",
        "| change | CAS, mean ± sd over classifiers | difference | images/s in training |",
        "| --- | --- | --- | --- |",
    ]

    def score(images: np.ndarray, truth: np.ndarray) -> list[float]:
        found = cas(images, truth, splits.val, splits.mean, splits.std, protocol)
        return found.accuracy.tolist()

    def add(name: str, scores: list[float], base: float | None, speed: str) -> None:
        mean, sd = statistics.mean(scores), statistics.stdev(scores)
        gap = "" if base is None else f"{mean - base:+.4f}"
        lines.append(f"| {name} | {mean:.4f} ± {sd:.4f} | {gap} | {speed} |")
        print(lines[-1], flush=True)

    for name, title in CONTROLS.items():
        real = control(name, splits, options.images)
        add(f"control: {title.lower()}", score(real.images, real.labels), None, "")
    base: float | None = None
    for name, change in CHANGES.items():
        fields = {"train.epochs": options.epochs, "train.grid_every": 0, "stages": {}, **change}
        scores, speeds = [], []
        for seed in seeds:
            config = load_config("default", {**fields, "stages.small.train.epochs": options.epochs})
            model = train("small", splits, config, options.work, seed, Runtime(progress=False))
            record = model.stages["small"].record
            speeds.append(record["images"] / record["seconds"])
            samples = model.sample(labels, seed)
            scores += score(samples.images, samples.labels)
        add(name, scores, base, f"{statistics.median(speeds):.0f}")
        base = statistics.mean(scores) if base is None else base
    if options.out:
        write_text(options.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
