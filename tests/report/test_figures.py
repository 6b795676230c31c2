"""The figures of a judge and of an autoencoder, of a study and of folders of their own."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake import make_series, make_study
from fake_variants import OF_STUDIES
from PIL import Image
from scipy import stats

import tiny
from scalespace.config import ObjectiveConfig
from scalespace.errors import InputError
from scalespace.evaluation.judge import Judge
from scalespace.figures.picture import DARK, LIGHT, Picture
from scalespace.model import Model
from scalespace.report.arrays import read_trajectory
from scalespace.report.figures import FIGURES, color, pictures_of
from scalespace.report.figures.autoencoder import AUTOENCODER_FIGURES
from scalespace.report.figures.judge import CRITICAL, JUDGE_FIGURES
from scalespace.report.figures.training import losses
from scalespace.report.inside import judge_of_study, trainings_of_model
from scalespace.report.results import REAL, Results

NEW = [*JUDGE_FIGURES, *AUTOENCODER_FIGURES]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_series(tmp_path_factory.mktemp("series"))


@pytest.fixture(scope="module")
def vae_dir(trained: Callable[[str], Model], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the tiny data with an autoencoder."""
    return trained("vae").save(tmp_path_factory.mktemp("vae"))


def inspection(folder: Path, stage: str) -> Path:
    return folder / f"units/inspect-{stage}/inspection.npz"


def change(path: Path, **arrays: object) -> None:
    """Replaces arrays of an inspection; None takes one out."""
    with np.load(path) as file:
        found = {**{name: file[name] for name in file.files}, **arrays}
    np.savez(path, **{name: array for name, array in found.items() if array is not None})


def by_name(pictures: list[Picture]) -> dict[str, Picture]:
    return {picture.name: picture for picture in pictures}


@pytest.mark.parametrize("name", OF_STUDIES)
def test_pictures_have_words_and_fit_their_place(series: Path, name: str) -> None:
    pictures = FIGURES[name](Results(series))
    assert pictures
    assert len(by_name(pictures)) == len(pictures)
    for picture in pictures:
        assert picture.title
        assert picture.caption.endswith(".")
        assert picture.alt.endswith(".")
        assert "nan" not in picture.caption + picture.alt
        with Image.open(io.BytesIO(picture.png(DARK))) as image:
            assert abs(image.width - picture.css_width * 1.5) <= 2


def test_captions_hold_the_figures(series: Path) -> None:
    results = Results(series)
    view = judge_of_study(results)
    assert view is not None
    limit = CRITICAL / np.sqrt(40)
    captions = {picture.name: picture.caption for name in NEW for picture in FIGURES[name](results)}
    ks = np.nanmedian(view.arrays["pooled_ks"])
    assert f"median {ks:.3f} after the ReLU" in captions["judge-ks"]
    assert f"dashed line ({limit:.3f})" in captions["judge-ks"]
    assert "the FD of real test images, 0.300" in captions["judge-ks"]
    assert view.blind_spot() == pytest.approx(np.nansum(view.arrays["pooled_w2"]))
    with np.load(inspection(series, "vae")) as file:
        kl, error = file["kl"], file["error"]
    total = captions["collapse-vae"]
    assert f"{kl.sum():.3g}"[:4] in total
    assert f"of all 32 numbers {(kl < 0.01).mean():.1%} lie below" in total
    assert f"{error.mean():.3f}"[:4] in captions["reconstructions-vae"]


def test_collapsed_channels_are_named(tmp_path: Path) -> None:
    folder = make_series(tmp_path / "s", seeds=(0,))
    kl = np.stack([np.full((4, 4), 0.5), np.full((4, 4), 0.0099)])
    change(inspection(folder, "vae"), kl=kl)
    (picture,) = FIGURES["collapse"](Results(folder))
    # 16 x 0.5 and 16 x 0.0099 nats
    assert "summed over a channel, 8.00 and 0.158; 8.16 nats in all." in picture.caption
    assert "Collapsed channels: 1 (below 0.01 nats a number)" in picture.caption
    assert "of all 32 numbers 50.0% lie below" in picture.caption


def test_the_critical_distance_is_that_of_normal_samples() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 500))
    z = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    ks = np.array([stats.kstest(row, "norm").statistic for row in z])
    assert 0.02 < (ks > CRITICAL / np.sqrt(500)).mean() < 0.09


def test_latents_are_shown_in_their_own_units(series: Path) -> None:
    pictures = by_name(FIGURES["reverse"](Results(series)))
    assert {"range-latent", "range-latent-flow", "range-small"} <= pictures.keys()
    assert "range-vae" not in pictures  # a single state has no way to show
    assert "12 latents drawn with seed 0" in pictures["reverse-vae"].caption
    caption = pictures["reverse-latent"].caption
    assert "11 of 14 states from noise" in caption
    assert "side by side: black at −3 standard deviations" in caption
    assert "Blue lies below black" not in caption
    assert "domain" not in pictures["range-latent"].caption


def test_ways_show_one_image_of_each_method_and_its_sizes(tmp_path: Path, series: Path) -> None:
    folder = make_study(tmp_path / "s", seeds=(3, 4))
    (ways,) = FIGURES["ways"](Results(folder))
    assert "seed 3, index 6, label 6; not selected" in ways.caption
    assert ways.alt.endswith(
        "Baseline: 28×28; Small, upscaled: 14×14 and 28×28; Cascaded: 14×14 and 28×28."
    )
    assert Image.open(io.BytesIO(ways.png())).height > 3 * 84
    latent = FIGURES["ways"](Results(series))[0].alt
    assert "Latent diffusion: latent and decoded" in latent
    assert "autoencoder" not in latent  # a single state has no way to show
    alone = make_study(tmp_path / "alone", methods=("cascaded",))
    assert FIGURES["ways"](Results(alone)) == []  # one method alone: `reverse` shows it


def test_forward_processes_of_latents_show_their_schedule_alone(series: Path) -> None:
    pictures = by_name(FIGURES["forward"](Results(series)))
    assert list(pictures) == [
        *("forward-small", "schedule-small", "schedule-latent", "schedule-latent-flow")
    ]
    assert pictures["schedule-latent"].caption.startswith("Linear betas. 14 states")
    assert pictures["schedule-latent-flow"].caption.startswith("The straight path of flow")
    assert "of the latent is left" in pictures["schedule-latent"].caption


def test_losses_are_named_by_the_kind_of_stage(series: Path, tmp_path: Path) -> None:
    pictures = by_name(FIGURES["training"](Results(series)))
    assert "summed over an image + 0.5 × KL" in pictures["training-vae"].caption
    assert "per-t-vae" not in pictures
    assert "per-t-latent" in pictures
    # the judge's own section shows its training; without that, this one does
    assert "training-judge" not in pictures
    folder = make_series(tmp_path / "s", seeds=(0,))
    results = (folder / "results.jsonl").read_text().splitlines(keepends=True)
    (folder / "results.jsonl").write_text("".join(r for r in results if "inspect-judge" not in r))
    pictures = by_name(FIGURES["training"](Results(folder)))
    assert "Stage judge: cross-entropy" in pictures["training-judge"].caption
    assert "Test loss at the end" in pictures["training-judge"].caption


def test_latents_are_held_to_real_images(series: Path) -> None:
    results = Results(series)
    controls = {method.name: results.control(method) for method in results.study.methods}
    assert controls == {
        "small": "real-down-up",
        **dict.fromkeys(("vae", "latent", "latent-flow"), REAL),
    }


def test_costs_in_fd_and_cas(series: Path) -> None:
    pictures = by_name(FIGURES["frontier"](Results(series)))
    assert list(pictures) == [
        *("frontier-fd-macs", "frontier-cas-macs"),
        *("frontier-fd-latency_median", "frontier-cas-latency_median"),
    ]
    assert (
        "mean ± standard deviation of 2 trainings" in pictures["frontier-fd-macs"].caption.lower()
    )


def test_eight_methods_have_eight_colours(series: Path) -> None:
    for theme in (LIGHT, DARK):
        assert len({theme.color(k) for k in range(8)} | set(theme.controls)) == 10
    results = Results(series)
    assert [color(results, m.name) for m in results.study.methods] == [0, 1, 2, 3]
    assert {color(results, name) for name in results.measured} > {"control0", "control1", "muted"}


def test_dead_features_are_left_out(tmp_path: Path) -> None:
    folder = make_series(tmp_path / "s", seeds=(0,))
    with np.load(inspection(folder, "judge")) as file:
        parts = {f"linear_{name}": file[f"linear_{name}"] for name in ("ks", "w2", "std")}
    parts["linear_ks"][:2] = parts["linear_w2"][:2] = np.nan
    parts["linear_std"][:2] = 0
    change(inspection(folder, "judge"), **parts)
    pictures = by_name(FIGURES["judge-normality"](Results(folder)))
    assert "that never change" in pictures["judge-ks"].caption
    for name in JUDGE_FIGURES:
        for picture in pictures_of(folder, name):
            picture.png()


@pytest.mark.parametrize("name", ["judge-features", "collapse"])
def test_damaged_inspections_are_one_clear_line(tmp_path: Path, name: str) -> None:
    folder = make_series(tmp_path / "s", seeds=(0,))
    path = inspection(folder, "judge" if name in JUDGE_FIGURES else "vae")
    for content in (b"", b"no zip"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"inspection .* is damaged") as caught:
            pictures_of(folder, name)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("stage", "figure", "lost"),
    [("judge", "judge-training", "pooled_ks"), ("vae", "collapse", "kl")],
)
def test_an_inspection_that_lacks_an_array(
    tmp_path: Path, stage: str, figure: str, lost: str
) -> None:
    folder = make_series(tmp_path / "s", seeds=(0,))
    change(inspection(folder, stage), **{lost: None})
    with pytest.raises(InputError, match=f"is damaged: it has no '{lost}'.* to make it anew"):
        pictures_of(folder, figure)


@pytest.mark.parametrize(
    ("stage", "arrays", "message"),
    [
        ("judge", {"linear_edges": np.zeros((127, 3))}, "'linear_edges' has shape"),
        ("judge", {"activations_2": np.zeros((9, 16, 8, 8))}, "'activations_2' has shape"),
        ("judge", {"history_loss": np.zeros(1)}, "'history_loss' has shape"),
        ("vae", {"kl": np.zeros((2, 4))}, "'kl' has shape"),
        ("vae", {"reconstructions": np.zeros((3, 28, 28))}, "'reconstructions' has shape"),
        ("vae", {"error": np.zeros(0)}, "'error' has shape"),
        ("vae", {"originals": np.array(["a"])}, "something that is no number"),
    ],
)
def test_inspections_of_another_shape_are_refused(
    tmp_path: Path, stage: str, arrays: dict[str, object], message: str
) -> None:
    folder = make_series(tmp_path / "s", seeds=(0,))
    change(inspection(folder, stage), **arrays)
    with pytest.raises(InputError, match=message) as caught:
        pictures_of(folder, "judge-training" if stage == "judge" else "collapse")
    assert str(inspection(folder, stage)) in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"t": np.zeros(0)}, "do not fit together"),
        ({"x_001": np.zeros((2, 4))}, "do not fit together"),
        ({"x_001": np.zeros((3, 4, 4))}, "do not fit together"),
        ({"x_001": np.full((2, 4, 4), np.nan)}, "not all of its values are finite"),
        ({"labels": np.array([0, 3])}, "none of the study's classes"),
        ({"labels": np.array([-1, 0])}, "none of the study's classes"),
        ({"x_000": None}, "x_000"),
    ],
)
def test_trajectories_that_cannot_be(
    tmp_path: Path, arrays: dict[str, object], message: str
) -> None:
    path, x = tmp_path / "trajectory.npz", np.zeros((2, 4, 4))
    np.savez(path, t=np.array([1, 0]), x_000=x, x_001=x, labels=np.array([0, 2]))
    assert read_trajectory(path, classes=3).t == (1, 0)
    change(path, **arrays)
    with pytest.raises(InputError, match=f"is damaged: .*{message}"):
        read_trajectory(path, classes=3)


@pytest.mark.parametrize("name", JUDGE_FIGURES)
def test_a_judges_own_folder(judge_dir: Path, data_dir: Path, name: str) -> None:
    for picture in pictures_of(judge_dir, name, data_dir):
        assert picture.png()


def test_a_judge_of_ones_own_data(judge_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    own = shutil.copytree(judge_dir, tmp_path / "judge")
    config = json.loads((own / "config.json").read_text())
    config["data"]["name"] = "mine"
    (own / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"judge is of 'mine', which does not come by name: say"):
        pictures_of(own, "judge-features", data_dir)
    assert pictures_of(own, "judge-features", data_dir, data="mnist")


@pytest.mark.parametrize("name", AUTOENCODER_FIGURES)
def test_a_model_with_an_autoencoder(vae_dir: Path, data_dir: Path, name: str) -> None:
    for picture in pictures_of(vae_dir, name, data_dir):
        assert picture.png()


def test_a_model_shows_how_each_of_its_stages_was_trained(
    trained: Callable[[str], Model], tmp_path: Path
) -> None:
    model = trained("latent")
    views = {view.stage.name: view for view in trainings_of_model(Model.load(model.save(tmp_path)))}
    assert list(views) == ["vae", "latent"]
    for name, view in views.items():
        record = model.stages[name].record
        assert list(view.runs) == [model.stages[name].training.seed]
        (rows,) = view.runs.values()
        assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
        assert (rows[-1]["loss"], rows[-1]["val_loss"]) == (record["loss"], record["val_loss"])
    found = {picture.name for view in views.values() for picture in losses(view)}
    assert found == {"training-vae", "training-latent", "per-t-latent"}
    assert {picture.name for picture in pictures_of(tmp_path, "training")} == found


def test_a_training_towards_the_mean_says_so(trained: Callable[[str], Model]) -> None:
    """Its loss lies below that of the validation: nobody should take it for overfitting."""
    (view,) = trainings_of_model(trained("small"))
    by_mean = replace(view.recipe, objective=ObjectiveConfig(target="mean"))
    assert "not memorisation" not in losses(view)[0].caption
    assert "not memorisation" in losses(replace(view, recipe=by_mean))[0].caption
    assert "not memorisation" not in losses(replace(view, recipe=None))[0].caption


def test_a_model_without_a_history(model_dir: Path, tmp_path: Path) -> None:
    model = Model.load(model_dir)
    for stage in model.stages.values():
        del stage.record["history"]
    with pytest.raises(InputError, match="holds nothing to show as 'training'"):
        pictures_of(model.save(tmp_path / "model"), "training")


def test_folders_that_hold_nothing_to_show(
    judge_dir: Path, model_dir: Path, vae_dir: Path, data_dir: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    study = make_study(tmp_path / "study", methods=("small",), pictures=False)
    cases = [
        (judge_dir, "cas", "is a judge, which shows judge-activations"),
        (judge_dir, "collapse", "'collapse' needs a model or a study"),
        (vae_dir, "judge-features", "'judge-features' needs a judge or a study"),
        (vae_dir, "samples", "is a model, which shows training, reconstructions"),
        (model_dir, "collapse", "holds nothing to show as 'collapse'"),
        (study, "judge-features", "holds nothing to show as 'judge-features' yet"),
        (other, "cas", "is no study .* no judge and no model"),
        (tmp_path / "none", "cas", "study folder not found"),
    ]
    for folder, name, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            pictures_of(folder, name, data_dir)
        assert "\n" not in str(caught.value)
    (other / "config.json").write_text("[1]")
    with pytest.raises(InputError, match="is no study"):
        pictures_of(other, "cas")
    (other / "config.json").write_text('{"judge": ')
    with pytest.raises(InputError, match="not valid JSON"):
        pictures_of(other, "judge-features")


def test_data_that_do_not_fit(judge_dir: Path, vae_dir: Path, tmp_path: Path) -> None:
    wide = tiny.write_data(tmp_path / "data", side=16)
    with pytest.raises(InputError, match="it was trained on mnist of 12x12 pixels in 3 classes"):
        pictures_of(judge_dir, "judge-features", wide)
    with pytest.raises(InputError, match="it was trained on mnist of 12x12 pixels in 3 classes"):
        pictures_of(vae_dir, "collapse", wide)


def test_a_judge_without_a_history(judge: Judge, data_dir: Path, tmp_path: Path) -> None:
    folder = Judge(judge.weights, judge.data, {}).save(tmp_path / "judge")
    assert pictures_of(folder, "judge-normality", data_dir)
    with pytest.raises(InputError, match="holds nothing to show as 'judge-training'"):
        pictures_of(folder, "judge-training", data_dir)
