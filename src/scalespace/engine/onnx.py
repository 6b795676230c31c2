"""ONNX Runtime on a CPU: a network is exported once, kept on disk, and run without Python."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scalespace.engine.base import Call, Engine
from scalespace.engine.bricks import Brick, fill
from scalespace.errors import InputError, one_line
from scalespace.files import read_bytes, source, user_cache, write_bytes

NEEDED = ("onnxruntime", "onnx", "onnxscript")
MOST = 32
"""Rows a run: the features of more do not stay in a CPU's caches."""
LEAST = 2
"""Rows that are worth a thread of their own."""


class Onnx(Engine):
    """ONNX Runtime, which runs parts of a batch side by side, on as many threads as torch has.

    An exported network stays in the user's cache, under a name made of its weights and its code.
    So its first use alone is slow: some seconds a network.
    """

    name = "onnx"
    needs = "scalespace[fast]"
    chains = 12  # half a second each to export; of more, the networks themselves take the time

    @classmethod
    def lacks(cls, device: torch.device) -> str:
        if device.type != "cpu":
            return f"it runs on a CPU, and the device is {device}"
        missing = [name for name in NEEDED if find_spec(name) is None]
        return f"{', '.join(missing)} is not installed" if missing else ""

    def load(self, network: nn.Module, inputs: Sequence[Tensor]) -> Call:
        session = open_session(_content(network, inputs))
        names = [one.name for one in session.get_inputs()]

        def run(given: Sequence[Tensor]) -> Tensor:
            arrays = (one.detach().contiguous().numpy() for one in given)
            (found,) = session.run(None, dict(zip(names, arrays, strict=True)))
            return torch.from_numpy(found)

        def call(*given: Tensor) -> Tensor:
            rows, threads = len(given[0]), torch.get_num_threads()
            most = min(MOST, max(LEAST, -(-rows // threads)))
            if rows <= most:
                return run(given)
            parts = zip(*(one.split(most) for one in given), strict=True)
            return torch.cat(list((_pool(threads).map if threads > 1 else map)(run, parts)))

        return call

    def part(self, network: nn.Module, inputs: Sequence[Tensor]) -> Call:
        with torch.no_grad():
            tail = tuple(network(*inputs).shape[1:])
        return Brick(network, lambda: _content(network, inputs), tail)


def _content(network: nn.Module, inputs: Sequence[Tensor]) -> bytes:
    """The network as ONNX: from the cache, if a session can be made of what lies there."""
    if place := _place(_key(network, inputs)):
        with contextlib.suppress(InputError):
            content = read_bytes(place)
            open_session(content)
            return content
    content = export(network, inputs, most=MOST)
    if place:
        with contextlib.suppress(InputError, OSError):  # a cache that cannot be written is none
            place.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(place, content)
    return content


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "onnx")


if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


@lru_cache(maxsize=16)
def open_session(content: bytes) -> Any:
    """A session of ONNX Runtime, of one thread; `InputError` if the content is damaged."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its kinds of errors have no common base
        raise InputError(f"an exported network cannot be loaded: {one_line(error)}") from error


def _place(key: str) -> Path | None:
    cache = user_cache()
    return cache and cache / "engines" / f"{key}.onnx"


def _key(network: nn.Module, inputs: Sequence[Tensor]) -> str:
    """Names what is exported: the network's code and weights, its inputs, and the exporter."""
    content = hashlib.sha256(f"{torch.__version__}\n{network}\n".encode())
    for code in sorted({source(kind) for kind in (Onnx, *map(type, network.modules()))}):
        content.update(code.encode())
    for one in inputs:
        content.update(f"{tuple(one.shape[1:])} {one.dtype}\n".encode())  # any number of rows
    for name, tensor in network.state_dict().items():
        content.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        content.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return content.hexdigest()[:24]


def export(
    network: nn.Module,
    inputs: Sequence[Tensor],
    names: Sequence[str] = (),
    about: Mapping[str, str] | None = None,
    most: int | None = None,
) -> bytes:
    """A network as ONNX, for any number of rows; its output is called `y`.

    Args:
        network: in evaluation mode.
        inputs: examples, of two rows at least.
        names: of the inputs; `x0`, `x1`, ... unless given.
        about: what the file says of itself.
        most: rows that it will ever be given, if their number is bounded.

    Raises:
        InputError: PyTorch cannot export what the network does.
    """
    rows = torch.export.Dim("n", max=most)
    named = list(names) or [f"x{k}" for k in range(len(inputs))]
    with _quietly(), torch.no_grad():
        try:
            network(*inputs)  # what is made once and kept must not be made of the export's symbols
            exported = torch.export.export(
                _Starred(network),
                tuple(inputs),
                dynamic_shapes=(tuple({0: rows} for _ in inputs),),
                strict=False,
            )
            program = torch.onnx.export(
                exported, dynamo=True, input_names=named, output_names=["y"], verbose=False
            )
        except Exception as error:  # whatever the network does, and the exporter does not know
            raise InputError(f"the network cannot be exported: {one_line(error)[:300]}") from error
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # source code and where it lies
    program.model.metadata_props.update(about or {})
    return bytes(fill(program.model_proto).SerializeToString())


class _Starred(nn.Module):
    """A network whose inputs all bear the shapes of one argument."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *given: Tensor) -> Tensor:
        return self.network(*given)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what the exporter tells of its progress, of what it lacks, and of its own future."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
