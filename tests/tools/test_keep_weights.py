"""Weights that are kept, and put back into a study."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import tiny
from loaded import ROOT, script
from scalespace import pretrained
from scalespace.data import DataSplits
from scalespace.model import Model, train
from scalespace.settings import load_config
from scalespace.studies.plan import make_plan
from scalespace.training.checkpoint import load_tensors

WEIGHTS = ROOT / "benchmarks" / "weights"


keep_weights = script("tools/keep_weights.py")


def test_a_study_takes_them_for_trained(
    trained: Callable[[str], Model], trainings: Path, splits: DataSplits, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    model = trained("cascaded")
    keep_weights.main(["keep", str(trainings), str(tmp_path / "kept")])
    kept = sorted(path.name for path in (tmp_path / "kept").iterdir())
    for name, stage in model.stages.items():
        assert f"{name}-seed0-{stage.training.identity}.safetensors" in kept
    keep_weights.main(["put", str(tmp_path / "kept"), str(tmp_path / "trainings")])

    def refuse(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(importlib.import_module("scalespace.training.fit"), "Loop", refuse)
    again = train("cascaded", splits, tiny.CONFIG, tmp_path / "trainings", 0, tiny.CPU)
    np.testing.assert_array_equal(again.sample([0, 1]).images, model.sample([0, 1]).images)
    assert again.stages["small"].record == model.stages["small"].record
    assert again.stages["small"].raw == {}


def test_what_was_put_back_is_not_kept_anew(
    trained: Callable[[str], Model], trainings: Path, tmp_path: Path
) -> None:
    model = trained("small")
    keep_weights.main(["keep", str(trainings), str(tmp_path / "kept")])
    keep_weights.main(["put", str(tmp_path / "kept"), str(tmp_path / "trainings")])
    own = model.stages["small"].training.folder(trainings)
    shutil.copytree(own, tmp_path / "trainings" / own.name, dirs_exist_ok=True)
    keep_weights.main(["keep", str(tmp_path / "trainings"), str(tmp_path / "again")])
    assert [path.name for path in (tmp_path / "again").iterdir()] == [
        f"small-seed0-{model.stages['small'].training.identity}.safetensors"
    ]


def test_half_the_bytes(
    trained: Callable[[str], Model], trainings: Path, splits: DataSplits, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    model = trained("latent")
    kept = tmp_path / "kept"
    keep_weights.main(["keep", str(trainings), str(kept), "--half", "latent"])
    for path in kept.iterdir():
        tensors, record = load_tensors(path, "kept weights")
        half = path.name.partition("-seed")[0] == "latent"
        assert (torch.float16 in {tensor.dtype for tensor in tensors.values()}) == half
        assert record.get("half", False) == half
    keep_weights.main(["put", str(kept), str(tmp_path / "trainings")])

    def refuse(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(importlib.import_module("scalespace.training.fit"), "Loop", refuse)
    again = train("latent", splits, tiny.CONFIG, tmp_path / "trainings", 0, tiny.CPU)
    for name, stage in model.stages.items():
        for key, tensor in stage.ema.items():
            found, exact = again.stages[name].ema[key], name != "latent"
            assert found.dtype == tensor.dtype
            torch.testing.assert_close(found, tensor, rtol=0 if exact else 1e-3, atol=1e-6)

    with pytest.raises(SystemExit):
        keep_weights.main(["keep", str(trainings), str(kept), "--half", "latnet"])


def test_the_shipped_stages_are_put_back_too(tmp_path: Path) -> None:
    keep_weights.main(["put", str(tmp_path / "none"), str(tmp_path / "trainings")])
    found = {path.name for path in (tmp_path / "trainings").iterdir()}
    for name in pretrained.names():
        for stage in Model.load(pretrained.FOLDER / name).stages.values():
            assert f"{stage.training.stage.name}-{stage.training.identity}" in found


def test_those_of_the_repository_are_of_the_presets() -> None:
    """Each file's identity is that of its stage and seed in the presets' plans."""
    data = Model.load(pretrained.FOLDER / "baseline").data
    files = {path.stem.rpartition("-")[0]: path for path in WEIGHTS.glob("*.safetensors")}
    found: set[str] = set()
    asked_for = {"study.methods": ["scale-space", "scale-space-fast"]}
    for preset, changes in (("frontier", {}), ("few", {}), ("fast", {}), ("fast", asked_for)):
        plan = make_plan(load_config(preset, changes), data)
        for task in plan.tasks:
            if task.kind == "train" and task.name in files:
                assert files[task.name].stem.rpartition("-")[2] == task.inputs["training"]
                found.add(task.name)
    assert found == set(files)


def test_those_of_the_repository_are_whole() -> None:
    shipped = [Model.load(pretrained.FOLDER / name) for name in ("baseline", "cascaded")]
    stages = {n: s for model in shipped for n, s in model.stages.items()}
    for path in WEIGHTS.glob("*.safetensors"):
        name = path.stem.partition("-seed")[0]
        if name in stages:
            with safe_open(path, framework="pt") as file:
                assert set(file.keys()) == {f"ema.{key}" for key in stages[name].ema}


@pytest.mark.parametrize("what", ["keep", "put"])
def test_what_cannot_be_kept(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    source.mkdir()
    if what == "put":
        (source / "small-seed1-abc.safetensors").write_bytes(b"damaged")
    with pytest.raises(SystemExit) as stopped:
        keep_weights.main([what, str(source), str(tmp_path / "target")])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("keep_weights: ")
    assert said.count("\n") == 1
