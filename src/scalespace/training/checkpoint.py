"""Safetensors files with a JSON record inside: checkpoints and trained models. No pickle."""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from scalespace.errors import InputError, one_line
from scalespace.files import atomic, parse_json

RECORD, CHECKSUM = "record", "checksum"
AGAIN = {
    "trained stage": "delete it to train that stage again",
    "checkpoint": "delete it to start afresh",
    "trained network": "delete it to train it again",
}
"""What to do about a damaged file that is made again once it is gone, by what it is."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Writes tensors with a JSON record and a checksum of both, whole or not at all."""
    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    about = {**record, CHECKSUM: _checksum(plain, record)}
    with atomic(path) as aside:
        try:
            save_file(plain, aside, metadata={RECORD: json.dumps(about)})
        except SafetensorError as error:  # how it reports a full disk
            raise OSError(str(error)) from error


def load_tensors(path: Path, what: str = "model") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the record of a file.

    Args:
        path: the file.
        what: what to call it in a message; see also `AGAIN`.

    Raises:
        InputError: it is absent, damaged or no safetensors file, or differs from its checksum.
    """
    again = f": {AGAIN[what]}" if what in AGAIN else ""
    if not path.is_file():
        raise InputError(f"{what} not found: {path}")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = file.metadata() or {RECORD: "{}"}
        record = parse_json(about.get(RECORD, "null"))
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{what} {path} is damaged or no safetensors file ({one_line(error)}){again}"
        ) from error
    if not isinstance(record, dict):
        raise InputError(f"{what} {path} is damaged: its record is no JSON object{again}")
    if CHECKSUM in record and record.pop(CHECKSUM) != _checksum(tensors, record):
        raise InputError(f"{what} {path} is damaged: it is not what was written there{again}")
    return tensors, record


def _checksum(tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> str:
    """SHA-256 of names, types, shapes and values, and of the record."""
    content = hashlib.sha256(json.dumps(record).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        content.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        content.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return content.hexdigest()


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under names that begin with `prefix` and a dot."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix` and a dot, without it."""
    start = prefix + "."
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Puts tensors into a module.

    Raises:
        InputError: names, shapes or kinds of numbers differ, or a value is not finite.
    """
    for name, own in module.state_dict().items():
        given = tensors.get(name, own)
        if given.is_floating_point() != own.is_floating_point() or given.is_complex():
            raise InputError(f"{where} does not fit its config: '{name}' is of {given.dtype}")
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        detail = textwrap.shorten(lines[1] if len(lines) > 1 else lines[0], 200, placeholder=" ...")
        raise InputError(f"{where} does not fit its config: {detail}") from error
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{where} is damaged: '{name}' holds numbers that are not finite")
