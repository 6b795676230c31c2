"""What a sample costs: wall-clock time one at a time, throughput, network calls, multiply-adds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from scalespace.bench.clock import summary
from scalespace.bench.roofline import wait
from scalespace.config import BenchConfig
from scalespace.progress import bar

# Makes the images with the given indices and leaves them on the device.
Producer = Callable[[range], None]


@dataclass(frozen=True)
class Latency:
    """Seconds to make one image, one at a time.

    Args:
        mean, median, q1, q3: over the productions, in seconds.
        productions: their number.
        images_per_s: throughput at the best of the batch sizes tried.
        best_batch_size: that batch size.
        throughput: images a second by batch size.
        macs: multiply-adds of a sample's matrix products and convolutions.
    """

    mean: float
    median: float
    q1: float
    q3: float
    productions: int
    images_per_s: float
    best_batch_size: int
    throughput: dict[str, float]
    macs: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def measure(
    producers: Mapping[str, Producer],
    device: torch.device,
    config: BenchConfig,
    progress: bool = False,
    plain: Mapping[str, Producer] | None = None,
) -> dict[str, Latency]:
    """Times producers of images (seed paper, section 0.3); loading is not part of it.

    They take turns, an image each, so that other load on the machine affects all of them alike.

    Args:
        producers: by name; the work that they start on a GPU is waited for.
        config: how many productions, and which batch sizes.
        progress: show progress bars.
        plain: the same in plain PyTorch, of those whose multiply-adds torch cannot count.
    """
    for produce in producers.values():
        for k in range(config.warmup):
            produce(range(k, k + 1))
    seconds: dict[str, list[float]] = {name: [] for name in producers}
    with bar(config.productions, "time one image", "image", shown=progress) as shown:
        for k in range(config.productions):
            for name, produce in producers.items():
                seconds[name].append(_seconds(produce, range(k, k + 1), device))
            shown.update()
    rates: dict[str, dict[int, float]] = {name: {} for name in producers}
    with bar(len(config.batch_sizes), "time batches", "size", shown=progress) as shown:
        for size in config.batch_sizes:
            for name, produce in producers.items():
                produce(range(size))
                times = [_seconds(produce, range(size), device) for _ in range(config.batches)]
                rates[name][size] = size / float(np.median(times))
            shown.update()
    return {
        name: _summary(seconds[name], rates[name], macs(produce))
        for name, produce in {**producers, **(plain or {})}.items()
    }


def macs(produce: Producer) -> int:
    """Multiply-adds of one sample, counted by torch as it runs (half of its "flops").

    Counted for two samples and halved: batch norm in batch mode computes two for a single one
    (`stages/ablation.py`).
    """
    with FlopCounterMode(display=False) as counter:
        produce(range(2))
    return counter.get_total_flops() // 4


def _summary(seconds: list[float], rates: dict[int, float], macs: int) -> Latency:
    best = max(rates, key=lambda size: rates[size])
    found = summary(seconds)
    return Latency(
        mean=float(np.mean(seconds)),
        median=found.median,
        q1=found.q1,
        q3=found.q3,
        productions=found.n,
        images_per_s=rates[best],
        best_batch_size=best,
        throughput={str(size): rate for size, rate in rates.items()},
        macs=macs,
    )


def _seconds(produce: Producer, indices: range, device: torch.device) -> float:
    wait(device)  # for earlier work
    began = time.perf_counter()
    produce(indices)
    wait(device)
    return time.perf_counter() - began
