"""Damaged, hostile and absurd inputs: see `damaged_inputs.py`, which makes the cases."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import damaged_inputs
import tiny
from scalespace.data import DataSplits, write_samples
from scalespace.methods.small import SMALL
from scalespace.model import Model
from scalespace.report.study import study
from scalespace.settings import load_config, make_training
from scalespace.training.loop import Loop
from undrawn import undrawn


@pytest.fixture(scope="module")
def world(
    model_dir: Path,
    judge_dir: Path,
    data_dir: Path,
    preset: Path,
    splits: DataSplits,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Good files of every kind that a command reads."""
    root = tmp_path_factory.mktemp("world")
    for name, folder in {"model": model_dir, "judge": judge_dir, "data": data_dir}.items():
        shutil.copytree(folder, root / name)
    shutil.copy(preset, root / "tiny.yaml")
    write_samples(root / "samples.npz", Model.load(model_dir).sample([0, 1, 2] * 4))
    config = load_config(preset, {"study.methods": ["small"], "study.seeds": [0]})
    with undrawn():
        study(root / "study", config, data_dir=data_dir, runtime=tiny.CPU, say=lambda _: None)
    # a training that stopped after a step
    training = make_training(load_config(preset), SMALL, 0, splits.info)
    folder = training.folder(root / "training" / "trainings")
    folder.mkdir(parents=True)
    loop = Loop(training, splits, folder, tiny.CPU)
    loop.take_step(next(loop.rest_of_epoch()))
    loop._save()
    return root


def check(world: Path, count: int, seed: int) -> None:
    command = [sys.executable, damaged_inputs.__file__, str(world), str(count), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"{count} cases, 0 wrong" in done.stderr, done.stdout + done.stderr
    assert not [json.loads(line) for line in done.stdout.splitlines()]


def test_some_of_them(world: Path) -> None:
    check(world, 2 * len(damaged_inputs.KINDS), seed=1)


@pytest.mark.slow
def test_a_thousand_of_them(world: Path) -> None:
    check(world, 1000, seed=0)
