"""CUDA graphs: all that a function does on a GPU, recorded once and then launched at once.

`torch.compile(mode="reduce-overhead")` records graphs, too. Those belong to the thread that
recorded them, there is one for every number of rows, and none holds more than one compiled
function. These serve all threads, any number of rows by a few graphs, and all of a model's sampling
by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor

from scalespace.engine.base import Call
from scalespace.errors import InputError, one_line

MOST = 256
"""Rows a launch; more go in parts."""
WARM = 3
"""Runs before the recording: libraries choose their kernels, and whatever is cached is made."""


@dataclass(frozen=True)
class Recorded:
    """What a function does with tensors in fixed places.

    Args:
        inputs: where it reads, n rows each.
        output: where it writes, n rows.
        replay: does it again.
    """

    inputs: Sequence[Tensor]
    output: Tensor
    replay: Callable[[], object]


Record = Callable[[Call, Sequence[Tensor]], Recorded]
"""Records what a function does with some inputs."""


class Graphed:
    """A function as CUDA graphs, one for each of a few numbers of rows.

    Rows are padded to the next power of two. All threads may call it, on one stream.

    Args:
        function: takes tensors of n rows and gives one of n rows. A row of the output depends on
            that row of the inputs alone. It neither asks the GPU for a number nor copies from the
            host.
        record: how it is recorded.
    """

    def __init__(self, function: Call, record: Record | None = None) -> None:
        self.function = function
        self._record = record or record_on_gpu
        self._graphs: dict[int, Recorded] = {}
        self._lock = Lock()

    def __call__(self, *given: Tensor) -> Tensor:
        n = len(given[0])
        if n > MOST:
            parts = zip(*(one.split(MOST) for one in given), strict=True)
            return torch.cat([self(*part) for part in parts])
        # places that are made within a caller's inference_mode could not be written outside of it
        with self._lock, torch.inference_mode(False), torch.no_grad():
            size = 1 << (n - 1).bit_length()
            if size not in self._graphs:
                places = [_rows(one, size) for one in given]
                self._graphs[size] = self._record(self.function, places)
            graph = self._graphs[size]
            for place, one in zip(graph.inputs, given, strict=True):
                place[:n].copy_(one)
            graph.replay()
            return graph.output[:n].clone()  # the next launch writes there anew


def _rows(given: Tensor, size: int) -> Tensor:
    """As many rows in a place of their own, valid ones: the given again and again."""
    times = -(-size // len(given))
    return given.repeat(times, *[1] * (given.ndim - 1))[:size].contiguous().clone()


def record_on_gpu(function: Call, inputs: Sequence[Tensor]) -> Recorded:
    """Records a CUDA graph.

    Raises:
        InputError: the function does what no graph can hold.
    """
    device = inputs[0].device
    try:
        with torch.cuda.device(device):
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM):
                    function(*inputs)
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            # other threads may go on using the GPU meanwhile
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                output = function(*inputs)
    except RuntimeError as error:  # of CUDA, of the compiler, or for want of memory
        raise InputError(f"no CUDA graph can be recorded: {one_line(error)[:300]}") from error
    return Recorded(inputs, output, graph.replay)
