"""A kind of stage that the package does not know, with a recipe of its own, from a single file.

Every command, figure and table takes it as it is.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from scalespace.cli import main
from scalespace.data import read_samples
from scalespace.methods import METHODS
from scalespace.model import Model
from scalespace.report.results import Results, results

FILE = '''
"""`prototypes`: an image for each class, learnt, and noise on it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import nn

from scalespace.config import TrainConfig
from scalespace.core.sampling import Step
from scalespace.methods.base import Method, refuse_images, register
from scalespace.stages.base import Stage, StageModel


@dataclass(frozen=True)
class PrototypeConfig:
    """noise: on the prototypes, in standardised units."""

    noise: float = 0.1

    SAMPLING = ("noise",)

    def __post_init__(self):
        if not 0 <= self.noise <= 10:
            raise ValueError(f"prototype.noise must lie in 0 .. 10, got {self.noise}")


@dataclass(frozen=True)
class PrototypeRecipe:
    prototype: PrototypeConfig = field(default_factory=PrototypeConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


class Prototypes(StageModel):
    calls = 1

    def __init__(self, recipe, data):
        super().__init__()
        self.noise = recipe.prototype.noise
        self.shape = (1, data.height, data.width)
        self.table = nn.Parameter(torch.zeros(len(data.classes), *self.shape))

    def prepare(self, images, labels=None):
        return (images,)

    def forward(self, batch, labels, rng):
        return (batch[0] - self.table[labels]).square().flatten(1).mean(dim=1)

    def validate(self, batch, labels, rng):
        return self.forward(batch, labels, rng)[:, None]

    def facts(self):
        return {"says": "A prototype for each class", "temper": "mild"}


@dataclass(frozen=True)
class PrototypeStage(Stage):
    recipe = PrototypeRecipe
    defaults = {"train": {"lr": 0.05}}

    def build(self, recipe, data, needs=None):
        return Prototypes(recipe, data)


@register
class PrototypeMethod(Method):
    """A prototype of the class, and noise."""

    name = "prototypes"
    title = "Prototypes"
    stages = (PrototypeStage("prototype"),)

    def sample(self, models, labels, noise, start=None, edit=None):
        refuse_images(self, start, edit)
        own = models.of(self.stages[0])
        x = own.noise * noise.stream("prototype").normal(own.shape)
        yield Step(1, x, None)
        yield Step(0, own.table.detach()[labels] + x, own.table.detach()[labels])
'''


@pytest.fixture(autouse=True)
def _registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = dict(METHODS)
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "prototypes_of_ones_own.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    importlib.import_module("prototypes_of_ones_own")
    yield
    del sys.modules["prototypes_of_ones_own"]
    METHODS.clear()
    METHODS.update(before)


@pytest.fixture
def preset(tmp_path: Path, preset: Path) -> Path:
    """The tiny preset, with what it says of the stage's own part of a recipe."""
    path = tmp_path / "own.yaml"
    fields = yaml.safe_load(preset.read_text())
    fields["stages"]["prototype"] = {"prototype": {"noise": 0.5}, "train": {"epochs": 30}}
    path.write_text(yaml.safe_dump(fields))
    return path


def test_every_command_takes_it(
    preset: Path, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--preset", str(preset), "--data-dir", str(data_dir), "--device", "cpu", "--quiet"]
    out, samples = tmp_path / "model", tmp_path / "a.npz"
    main(["train", "prototypes", "--preset", str(preset), "--dry-run"])
    assert "noise: 0.5" in capsys.readouterr().out
    main(["train", "prototypes", *common, "--out", str(out)])
    main(["sample", str(out), "--per-class", "8", "--out", str(samples), "--quiet"])
    made = read_samples(samples)
    assert (made.meta["calls"], made.meta["conditional"]) == (1, True)
    # its sampling field is one of its own; the network stays
    other = tmp_path / "b.npz"
    words = ["--stages.prototype.prototype.noise=0", "--out", str(other), "--quiet"]
    main(["sample", str(out), "--labels", "0,0,1", *words])
    still = read_samples(other).images
    np.testing.assert_array_equal(still[0], still[1])
    assert np.abs(still[0] - still[2]).max() > 0.3
    few = ["--bench.productions=2", "--bench.warmup=0", "--bench.batch_sizes=2", "--quiet"]
    main(["bench", str(out), *few, "--bench.batches=1"])
    main(["evaluate", str(samples), "--data-dir", str(data_dir), "--metrics", "cas,copies"])
    main(["models", str(out)])
    main(["plot", "training", str(out), "--out", str(tmp_path / "a.png")])
    model = Model.load(out)
    model.save_pretrained(tmp_path / "shared")
    assert "noise: 0.5" in (tmp_path / "shared" / "README.md").read_text()
    assert "prototypes" in capsys.readouterr().out


def test_a_bad_field_of_its_own(
    preset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for field, message in {
        "prototype.noise=99": "prototype.noise must lie in 0 .. 10",
        "prototype.nose=1": "did you mean 'noise'",
        "net.patch=2": "unknown field of stages.prototype 'net'",
    }.items():
        words = ["train", "prototypes", "--preset", str(preset), "--out", str(tmp_path / "x")]
        with pytest.raises(SystemExit):
            main([*words, f"--stages.prototype.{field}"])
        assert message in capsys.readouterr().err


@pytest.mark.usefixtures("quick_pictures")
def test_a_study_and_its_report(preset: Path, data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    words = ["study", "--preset", str(preset), "--data-dir", str(data_dir), "--quiet"]
    words += ["--study.methods=prototypes,small", "--study.seeds=0,1", "--device", "cpu"]
    main([*words, "--study.metrics=cas,copies", "--out", str(out)])
    table = results(out)
    assert len(table[(table.metric == "cas") & (table.method == "prototypes")]) > 1
    assert Results(out).study.recipes["prototype"].prototype.noise == 0.5
    page = " ".join((out / "report.html").read_text().split())
    for words_of_it in ("Prototypes", "A prototype for each class; 432 parameters; 30 epochs"):
        assert words_of_it in page
    assert "This study is not finished" not in page


@pytest.mark.usefixtures("quick_pictures")
def test_a_study_is_read_where_its_file_is_not(
    preset: Path, data_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    words = ["study", "--preset", str(preset), "--data-dir", str(data_dir), "--quiet"]
    words += ["--study.methods=prototypes,small", "--study.seeds=0", "--device", "cpu"]
    main([*words, "--out", str(out)])
    about = json.loads((out / "study.json").read_text())
    assert next(s for s in about["stages"] if s["name"] == "prototype")["kind"] == "other"
    del METHODS["prototypes"]
    assert "prototype" not in Results(out).study.recipes
    main(["plot", "training", str(out), "--out", str(tmp_path / "a.png")])
