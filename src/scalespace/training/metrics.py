"""What a training tells of its epochs: the files in its folder, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scalespace.files import parse_json

METRICS_FILE = "metrics.jsonl"
"""A row an epoch."""


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a `metrics.jsonl`; a last line cut short is left out."""
    rows = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            rows.append(parse_json(line))
        except ValueError:  # of JSON, or of UTF-8
            break
    return [row for row in rows if isinstance(row, dict)]


def grid_path(folder: Path, epoch: int) -> Path:
    """The picture of images that a training made after an epoch, if `train.grid_every` asks."""
    return folder / "grids" / f"epoch-{epoch:04d}.png"
