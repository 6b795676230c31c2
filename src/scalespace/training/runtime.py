"""Where and how training runs; none of it is part of a result's identity."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from typing import Any, Literal

import torch

from scalespace.core.torch_state import keep_float32
from scalespace.engine import ENGINES
from scalespace.errors import InputError, unknown
from scalespace.training.events import check_tensorboard

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("32-true", "bf16-mixed")
ENGINE_NAMES = ("auto", *ENGINES)
LOGS = ("", "tensorboard")


@dataclass(frozen=True)
class Runtime:
    """The machine's side of a run.

    Args:
        device: auto takes a GPU if there is one.
        precision: arithmetic of the networks' forward pass in training.
        devices: how many devices, or processes on a CPU, train together; below torchrun, all the
            processes that it has started do.
        progress: show progress bars.
        engine: what runs the networks in sampling; auto is the fastest that there is, where it
            pays.
        logs: tensorboard to write event files beside each training's `metrics.jsonl`.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    devices: int = 1
    progress: bool = True
    engine: Literal["auto", "torch", "onnx", "compile"] = "auto"
    logs: Literal["", "tensorboard"] = ""

    def __post_init__(self) -> None:
        choices = {"device": DEVICES, "precision": PRECISIONS, "engine": ENGINE_NAMES, "logs": LOGS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        if self.devices < 1:
            raise InputError(f"--devices must be at least 1, got {self.devices}")
        if self.logs:
            check_tensorboard()

    @property
    def torch_device(self) -> torch.device:
        """The device itself; `InputError` if this machine has none of that kind."""
        return find_device(self.device)

    def fabric(self) -> Any:
        """A `lightning_fabric.Fabric` for these choices, not yet launched."""
        from lightning_fabric import Fabric  # slow to import, and only training needs it

        here, machines = _below_torchrun() or (self.devices, 1)
        return Fabric(
            accelerator=self.torch_device.type,
            devices=here,
            num_nodes=machines,
            strategy="ddp" if here * machines > 1 else "auto",
            precision=self.precision,
        )

    @property
    def together(self) -> int:
        """How many processes train together, on all machines."""
        here, machines = _below_torchrun() or (self.devices, 1)
        return here * machines


def find_device(device: torch.device | str) -> torch.device:
    """A device by name: auto (a GPU if there is one), or as torch calls it, cuda:1 say.

    On a GPU float32 stays float32 from then on (`keep_float32`).

    Raises:
        InputError: no such name, or this machine has none of that kind.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        device = next(kind for kind, there in available.items() if there)
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise unknown("device", device, DEVICES) from error
    if not available.get(found.type, True):
        raise InputError(f"device {device}: this machine has none that torch can use")
    if found.type == "cuda":
        keep_float32()
    return found


def _below_torchrun() -> tuple[int, int] | None:
    """How many processes torchrun has started on this machine, and on how many machines."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    return here, int(os.environ["WORLD_SIZE"]) // here


def is_helper() -> bool:
    """Whether this process only helps another to train, which does the writing and reporting."""
    # RANK counts over all machines, and only torchrun sets it
    return (os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or "0") != "0"


def keep_freed_memory() -> bool:
    """Asks glibc to keep freed memory instead of handing it back to the system.

    A training step frees and allocates the same megabytes of activations over and over. By default
    each such block is mapped anew, and the system zeroes every page of it: 5 to 30 % of a step on
    a CPU. Does nothing, and returns False, on other systems.
    """
    if not sys.platform.startswith("linux"):
        return False
    trim_threshold, mmap_threshold = -1, -3  # malloc.h
    try:
        libc = ctypes.CDLL("libc.so.6")
        return bool(
            libc.mallopt(mmap_threshold, 1 << 30) and libc.mallopt(trim_threshold, 2**31 - 1)
        )
    except (OSError, AttributeError):
        return False
