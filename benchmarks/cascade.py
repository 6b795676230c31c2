"""Where the cascade loses: its first stage, its second, or what the one does to the other.

    python benchmarks/cascade.py --data-dir DIR [--preset default] [--seeds 0,1,2] [--part test]

Scores three sets of images side by side, by CAS and FD: the small stage's images (bilinearly up),
the upscaler's images of *real* half-size images, and the cascade's, where the upscaler is given the
small stage's. The real half-size images are of the training part, those of the control `real`, so
that no classifier is trained with what it is tested on. Trainings are taken from --trainings, or
made.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch
from torch import Tensor

from scalespace import Runtime, load_config, load_data
from scalespace.config import CASConfig
from scalespace.core.denoiser import Condition
from scalespace.core.jumps import Conditioned
from scalespace.core.noise import Seeded
from scalespace.core.scale import down, up
from scalespace.data import Samples
from scalespace.evaluation.controls import control
from scalespace.evaluation.evaluate import METRICS, Real
from scalespace.files import write_text
from scalespace.methods.cascaded import UPSCALER
from scalespace.methods.small import SMALL
from scalespace.settings import make_training
from scalespace.stages.denoising import Diffusion
from scalespace.training.fit import fit

PART = 500  # images sampled together


def sampled(stage: Diffusion, labels: Tensor, seed: int, low: Tensor | None = None) -> Tensor:
    """The stage's images for labels int64 [n], of half-size images [n, ...] where it needs them."""
    images = []
    for rows in torch.arange(len(labels)).split(PART):
        noise, condition = Seeded(seed, rows.tolist()), Condition(labels[rows])
        jump, name = stage.segment.jump, stage.segment.name
        if low is not None:
            assert isinstance(jump, Conditioned)
            condition = jump.with_coarser(low[rows], condition, noise, name)
        for step in stage.alone(condition, noise):
            last = step.x
        images.append(last)
    return torch.cat(images)


def main() -> None:
    """Trains what is missing, scores and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-dir")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--classifiers", type=int, default=5)
    parser.add_argument("--part", choices=["test", "validation"], default="test")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--trainings", type=Path, default=Path("runs/cascade/trainings"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    splits = load_data(options.data, options.data_dir)
    config, info = load_config(options.preset), splits.info
    protocol = CASConfig(classifiers=options.classifiers)
    real = Real(splits, protocol, part=options.part, progress=False)
    whole = control("real", splits, options.images)
    labels = torch.from_numpy(whole.labels)
    low = down(info.standardize(torch.from_numpy(whole.images)[:, None]), SMALL.scale)
    lines = [
        f"`{options.preset}` on {options.data}, n = {len(labels):,}, {options.classifiers} "
        f"classifiers a set, scored on the {options.part} part.",
        "",
        "| images | seed | CAS, mean ± sd over classifiers | FD |",
        "| --- | --- | ---: | ---: |",
    ]
    found: dict[str, list[tuple[float, float]]] = {}

    def add(name: str, seed: object, x: Tensor) -> None:
        samples = Samples(info.to_unit(x)[:, 0].numpy(), whole.labels, {})
        cas, fd = (METRICS[metric].measure(samples, real) for metric in ("cas", "fd"))
        found.setdefault(name, []).append((cas["cas"], fd["fd"]))
        lines.append(f"| {name} | {seed} | {cas['cas']:.4f} ± {cas['sd']:.4f} | {fd['fd']:.3f} |")
        print(lines[-1], flush=True)

    print("\n".join(lines))
    add("real", "", info.standardize(torch.from_numpy(whole.images)[:, None]))
    add("real, down and up", "", up(low, SMALL.scale))
    for seed in map(int, options.seeds.split(",")):
        stages = {}
        for stage in (SMALL, UPSCALER):
            training = make_training(config, stage, seed, info)
            model = fit(training, splits, options.trainings, Runtime()).model()
            assert isinstance(model, Diffusion)
            stages[stage.name] = model
        small = sampled(stages[SMALL.name], labels, seed)
        add("small, upscaled", seed, up(small, SMALL.scale))
        add(
            "upscaler on real half-size images",
            seed,
            sampled(stages[UPSCALER.name], labels, seed, low),
        )
        add("cascaded", seed, sampled(stages[UPSCALER.name], labels, seed, small))
    for name, scores in found.items():
        if len(scores) > 1:
            cas, fd = ([s[k] for s in scores] for k in (0, 1))
            both = [f"{statistics.mean(v):.4f} ± {statistics.stdev(v):.4f}" for v in (cas, fd)]
            lines.append(f"| **{name}** | mean ± sd | {both[0]} | {both[1]} |")
            print(lines[-1])
    if options.out:
        write_text(options.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
