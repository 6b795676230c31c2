"""Training a stage: start it, go on with it, or take what is there."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from scalespace.data import DataSplits
from scalespace.files import sweep, write_json
from scalespace.stages.base import Models
from scalespace.training.checkpoint import save_tensors
from scalespace.training.loop import Loop
from scalespace.training.runtime import Runtime
from scalespace.training.training import FINISHED, TrainedStage, Training, load_stage


def fit(training: Training, splits: DataSplits, root: Path, runtime: Runtime) -> TrainedStage:
    """Trains a stage, or goes on where an interrupted run stopped, or loads the finished one.

    Below `root`, the training's folder holds `config.json`, `metrics.jsonl` (a row an epoch),
    `grids/`, `checkpoint.safetensors` while under way and `stage.safetensors` at the end.

    Args:
        training: what to train.
        splits: its data.
        root: folder of trainings, shared by all methods of a study.
        runtime: device, precision and number of devices.

    Raises:
        InputError: a damaged checkpoint, or a folder that cannot be written.
    """
    folder = training.folder(root)
    finished = folder / FINISHED
    if finished.exists():
        return load_stage(training, root)
    # what it builds on is there already, or is trained now
    needs = Models(
        {need.stage.name: fit(need, splits, root, runtime).model() for need in training.needs}
    )
    write_json(folder / "config.json", {"identity": training.identity, **asdict(training)})
    loop = Loop(training, splits, folder, runtime, needs)
    loop.run()
    loop.finish()
    if loop.fabric.is_global_zero:
        record = {"identity": training.identity, **loop.summary()}
        ema, raw = loop.ema.model.state_dict(), loop.model.state_dict()
        save_tensors(finished, TrainedStage(training, ema, raw, record).tensors, record)
        loop.checkpoint.unlink(missing_ok=True)
        sweep(folder)
    loop.fabric.barrier()
    return load_stage(training, root)
