"""scalespace: class-conditional image diffusion across scales, measured.

    import scalespace as sc

    model = sc.Model.from_pretrained("cascaded")
    sc.save_grid("out.png", model.sample([2, 0, 2, 6], seed=1).images, columns=4)

`load_data`, `load_config` and `train` make a `Model`, which samples, saves and shares. `redraw`,
`fill`, `interpolate` and `same_noise` sample from given images or chosen noise; `select` keeps the
images that teach most. `evaluate` and `benchmark` measure. `study` compares methods, and `results`
gives its measurements as a data frame. Invalid input raises `InputError`, a `ValueError` with a
one-line message.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Threads that wait for one another spin, by default for milliseconds. Where other programs keep all
# cores busy, each wait then lasts until the scheduler takes the core away. A third of that spin is
# as fast on a quiet machine, and trains four times as fast on a busy one. Much less is slower on
# both (docs/performance.md). It must be set before torch loads its threads.
os.environ.setdefault("GOMP_SPINCOUNT", "100000")

_PLACES = {
    "BenchConfig": "scalespace.config",
    "CASConfig": "scalespace.config",
    "Config": "scalespace.config",
    "Cost": "scalespace.bench.models",
    "DataSplits": "scalespace.data",
    "InputError": "scalespace.errors",
    "METHODS": "scalespace.methods",
    "Model": "scalespace.model",
    "Runtime": "scalespace.training.runtime",
    "Samples": "scalespace.data",
    "Scores": "scalespace.evaluation.scores",
    "Step": "scalespace.core.sampling",
    "benchmark": "scalespace.bench",
    "evaluate": "scalespace.evaluation.evaluate",
    "fill": "scalespace.model.edits",
    "interpolate": "scalespace.model.edits",
    "load_config": "scalespace.settings",
    "load_data": "scalespace.data",
    "read_samples": "scalespace.data",
    "reconstruct": "scalespace.model",
    "redraw": "scalespace.model.edits",
    "results": "scalespace.report.results",
    "same_noise": "scalespace.model.edits",
    "save_gif": "scalespace.figures.grids",
    "save_grid": "scalespace.figures.grids",
    "save_strip": "scalespace.figures.grids",
    "select": "scalespace.evaluation.selection",
    "study": "scalespace.report.study",
    "to_diffusers": "scalespace.model.bridge",
    "train": "scalespace.model",
    "write_samples": "scalespace.data",
    "run_study": "scalespace.report.study",  # the earlier name of `study`
}
_NAMES = {"load_data": "load", "run_study": "study"}
"""What a public name is called in its module, where that is something else."""

__all__ = [
    "__version__",
    "BenchConfig",
    "CASConfig",
    "Config",
    "Cost",
    "DataSplits",
    "InputError",
    "METHODS",
    "Model",
    "Runtime",
    "Samples",
    "Scores",
    "Step",
    "benchmark",
    "evaluate",
    "fill",
    "interpolate",
    "load_config",
    "load_data",
    "read_samples",
    "reconstruct",
    "redraw",
    "results",
    "same_noise",
    "save_gif",
    "save_grid",
    "save_strip",
    "select",
    "study",
    "to_diffusers",
    "train",
    "write_samples",
]

if TYPE_CHECKING:
    from scalespace.bench import benchmark
    from scalespace.bench.models import Cost
    from scalespace.config import BenchConfig, CASConfig, Config
    from scalespace.core.sampling import Step
    from scalespace.data import DataSplits, Samples, read_samples, write_samples
    from scalespace.data import load as load_data
    from scalespace.errors import InputError
    from scalespace.evaluation.evaluate import evaluate
    from scalespace.evaluation.scores import Scores
    from scalespace.evaluation.selection import select
    from scalespace.figures.grids import save_gif, save_grid, save_strip
    from scalespace.methods import METHODS
    from scalespace.model import Model, reconstruct, train
    from scalespace.model.bridge import to_diffusers
    from scalespace.model.edits import fill, interpolate, redraw, same_noise
    from scalespace.report.results import results
    from scalespace.report.study import study
    from scalespace.settings import load_config
    from scalespace.training.runtime import Runtime


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `import scalespace` alone is cheap."""
    if name not in _PLACES:
        raise AttributeError(f"module 'scalespace' has no attribute '{name}'")
    module = importlib.import_module(_PLACES[name])
    return getattr(module, _NAMES.get(name, name))


def __dir__() -> list[str]:
    return __all__
