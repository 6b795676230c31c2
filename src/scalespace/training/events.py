"""TensorBoard event files of a training: what its `metrics.jsonl` and `grids/` hold.

A training has one event file at a time. It is written anew from the training's rows whenever the
training goes on, so that no step is ever there twice.
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np

from scalespace.errors import InputError
from scalespace.files import locked
from scalespace.training.metrics import METRICS_FILE, grid_path, read_metrics

EVENTS = "events.out.tfevents.*"
TAGS = {"loss": "loss/training", "val_loss": "loss/validation", "lr": "learning rate"}
"""The name in TensorBoard of each number of a row."""


def check_tensorboard() -> None:
    """Raises `InputError` unless the package tensorboard is there."""
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError(
            "event files need the package tensorboard: pip install tensorboard (or scalespace's "
            "extra 'tensorboard')"
        )


class EventLog:
    """The event file of a training; earlier ones in its folder are replaced.

    Args:
        folder: of the training.
        rows: what it has done so far, as in `metrics.jsonl`.
    """

    def __init__(self, folder: Path, rows: Sequence[Mapping[str, Any]] = ()) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow, and rarely asked for

        self.folder = folder
        for earlier in folder.glob(EVENTS):
            earlier.unlink()
        self.began = time.time() - max((_number(row, "seconds", 0.0) for row in rows), default=0.0)
        # a TensorBoard that is running forgets what it read of the earlier file
        self._writer = SummaryWriter(str(folder), purge_step=0)
        for row in rows:
            self.add(row)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """Adds one row: its losses and learning rate, and the grid of its epoch, if any."""
        epoch = int(_number(row, "epoch", 0))
        step, at = int(_number(row, "step", epoch)), self.began + _number(row, "seconds", 0.0)
        numbers = {tag: _number(row, name) for name, tag in TAGS.items()}
        per_state = row.get("val_loss_per_t")
        for t, loss in enumerate(per_state if isinstance(per_state, list) else (), 1):
            numbers[f"validation loss by level/{t:03d}"] = _number({"": loss}, "")
        for tag, value in numbers.items():
            if math.isfinite(value):
                self._writer.add_scalar(tag, value, step, at)
        grid = grid_path(self.folder, epoch)
        if grid.is_file():
            self._add_image(grid, step, at)
        self._writer.flush()

    def _add_image(self, path: Path, step: int, at: float) -> None:
        from PIL import Image

        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        self._writer.add_image("images", pixels, step, at, "HWC")


def _number(row: Mapping[str, Any], name: str, default: float = math.nan) -> float:
    """A number of a row; the default where there is none."""
    value = row.get(name)
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return default


def add_events(folder: Path) -> None:
    """Writes the event file of a finished training that has metrics and no event file yet."""
    if (folder / METRICS_FILE).exists() and not any(folder.glob(EVENTS)):
        with suppress(InputError):  # another process is just doing the same
            write_events(folder)


def write_events(folder: Path) -> None:
    """Writes the event file of a training anew, from its metrics and grids.

    Raises:
        InputError: the package tensorboard is not there, the training is under way, or there are
            no metrics.
    """
    check_tensorboard()
    rows = read_metrics(folder / METRICS_FILE)
    if not rows:
        raise InputError(f"{folder / METRICS_FILE}: no epochs that could be read")
    with locked(folder, "training"), EventLog(folder, rows):
        pass
