"""Engines by name."""

from __future__ import annotations

import os

import torch

from scalespace.engine.base import Engine, Torch
from scalespace.engine.compiled import Compiled
from scalespace.engine.onnx import Onnx
from scalespace.errors import InputError, unknown

ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (Torch, Onnx, Compiled)}
"""Every engine by name."""
FASTEST = {"cpu": "onnx", "cuda": "compile"}
"""The engine that `auto` stands for, by kind of device; torch on others, and where it lacks."""
VARIABLE = "SCALESPACE_ENGINE"
"""Names the engine that `auto` stands for instead."""


def find_engine(name: str, device: torch.device) -> Engine:
    """The engine of that name; for `auto`, the fastest that there is.

    Raises:
        InputError: there is none such, or it cannot run here; says what to install.
    """
    if name == "auto":
        fastest = ENGINES[FASTEST.get(device.type, "torch")]
        name = os.environ.get(VARIABLE) or (Torch if fastest.lacks(device) else fastest).name
    if name not in ENGINES:
        raise unknown("engine", name, ["auto", *ENGINES])
    kind = ENGINES[name]
    if why := kind.lacks(device):
        what = f": pip install '{kind.needs}'" if "installed" in why else ""
        raise InputError(f"the engine '{name}' cannot be used: {why}{what}")
    return kind()
