"""Made-up studies of variants: a made-up study whose rows are spread over variants."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fake import counted, make_study

from scalespace.config import StudyConfig
from scalespace.report.figures import FIGURES
from scalespace.studies.variants import make_variants

Scores = Mapping[str, Sequence[float]]
Row = dict[str, Any]


def make_variant_study(
    folder: Path,
    cas: Scores,
    *,
    method: str = "small",
    fd: Scores | None = None,
    leaks: Mapping[tuple[str, str], Sequence[float]] | None = None,
    **study: Any,
) -> Path:
    """A finished study of one method.

    Args:
        folder: where to.
        cas: of each variant, a number a seed; seeds are 0, 1, ....
        method: its name.
        fd: the same for FD.
        leaks: the loss by state of the first variant's training.
        study: `variants`, `switches` and what else the study's config says.
    """
    seeds = tuple(range(len(next(iter(cas.values())))))
    metrics = ("cas", "fd") if fd else ("cas",)
    make_study(folder, seeds=seeds, methods=(method,), metrics=metrics)
    about = json.loads((folder / "study.json").read_text())
    about["config"]["study"].update(study)
    (folder / "study.json").write_text(json.dumps(about))
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    first = next(iter(make_variants(StudyConfig(**study))))
    single = len(seeds) == 1
    out: list[Row] = []
    for row in rows:
        if row.get("method") != method or row["metric"] in LATENCY:
            out.append(row)
            continue
        for name in cas:
            seed = 0 if single and row["seed"] is None else row["seed"]
            if seed is None and name != first and row["metric"] != "artefact":
                continue  # pooled images are scored of the first variant alone
            own = dict(row, variant=name, task=f"{row['task']} ({name})")
            if row["metric"] == "cas" and seed is not None:
                value = cas[name][seed] + 0.002 * (row["classifier"] - 1)
                own |= counted(value, len(row["per_class"]), np.random.default_rng(0))
            elif row["metric"] == "fd" and seed is not None and fd is not None:
                own["value"] = fd[name][seed]
            out.append(own)
    for name in cas:
        own = {"method": method, "seed": 0, "n": 100, "variant": name}
        out.append({**own, "metric": "outside_pixels", "value": 0.25})
    for (batches, statistics), per_t in (leaks or {}).items():
        own = {"metric": "state_loss", "stage": method, "config": "abc", "n": 512, "variant": first}
        own |= {"batches": batches, "statistics": statistics}
        for seed in seeds:
            value = sum(per_t) / len(per_t)
            out.append({**own, "seed": seed, "value": value, "per_t": list(per_t)})
    about["tasks"] = {row["task"]: row["task"] for row in out if "task" in row}
    (folder / "study.json").write_text(json.dumps(about))
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in out))
    return folder


OF_VARIANTS = ("variants", "variant-samples", "leaks")
"""The figures that other studies have nothing to show in."""
OF_STUDIES = [name for name in FIGURES if name not in OF_VARIANTS]
"""The others."""
LATENCY = {
    *("latency_mean", "latency_median", "latency_q1", "latency_q3"),
    *("calls", "macs", "parameters", "images_per_s"),
}
