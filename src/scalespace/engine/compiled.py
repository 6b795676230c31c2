"""`torch.compile`; on a GPU its kernels are launched as CUDA graphs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from types import FunctionType

import torch
from torch import Tensor, nn

from scalespace.engine.base import Call, Engine
from scalespace.engine.graphs import Graphed

OLDEST = (7, 0)
"""The least compute capability of a GPU that Triton writes kernels for."""


class Compiled(Engine):
    """Inductor's kernels; on a GPU a whole call, or all of sampling, is one graph (`graphs.py`).

    The first call compiles, for up to a minute, and so does the first one with another number of
    rows; later numbers share what the second made. Inductor keeps its kernels on disk.
    """

    name = "compile"
    chains = 64  # recorded within a second
    chained_on = "cuda"

    @classmethod
    def lacks(cls, device: torch.device) -> str:
        if device.type not in ("cpu", "cuda"):
            return f"it knows no {device.type}"
        on_gpu = device.type == "cuda"
        compilers = ("cc", "gcc", "clang") if on_gpu else ("c++", "g++", "clang++")
        if not any(map(shutil.which, compilers)) and not os.environ.get("CC" if on_gpu else "CXX"):
            return f"there is no {'C' if on_gpu else 'C++'} compiler"
        if on_gpu and find_spec("triton") is None:
            return "there is no Triton, which comes with torch for CUDA"
        if on_gpu and torch.cuda.get_device_capability(device) < OLDEST:
            return "Triton writes no kernels for a GPU that old"
        return ""

    def load(self, network: nn.Module, inputs: Sequence[Tensor]) -> Call:
        compiled = compile_alone(network)
        return Graphed(compiled) if inputs[0].device.type == "cuda" else compiled

    def load_chain(self, chain: nn.Module, inputs: Sequence[Tensor]) -> Call:
        return Graphed(chain)

    def part(self, network: nn.Module, inputs: Sequence[Tensor]) -> Call:
        return compile_alone(network)

    def worth(self, device: torch.device) -> int:
        # in large batches a GPU makes so many in the time that compiling takes
        return 10_000_000 if device.type == "cuda" else super().worth(device)


def compile_alone(network: nn.Module) -> Call:
    """A network, compiled beside whatever else has been.

    Dynamo keeps what it compiled by code object, eight versions of each; after that it warns once
    and runs the code uncompiled. All networks enter by one function, so each gets a copy of it.
    """

    def forward(*given: Tensor) -> Tensor:
        return network(*given)

    code = forward.__code__.replace()
    own = FunctionType(code, forward.__globals__, closure=forward.__closure__)
    compiled = torch.compile(own)

    def call(*given: Tensor) -> Tensor:
        # tensors of an inference_mode are of another kind, for which all would be compiled again
        with torch.inference_mode(False), torch.no_grad():
            return compiled(*(one.clone() if one.is_inference() else one for one in given))

    return call
