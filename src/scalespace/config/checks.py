"""Checks of a config's fields, and of a training's history."""

from __future__ import annotations

from typing import Any

HISTORY = ("epoch", "loss", "val_loss")
"""What a stage's record keeps of each epoch."""


def between(low: float, high: float, **values: float) -> None:
    for name, value in values.items():
        if not low <= value <= high:
            raise ValueError(f"{name} must lie between {low} and {high}, got {value}")


def at_least(low: float, **values: float) -> None:
    for name, value in values.items():
        if not value >= low:
            raise ValueError(f"{name} must be at least {low}, got {value}")


def check_history(rows: Any) -> None:
    """Raises `TypeError` or `KeyError` unless each epoch's row has its numbers."""
    for row in rows:
        numbers = [row["epoch"], row["loss"], row.get("val_loss", 0)]
        numbers += row.get("val_loss_per_t", ())
        if not all(isinstance(number, int | float) for number in numbers):
            raise TypeError(f"history must have numbers, got {row!r:.100}")
