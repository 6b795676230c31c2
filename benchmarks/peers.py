"""The quality that another library's network reaches for each second of sampling, beside ours.

    python benchmarks/peers.py --seconds 1200 --ours runs/STUDY/models/baseline --data-dir DIR

diffusers' UNet2DModel, as deep and as wide as the shipped baseline, is trained for so many seconds
of processor time by one thread: tell it what the training of `--ours` took. Its recipe is the usual
one: targets v, 1,000 states of the cosine schedule, AdamW, a warm-up, a rate that falls to nothing,
and a moving average. It is sampled by DDPM and by DPM-Solver++ in fewer and fewer calls, our models
in fewer and fewer by their own solver. All are timed in turns, with torch's number of threads.

The images are scored on the test part by FD and CAS; nothing is chosen by these scores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

import scalespace as sc
from scalespace.bench.clock import in_turns
from scalespace.bench.latency import macs
from scalespace.bench.models import producer
from scalespace.bench.peers import diffusers_net
from scalespace.evaluation.cas import cas
from scalespace.evaluation.evaluate import Real
from scalespace.files import write_text
from scalespace.progress import bar
from scalespace.training.ema import EMA

BATCH, RATE, WARMUP = 64, 2e-3, 200
STATES: Any = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
ROWS = 256
"""Images of a batch in sampling."""
Make = Callable[[range], Tensor]
"""Images with the given indices, of the classes in turn: [n, 1, h, w] in [0, 1]."""


def train(splits: sc.DataSplits, seconds: float, seed: int) -> nn.Module:
    """The moving average of diffusers' network after so many seconds of processor time."""
    torch.manual_seed(seed)
    net = diffusers_net()
    images, labels = 2 * splits.train.unit() - 1, splits.train.labels
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE)
    average, began, step = EMA(net, 0.999), time.process_time(), 0
    with bar(round(seconds), "train", "s", shown=True) as shown:
        while (passed := time.process_time() - began) < seconds:
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1, step / WARMUP) * (1 - passed / seconds)
            rows = torch.randint(len(labels), (BATCH,))
            x0, eps = images[rows], torch.randn(BATCH, *images.shape[1:])
            t = torch.randint(len(STATES), (BATCH,))
            x_t, target = STATES.add_noise(x0, eps, t), STATES.get_velocity(x0, eps, t)
            loss = F.mse_loss(net(x_t, t, class_labels=labels[rows]).sample, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            average.update(step)
            shown.update(round(passed) - shown.n)
    print(f"{step * BATCH:,} images in {seconds:.0f} s, last loss {loss.item():.4f}", flush=True)
    return average.model


@torch.no_grad()
def by_diffusers(net: nn.Module, calls: int, solver: bool, indices: range) -> Tensor:
    """Images by DPM-Solver++(2M), or by DDPM."""
    kind: Any = DPMSolverMultistepScheduler if solver else DDPMScheduler
    scheduler = kind.from_config(STATES.config, timestep_spacing="trailing")
    scheduler.set_timesteps(calls)
    labels = torch.tensor(indices) % 10
    rng = torch.Generator().manual_seed(indices.start)
    x = torch.randn(len(labels), 1, 28, 28, generator=rng)
    for t in scheduler.timesteps:
        v = net(x, t, class_labels=labels).sample
        x = scheduler.step(v, t, x, generator=rng).prev_sample
    return (x + 1).div(2).clamp(0, 1)


@torch.no_grad()
def by_ours(model: sc.Model, indices: range) -> Tensor:
    """Images by one of our models."""
    labels = [k % 10 for k in indices]
    return model.data.to_unit(model.end(labels, seed=0, indices=indices).x)


def makers(
    net: nn.Module, ours: list[str], ddpm: bool = False
) -> dict[str, tuple[dict[str, Make], int]]:
    """By name: what makes the images, by engine, and the multiply-adds of one.

    The engines of a name make the same images, the last one the fastest.
    """
    found: dict[str, tuple[dict[str, Make], int]] = {}
    for calls, solver in ((29, False),) * ddpm + ((12, True), (6, True)):
        name = f"diffusers, {'DPM-Solver++' if solver else 'DDPM'}, {calls} calls"
        make = partial(by_diffusers, net, calls, solver)
        found[name] = {"torch": make}, macs(make)
    for place in ours:
        model = sc.Model.from_pretrained(place)
        every = [model] if len(model.legs) > 1 else [model.stepped(n) for n in ("all", 12, 6)]
        for one in every:
            makes: dict[str, Make] = {
                name: partial(by_ours, one.with_engine(name)) for name in ("torch", "onnx")
            }
            found[f"{one.method.name}, {one.calls} calls"] = makes, macs(producer(one))
    return found


def measure(
    made: dict[str, tuple[dict[str, Make], int]], real: Real, images: int, rounds: int
) -> list[dict[str, Any]]:
    """A row for each: multiply-adds, times, FD and CAS."""
    every = {f"{name}/{kind}": make for name, (of, _) in made.items() for kind, make in of.items()}
    timed = every if rounds else {}
    works = {at: partial(make, range(1)) for at, make in timed.items()}
    one = in_turns(works, rounds, "one", progress=True, least=0.1)
    works = {at: partial(make, range(ROWS)) for at, make in timed.items()}
    many = in_turns(works, min(rounds, 3), "many", progress=True)
    rows: list[dict[str, Any]] = []
    labels = np.arange(images) % 10
    for name, (makes, cost) in made.items():
        *_, make = makes.values()
        parts = [make(range(k, min(k + ROWS, images))) for k in range(0, images, ROWS)]
        pixels = torch.cat(parts)
        splits, test = real.splits, real.held_out
        learnt = cas(pixels[:, 0].numpy(), labels, test, splits.mean, splits.std, real.config)
        row: dict[str, Any] = {"sampling": name, "multiply-adds (M)": cost / 1e6}
        for kind in ("torch", "onnx"):
            at = f"{name}/{kind}"
            row[f"one image, {kind} (ms)"] = 1e3 * one[at].median if at in one else None
            row[f"images/s, {kind}"] = ROWS / many[at].median if at in many else None
        row["FD"] = real.frechet["pooled"].distance(real.eye.features(pixels).pooled)
        row["CAS"] = f"{learnt.accuracy.mean():.4f} ± {learnt.accuracy.std(ddof=1):.4f}"
        rows.append(row)
        print(row, flush=True)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """In Markdown."""
    lines = [f"| {' | '.join(rows[0])} |", "| --- |" + " ---: |" * (len(rows[0]) - 1)]
    lines += [f"| {' | '.join(map(_told, row.values()))} |" for row in rows]
    return "\n".join(lines) + "\n"


def _told(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,.3g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Trains unless it has been done, samples, times and scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir")
    parser.add_argument("--seconds", type=float, default=1200, help="of training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ours", nargs="*", default=["baseline", "cascaded"])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--classifiers", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=9, help="of timing; 0 for none")
    parser.add_argument("--ddpm", action="store_true", help="sample the peer in 29 calls, too")
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/peers"))
    options = parser.parse_args()
    splits = sc.load_data("mnist", options.data_dir)
    options.out.mkdir(parents=True, exist_ok=True)
    weights = options.out / f"diffusers-{options.seconds:.0f}s-seed{options.seed}.safetensors"
    net = diffusers_net()
    if not weights.exists():
        torch.set_num_threads(1)
        net = train(splits, options.seconds, options.seed)
        save_model(net, str(weights))
    load_model(net, weights)
    if options.train_only:
        return
    real = Real(splits, sc.CASConfig(classifiers=options.classifiers))
    rows = measure(
        makers(net.eval(), options.ours, options.ddpm), real, options.images, options.rounds
    )
    write_text(options.out / "peers.md", table(rows))


if __name__ == "__main__":
    main()
