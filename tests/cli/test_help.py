"""What the program says of itself, and how it reads words."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonargparse import ArgumentParser

from scalespace import __version__, options, pretrained
from scalespace.cli import VERBS, main
from scalespace.errors import InputError
from scalespace.evaluation.evaluate import METRICS
from scalespace.methods import METHODS
from scalespace.settings import load_config

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["help"]])
def test_overview(words: list[str], capsys: Capture) -> None:
    main(words)
    out = capsys.readouterr().out
    for verb, about in VERBS.items():
        assert verb in out
        assert about in out


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_version(word: str, capsys: Capture) -> None:
    main([word])
    assert capsys.readouterr().out == f"scalespace {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb(verb: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert f"usage: scalespace {verb}" in out
    assert VERBS[verb][1:] in " ".join(out.split())


def test_help_explains_the_fields(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "--process.predict" in out
    assert "exponent of the cosine schedule" in out


@pytest.mark.parametrize("verb", ["evaluate", "study"])
def test_help_names_every_metric(verb: str, capsys: Capture) -> None:
    """The words are written out, so that help need not import what measures."""
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    out = "".join(capsys.readouterr().out.split())
    assert ",".join(METRICS) in out


@pytest.mark.parametrize("verb", ["serve", "bench"])
def test_help_asks_for_no_models_where_none_are_needed(verb: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    assert "required" not in capsys.readouterr().out.partition("options:")[0]


def test_models_lists_the_methods(capsys: Capture) -> None:
    main(["models"])
    *methods, _, shipped = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in methods] == list(METHODS)
    assert all(name in shipped for name in pretrained.names())
    main(["models", "--json"])
    about = json.loads(capsys.readouterr().out)
    assert [one["method"] for one in about] == list(METHODS)
    assert sorted(name for one in about for name in one["shipped"]) == pretrained.names()


@cache
def every_field() -> ArgumentParser:
    using = options.parser("train", "")
    options.add_config(using)
    return using


def given(*words: str) -> dict[str, Any]:
    return options.config_fields(options.parse(every_field(), words)[1])


def test_options_for_a_stage_add_up_and_the_later_wins() -> None:
    fields = given(
        "--stages={small: {train: {epochs: 1, lr: 0.5}}, upscaler: {net: {overview: 0}}}",
        "--stages.small.train.epochs=2",
        "--train.epochs=7",
        "--stages.small.objective.unlabelled",
        "0.1",
        "--stages.small.train.epochs=3",
    )
    small = {"train": {"epochs": 3, "lr": 0.5}, "objective": {"unlabelled": 0.1}}
    assert fields["stages"] == {"small": small, "upscaler": {"net": {"overview": 0}}}
    assert fields["train"] == {"epochs": 7}


@pytest.mark.parametrize("words", [["--stages.small.train.epochs"], ["--stages=3"], ["--stages="]])
def test_options_for_a_stage_without_a_value_or_a_stage(words: list[str]) -> None:
    with pytest.raises(InputError, match=r"^--stages"):
        given(*words)


def test_a_dry_run_shows_the_recipe_of_each_stage(tmp_path: Path, capsys: Capture) -> None:
    """As a preset that gives the same."""
    words = ["--preset", "quick", "--train.epochs=7", "--stages.small.train.lr=0.5"]
    main(["train", "cascaded", *words, "--dry-run"])
    shown = capsys.readouterr().out
    stages = yaml.safe_load(shown)["stages"]
    assert list(stages) == ["small", "upscaler"]
    assert [stages[name]["train"]["epochs"] for name in stages] == [7, 7]
    assert stages["small"]["train"]["lr"] == 0.5
    (tmp_path / "mine.yaml").write_text(shown)
    main(["train", "cascaded", "--preset", str(tmp_path / "mine.yaml"), "--dry-run"])
    assert yaml.safe_load(capsys.readouterr().out)["stages"] == stages
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]
    main(["train", "cascaded-fast", "--dry-run"])  # with the teachers, which come first
    names = list(yaml.safe_load(capsys.readouterr().out)["stages"])
    assert names == ["small", "small-student", "upscaler", "upscaler-student"]
    for bad in ("--net.kind=nope", "--process.states=5,--process.steps=9", "--seed=-1"):
        with pytest.raises(SystemExit) as refused:  # as training would
            main(["train", "small", "--dry-run", *bad.split(",")])
        assert refused.value.code == 2
        capsys.readouterr()
    idle = {
        "condition.augment=blur": "condition: training 'small' does not read it; it reads net",
        "study.seeds=[0]": "study: training 'small' does not read it",
        "stages.upscaler.train.epochs=3": "does not need that stage; it trains small",
    }
    for field, reason in idle.items():
        with pytest.raises(SystemExit):
            main(["train", "small", "--dry-run", f"--{field}"])
        assert reason in capsys.readouterr().err
    main(["train", "cascaded", "--condition.augment=blur", "--dry-run"])
    main(["train", "cascaded-own", "--stages.upscaler.train.epochs=3", "--dry-run"])  # `like` it
    capsys.readouterr()
    main(["train", "judge", "--dry-run"])
    assert list(yaml.safe_load(capsys.readouterr().out)["stages"]) == ["judge"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["small", "--data=nope"], "unknown data set 'nope'"),
        (["small", "--data=folder:nowhere"], "image folder not found: nowhere"),
        (["small", "--data=npz:nowhere.npz"], "samples file not found: nowhere.npz"),
        (["small", "--size=14"], "--size is for image folders"),
        (["small", "--data-dir=."], "digits comes with the package"),
        (["small", "--reuse=nowhere"], "model folder not found: nowhere"),
        (["judge", "--reuse=cascaded"], "--reuse is for methods"),
    ],
)
def test_a_dry_run_refuses_what_training_would(
    words: list[str], reason: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    """In the same line: neither gets as far as an image."""
    words = ["train", *words, "--preset=quick"]
    line = refused(*words, "--dry-run")
    assert reason in line
    assert refused(*words, f"--out={tmp_path / 'out'}") == line
    assert not list(tmp_path.iterdir())


def test_a_dry_run_of_ones_own_data(tmp_path: Path, samples: Path, capsys: Capture) -> None:
    """It is enough that files are there. These hold no images, and nothing reads them."""
    for name in ("train/a/1.png", "train/b/1.png", "test/a/1.png"):
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).touch()
    for data in (f"folder:{tmp_path / 'own'}", f"npz:{samples}"):
        main(["train", "small", "--preset=quick", "--dry-run", f"--data={data}"])
        assert yaml.safe_load(capsys.readouterr().out)["data"] == data


@pytest.mark.parametrize(
    ("verb", "says"), [("train", "the preset"), ("study", "the preset"), ("sample", "the model")]
)
def test_help_names_no_defaults_that_do_not_hold(verb: str, says: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"Recipe fields that are not given come from {says}." in text
    assert "default:" not in text[text.index(" The diffusion process and its sampler: ") :]
    assert "default: null" not in text


@pytest.mark.parametrize("text", ["1:2", "1_0"])
@pytest.mark.parametrize(
    "option",
    [
        *("--train.epochs", "--train.lr", "--study.seeds", "--net.channels", "--process.steps"),
        *("--stages.small.train.epochs", "--stages.small.net.channels"),
    ],
)
def test_numbers_of_yaml_1_1_are_refused(option: str, text: str) -> None:
    """1:2 is 62 there, and 1_0 is 10."""
    words = [[f"{option}={text}"], [option, text]]
    for own in [*words, *([[f"{option}=[8,{text}]"]] if "channels" in option else [])]:
        with pytest.raises(InputError, match=f"must be a number, got '{text}'"):
            load_config("quick", given(*own))


def test_options_of_every_kind_hold_what_they_say() -> None:
    fields = given(
        *("--train.epochs=10", "--train.lr", "1e-3", "--train.ema=.5", "--process.labels=no"),
        *("--process.continuous", "yes", "--net.norm_first=on", "--net.channels=8,16"),
        *("--study.seeds", "0,1", "--process.steps=[19,10]", "--process.x0=none"),
        *("--study.variants={'no': {}, b: {train: {lr: 0.5}}}", "--study.judge=1_0"),
        "--net.kind=my_1.nets:Net_2",
    )
    assert fields["train"] == {"epochs": 10, "lr": 1e-3, "ema": 0.5}
    steps = fields["process"].pop("steps")
    assert list(steps) == [19, 10]
    assert fields["process"] == {"labels": False, "continuous": True, "x0": "none"}
    assert list(fields["net"].pop("channels")) == [8, 16]
    assert fields["net"] == {"norm_first": True, "kind": "my_1.nets:Net_2"}
    assert list(fields["study"].pop("seeds")) == [0, 1]
    assert fields["study"]["judge"] == "1_0"
    assert fields["study"]["variants"] == {"no": {}, "b": {"train": {"lr": 0.5}}}
