"""What a sample costs: wall-clock time one at a time, throughput, network calls, multiply-adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import TypedDict

import torch
from torch.utils.flop_counter import FlopCounterMode

from scalespace.bench.clock import Seconds, Work, in_turns
from scalespace.bench.roofline import wait
from scalespace.config import BenchConfig

# Makes the images with the given indices and leaves them on the device.
Producer = Callable[[range], object]


class Latency(TypedDict):
    """Seconds to make one image, one at a time.

    Keys:
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
    one = {name: _one_by_one(produce, device) for name, produce in producers.items()}
    seconds = in_turns(one, config.productions, "time one image", progress, config.warmup)
    rates: dict[str, dict[int, float]] = {name: {} for name in producers}
    for size in config.batch_sizes:
        batches = {name: _batch(produce, size, device) for name, produce in producers.items()}
        found = in_turns(batches, config.batches, f"time {size} images", progress)
        for name, times in found.items():
            rates[name][size] = size / times.median
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


def _summary(seconds: Seconds, rates: dict[int, float], macs: int) -> Latency:
    best = max(rates, key=lambda size: rates[size])
    return Latency(
        mean=seconds.mean,
        median=seconds.median,
        q1=seconds.q1,
        q3=seconds.q3,
        productions=seconds.n,
        images_per_s=rates[best],
        best_batch_size=best,
        throughput={str(size): rate for size, rate in rates.items()},
        macs=macs,
    )


def _one_by_one(produce: Producer, device: torch.device) -> Work:
    """Makes the next image whenever it is called, and waits for it."""
    indices = count()

    def work() -> None:
        k = next(indices)
        produce(range(k, k + 1))
        wait(device)

    return work


def _batch(produce: Producer, size: int, device: torch.device) -> Work:
    def work() -> None:
        produce(range(size))
        wait(device)

    return work
