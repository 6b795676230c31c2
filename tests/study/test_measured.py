"""A study by every metric."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from studies import ABOUT, CONTROLS, MEASURED, Row, quiet

import tiny
from scalespace.data import DataSplits, read_samples
from scalespace.evaluation.controls import control
from scalespace.evaluation.evaluate import METRICS, Real, evaluate
from scalespace.evaluation.judge import Judge, load_judge
from scalespace.methods.vae import AUTOENCODER
from scalespace.report.results import Results
from scalespace.settings import make_training
from scalespace.stages.judge import JUDGE
from scalespace.stages.vae import VAE
from scalespace.studies import executors
from scalespace.studies.plan import make_plan
from scalespace.studies.runner import run_tasks
from scalespace.studies.tasks import Context, pool, run_task
from scalespace.training import load_stage
from scalespace.training.judge import train_judge


@pytest.fixture(scope="module")
def measured(splits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study by every metric, of a method without classes among others; to be read only."""
    folder = tmp_path_factory.mktemp("measured")
    run_tasks(folder, MEASURED, splits, tiny.CPU, about=ABOUT, say=quiet)
    return folder


@pytest.fixture(scope="module")
def figures(measured: Path) -> list[Row]:
    return [json.loads(line) for line in (measured / "results.jsonl").read_text().splitlines()]


def own_judge(measured: Path, splits: DataSplits) -> Judge:
    training = make_training(MEASURED, JUDGE, 0, splits.info)
    return train_judge(training, splits, measured / "trainings", tiny.CPU)


def test_a_row_for_each_figure(figures: list[Row], measured: Path, splits: DataSplits) -> None:
    found: dict[str, list[tuple[str, int | None]]] = {}
    for row in figures:
        if "method" in row and row["metric"] != "artefact":
            found.setdefault(row["metric"], []).append((row["method"], row["seed"]))
    sets = [(name, seed) for name in ("latent", "small") for seed in (None, 0, 1)]
    expected = sorted([(name, None) for name in CONTROLS] + sets, key=str)
    names = [figure for metric, of in METRICS.items() if metric != "cas" for figure in of.figures]
    for name in ("fd_before_relu", *names):
        assert sorted(found[name], key=str) == expected, name
    # no CAS of the method without classes
    assert {method for method, _ in found["cas"]} == {"real", "real-down-up", "latent"}
    about = json.loads((measured / "study.json").read_text())
    says = {method["name"]: method["conditional"] for method in about["methods"]}
    assert says == {"latent": True, "small": False}
    judge = own_judge(measured, splits)
    for row in figures:
        if row["metric"] in ("fd", "fd_before_relu", "kid", "precision", "coverage"):
            assert (row["judge"], row["n"]) == (judge.hash, 30)
            assert row["reference_n"] == (30 if row["metric"] in ("precision", "coverage") else 120)


def test_figures_are_those_of_evaluate(
    figures: list[Row], measured: Path, splits: DataSplits
) -> None:
    real = Real(splits, MEASURED.cas, own_judge(measured, splits))
    given = {"pixel-noise": pool([control("pixel-noise", splits, 30)], 30)}
    for method in ("latent", "small"):
        path = next(
            row["path"]
            for row in figures
            if row.get("kind") == "samples" and (row["method"], row["seed"]) == (method, 1)
        )
        given[method] = pool([read_samples(measured / path)], 30)
    for name, samples in given.items():
        seed = None if name == "pixel-noise" else 1
        found = evaluate(samples, real, MEASURED.study.metrics[1:])
        flat = {figure: found[m][figure] for m in found for figure in METRICS[m].figures}
        flat["fd_before_relu"] = found["fd"]["before_relu"]["fd"]
        for figure, value in flat.items():
            [row] = [
                row
                for row in figures
                if (row["metric"], row.get("method"), row["seed"]) == (figure, name, seed)
            ]
            assert row["value"] == pytest.approx(value, rel=1e-4, abs=1e-6), figure
        [row] = [
            row
            for row in figures
            if (row["metric"], row.get("method"), row["seed"]) == ("fd", name, seed)
        ]
        assert row["low"] <= row["value"] <= row["high"]
        assert row["se"] == pytest.approx(found["fd"]["se"], rel=1e-3)


def test_noise_is_further_than_real_test_images(figures: list[Row]) -> None:
    value = {
        (row["metric"], row["method"]): row["value"]
        for row in figures
        if "method" in row and row["seed"] is None and row["metric"] != "artefact"
    }
    for metric in ("fd", "fd_before_relu", "kid"):
        assert value[metric, "pixel-noise"] > 3 * value[metric, "real-test"]
    assert value["median_distance", "pixel-noise"] > value["median_distance", "real-test"]


def test_what_stages_and_the_judge_show(
    figures: list[Row], measured: Path, splits: DataSplits
) -> None:
    shown = {row["stage"]: row for row in figures if row.get("kind") == "inspection"}
    assert set(shown) == {"vae", "judge"}
    assert (shown["vae"]["seed"], shown["judge"]["trained_on"]) == (0, splits.info.title)
    judge = own_judge(measured, splits)
    assert shown["judge"]["judge"] == judge.hash
    assert shown["judge"]["accuracy"] == judge.record["accuracy"]
    assert shown["judge"]["shipped"] is False
    results = Results(measured)
    inside = results.inspection("judge", {})
    assert inside["activations_1"].shape == (3, 8, 8, 8)
    assert inside["history_epoch"].tolist() == [1, 2, 3]
    assert inside["pooled_w2"].shape == (32,)
    assert int(inside["n"]) == 60
    assert results.inspection("vae", {})["originals"].shape == (3, 12, 12)
    assert results.inspection("small", {}) == {}


def test_an_autoencoders_own_floor(figures: list[Row], measured: Path, splits: DataSplits) -> None:
    paths = {
        row["method"]: measured / row["path"]
        for row in figures
        if row.get("kind") == "real_samples"
    }
    test, again = (read_samples(paths[name]) for name in ("real-test", "vae-reconstruction"))
    np.testing.assert_array_equal(again.labels, test.labels)
    training = make_training(MEASURED, AUTOENCODER, 0, splits.info)
    model = load_stage(training, measured / "trainings").model()
    assert isinstance(model, VAE)
    expected = model.reconstruct(torch.from_numpy(test.images)[:, None])[:, 0].numpy()
    np.testing.assert_allclose(again.images, expected, atol=1e-5)


def test_the_judge_is_trained_once_for_all(figures: list[Row], measured: Path) -> None:
    folders = [path.name for path in (measured / "trainings").glob("judge-*")]
    assert len(folders) == 1
    trained = [row for row in figures if row["metric"] == "train_seconds"]
    assert Counter(row["stage"] for row in trained) == {
        "vae": 2,
        "latent": 2,
        "small": 2,
        "judge": 1,
    }


def test_a_second_run_by_every_metric_does_nothing(
    measured: Path, splits: DataSplits, figures: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("a finished task was run again")

    monkeypatch.setattr(executors, "run_task", forbidden)
    path = run_tasks(measured, MEASURED, splits, tiny.CPU, about=ABOUT, say=quiet)
    assert [json.loads(line) for line in path.read_text().splitlines()] == figures


def test_a_judge_of_ones_own(judge_dir: Path, splits: DataSplits, tmp_path: Path) -> None:
    study = replace(tiny.CONFIG.study, methods=("small",), metrics=("kid",), seeds=(0,))
    config = replace(tiny.CONFIG, study=replace(study, judge=str(judge_dir)))
    path = run_tasks(tmp_path, config, splits, tiny.CPU, say=quiet)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert {row["judge"] for row in rows if row["metric"] == "kid"} == {load_judge(judge_dir).hash}
    assert not list((tmp_path / "trainings").glob("judge-*"))
    [shown] = [row for row in rows if row.get("kind") == "inspection"]
    assert (shown["stage"], shown["judge"]) == ("judge", load_judge(judge_dir).hash)


def test_a_unit_that_sees_nothing_trains_no_judge(splits: DataSplits, tmp_path: Path) -> None:
    """Side by side, CAS begins before the judge's own task is done, which it does not need."""
    plan = make_plan(MEASURED, splits.info)
    context = Context(tmp_path, MEASURED, splits, plan, tiny.CPU)
    tasks = {(task.kind, task.name): task for task in plan.tasks}
    run_task(context, tasks["real", "real-down-up"])
    for metric in ("cas", "copies"):
        run_task(context, tasks["score", f"{metric}-real-down-up"])
    assert not list(tmp_path.glob("trainings/judge-*"))
