"""A study's tasks: what they write, and that none is done twice."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from studies import STAGES, TIMED, Row, run, untimed

import tiny
from scalespace.data import DataSplits, read_samples
from scalespace.errors import InputError
from scalespace.report.figures import pictures_of
from scalespace.report.results import Results
from scalespace.studies import executors, tasks
from scalespace.studies.runner import run_tasks


def test_rows_of_every_kind(rows: list[Row]) -> None:
    for row in rows:
        assert {"metric", "value", "seed", "n", "device", "versions"} <= row.keys()
        assert "config" in row or row.get("kind") == "inspection"
        assert "method" in row or "stage" in row
        assert row["device"] == "cpu"
        assert {"torch", "numpy", "python", "scalespace"} <= row["versions"].keys()
    counts = Counter(row["metric"] for row in rows)
    methods, trainings = len(tiny.STUDIED), 2 * len(STAGES)
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
    assert [method["name"] for method in about["methods"]] == list(tiny.STUDIED)
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
    trained = {method["name"]: method["trained"] for method in about["methods"]}
    assert trained["cascaded"] == ["small", "upscaler"]
    assert trained["cascaded-fast"] == ["small", "small-student", "upscaler", "upscaler-student"]
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

    monkeypatch.setattr(executors, "run_task", forbidden)
    assert run(finished, splits) == rows


def test_another_engine_is_told_of(finished: Path, splits: DataSplits, tmp_path: Path) -> None:
    folder, said = tmp_path / "study", list[str]()
    shutil.copytree(finished, folder)
    other = replace(tiny.CPU, precision="bf16-mixed")
    run_tasks(folder, tiny.CONFIG, splits, other, say=said.append)
    told = [line for line in said if "32-true" in line]
    assert told == [
        "some of them were done with --precision 32-true, and this is bf16-mixed: to do all with "
        "this one, give another --out"
    ]


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
    run_task, carry_out = executors.run_task, tasks.KINDS[kind]
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

    monkeypatch.setattr(executors, "run_task", noted)
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
