"""Training a stage: start it, go on with it, or take what is there."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from scalespace.core.torch_state import learning
from scalespace.data import DataSplits
from scalespace.files import locked, sweep, write_json
from scalespace.training.events import add_events
from scalespace.training.loop import Loop
from scalespace.training.runtime import Runtime, is_helper
from scalespace.training.training import (
    FINISHED,
    TrainedStage,
    Training,
    load_stage,
    models_of,
    save_stage,
)


def fit(training: Training, splits: DataSplits, root: Path, runtime: Runtime) -> TrainedStage:
    """Trains a stage, resumes an interrupted training, or loads a finished one.

    Below `root`, the training's folder holds `config.json`, `metrics.jsonl` (a row an epoch),
    `grids/`, `checkpoint.safetensors` while under way and `stage.safetensors` at the end.

    Args:
        training: what to train.
        splits: its data.
        root: folder of trainings, shared by all methods of a study.
        runtime: device, precision and number of devices.

    Raises:
        InputError: a damaged checkpoint, a folder that cannot be written, or another process
            training there.
    """
    folder = training.folder(root)
    finished = folder / FINISHED
    if finished.exists():
        if runtime.logs and not is_helper():
            add_events(folder)
        return load_stage(training, root)
    needs = models_of(
        {need.stage.name: fit(need, splits, root, runtime) for need in training.needs}
    )
    with nullcontext() if is_helper() else locked(folder, "training"):
        if not finished.exists():  # another process may just have trained it
            with learning():
                _train(Loop(training, splits, folder, runtime, needs))
    return load_stage(training, root)


def _train(loop: Loop) -> None:
    training, folder = loop.training, loop.folder
    if loop.fabric.is_global_zero:
        write_json(folder / "config.json", {"identity": training.identity, **asdict(training)})
    loop.run()
    loop.finish()
    if loop.fabric.is_global_zero:
        ema, raw = loop.ema.model.kept(), loop.model.kept()  # type: ignore[operator]
        save_stage(TrainedStage(training, ema, raw, loop.summary()), folder)
        loop.checkpoint.unlink(missing_ok=True)
        sweep(folder)
    loop.fabric.barrier()
