"""Time and memory of the measures of features and of copies, at full size, on random numbers.

    python benchmarks/metrics.py            (or: OMP_NUM_THREADS=1 python benchmarks/metrics.py)

The features themselves are computed elsewhere and are not part of it. Each measurement is a
process of its own, because peak memory is a process's; `nothing` has the same numbers in memory and
measures nothing.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from scalespace.evaluation.copies import copies, nearest_two
from scalespace.evaluation.frechet import Frechet
from scalespace.evaluation.kid import kid
from scalespace.evaluation.prdc import prdc
from scalespace.evaluation.two_sample import two_sample

WIDTH = 128  # of a feature vector


def random(*shape: int, seed: int) -> Tensor:
    """Uniform numbers in [0, 1): the speed does not depend on what they are."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def features(n: int, m: int) -> tuple[Tensor, Tensor]:
    """Features of n generated and m real images."""
    return random(n, WIDTH, seed=0), random(m, WIDTH, seed=1)


def images(n: int, m: int) -> tuple[Tensor, Tensor]:
    """n generated and m training images."""
    return random(n, 1, 28, 28, seed=0), random(m, 1, 28, 28, seed=1)


def told_apart(x: Tensor, y: Tensor) -> object:
    """The classifier two-sample test of images of ten classes."""
    return two_sample(x, torch.arange(len(x)) % 10, y, torch.arange(len(y)) % 10)


Data = Callable[[int, int], tuple[Tensor, Tensor]]
Work = Callable[[Tensor, Tensor], object]

MEASURES: dict[str, tuple[Data, Work, int, int]] = {
    "nothing": (features, lambda x, y: None, 10_000, 60_000),
    "Fréchet distance": (features, lambda x, y: Frechet(y).distance(x), 10_000, 60_000),
    "its standard error": (features, lambda x, y: Frechet(y).standard_error(x), 10_000, 60_000),
    "KID": (features, kid, 10_000, 60_000),
    "precision to coverage": (features, prdc, 10_000, 10_000),
    "the same, all real images": (features, prdc, 10_000, 60_000),
    "nothing, images": (images, lambda x, y: None, 10_000, 60_000),
    "copies": (images, lambda x, y: copies(nearest_two(x, y)), 10_000, 60_000),
    "two samples": (images, told_apart, 10_000, 60_000),
}
"""By name: the data, the work, how many generated and how many real rows."""


def measure(name: str) -> tuple[float, float]:
    """Seconds of one measurement, and the process's peak memory in MiB."""
    data, work, n, m = MEASURES[name]
    x, y = data(n, m)
    began = time.perf_counter()
    work(x, y)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux, bytes on a Mac
    return seconds, peak / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    """Prints a table: measure, rows, seconds, peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", metavar="MEASURE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(*measure(options.one))
        return
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    print("| measure | generated | real | seconds, median (range) | peak memory, MiB |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, (_, _, n, m) in MEASURES.items():
        found = []
        for _ in range(options.rounds):
            command = [sys.executable, __file__, "--one", name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.append([float(word) for word in done.stdout.split()])
        seconds, peaks = zip(*found, strict=True)
        took = f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
        print(f"| {name} | {n:,} | {m:,} | {took} | {max(peaks):.0f} |", flush=True)


if __name__ == "__main__":
    main()
