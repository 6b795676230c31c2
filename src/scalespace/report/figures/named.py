"""Every figure by its name, of a study, a judge or a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from scalespace.data import DataSplits, load_told
from scalespace.data.info import DataInfo
from scalespace.errors import InputError, unknown
from scalespace.evaluation.judge import load_judge
from scalespace.figures.picture import Picture
from scalespace.files import read_json
from scalespace.model import Model
from scalespace.report.figures.autoencoder import AUTOENCODER_FIGURES
from scalespace.report.figures.common import Figure
from scalespace.report.figures.forward import forward
from scalespace.report.figures.frontier import frontiers
from scalespace.report.figures.images import samples
from scalespace.report.figures.judge import JUDGE_FIGURES
from scalespace.report.figures.reverse import reverse, ways
from scalespace.report.figures.scores import cas_per_class, confusion
from scalespace.report.figures.training import losses
from scalespace.report.figures.variants import leak_curves, variant_gaps, variant_samples
from scalespace.report.inside import (
    JudgeView,
    encoders_of_model,
    encoders_of_study,
    judge_of_folder,
    judge_of_study,
    trainings_of_model,
    trainings_of_study,
)
from scalespace.report.results import Results

Draw = Callable[[Any], list[Picture]]
"""A figure of a view of a judge, an autoencoder or a training."""


def _of_study(views: Callable[[Results], Iterable[Any]], draw: Draw) -> Figure:
    return lambda results: [picture for view in views(results) for picture in draw(view)]


def _judges(results: Results) -> list[JudgeView]:
    view = judge_of_study(results)
    return [] if view is None else [view]


MODEL_FIGURES: Mapping[str, Draw] = {"training": losses, **AUTOENCODER_FIGURES}
"""The figures that a model shows without a study."""
FIGURES: dict[str, Figure] = {
    "frontier": frontiers,
    "cas": cas_per_class,
    "ways": ways,
    "reverse": reverse,
    "forward": forward,
    "samples": samples,
    "training": _of_study(trainings_of_study, losses),
    "confusion": confusion,
    "variants": variant_gaps,
    "variant-samples": variant_samples,
    "leaks": leak_curves,
    **{name: _of_study(_judges, draw) for name, draw in JUDGE_FIGURES.items()},
    **{name: _of_study(encoders_of_study, draw) for name, draw in AUTOENCODER_FIGURES.items()},
}
"""Every figure by its name on the command line."""


def pictures_of(
    folder: Path | str,
    name: str,
    data_dir: Path | str | None = None,
    data: str | None = None,
    size: int | None = None,
) -> list[Picture]:
    """The parts of one figure, each with its title and caption.

    Args:
        folder: a study; for the figures of a judge also a judge's folder, and for those of a
            training or an autoencoder also a model's.
        name: one of `FIGURES`.
        data_dir: root of the data that a judge or a model is inspected on; a study needs none.
        data: which data that is; None for what it was trained on.
        size: of an image folder's images.

    Raises:
        InputError: no such figure, the folder cannot be read or is none of these, or it holds
            nothing that the figure could show.
    """
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    folder = Path(folder)
    if (folder / "study.json").exists() or not folder.is_dir():
        if not (pictures := FIGURES[name](Results(folder))):
            raise InputError(f"the study {folder} holds nothing to show as '{name}' yet")
        return pictures
    config = folder / "config.json"
    about = read_json(config, "config") if config.exists() else None
    shown = {"judge": JUDGE_FIGURES, "method": MODEL_FIGURES}
    kind = next((key for key in shown if isinstance(about, dict) and key in about), None)
    if kind is None:
        raise InputError(
            f"{folder} is no study (study.json), no judge and no model (config.json): "
            f"nothing to show as '{name}'"
        )
    if name not in shown[kind]:
        words = {"judge": "a judge", "method": "a model"}
        needs = " or ".join([*(words[key] for key in shown if name in shown[key]), "a study"])
        raise InputError(
            f"{folder} is {words[kind]}, which shows {', '.join(shown[kind])}: '{name}' needs "
            f"{needs}"
        )

    def found(info: DataInfo) -> DataSplits:
        return load_told(info, str(folder), data, data_dir, size)

    views: list[Any]
    if kind == "judge":
        views = [judge_of_folder(load_judge(folder), found)]
    elif name == "training":
        views = trainings_of_model(Model.load(folder))
    else:
        views = encoders_of_model(Model.load(folder), found)
    if not (pictures := [picture for view in views for picture in shown[kind][name](view)]):
        raise InputError(f"{folder} holds nothing to show as '{name}'")
    return pictures
