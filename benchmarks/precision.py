"""What fewer bits give on a CPU: the time of a model's sampling, and the quality of its images.

    python benchmarks/precision.py --data-dir DATA

The model's whole sampling is exported as one ONNX network. Each call gets weights of its own, since
the quantiser refuses those that are used twice. ONNX Runtime's static quantisation
turns its convolutions, or the convolutions and all that lies between them, into 8-bit integers;
the ranges come from noise of other seeds. PyTorch does convolutions and matrix products in bfloat16
under its autocast. All make images of the same noise, in turns in one process and by one thread.
Frechet distances are of the images from the training part, as those of the validation part are.
With `--classifiers` CAS is measured, too, on the validation part, by classifiers that begin with
the same weights for every precision. Nothing of the test part is read.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantType,
    quant_pre_process,
    quantize_static,
)

import scalespace as sc
from scalespace.bench.clock import in_turns
from scalespace.core.noise import Seeded
from scalespace.engine.onnx import open_session
from scalespace.evaluation.evaluate import Real
from scalespace.model.chain import Chain, Drawn
from scalespace.model.export import export_model
from scalespace.model.model import Model

ROWS = 50
"""Images a run."""
KINDS: dict[str, list[str] | None] = {"int8, convolutions": ["Conv"], "int8, everything": None}
"""What is quantised: the operators, or None for all that ONNX Runtime can."""


def inputs(model: Model, labels: list[int], seed: int) -> Iterator[dict[str, np.ndarray]]:
    """What the exported network takes, `ROWS` images at a time."""
    chain = Chain(model.method, model.models)
    for first in range(0, len(labels), ROWS):
        part = torch.tensor(labels[first : first + ROWS])
        drawn = Drawn(Seeded(seed, range(first, first + len(part))))
        with torch.no_grad():  # a run of the model itself, for the shapes of its draws
            list(chain.method.sample(chain.models, part, drawn))
        yield {
            "labels": part.numpy(),
            **{f"noise{k}": one.numpy() for k, (_, one) in enumerate(drawn.draws)},
        }


class Reader(CalibrationDataReader):
    """The inputs by which the ranges are found."""

    def __init__(self, batches: list[dict[str, np.ndarray]]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next ones, None after the last."""
        return next(self._batches, None)


def sums_of_bytes() -> bool:
    """Whether the CPU has instructions for sums of 8-bit products (VNNI)."""
    about = Path("/proc/cpuinfo")
    return about.exists() and "vnni" in about.read_text(encoding="utf-8")


def unshared(path: Path) -> Path:
    """The same network with a copy of the weights for each node that reads them."""
    model = onnx.load(str(path))
    weights = {one.name: one for one in model.graph.initializer}
    known, used = set(weights), set()
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name not in weights:
                continue
            if name in used:
                fresh = next(new for k in count() if (new := f"{name}/{k}") not in known)
                model.graph.initializer.add().CopyFrom(weights[name])
                model.graph.initializer[-1].name = node.input[place] = fresh
                known.add(fresh)
            used.add(name)
    out = path.with_suffix(".unshared.onnx")
    onnx.save(model, str(out))
    return out


def quantised(path: Path, operators: list[str] | None, batches: list[Any]) -> Path:
    """The network with 8-bit weights (a range a channel) and activations."""
    ready = path.with_suffix(".ready.onnx")
    quant_pre_process(str(path), str(ready), skip_symbolic_shape=True)
    out = path.with_suffix(f".{len(operators or [])}.onnx")
    quantize_static(
        str(ready),
        str(out),
        Reader(batches),
        op_types_to_quantize=operators,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        reduce_range=not sums_of_bytes(),  # else sums of two products must fit into 16 bits
    )
    return out


def measure(
    model: Model, real: Real, images: int, rounds: int, classifiers: int
) -> list[dict[str, Any]]:
    """A row for each precision: time of an image, images a second, FD, difference, CAS."""
    labels = [k % len(model.data.labels) for k in range(images)]
    batches = list(inputs(model, labels, seed=5))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float32.onnx"
        export_model(model, path)
        ranges = list(inputs(model, labels[:200], seed=99))
        paths = {"float32": path}
        apart = unshared(path)
        paths |= {name: quantised(apart, ops, ranges) for name, ops in KINDS.items()}
        sessions = {name: open_session(one.read_bytes()) for name, one in paths.items()}
    makers: dict[str, Callable[[dict[str, np.ndarray]], np.ndarray]] = {
        f"{name}, ONNX Runtime": partial(by_session, session) for name, session in sessions.items()
    }
    chain = model.as_chain(model.data.to_unit).eval()
    makers["float32, PyTorch"] = partial(by_torch, chain, torch.float32)
    makers["bfloat16, PyTorch"] = partial(by_torch, chain, torch.bfloat16)
    one = {name: value[:1] for name, value in batches[0].items()}
    alone = {name: partial(make, one) for name, make in makers.items()}
    many = {name: partial(make, batches[0]) for name, make in makers.items()}
    latency, throughput = in_turns(alone, rounds, "one", least=0.1), in_turns(many, rounds, "many")
    rows, exact = [], None
    for name, make in makers.items():
        made = np.concatenate([make(batch) for batch in batches])
        exact = made if exact is None else exact
        features = real.eye.features(torch.from_numpy(made))
        rows.append(
            {
                "model": model.method.name,
                "calls": model.calls,
                "precision": name,
                "one image (ms)": 1e3 * latency[name].median,
                "images/s": ROWS / throughput[name].median,
                "FD": real.frechet["pooled"].distance(features.pooled),
                "mean |difference|": float(np.abs(made - exact).mean()),
                **(taught(made, labels, real) if classifiers else {}),
            }
        )
    return rows


def taught(made: np.ndarray, labels: list[int], real: Real) -> dict[str, float | None]:
    """CAS, and its deviation over the classifiers, which are trained side by side."""
    torch.set_num_threads(os.cpu_count() or 1)
    found = sc.evaluate(sc.Samples(made[:, 0], np.array(labels), {}), real, ["cas"])["cas"]
    torch.set_num_threads(1)
    return {"CAS": found["cas"], "sd": found["sd"]}


def by_session(session: Any, given: dict[str, np.ndarray]) -> np.ndarray:
    """Images of an exported network."""
    (images,) = session.run(None, given)
    return np.asarray(images)


@torch.no_grad()
def by_torch(chain: Chain, kind: torch.dtype, given: dict[str, np.ndarray]) -> np.ndarray:
    """Images of plain PyTorch, convolutions and matrix products in a precision."""
    with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
        images = chain(*(torch.from_numpy(one) for one in given.values()))
    return np.asarray(images.float().numpy())


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir")
    parser.add_argument("--model", default="cascaded-fast")
    parser.add_argument("--steps", type=int, help="network calls (default: the model's own)")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, help="JSON lines")
    parser.add_argument("--classifiers", type=int, default=0, help="of CAS (default: none)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # a line for each tensor without channels
    config = sc.CASConfig(classifiers=max(1, options.classifiers))
    real = Real(sc.load_data("mnist", options.data_dir), config, part="validation")
    model = sc.Model.from_pretrained(options.model)
    model = model.stepped(options.steps) if options.steps else model
    rows = measure(model, real, options.images, options.rounds, options.classifiers)
    print(*rows[0], sep=" | ")
    for row in rows:
        print(*(f"{v:.4g}" if isinstance(v, float) else v for v in row.values()), sep=" | ")
    if options.out:
        options.out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
