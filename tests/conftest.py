"""Fixtures that several folders of tests share."""

from __future__ import annotations

import os
import signal
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.hub
from hypothesis import HealthCheck, settings

import tiny
from browsers import launched
from scalespace import plugins
from scalespace.data import DataSplits, load
from scalespace.evaluation.judge import Judge
from scalespace.model import Model, train
from scalespace.settings import make_training
from scalespace.stages.judge import JUDGE
from scalespace.training.judge import train_judge
from undrawn import undrawn

plugins.load()  # contract tests are for methods of one's own, too
torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell's background jobs ignore interrupts, and so would the programs that tests interrupt
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["SCALESPACE_ENGINE"] = "torch"  # others prepare every network for seconds
settings.register_profile(
    "repeatable",
    deadline=None,  # no test may fail because a machine is busy
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    database=None,
)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reaches the network, or the data and the cache of whoever runs it."""

    def refuse(url: str, *_: object, **__: object) -> None:
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.delenv("SCALESPACE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def quick_pictures() -> Iterator[None]:
    """A report without its drawings, for tests of its words."""
    with undrawn():
        yield


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder with a tiny data set named `mnist`: 12x12 pixels, 3 classes."""
    return tiny.write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def splits(data_dir: Path) -> DataSplits:
    """That data set."""
    return load("mnist", data_dir)


@pytest.fixture(scope="session")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset file for it."""
    path = tmp_path_factory.mktemp("preset") / "tiny.yaml"
    path.write_text(tiny.PRESET)
    return path


@pytest.fixture(scope="session")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the trainings that `trained` makes."""
    return tmp_path_factory.mktemp("trainings")


@pytest.fixture(scope="session")
def trained(splits: DataSplits, trainings: Path) -> Callable[[str], Model]:
    """Gives a trained model of any method; each stage is trained once."""
    made: dict[str, Model] = {}

    def model(name: str) -> Model:
        if name not in made:
            made[name] = train(name, splits, tiny.CONFIG, trainings, 0, tiny.CPU)
        return made[name]

    return model


@pytest.fixture(scope="session")
def model_dir(trained: Callable[[str], Model], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of `cascaded`, to be read only."""
    return trained("cascaded").save(tmp_path_factory.mktemp("models") / "cascaded")


@pytest.fixture(scope="session")
def judge(splits: DataSplits, trainings: Path) -> Judge:
    """A judge trained for the tiny data set."""
    return train_judge(
        make_training(tiny.CONFIG, JUDGE, 0, splits.info), splits, trainings, tiny.CPU
    )


@pytest.fixture(scope="session")
def judge_dir(judge: Judge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder, to be read only."""
    return judge.save(tmp_path_factory.mktemp("judges") / "tiny")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser without a window; skips where there is none."""
    with launched() as found:
        yield found
