"""Draws one figure of a study, a judge or a model into a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from scalespace.errors import InputError, unknown
from scalespace.evaluation.judge import load_judge
from scalespace.figures.picture import Picture, save
from scalespace.files import read_json
from scalespace.model import Model
from scalespace.report.figures.autoencoder import AUTOENCODER_FIGURES
from scalespace.report.figures.common import Figure
from scalespace.report.figures.frontier import frontiers
from scalespace.report.figures.images import samples
from scalespace.report.figures.judge import JUDGE_FIGURES
from scalespace.report.figures.processes import forward, reverse
from scalespace.report.figures.scores import cas_per_class, confusion
from scalespace.report.figures.training import losses
from scalespace.report.figures.variants import leak_curves, variant_gaps, variant_samples
from scalespace.report.inside import (
    encoders_of_model,
    encoders_of_study,
    judge_of_folder,
    judge_of_study,
    trainings_of_model,
    trainings_of_study,
)
from scalespace.report.results import Results


def _of_judge(name: str) -> Figure:
    def draw(results: Results) -> list[Picture]:
        view = judge_of_study(results)
        return [] if view is None else JUDGE_FIGURES[name](view)

    return draw


def _of_encoders(name: str) -> Figure:
    def draw(results: Results) -> list[Picture]:
        return [
            picture
            for view in encoders_of_study(results)
            for picture in AUTOENCODER_FIGURES[name](view)
        ]

    return draw


def _training(results: Results) -> list[Picture]:
    return [picture for view in trainings_of_study(results) for picture in losses(view)]


FIGURES: dict[str, Figure] = {
    "frontier": frontiers,
    "cas": cas_per_class,
    "reverse": reverse,
    "forward": forward,
    "samples": samples,
    "training": _training,
    "confusion": confusion,
    "variants": variant_gaps,
    "variant-samples": variant_samples,
    "leaks": leak_curves,
    **{name: _of_judge(name) for name in JUDGE_FIGURES},
    **{name: _of_encoders(name) for name in AUTOENCODER_FIGURES},
}
"""Every figure by its name on the command line."""
MODEL_FIGURES = ("training", *AUTOENCODER_FIGURES)
"""Those that a model shows without a study."""


def render(
    folder: Path | str, name: str, out: Path | str, data_dir: Path | str | None = None
) -> Path:
    """Writes one figure as a picture file and returns its path.

    Args:
        folder, name, data_dir: as for `pictures_of`.
        out: ends in .png, .svg or .pdf, which decides the format.

    Raises:
        InputError: as `pictures_of` does; another format, or a file that cannot be written.
    """
    save(out, pictures_of(folder, name, data_dir))
    return Path(out)


def pictures_of(folder: Path | str, name: str, data_dir: Path | str | None = None) -> list[Picture]:
    """The parts of one figure, each with its title and caption.

    Args:
        folder: a study; for the figures of a judge also a judge's folder, and for those of a
            training or an autoencoder also a model's.
        name: one of `FIGURES`.
        data_dir: root of the data that a judge or a model is inspected on; a study needs none.

    Raises:
        InputError: no such figure, the folder cannot be read or is none of these, or it holds
            nothing that the figure could show.
    """
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    folder = Path(folder)
    config = folder / "config.json"
    if (folder / "study.json").exists() or not folder.is_dir():
        if not (pictures := FIGURES[name](Results(folder))):
            raise InputError(f"the study {folder} holds nothing to show as '{name}' yet")
        return pictures
    about = read_json(config, "config") if config.exists() else None
    if isinstance(about, dict) and "judge" in about:
        if name not in JUDGE_FIGURES:
            raise _not_of(folder, "judge", name, JUDGE_FIGURES)
        pictures = JUDGE_FIGURES[name](judge_of_folder(load_judge(folder), data_dir))
    elif isinstance(about, dict) and "method" in about:
        if name not in MODEL_FIGURES:
            raise _not_of(folder, "model", name, MODEL_FIGURES)
        pictures = _of_model(Model.load(folder), name, data_dir)
    else:
        raise InputError(
            f"{folder} is no study (study.json), no judge and no model (config.json): "
            f"nothing to show as '{name}'"
        )
    if not pictures:
        raise InputError(f"{folder} holds nothing to show as '{name}'")
    return pictures


def _of_model(model: Model, name: str, data_dir: Path | str | None) -> list[Picture]:
    if name == "training":
        return [picture for view in trainings_of_model(model) for picture in losses(view)]
    views = encoders_of_model(model, data_dir)
    return [picture for view in views for picture in AUTOENCODER_FIGURES[name](view)]


def _not_of(folder: Path, kind: str, name: str, own: Iterable[str]) -> InputError:
    wanted = "a judge or a study" if name in JUDGE_FIGURES else "a study"
    wanted = "a model or a study" if name in MODEL_FIGURES else wanted
    return InputError(
        f"{folder} is a {kind}, which shows {', '.join(own)}: '{name}' needs {wanted}"
    )
