"""`torch.compile`, with CUDA graphs on a GPU."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scalespace.engine.base import Call, Engine


class Compiled(Engine):
    """Inductor's kernels; on a GPU a whole call is one graph, launched at once.

    The first call with a number of rows compiles, for a minute or so.
    """

    name = "compile"

    @classmethod
    def lacks(cls, device: torch.device) -> str:
        if device.type == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
            return "there is no C++ compiler"
        return "" if device.type in ("cpu", "cuda") else f"it knows no {device.type}"

    def load(self, network: nn.Module, inputs: Sequence[Tensor]) -> Call:
        on_gpu = inputs[0].device.type == "cuda"
        compiled = torch.compile(network, mode="reduce-overhead" if on_gpu else None)
        if not on_gpu:
            return lambda *given: compiled(*given)

        def call(*given: Tensor) -> Tensor:
            torch.compiler.cudagraph_mark_step_begin()
            # the graph's own memory is written anew by the next call
            return torch.Tensor.clone(compiled(*given))

        return call
