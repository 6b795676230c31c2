"""The tool that ships models, on a tiny study: what it writes is what the study holds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

import tiny
from loaded import script
from scalespace.data import DataSplits
from scalespace.model import Model, train
from scalespace.studies.runner import run_tasks

NAMES = ("baseline", "small", "cascaded")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return script("tools/ship_models.py")


def finish(
    folder: Path, splits: DataSplits, seeds: tuple[int, ...], methods: tuple[str, ...] = NAMES
) -> Path:
    study = replace(tiny.CONFIG.study, methods=methods, seeds=seeds, metrics=("cas", "copies"))
    config = replace(tiny.CONFIG, study=study)
    run_tasks(folder, config, splits, tiny.CPU, 1, {"preset": "tiny"}, lambda _: None)
    return folder


@pytest.fixture(scope="module")
def study(splits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of two seeds, to be read only."""
    return finish(tmp_path_factory.mktemp("study"), splits, (0, 1))


@pytest.fixture(scope="module")
def shipped(study: Path, tool: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shipped")
    tool.main(["--study", str(study), "--out", str(out)])
    return out


def value(study: Path, **fields: Any) -> float:
    """The mean value of the rows of `results.jsonl` that have these fields."""
    rows = [json.loads(line) for line in (study / "results.jsonl").read_text().splitlines()]
    found = [row for row in rows if all(row.get(key) == own for key, own in fields.items())]
    assert found
    return float(np.mean([row["value"] for row in found]))


def test_the_models_are_those_of_the_study(
    shipped: Path, study: Path, splits: DataSplits, tmp_path: Path
) -> None:
    assert {path.name for path in shipped.iterdir()} == set(NAMES)
    trainings = shutil.copytree(study / "trainings", tmp_path / "trainings")
    for name in NAMES:
        model = Model.load(shipped / name)
        own = train(name, splits, tiny.CONFIG, trainings, 0, tiny.CPU)  # loads what is there
        assert model.hash == own.hash
        found, wanted = (one.sample([0, 1, 2, 0], seed=3).images for one in (model, own))
        np.testing.assert_array_equal(found, wanted)
        weights = load_file(shipped / name / "model.safetensors")
        assert {key.split(".")[1] for key in weights} == {"ema"}
        assert all("identity" not in stage.record for stage in model.stages.values())


def test_the_figures_are_those_of_the_study(shipped: Path, study: Path) -> None:
    for name in NAMES:
        figures = Model.load(shipped / name).figures
        assert figures is not None
        assert (figures.preset, figures.seed, figures.seeds) == ("tiny", 0, (0, 1))
        measures = {one.metric: one for one in figures.measures}
        assert set(measures) == {"cas", "copies", "median_distance"}
        cas, near = measures["cas"], measures["median_distance"]
        alone = [value(study, metric="cas", method=name, seed=seed) for seed in (0, 1)]
        assert cas.seeds == pytest.approx(alone)
        assert cas.value == pytest.approx(alone[0])
        assert cas.n == 30
        assert cas.sd is not None
        real = value(study, metric="cas", method="real")
        assert cas.controls["Real"] == pytest.approx(real)
        assert set(cas.controls) == {"Real", "Real, down and up"}
        wanted = [value(study, metric="median_distance", method=name, seed=s) for s in (0, 1)]
        assert near.seeds == pytest.approx(wanted)
        assert near.reference_n == 120
        assert near.judge == ""
        assert set(near.controls) == {
            *("Real test images", "Real, down and up", "Noise of each pixel")
        }
        assert figures.macs == value(study, metric="macs", method=name)
        assert figures.latency == pytest.approx(value(study, metric="latency_median", method=name))
        card = (shipped / name / "README.md").read_text()
        assert f"| CAS | {cas.value:.4f}" in card
        assert f'from_pretrained("{name}")' in card


def test_another_seed(study: Path, tool: ModuleType, tmp_path: Path) -> None:
    tool.main(["--study", str(study), "--out", str(tmp_path), "--seed", "1"])
    figures = Model.load(tmp_path / "small").figures
    assert figures is not None
    assert figures.seed == 1
    assert figures.measures[0].value == pytest.approx(figures.measures[0].seeds[1])


def test_a_study_of_one_seed(tool: ModuleType, splits: DataSplits, tmp_path: Path) -> None:
    """Its figures over all seeds are those of the one."""
    study = finish(tmp_path / "study", splits, (1,))
    tool.main(["--study", str(study), "--out", str(tmp_path / "out"), "--seed", "1"])
    figures = Model.load(tmp_path / "out" / "baseline").figures
    assert figures is not None
    cas = figures.measures[0]
    assert cas.value == pytest.approx(value(study, metric="cas", method="baseline"))
    assert cas.seeds == (cas.value,)


def test_a_study_of_one_method(
    shipped: Path, tool: ModuleType, splits: DataSplits, tmp_path: Path
) -> None:
    """Replaces that model, and leaves the others as they are."""
    out = Path(shutil.copytree(shipped, tmp_path / "out"))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    study = finish(tmp_path / "study", splits, (0,), ("small",))
    tool.main(["--study", str(study), "--out", str(out)])
    changed = {path.parent.name for path, content in before.items() if path.read_bytes() != content}
    assert changed == {"small"}


def test_one_method_by_another_name(study: Path, tool: ModuleType, tmp_path: Path) -> None:
    tool.main(["--study", str(study), "--out", str(tmp_path), "--as", "cascaded=other"])
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    assert Model.load(tmp_path / "other").method.name == "cascaded"
    assert 'from_pretrained("other")' in (tmp_path / "other" / "README.md").read_text()


def test_a_student(tool: ModuleType, splits: DataSplits, tmp_path: Path) -> None:
    """Its folder holds no teacher, and makes the images of the study's own training."""
    study, name = finish(tmp_path / "study", splits, (0,), ("baseline-fast",)), "baseline-fast"
    tool.main(["--study", str(study), "--out", str(tmp_path / "out"), "--as", f"{name}={name}"])
    model = Model.load(tmp_path / "out" / name)
    own = train(name, splits, tiny.CONFIG, study / "trainings", 0, tiny.CPU)
    assert list(model.stages) == ["baseline-student"]
    assert model.hash == own.hash
    found, wanted = (one.sample([0, 1, 2, 0], seed=3).images for one in (model, own))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    "case", ["no study", "seed", "training", "other training", "methods", "size", "as", "as what"]
)
def test_refuses(
    case: str,
    study: Path,
    tool: ModuleType,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With one line, before anything is written."""
    copy, out, words = tmp_path / "study", tmp_path / "out", []
    shutil.copytree(study, copy)
    upscaler = sorted((copy / "trainings").glob("upscaler-*"))
    match case:
        case "no study":
            shutil.rmtree(copy)
            message = "study folder not found"
        case "seed":
            words, message = ["--seed", "7"], "no finished training of 'baseline', seed 7"
        case "training":
            for folder in upscaler:
                shutil.rmtree(folder)
            message = "trained stage not found"
        case "other training":
            name = "stage.safetensors"
            first, second = (folder / name for folder in upscaler)
            first_bytes = first.read_bytes()
            shutil.copy(second, first)
            second.write_bytes(first_bytes)
            message = "holds another training than its folder says"
        case "methods":
            about = json.loads((copy / "study.json").read_text())
            about["methods"] = []
            (copy / "study.json").write_text(json.dumps(about))
            message = "carries out none of baseline, small, cascaded"
        case "as":
            words, message = ["--as", "cascaded"], "as in cascaded=guided: got 'cascaded'"
        case "as what":
            words, message = ["--as", "cascade=guided"], "did you mean 'cascaded'"
        case _:
            monkeypatch.setattr(tool, "MOST_BYTES", 1000)
            message = "more than the 1,000 that a package may ship"
    with pytest.raises(SystemExit) as stop:
        tool.main(["--study", str(copy), "--out", str(out), *words])
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    assert not out.exists()
