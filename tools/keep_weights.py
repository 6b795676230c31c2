"""Keeps the trained weights of a study's seeds, and puts them back into a study.

    python tools/keep_weights.py keep runs/default-mnist/trainings benchmarks/weights
    python tools/keep_weights.py put benchmarks/weights runs/frontier/trainings

A finished training is kept as one file of its averaged weights with its record; what only training
itself needs, the last weights, is left out. `--half latent,latent-flow` keeps the numbers of these
stages in half precision. Put back, a study takes it for trained. The shipped models' stages
(seed 0) are put back too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalespace import pretrained
from scalespace.errors import InputError
from scalespace.files import read_json
from scalespace.model.folder import read
from scalespace.training.checkpoint import (
    load_tensors,
    save_tensors,
    under_prefix,
    with_prefix,
)
from scalespace.training.training import FINISHED

CONFIG = "config.json"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["keep", "put"])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--half", default="", help="stages to keep in half precision")
    options = parser.parse_args(argv)
    try:
        if options.what == "keep":
            keep(options.source, options.target, list(filter(None, options.half.split(","))))
        else:
            put(options.source, options.target)
    except InputError as error:
        print(f"keep_weights: {error}", file=sys.stderr)
        sys.exit(2)


def keep(trainings: Path, weights: Path, half: Collection[str] = ()) -> None:
    """Writes STAGE-seedN-IDENTITY.safetensors for each finished training that is not there yet.

    A training that `put` made is passed over: it is kept already, or ships.

    Args:
        trainings: a study's.
        weights: where to keep them.
        half: stages whose numbers are kept in half precision.

    Raises:
        InputError: there is no finished training, or none of a stage in `half`, or one is damaged.
    """
    found = {
        path: path.parent.name.rpartition("-")[0]
        for path in sorted(trainings.glob(f"*/{FINISHED}"))
        if (path.parent / CONFIG).exists()  # `put` writes none
    }
    if not found:
        raise InputError(f"no finished training in {trainings}")
    if unknown := sorted(set(half) - set(found.values())):
        raise InputError(f"--half: no finished training of '{unknown[0]}' in {trainings}")
    for path, stage in found.items():
        tensors, record = load_tensors(path, "trained stage")
        seed = read_json(path.parent / CONFIG, "training")["seed"]
        target = weights / f"{stage}-seed{seed}-{record['identity']}.safetensors"
        if not target.exists():
            averaged = with_prefix("ema", under_prefix("ema", tensors))
            if stage in half:
                averaged, record = (
                    _cast(averaged, torch.float32, torch.float16),
                    {**record, "half": True},
                )
            save_tensors(target, averaged, record)
            print(f"{target}: {target.stat().st_size:,} bytes")


def put(weights: Path, trainings: Path) -> None:
    """Makes a folder of trainings of the kept ones, and of the shipped models' stages.

    Raises:
        InputError: a file is damaged.
    """
    for path in sorted(weights.glob("*.safetensors")):
        tensors, record = load_tensors(path, "kept weights")
        name = path.stem.partition("-seed")[0]
        tensors = _cast(tensors, torch.float16, torch.float32)
        _finished(trainings / f"{name}-{record['identity']}", tensors, record)
    for name in pretrained.names():
        for stage in read(pretrained.FOLDER / name).stages.values():
            training = stage.training
            record = {**stage.record, "identity": training.identity}
            _finished(training.folder(trainings), stage.tensors, record)


def _cast(tensors: dict[str, Tensor], kind: torch.dtype, other: torch.dtype) -> dict[str, Tensor]:
    """Those of one kind as the other; counts stay what they are."""
    return {
        key: tensor.to(other) if tensor.dtype == kind else tensor for key, tensor in tensors.items()
    }


def _finished(folder: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    if not (folder / FINISHED).exists():
        save_tensors(folder / FINISHED, tensors, record)
        print(f"{folder}: {record['images']:,} images seen")


if __name__ == "__main__":
    main()
