"""Training a judge: the stage, and the folder that carries it with its record."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from scalespace.data import DataSplits
from scalespace.evaluation.judge import Judge
from scalespace.evaluation.normality import accuracy
from scalespace.training.checkpoint import under_prefix
from scalespace.training.fit import fit
from scalespace.training.runtime import Runtime
from scalespace.training.training import Training


def train_judge(training: Training, splits: DataSplits, trainings: Path, runtime: Runtime) -> Judge:
    """Trains a judge, or loads the one that `trainings` holds, and measures its accuracy.

    Arguments and errors as for `fit`; `training` is of `scalespace.stages.judge.JUDGE`.
    """
    stage = fit(training, splits, trainings, runtime)
    judge, last = (
        Judge(under_prefix("net", weights), training.data, {}) for weights in (stage.ema, stage.raw)
    )
    run = dict(stage.record)
    history = run.pop("history", [])
    train, test = training.stage.parts(splits)
    parts = {"train": train, "test": test}
    record: dict[str, Any] = {
        "recipe": asdict(training.recipe),
        "seed": training.seed,
        "identity": training.identity,
        "record": run,
        "accuracy": {
            name: accuracy(judge.net, part.unit(), part.labels) for name, part in parts.items()
        },
        "last_step_accuracy": accuracy(last.net, test.unit(), test.labels),
        "history": history,
    }
    return Judge(judge.weights, judge.data, record)
