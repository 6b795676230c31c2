"""Reads and checks the files that a study's rows name: metrics, arrays, trajectories."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalespace.config.checks import check_history
from scalespace.core.sampling import int_if_whole
from scalespace.errors import InputError, one_line
from scalespace.files import read_bytes, read_text
from scalespace.training.metrics import read_metrics

Arrays = dict[str, NDArray[Any]]
Row = dict[str, Any]


@dataclass(frozen=True)
class Trajectory:
    """One reverse process: `x[k]` float32 [n, h_k, w_k(, 3)], standardised, in state `t[k]`."""

    t: tuple[float, ...]
    x: tuple[NDArray[np.float32], ...]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """The first n images of each class in a samples file.

    Args:
        images: float32 [classes, n, h, w(, 3)] in [0, 1], black where a class has too few.
        places: the index of each among its seed's images, int64 [classes, n]; -1 where there is
            none.
        candidates: how many there were for each; more than one, if a judge has chosen.
    """

    images: NDArray[np.float32]
    places: NDArray[np.int64]
    candidates: int = 1


def read_epochs(path: Path) -> list[Row]:
    """A training's epochs: `epoch`, `loss` and, where validated, `val_loss(_per_t)`."""
    # its last row may be cut short, but it must be text and have rows
    read_text(path, "training metrics")
    rows = read_metrics(path)
    try:
        check_history(rows)
    except (KeyError, TypeError) as error:
        raise InputError(f"training metrics {path} are damaged: {error}") from error
    if not rows:
        raise InputError(f"training metrics {path} are damaged: there are no rows")
    return rows


def read_inspection(path: Path, axes: Mapping[str, str]) -> Arrays:
    """The arrays of an inspection, by name.

    Args:
        path: of the file.
        axes: by name of those that it must have, the names of each one's axes: an axis has the same
            length wherever it is named. Pictures, whose last axes are height and width, may have
            colours.
    """

    def arrays(file: Mapping[str, Any]) -> Arrays:
        found, lengths = {name: file[name] for name in file}, dict[str, int]()
        if not all(array.dtype.kind in "iuf" for array in found.values()):
            raise ValueError("it holds something that is no number")
        for name, wanted in axes.items():
            if name not in found:
                raise ValueError(f"it has no '{name}'")
            shape, named = found[name].shape, wanted.split()
            if named[-2:] == ["height", "width"] and len(shape) == len(named) + 1:
                named.append("colours")
            if len(shape) != len(named) or not all(
                n and lengths.setdefault(axis, n) == n for axis, n in zip(named, shape, strict=True)
            ):
                raise ValueError(f"'{name}' has shape {list(shape)}")
        return found

    found: Arrays = _read(path, "inspection", arrays)
    return found


def read_trajectory(path: Path, classes: int) -> Trajectory:
    """A recorded reverse process; `classes` is the number of classes that labels may name."""

    def states(file: Mapping[str, Any]) -> Trajectory:
        t = tuple(int_if_whole(float(state)) for state in file["t"])
        x = tuple(np.asarray(file[f"x_{k:03d}"], dtype=np.float32) for k in range(len(t)))
        labels = np.asarray(file["labels"], dtype=np.int64)
        if not x or any(part.ndim not in (3, 4) or len(part) != len(labels) for part in x):
            raise ValueError("its arrays do not fit together")
        if not all(np.isfinite(part).all() for part in x):
            raise ValueError("not all of its values are finite")
        if len(labels) == 0 or labels.min() < 0 or labels.max() >= classes:
            raise ValueError("its labels are none of the study's classes")
        return Trajectory(t, x, labels)

    found: Trajectory = _read(path, "trajectory", states)
    return found


def _read(path: Path, what: str, checked: Callable[[Mapping[str, Any]], Any]) -> Any:
    content = read_bytes(path, what)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return checked(file)
    # damaged bytes make the parsers of zip and npy raise errors of any kind
    except Exception as error:
        raise InputError(f"{what} {path} is damaged: {one_line(error)}") from error
