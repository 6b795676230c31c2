"""A model from data: every stage of a method, trained or taken from where it was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from scalespace.config import Config
from scalespace.data import DataSplits
from scalespace.methods import Method, get_method
from scalespace.model.model import Model
from scalespace.settings import make_trainings
from scalespace.stages.base import Models
from scalespace.training.fit import fit
from scalespace.training.reuse import adopt
from scalespace.training.runtime import Runtime
from scalespace.training.training import Training


def check_trainings(method: Method, wanted: Sequence[Training]) -> None:
    """Refuses what does not fit together, before anything is trained: `Method.check`."""
    method.check(Models({training.stage.name: training.build() for training in wanted}))


def train(
    method: str,
    splits: DataSplits,
    config: Config,
    trainings: Path | str,
    seed: int = 0,
    runtime: Runtime | None = None,
    reuse: Iterable[Model] = (),
) -> Model:
    """Trains the stages of a method, in order; those that `trainings` holds are loaded instead.

    Args:
        method: its name.
        splits: the data.
        config: gives each stage its recipe.
        trainings: folder of trainings, which methods may share; interrupted ones are resumed.
        seed: of weights, order and noise, >= 0.
        runtime: device, precision and number of devices; None for the defaults.
        reuse: models whose stages are taken, not trained, where recipe, seed and data agree.

    Raises:
        InputError: an unknown method, a bad field of the config, or what `fit` raises.
    """
    chosen, runtime = get_method(method), runtime or Runtime()
    wanted = make_trainings(config, chosen, seed, splits.info)
    check_trainings(chosen, wanted)
    ready = [stage for model in reuse for stage in model.stages.values()]
    adopt(ready, wanted, Path(trainings), patience=60 if runtime.together > 1 else 0)
    stages = {t.stage.name: fit(t, splits, Path(trainings), runtime) for t in wanted}
    return Model(chosen, stages, runtime.torch_device)
