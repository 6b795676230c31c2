from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from scalespace.cli import main
from scalespace.data import DataSplits, Samples, read_samples
from scalespace.errors import InputError
from scalespace.methods import METHODS
from scalespace.study import grid, study
from scalespace.study.grid import run_study
from scalespace.study.units import pool

Row = dict[str, Any]
TIMED = {"train_seconds", "latency_mean", "latency_median", "latency_q1", "latency_q3"}
TIMED |= {"images_per_s"}


def quiet(_: str) -> None:
    pass


def run(folder: Path, splits: DataSplits, jobs: int = 1, **changes: Any) -> list[Row]:
    config = replace(tiny.CONFIG, **changes)
    path = run_study(folder, config, splits, tiny.CPU, jobs=jobs, say=quiet)
    return [json.loads(line) for line in path.read_text().splitlines()]


def untimed(rows: list[Row]) -> list[Row]:
    """What must be the same however a study was run."""
    return [row for row in rows if row["metric"] not in TIMED]


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
        assert {"metric", "value", "seed", "n", "config", "device", "versions"} <= row.keys()
        assert "method" in row or "stage" in row
        assert row["device"] == "cpu"
        assert {"torch", "numpy", "python", "scalespace"} <= row["versions"].keys()
    counts = Counter(row["metric"] for row in rows)
    methods, trainings = len(METHODS), 3 * 2
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
    assert {stage["name"]: stage["states"] for stage in about["stages"]} == {
        "baseline": 3,
        "small": 3,
        "upscaler": 3,
    }
    assert {"cpu", "cores", "device", "system"} <= about["machine"].keys()
    assert about["config"]["study"]["seeds"] == [0, 1]


def test_a_second_run_does_nothing(
    finished: Path, splits: DataSplits, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("a finished unit was run again")

    monkeypatch.setattr(grid, "run_unit", forbidden)
    assert run(finished, splits) == rows


@pytest.mark.parametrize("kind", ["train", "sample", "real", "score", "bench"])
def test_a_unit_that_fails_is_the_only_one_to_be_done_again(
    kind: str, splits: DataSplits, rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    run_unit, carry_out = grid.run_unit, grid.KINDS[kind]
    calls = 0

    def fail_once(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        made = carry_out(*arguments)
        if calls == 2 or kind == "bench":
            raise KeyboardInterrupt
        return made

    def noted(context: Any, unit: Any) -> None:
        run_unit(context, unit)
        done.append(unit.id)

    monkeypatch.setattr(grid, "run_unit", noted)
    small = {"study": replace(tiny.CONFIG.study, methods=("small",))}
    with monkeypatch.context() as patch:
        patch.setitem(grid.KINDS, kind, fail_once)
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
    unit = next((tmp_path / "units").glob("sample-small-*"))
    (unit / "result.json").unlink()
    (unit / "rubbish").write_text("half")
    run(tmp_path, splits, **small)
    assert not (unit / "rubbish").exists()
    assert (unit / "result.json").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"rows": 3}', '{"rows": [3]}'])
def test_a_damaged_result(content: str, splits: DataSplits, tmp_path: Path) -> None:
    small = {"study": replace(tiny.CONFIG.study, methods=("small",), seeds=(0,))}
    run(tmp_path, splits, **small)
    result = next((tmp_path / "units").glob("score-small-*")) / "result.json"
    result.write_text(content)
    with pytest.raises(InputError, match=r"result\.json"):
        run(tmp_path, splits, **small)


def test_jobs_must_be_positive(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--jobs must be at least 1"):
        study(tmp_path, tiny.CONFIG, data_dir=data_dir, jobs=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_side_by_side_is_as_one_after_another(
    splits: DataSplits, rows: list[Row], tmp_path: Path
) -> None:
    assert untimed(run(tmp_path, splits, jobs=2)) == untimed(rows)


@pytest.mark.slow
def test_a_unit_that_fails_in_its_own_process(splits: DataSplits, tmp_path: Path) -> None:
    """Its last line is the message, and what the others did is kept."""
    config = {"stages": {"upscaler": {"train": {"lr": 1e30}}}}
    with pytest.raises(InputError, match=r"train upscaler-seed\d failed: .*diverged"):
        run(tmp_path, splits, jobs=2, **config)
    done = [path.parent.name for path in (tmp_path / "units").glob("*/result.json")]
    assert any(name.startswith("train") for name in done)


def test_by_the_command_line(
    data_dir: Path, preset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    assert "units are done already" in err


# Pooling the images of several trainings


def part(seed: int, n: int) -> Samples:
    """Images that tell their part in the first digit and their label in the second."""
    labels = np.random.default_rng(seed).permutation(np.arange(n) % 3)
    images = (seed / 10 + labels / 100).astype(np.float32)[:, None, None]
    return Samples(images, labels, {"seed": seed})


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
