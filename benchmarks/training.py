"""Training speed: the package's loop beside a plain eager loop of the same network.

    python benchmarks/training.py --steps 60 --rounds 5

The plain loop is what a tutorial has: default memory layout, default allocator, Adam and
`AveragedModel` as they come. Each measurement is a process of its own, because the allocator's
settings are a process's; the two take turns, and a speed-up is the ratio of their medians.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from scalespace.bench.cases import noise
from scalespace.core.scale import up
from scalespace.data import DataSplits
from scalespace.methods import METHODS
from scalespace.settings import load_config, stage_recipe
from scalespace.stages.denoising import Diffusion
from scalespace.stages.diffusion import DiffusionStage
from scalespace.training.loop import Loop
from scalespace.training.runtime import Runtime
from scalespace.training.training import Training

STAGES = {
    stage.name: stage
    for method in METHODS.values()
    for stage in method.stages
    if isinstance(stage, DiffusionStage) and not stage.needs
}


def plain(training: Training, splits: DataSplits) -> Callable[[int], None]:
    """A step of the plain loop."""
    model = training.stage.build(training.recipe, training.data)
    assert isinstance(model, Diffusion)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    optimizer = torch.optim.Adam(model.parameters(), training.recipe.train.lr)
    data = model.prepare(training.data.standardize(splits.train.unit()))
    labels, size = splits.train.labels, training.recipe.train.batch_size
    labels_of = F.one_hot(labels, model.classes)
    schedule, conditioned = model.segment.schedule, len(data) > 1

    def step(k: int) -> None:
        batch = torch.randint(0, len(labels), (size,))
        t = torch.randint(1, schedule.states, (size,))
        x0 = data[0][batch]
        eps = torch.randn_like(x0)
        a, b = schedule.signal_and_noise(t, x0)
        x_t = a * x0 + b * eps
        if conditioned:
            x_t = torch.cat([x_t, up(data[1][batch], model.segment.jump.factor)], dim=1)
        context = torch.cat([t[:, None] / schedule.last, labels_of[batch]], dim=1)
        target = model.parametrization.target(x0, eps, a, b)
        losses = (model.net(x_t, context) - target).square()
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
        average.update_parameters(model)

    return step


def ours(training: Training, splits: DataSplits) -> Callable[[int], None]:
    """A step of the package's loop."""
    folder = Path(tempfile.mkdtemp())
    loop = Loop(training, splits, folder, Runtime(device="cpu", progress=False))
    batches: list[torch.Tensor] = []

    def step(k: int) -> None:
        if not batches:
            batches.extend(loop.rest_of_epoch())
        loop.take_step(batches.pop())

    return step


LOOPS = {"plain": plain, "ours": ours}


def measure(loop: str, stage: str, preset: str, steps: int) -> float:
    """Images a second of one loop: the batch size over the median time of a step."""
    recipe = stage_recipe(load_config(preset), STAGES[stage])
    splits = noise(4096)
    step = LOOPS[loop](Training(STAGES[stage], recipe, 0, splits.info), splits)
    times = []
    for k in range(steps + 5):
        began = time.perf_counter()
        step(k)
        times.append(time.perf_counter() - began)
    return recipe.train.batch_size / statistics.median(times[5:])


def main() -> None:
    """Prints a table: stage, plain, ours, ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=2, metavar=("LOOP", "STAGE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        loop, stage = options.one
        print(measure(loop, stage, options.preset, options.steps))
        return
    print(f"preset {options.preset}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print("| stage | plain, images/s | scalespace, images/s | ratio of medians |")
    print("| --- | --- | --- | --- |")
    for stage in STAGES:
        rates: dict[str, list[float]] = {loop: [] for loop in LOOPS}
        for _ in range(options.rounds):
            for loop in LOOPS:
                command = [sys.executable, __file__, "--one", loop, stage]
                command += ["--preset", options.preset, "--steps", str(options.steps)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                rates[loop].append(float(done.stdout.split()[-1]))
        a, b = (statistics.median(rates[loop]) for loop in ("plain", "ours"))
        spread = [f"{min(r):.0f} to {max(r):.0f}" for r in (rates["plain"], rates["ours"])]
        print(
            f"| {stage} | {a:.0f} ({spread[0]}) | {b:.0f} ({spread[1]}) | {b / a:.2f} |", flush=True
        )


if __name__ == "__main__":
    main()
