"""Training a judge: the stage, and the folder that carries it with its record."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from scalespace.data import DataSplits
from scalespace.evaluation.judge import HISTORY, Judge
from scalespace.evaluation.normality import accuracy
from scalespace.training.checkpoint import under_prefix
from scalespace.training.fit import fit
from scalespace.training.loop import read_metrics
from scalespace.training.runtime import Runtime
from scalespace.training.training import Training


def train_judge(training: Training, splits: DataSplits, trainings: Path, runtime: Runtime) -> Judge:
    """Trains a judge, or loads the one that `trainings` holds, and measures its accuracy.

    Args:
        training: of `scalespace.stages.judge.JUDGE`.
        splits: its data.
        trainings: folder of trainings.
        runtime: device, precision and number of devices.

    Raises:
        InputError: what `fit` raises.
    """
    stage = fit(training, splits, trainings, runtime)
    judge, last = (
        Judge(under_prefix("net", weights), training.data, {}) for weights in (stage.ema, stage.raw)
    )
    rows = read_metrics(training.folder(trainings) / "metrics.jsonl")
    train, test = training.stage.parts(splits)
    parts = {"train": train, "test": test}
    record: dict[str, Any] = {
        "recipe": asdict(training.recipe),
        "seed": training.seed,
        "identity": training.identity,
        "record": stage.record,
        "accuracy": {
            name: accuracy(judge.net, part.unit(), part.labels) for name, part in parts.items()
        },
        "last_step_accuracy": accuracy(last.net, test.unit(), test.labels),
        "history": [{name: row[name] for name in HISTORY if name in row} for row in rows],
    }
    return Judge(judge.weights, judge.data, record)
