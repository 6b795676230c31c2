from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from scalespace.cli import main
from scalespace.data import DataSplits, Samples, read_samples
from scalespace.errors import InputError
from scalespace.evaluation.controls import control
from scalespace.evaluation.evaluate import METRICS, Real, evaluate
from scalespace.evaluation.judge import Judge, load_judge
from scalespace.files import locked
from scalespace.methods import METHODS
from scalespace.methods.vae import AUTOENCODER
from scalespace.report.figures import pictures_of
from scalespace.report.page import build
from scalespace.report.results import Results
from scalespace.report.study import run_study
from scalespace.settings import make_training
from scalespace.stages.judge import JUDGE
from scalespace.stages.vae import VAE
from scalespace.study import runner, tasks
from scalespace.study.plan import make_plan
from scalespace.study.runner import run_tasks
from scalespace.study.tasks import Context, pool, run_task
from scalespace.training import load_stage
from scalespace.training.judge import train_judge

Row = dict[str, Any]
TIMED = {"train_seconds", "latency_mean", "latency_median", "latency_q1", "latency_q3"}
TIMED |= {"images_per_s"}
ABOUT = {"preset": "tiny"}
STAGES = {stage.name for method in METHODS.values() for stage in method.stages}


def quiet(_: str) -> None:
    pass


def run(folder: Path, splits: DataSplits, jobs: int = 1, **changes: Any) -> list[Row]:
    config = replace(tiny.CONFIG, **changes)
    path = run_tasks(folder, config, splits, tiny.CPU, jobs, ABOUT, quiet)
    return [json.loads(line) for line in path.read_text().splitlines()]


def untimed(rows: list[Row]) -> list[Row]:
    """What must be the same however a study was run; its timing is of all of its methods."""
    return [
        {key: value for key, value in row.items() if key != "task"}
        for row in rows
        if row["metric"] not in TIMED
    ]


@pytest.fixture(scope="module")
def finished(splits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of two seeds, to be read only."""
    folder = tmp_path_factory.mktemp("study")
    run(folder, splits)
    return folder


@pytest.fixture(scope="module")
def rows(finished: Path) -> list[Row]:
    return [json.loads(line) for line in (finished / "results.jsonl").read_text().splitlines()]


def test_rows_of_every_kind(rows: list[Row]) -> None:
    for row in rows:
        assert {"metric", "value", "seed", "n", "device", "versions"} <= row.keys()
        assert "config" in row or row.get("kind") == "inspection"
        assert "method" in row or "stage" in row
        assert row["device"] == "cpu"
        assert {"torch", "numpy", "python", "scalespace"} <= row["versions"].keys()
    counts = Counter(row["metric"] for row in rows)
    methods, trainings = len(METHODS), 2 * len(STAGES)
    assert counts["train_seconds"] == counts["loss"] == counts["val_loss"] == trainings
    # 2 classifiers for two controls, and for each method pooled and for each of two seeds
    assert counts["cas"] == 2 * (2 + 3 * methods)
    for metric in (*TIMED - {"train_seconds"}, "macs", "calls", "parameters"):
        assert counts[metric] == methods, metric
    kinds = Counter(row["kind"] for row in rows if row["metric"] == "artefact")
    assert kinds == {
        "metrics": trainings,
        "samples": 2 * methods,
        "trajectory": 2 * methods,
        "real_samples": 2,
        "inspection": 1,  # the autoencoder's
    }


def test_scores_add_up(rows: list[Row]) -> None:
    for row in rows:
        if row["metric"] == "cas":
            confusion = np.array(row["confusion"])
            assert confusion.sum() == 60
            assert row["value"] == pytest.approx(np.trace(confusion) / 60)
            per_class = np.diag(confusion) / confusion.sum(axis=1)
            assert row["per_class"] == pytest.approx(per_class.tolist())
            assert row["n"] == 30
    real = [row["value"] for row in rows if row["metric"] == "cas" and row["method"] == "real"]
    assert len(real) == 2


def test_artefacts_are_where_the_rows_say(finished: Path, rows: list[Row]) -> None:
    for row in rows:
        if row["metric"] == "artefact":
            path = finished / row["path"]
            assert path.is_file()
            if row["kind"] in ("samples", "real_samples"):
                made = read_samples(path, shape=(12, 12), classes=3)
                assert len(made) == row["n"] == 30
                assert np.bincount(made.labels).tolist() == [10, 10, 10]
            if row["kind"] == "trajectory":
                with np.load(path) as film:
                    assert int(film["steps"]) == len(film["t"])
                    assert film[f"x_{len(film['t']) - 1:03d}"].shape == (12, 12, 12)


def test_what_the_study_says_of_itself(finished: Path) -> None:
    about = json.loads((finished / "study.json").read_text())
    assert about["seeds"] == [0, 1]
    assert [method["name"] for method in about["methods"]] == list(METHODS)
    assert {stage["name"]: stage.get("states") for stage in about["stages"]} == {
        **{name: 2 if name.endswith("-student") else 3 for name in STAGES},
        "vae": None,
    }
    kinds = {stage["name"]: stage["kind"] for stage in about["stages"]}
    assert kinds == {name: "vae" if name == "vae" else "diffusion" for name in STAGES}
    needs = {stage["name"]: stage["needs"] for stage in about["stages"] if stage["needs"]}
    assert needs == {
        "latent": ["vae"],
        "latent-flow": ["vae"],
        "upscaler-own": ["small"],
        **{f"{name}-student": [name] for name in ("baseline", "small", "upscaler")},
        "latent-flow-student": ["vae", "latent-flow"],
    }
    in_latents = {one["name"] for one in about["stages"] if one.get("latents_of") == "vae"}
    assert in_latents == {"latent", "latent-flow", "latent-flow-student"}
    assert all(method["conditional"] for method in about["methods"])
    recipes = {name: asdict(tiny.RECIPES[name]) for name in STAGES}
    assert about["recipes"] == json.loads(json.dumps(recipes))
    # and it is read back
    study = Results(finished).study
    assert {stage.name: stage.states for stage in study.stages} == {
        stage["name"]: stage.get("states", 0) for stage in about["stages"]
    }
    assert study.recipes == {name: tiny.RECIPES[name] for name in STAGES}
    assert {"cpu", "cores", "device", "system"} <= about["machine"].keys()
    assert about["config"]["study"]["seeds"] == [0, 1]


def test_a_second_run_does_nothing(
    finished: Path, splits: DataSplits, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("a finished task was run again")

    monkeypatch.setattr(runner, "run_task", forbidden)
    assert run(finished, splits) == rows


@pytest.mark.parametrize(
    ("file", "figure"),
    [("trajectory.npz", "reverse"), ("samples.npz", "samples")],
)
def test_a_flipped_bit_in_a_file_is_told_of(
    finished: Path, tmp_path: Path, file: str, figure: str
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(finished, folder)
    assert pictures_of(folder, figure)
    rng = np.random.default_rng(0)
    for path in folder.glob(f"units/sample-*/{file}"):
        content = bytearray(path.read_bytes())
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"is damaged: .* \(delete it and run the study again"):
        pictures_of(folder, figure)


@pytest.mark.parametrize("kind", ["train", "sample", "real", "score", "bench"])
def test_a_unit_that_fails_is_the_only_one_to_be_done_again(
    kind: str, splits: DataSplits, rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    run_task, carry_out = runner.run_task, tasks.KINDS[kind]
    calls = 0

    def fail_once(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        made = carry_out(*arguments)
        if calls == 2 or kind == "bench":
            raise KeyboardInterrupt
        return made

    def noted(context: Any, task: Any) -> None:
        run_task(context, task)
        done.append(task.id)

    monkeypatch.setattr(runner, "run_task", noted)
    small = {"study": replace(tiny.CONFIG.study, methods=("small",))}
    with monkeypatch.context() as patch:
        patch.setitem(tasks.KINDS, kind, fail_once)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, splits, **small)
    found = run(tmp_path, splits, **small)
    assert len(done) == len(set(done))
    expected = [row for row in untimed(rows) if "small" in (row.get("method"), row.get("stage"))]
    ours = [row for row in untimed(found) if "small" in (row.get("method"), row.get("stage"))]
    assert ours == expected


def test_what_a_killed_unit_left_is_cleared(splits: DataSplits, tmp_path: Path) -> None:
    small = {"study": replace(tiny.CONFIG.study, methods=("small",), seeds=(0,))}
    run(tmp_path, splits, **small)
    task = next((tmp_path / "units").glob("sample-small-*"))
    (task / "result.json").unlink()
    (task / "rubbish").write_text("half")
    run(tmp_path, splits, **small)
    assert not (task / "rubbish").exists()
    assert (task / "result.json").exists()


# A study whose files are gone or damaged

SMALL: dict[str, Any] = {"study": replace(tiny.CONFIG.study, methods=("small",), seeds=(0,))}


@pytest.fixture(scope="module")
def little(splits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of one method and one seed, to be copied."""
    folder = tmp_path_factory.mktemp("little")
    run(folder, splits, **SMALL)
    return folder


@pytest.fixture
def harmed(little: Path, tmp_path: Path) -> Path:
    """A copy of it, to do harm to."""
    return shutil.copytree(little, tmp_path / "harmed")


def mended(
    folder: Path, little: Path, splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The tasks that a run does again, after which the study is as it was."""
    done: list[str] = []
    run_task = runner.run_task

    def noted(context: Any, task: Any) -> None:
        run_task(context, task)
        done.append(f"{task.kind} {task.name}")

    with monkeypatch.context() as patch:
        patch.setattr(runner, "run_task", noted)
        found = run(folder, splits, **SMALL)
    before = (little / "results.jsonl").read_text().splitlines()
    assert untimed(found) == untimed([json.loads(line) for line in before])
    for path in little.rglob("*"):
        assert (folder / path.relative_to(little)).exists()
    return done


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"rows": 3}', '{"rows": [3]}'])
def test_a_damaged_result_is_made_again(
    content: str, harmed: Path, little: Path, splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = next((harmed / "units").glob("score-cas-small-*")) / "result.json"
    result.write_text(content)
    assert mended(harmed, little, splits, monkeypatch) == ["score cas-small"]
    assert mended(harmed, little, splits, monkeypatch) == []


def test_an_edited_result_is_made_again(
    harmed: Path, little: Path, splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A better score by hand does not survive; a result of a version without checksums does."""
    path = next((harmed / "units").glob("score-cas-small-*")) / "result.json"
    result = json.loads(path.read_text())
    result["rows"][0]["value"] = 0.999
    path.write_text(json.dumps(result))
    assert mended(harmed, little, splits, monkeypatch) == ["score cas-small"]
    result = json.loads(path.read_text())
    del result["checksum"]
    path.write_text(json.dumps(result))
    assert mended(harmed, little, splits, monkeypatch) == []


def test_a_study_tells_which_versions_made_what_is_done(harmed: Path, splits: DataSplits) -> None:
    path = next((harmed / "units").glob("score-cas-small-*")) / "result.json"
    result = json.loads(path.read_text())
    for row in result["rows"]:
        row["versions"]["scalespace"] = "0.0.7"
    path.write_text(json.dumps({key: result[key] for key in ("unit", "rows")}))
    said: list[str] = []
    run_tasks(harmed, replace(tiny.CONFIG, **SMALL), splits, tiny.CPU, 1, ABOUT, said.append)
    assert any("done by scalespace 0.0.7, and this is" in line for line in said)


def test_a_result_that_may_not_be_read_is_not_made_again(harmed: Path, splits: DataSplits) -> None:
    """It may be whole: nothing is cleared away."""
    result = next((harmed / "units").glob("score-cas-small-*")) / "result.json"
    result.unlink()
    result.mkdir()
    with pytest.raises(InputError, match=r"cannot read task result .*result\.json"):
        run(harmed, splits, **SMALL)
    assert result.is_dir()


@pytest.mark.parametrize(
    ("gone", "task"),
    [
        ("units/sample-*/samples.npz", "sample small-seed0"),
        ("units/sample-*/trajectory.npz", "sample small-seed0"),
        ("units/sample-*", "sample small-seed0"),
        ("units/real-real-down-up-*/samples.npz", "real real-down-up"),
        ("trainings/*/metrics.jsonl", "train small-seed0"),
        ("trainings/*/stage.safetensors", "train small-seed0"),
        ("trainings", "train small-seed0"),
    ],
)
def test_a_file_that_is_gone_is_made_again(
    gone: str,
    task: str,
    harmed: Path,
    little: Path,
    splits: DataSplits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [path] = harmed.glob(gone)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert mended(harmed, little, splits, monkeypatch) == [task]
    assert mended(harmed, little, splits, monkeypatch) == []


def test_lost_metrics_need_no_training(
    harmed: Path, little: Path, splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a report shows of them is in the stage's own record."""
    [path], [stage] = harmed.glob("trainings/*/metrics.jsonl"), harmed.glob("trainings/*/stage.*")
    before, weights = Results(harmed).epochs("small", 0), stage.stat().st_mtime_ns
    path.unlink()
    mended(harmed, little, splits, monkeypatch)
    after = Results(harmed).epochs("small", 0)
    assert stage.stat().st_mtime_ns == weights
    assert [(row["epoch"], row["loss"], row["val_loss"]) for row in after] == [
        (row["epoch"], row["loss"], row["val_loss"]) for row in before
    ]
    assert after[-1]["val_loss_per_t"] == before[-1]["val_loss_per_t"]
    build(harmed)


@pytest.mark.parametrize(
    ("damaged", "reader"),
    [
        ("trainings/*/stage.safetensors", "sample-small-*"),
        ("units/sample-*/samples.npz", "score-cas-small-*"),
    ],
)
def test_a_damaged_file_is_to_be_deleted(
    damaged: str,
    reader: str,
    harmed: Path,
    little: Path,
    splits: DataSplits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is found out when it is read; after what the message says, all is well."""
    [path] = harmed.glob(damaged)
    path.write_bytes(path.read_bytes()[:50])
    shutil.rmtree(next((harmed / "units").glob(reader)))
    with pytest.raises(InputError, match=rf"{path.name} .*delete it (to|and)") as caught:
        run(harmed, splits, **SMALL)
    assert "\n" not in str(caught.value)
    path.unlink()
    assert len(mended(harmed, little, splits, monkeypatch)) == 2


@pytest.mark.parametrize(
    "name", ["sample-*/samples.npz", "sample-*/trajectory.npz", "../trainings/*/metrics.jsonl"]
)
def test_a_report_says_how_to_mend_what_it_cannot_read(name: str, harmed: Path) -> None:
    [path] = (harmed / "units").glob(name)
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="delete it and run the study again to make it anew"):
        build(harmed)
    path.unlink()
    with pytest.raises(InputError, match=r"not found: .*\(run the study again to make it anew"):
        build(harmed)


# Two at once


def test_two_processes_do_not_work_on_one_study(
    harmed: Path,
    splits: DataSplits,
    data_dir: Path,
    preset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The second is refused before it has changed anything; who only reads is not."""
    next((harmed / "units").glob("sample-*/result.json")).unlink()
    before = {path: path.stat().st_mtime_ns for path in harmed.rglob("*") if path.name != ".lock"}
    words = ["study", "--preset", str(preset), "--data-dir", str(data_dir), "--quiet"]
    words += ["--study.methods=small", "--out", str(harmed), "--device", "cpu"]
    with locked(harmed, "study"):
        for jobs in ("1", "2"):
            with pytest.raises(SystemExit) as left:
                main([*words, "--jobs", jobs])
            assert left.value.code == 2
            assert capsys.readouterr().err.splitlines()[-1] == (
                f"scalespace: {harmed}: another process works on this study (pid {os.getpid()}): "
                "wait for it, or choose another --out"
            )
        assert before == {path: path.stat().st_mtime_ns for path in before}
        main(["plot", "samples", str(harmed), "--out", str(tmp_path / "samples.png")])
        build(harmed)
    run(harmed, splits, **SMALL)


def test_the_report_is_made_before_another_process_may_work(
    harmed: Path, splits: DataSplits
) -> None:
    reported = []

    def report(folder: Path) -> None:
        with pytest.raises(InputError, match="another process"), locked(folder, "study"):
            pass
        reported.append(folder)

    config = replace(tiny.CONFIG, **SMALL)
    run_tasks(harmed, config, splits, tiny.CPU, about=ABOUT, say=quiet, report=report)
    assert reported == [harmed]


def test_a_study_that_cannot_be_done_writes_nothing(data_dir: Path, tmp_path: Path) -> None:
    few = replace(tiny.CONFIG.study, images=5, metrics=("prdc",))
    with pytest.raises(InputError, match=r"study\.images=5 is too few for prdc"):
        run_study(tmp_path / "few", replace(tiny.CONFIG, study=few), data_dir=data_dir)
    odd = replace(tiny.CONFIG.study, variants={1: {}, 2: {"train.epochs": 1}})
    with pytest.raises(InputError, match=r"study\.variants: a name must be text, got 1"):
        run_study(tmp_path / "odd", replace(tiny.CONFIG, study=odd), data_dir=data_dir)
    assert not list(tmp_path.iterdir())


def test_jobs_must_be_positive(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--jobs must be at least 1"):
        run_study(tmp_path, tiny.CONFIG, data_dir=data_dir, jobs=0)
    assert not list(tmp_path.iterdir())


# By every metric

MEASURED = replace(
    tiny.CONFIG,
    stages={**tiny.STAGES, "small": {"process": {"labels": False}}},
    study=replace(
        tiny.CONFIG.study,
        methods=("latent", "small"),
        metrics=("cas", "fd", "kid", "prdc", "copies", "variety"),
    ),
)
CONTROLS = ["real-test", "real-down-up", "pixel-noise", "vae-reconstruction"]


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

    monkeypatch.setattr(runner, "run_task", forbidden)
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


@pytest.mark.slow
def test_side_by_side_is_as_one_after_another(
    splits: DataSplits, rows: list[Row], tmp_path: Path
) -> None:
    assert untimed(run(tmp_path, splits, jobs=2)) == untimed(rows)


@pytest.mark.slow
def test_side_by_side_by_every_metric(splits: DataSplits, tmp_path: Path) -> None:
    study = replace(MEASURED.study, methods=("small",), seeds=(0,))
    found = [
        run(tmp_path / str(jobs), splits, jobs, stages=MEASURED.stages, study=study)
        for jobs in (1, 2)
    ]
    assert untimed(found[0]) == untimed(found[1])
    assert len(list(tmp_path.glob("2/trainings/judge-*"))) == 1


@pytest.mark.slow
def test_a_unit_that_fails_in_its_own_process(splits: DataSplits, tmp_path: Path) -> None:
    """Its last line is the message, and what the others did is kept."""
    # its control, which would take the same rate, is not to fail before it
    rates = {"upscaler": 1e30, "upscaler-own": 1e-3}
    config = {"stages": {name: {"train": {"lr": rate}} for name, rate in rates.items()}}
    with pytest.raises(InputError, match=r"train upscaler-seed\d failed: .*diverged"):
        run(tmp_path, splits, jobs=2, **config)
    done = [path.parent.name for path in (tmp_path / "units").glob("*/result.json")]
    assert any(name.startswith("train") for name in done)


def test_an_interruption_ends_the_running_units(
    splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that reaches the study's own process alone, as from `kill -INT`."""
    started = []

    class Worker(subprocess.Popen[str]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)

    def interrupt(_: str) -> None:
        if started:
            raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Worker)
    monkeypatch.setattr(runner, "STATUS_SECONDS", 0.1)
    long = replace(tiny.CONFIG, train=replace(tiny.CONFIG.train, epochs=100_000))
    with pytest.raises(KeyboardInterrupt):
        run_tasks(tmp_path, long, splits, tiny.CPU, 2, ABOUT, interrupt)
    assert [worker.returncode for worker in started] == [-signal.SIGTERM] * len(started)
    assert not list(tmp_path.rglob("result.json"))


def study_command(data_dir: Path, preset: Path, out: Path, *more: str) -> list[str]:
    command = [sys.executable, "-m", "scalespace.cli", "study", "--preset", str(preset)]
    command += ["--data-dir", str(data_dir), "--device", "cpu", "--jobs", "2", "--quiet"]
    return [*command, "--out", str(out), "--study.methods=small", "--study.seeds=0", *more]


def workers_of(out: Path) -> list[int]:
    """The processes of a study's tasks."""
    words = ["ps", "-ww", "-eo", "pid,args"]  # -ww: whole lines
    found = subprocess.run(words, capture_output=True, text=True, check=True)
    lines = [line.split(maxsplit=1) for line in found.stdout.splitlines()]
    return [
        int(pid)
        for pid, words in lines
        if "scalespace.study.workers" in words and str(out) in words
    ]


def seen(out: Path) -> list[int]:
    """The same, once there are any."""
    while not (workers := workers_of(out)):
        time.sleep(0.05)
    return workers


def started(study: subprocess.Popen[str]) -> None:
    """Returns when its first tasks have been started."""
    assert study.stderr is not None
    for line in study.stderr:
        if line.startswith("start"):
            return


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 4.0], ids=["at once", "at work"])
def test_a_study_that_is_killed_leaves_no_task_running(
    seconds: float, data_dir: Path, preset: Path, tmp_path: Path
) -> None:
    """Killed alone, so that nobody is left to end them; at once, while a task still starts."""
    command = study_command(data_dir, preset, tmp_path / "out", "--train.epochs=100000")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as study:
        started(study)
        seen(tmp_path / "out")
        time.sleep(seconds)
        study.kill()
    deadline = time.monotonic() + 60
    while left := workers_of(tmp_path / "out"):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.mark.slow
def test_a_task_that_is_killed_alone_is_told_of_and_done_again(
    data_dir: Path, preset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = study_command(data_dir, preset, out)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as study:
        started(study)
        os.kill(seen(out)[0], signal.SIGKILL)
        _, errors = study.communicate()
    assert study.returncode == 2
    assert "failed" in errors.splitlines()[-1]
    assert not workers_of(out)
    subprocess.run(command, check=True, capture_output=True)
    whole = study_command(data_dir, preset, tmp_path / "whole")
    subprocess.run(whole, check=True, capture_output=True)
    found = [
        untimed([json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()])
        for folder in (out, tmp_path / "whole")
    ]
    assert found[0] == found[1]
    assert not [path for path in out.rglob("*") if ".part" in path.name or path.name == ".lock"]


def test_by_the_command_line(
    data_dir: Path,
    preset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["study", "--preset", str(preset), "--data-dir", str(data_dir), "--quiet"]
    words += ["--study.seeds=0,1", "--study.methods=small", "--out", str(tmp_path / "study")]
    main([*words, "--device", "cpu"])
    out, err = capsys.readouterr()
    assert f"report: {tmp_path / 'study' / 'report.html'}" in out
    assert "Small, upscaled" in out
    assert "[1/" in err
    assert str(data_dir) not in (tmp_path / "study" / "report.html").read_text()
    main([*words, "--device", "cpu"])
    again, err = capsys.readouterr()
    assert again == out
    assert "tasks are done already" in err

    def read_text(path: Path, encoding: str | None = None, errors: str | None = None) -> str:
        return path.read_bytes().decode(encoding or "latin-1", errors or "strict")

    monkeypatch.setattr(Path, "read_text", read_text)  # a machine whose own text is not UTF-8
    main([*words, "--device", "cpu"])
    assert "±" in again
    assert capsys.readouterr().out == again


# Pooling the images of several trainings


def part(seed: int, n: int) -> Samples:
    """Images that tell their part in the first digit and their label in the second."""
    labels = np.random.default_rng(seed).permutation(np.arange(n) % 3)
    images = (seed / 10 + labels / 100).astype(np.float32)[:, None, None]
    return Samples(images, labels, {"seed": seed})


def test_a_pool_knows_whether_its_labels_mean_anything() -> None:
    """Else the variety of unlabelled images would be measured within classes drawn by lot."""
    told, untold = part(1, 30), part(2, 30)
    untold.meta["conditional"] = False
    assert pool([told], 30).meta["conditional"] is True
    assert pool([told, untold], 30).meta["conditional"] is False
    assert pool([untold], 30).meta["conditional"] is False


def test_pool_takes_equally_of_each_and_keeps_labels() -> None:
    pooled = pool([part(1, 30), part(2, 30), part(3, 30)], 45)
    assert len(pooled) == 45
    parts, labels = np.divmod(np.round(pooled.images[:, 0, 0] * 100).astype(int), 10)
    np.testing.assert_array_equal(labels, pooled.labels)
    assert parts.tolist() != sorted(parts)  # shuffled
    assert Counter(parts.tolist()) == {
        1: 15,
        2: 15,
        3: 15,
    }
    assert [one["seed"] for one in pooled.meta["parts"]] == [1, 2, 3]


@pytest.mark.parametrize("n", [1, 10, 31])
def test_pool_of_a_number_that_does_not_divide(n: int) -> None:
    pooled = pool([part(1, 30), part(2, 30), part(3, 30)], n)
    assert len(pooled) == len(pooled.images) == n
    again: Callable[[], Samples] = lambda: pool([part(1, 30), part(2, 30), part(3, 30)], n)  # noqa: E731
    np.testing.assert_array_equal(again().labels, pooled.labels)
