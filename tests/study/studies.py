"""Tiny studies, and what their tests share."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import tiny
from scalespace.data import DataSplits
from scalespace.methods import get_method
from scalespace.studies.runner import run_tasks

Row = dict[str, Any]
TIMED = {"train_seconds", "latency_mean", "latency_median", "latency_q1", "latency_q3"}
TIMED |= {"images_per_s"}
ABOUT = {"preset": "tiny"}
STAGES = {stage.name for name in tiny.STUDIED for stage in get_method(name).stages}


def quiet(_: str) -> None:
    pass


def run(folder: Path, splits: DataSplits, jobs: int = 1, **changes: Any) -> list[Row]:
    config = replace(tiny.CONFIG, **changes)
    path = run_tasks(folder, config, splits, tiny.CPU, jobs, ABOUT, quiet)
    return [json.loads(line) for line in path.read_text().splitlines()]


def untimed(rows: list[Row]) -> list[Row]:
    """What must be the same however a study was run; its timing is of all of its methods."""
    return [
        {key: value for key, value in row.items() if key != "task"}
        for row in rows
        if row["metric"] not in TIMED
    ]


MEASURED = replace(
    tiny.CONFIG,
    stages={**tiny.STAGES, "small": {"process": {"labels": False}}},
    study=replace(
        tiny.CONFIG.study,
        methods=("latent", "small"),
        metrics=("cas", "fd", "kid", "prdc", "copies", "variety", "c2st"),
    ),
)
CONTROLS = ["real-test", "real-down-up", "pixel-noise", "vae-reconstruction"]
