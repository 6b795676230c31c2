from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from scalespace import options as opt
from scalespace.config import (
    BenchConfig,
    CASConfig,
    Config,
    ProcessConfig,
    StudyConfig,
    TrainConfig,
    UNetConfig,
)
from scalespace.errors import InputError, unknown
from scalespace.methods import METHODS
from scalespace.presets import build, digest, merge, names, nested, read_preset, without
from scalespace.settings import load_config, stage_recipe

keys = st.text("abc", min_size=1, max_size=2)
trees = st.recursive(st.integers(), lambda inner: st.dictionaries(keys, inner, max_size=3))
fields = st.dictionaries(keys, trees, max_size=3)


def leaves(tree: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    return {
        key: value
        for name, inner in tree.items()
        for key, value in leaves(inner, f"{path}.{name}" if path else name).items()
    }


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (UNetConfig, "channels", ()),
        (UNetConfig, "channels", (4, 0)),
        (UNetConfig, "patch", 0),
        (UNetConfig, "groups", 0),
        (UNetConfig, "embedding", 0),
        (ProcessConfig, "states", 1),
        (ProcessConfig, "power", 0),
        (ProcessConfig, "power", math.nan),
        (TrainConfig, "epochs", 0),
        (TrainConfig, "batch_size", 0),
        (TrainConfig, "lr", 0),
        (TrainConfig, "lr", math.nan),
        (TrainConfig, "warmup", -1),
        (TrainConfig, "ema", 1),
        (TrainConfig, "ema", -0.1),
        (TrainConfig, "validate_every", 0),
        (TrainConfig, "validate_images", 0),
        (TrainConfig, "grid_every", -1),
        (CASConfig, "classifiers", 0),
        (CASConfig, "epochs", 0),
        (CASConfig, "batch_size", 0),
        (CASConfig, "lr", -1),
        (BenchConfig, "productions", 0),
        (BenchConfig, "warmup", -1),
        (BenchConfig, "batch_sizes", ()),
        (BenchConfig, "batch_sizes", (0,)),
        (BenchConfig, "batches", 0),
        (StudyConfig, "seeds", ()),
        (StudyConfig, "seeds", (1, 1)),
        (StudyConfig, "seeds", (-1,)),
        (StudyConfig, "images", 0),
    ],
)
def test_values_out_of_range(kind: type, field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        kind(**{field: value})
    with pytest.raises(InputError, match=field):
        build(kind, {field: value})


def test_groups_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match=r"multiples of net\.groups 4"):
        UNetConfig(channels=(4, 6), norm="group")
    UNetConfig(channels=(4, 6), norm="batch")


def test_the_papers_numbers_are_the_defaults() -> None:
    config = Config()
    assert config.net == UNetConfig((16, 32, 64), "gelu", "batch", film="encoders")
    assert (config.process.power, config.process.predict, config.process.x0) == (
        1.5,
        "noise",
        "none",
    )
    assert (config.train.batch_size, config.train.lr) == (128, 1e-3)
    assert (config.cas.classifiers, config.study.images) == (5, 10_000)
    assert config.bench.productions == 1000


# Presets


@pytest.mark.parametrize("name", names())
def test_shipped_presets(name: str) -> None:
    config = load_config(name)
    stages = {stage.name for method in METHODS.values() for stage in method.stages}
    for stage in stages:
        assert stage_recipe(config, stage).train.epochs >= 1
    assert isinstance(hash(digest(config)), int)


def test_the_presets_there_are() -> None:
    assert set(names()) >= {"quick", "default", "paper"}
    paper = load_config("paper")
    assert (paper.net, paper.process) == (UNetConfig(), ProcessConfig())
    assert paper.train.ema == 0


def test_a_file_as_preset(preset: Path) -> None:
    assert load_config(str(preset)) == tiny.CONFIG


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a mapping"),
        ("- 1", "must be a mapping"),
        ("3", "must be a mapping"),
        ("a: [", "not valid YAML"),
        ("a: !!python/object:os.system x", "not valid YAML"),
        ("train: {epoch: 3}", "'epoch'; did you mean 'epochs'"),
        ("trian: {epochs: 3}", "'trian'; did you mean 'train'"),
        ("train: {epochs: three}", "epochs"),
        ("train: {epochs: 1.5}", "epochs"),
        ("train: {epochs: }", "train.epochs must have a value"),
        ("train: 3", "train must be a mapping of fields"),
        ("train: ", "train must be a mapping of fields"),
        ("net: {norm: layer}", "norm"),
        ("net: {norm: null}", "net.norm must have a value"),
        ("net: {channels: 4}", "channels"),
        ("net: {channels: [4, null]}", "channels"),
        ("stages: {smal: {}}", "'smal'; did you mean 'small'"),
        ("stages: {small: {train: {epoch: 3}}}", "did you mean 'epochs'"),
        ("stages: {small: {trian: {}}}", "did you mean 'train'"),
        ("stages: {small: 3}", "stages.small must be a mapping"),
        ("stages: {small: {train: {epochs: 0}}}", "epochs must be at least 1"),
        ("stages: 3", "stages"),
        ("study: {methods: [cascade]}", "did you mean 'cascaded'"),
        ("1: 2", "unknown field"),
    ],
)
def test_bad_presets(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_config(str(path))
    assert "\n" not in str(caught.value)


def test_presets_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown preset 'qick'; did you mean 'quick'"):
        read_preset("qick")
    with pytest.raises(InputError, match=r"not found: .*none\.yaml"):
        read_preset(str(tmp_path / "none.yaml"))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        read_preset(str(tmp_path / "bytes.yaml"))


# Overrides and stages


def test_a_stage_may_differ(preset: Path) -> None:
    config = load_config(
        str(preset), {"stages": {"small": {"train": {"epochs": 7}, "net.groups": 4}}}
    )
    small, baseline = stage_recipe(config, "small"), stage_recipe(config, "baseline")
    assert baseline == tiny.RECIPE
    assert small.train == dataclasses.replace(tiny.TRAIN, epochs=7)
    assert small.net == dataclasses.replace(tiny.NET, groups=4)
    assert small.process == tiny.PROCESS


def test_overrides_nested_and_dotted(preset: Path) -> None:
    one = load_config(str(preset), {"train": {"epochs": 9}, "study": {"seeds": [4]}})
    other = load_config(str(preset), {"train.epochs": 9, "study.seeds": [4]})
    assert one == other
    assert one.train == dataclasses.replace(tiny.TRAIN, epochs=9)
    assert one.study.seeds == (4,)


@given(fields, fields)
def test_merge_puts_leaves_over_leaves(base: dict, over: dict) -> None:
    merged = leaves(merge(base, over))
    for path, value in leaves(over).items():
        if path and not (value == {} and isinstance(value, dict)):
            assert merged[path] == value
    assert merge(base, {}) == base
    assert merge(merge(base, over), over) == merge(base, over)


@given(fields)
def test_nested_reads_dots(tree: dict) -> None:
    dotted = {path: value for path, value in leaves(tree).items() if path}
    assert nested(dotted) == tree


def test_digest_is_stable_and_tells_values_apart() -> None:
    assert digest({"b": 1, "a": (1, 2)}) == digest({"a": [1, 2], "b": 1})
    assert digest(tiny.RECIPE) == digest(dataclasses.asdict(tiny.RECIPE))
    assert len({digest(value) for value in (1, 1.5, "1", [1], None, {"a": 1})}) == 6
    # addresses of trainings on users' disks: a change makes them train again
    assert digest({"lr": 0.001, "channels": (16, 32), "name": "ü"}) == "4f042dc161de"


# The command line's options


def parsed(*words: str) -> dict[str, Any]:
    parser = opt.parser("study", "Test.")
    opt.add_config(parser)
    return opt.config_fields(opt.parse(parser, words)[1])


@pytest.mark.parametrize(
    "words",
    [["--study.seeds=0,1"], ["--study.seeds", "0,1"], ["--study.seeds=[0,1]"]],
)
def test_lists_need_no_brackets(words: list[str]) -> None:
    assert list(parsed(*words)["study"]["seeds"]) == [0, 1]


def test_only_what_was_given_is_passed_on() -> None:
    assert parsed("--train.epochs=3") == {"train": {"epochs": 3}}
    assert parsed() == {}


def test_fields_of_a_stage(preset: Path) -> None:
    given = parsed("--stages.small.train.epochs=3", "--stages.small.net.channels=[4, 4]")
    recipe = stage_recipe(load_config(str(preset), given), "small")
    assert (recipe.train.epochs, recipe.net.channels) == (3, (4, 4))


@pytest.mark.parametrize("text", ["3,1,4", " 3, 1,4 ", "3 ,1,4"])
def test_numbers(text: str) -> None:
    assert opt.numbers(text, "--labels") == [3, 1, 4]


@pytest.mark.parametrize("text", ["", "a", "3,", "1.5", "3;4", "1,,2"])
def test_what_are_no_numbers(text: str) -> None:
    with pytest.raises(InputError, match="--labels takes whole numbers"):
        opt.numbers(text, "--labels")


def test_nearest_names() -> None:
    assert str(unknown("thing", "smal", ["small", "big"])) == (
        "unknown thing 'smal'; did you mean 'small'? (known: big, small)"
    )
    assert str(unknown("thing", "xyz", ["small"])) == "unknown thing 'xyz' (known: small)"
    assert "None" in str(unknown("thing", None, ["small"]))


def test_a_field_for_all_stages_replaces_what_the_preset_has_for_one() -> None:
    """Nobody who says --train.epochs=3 expects the small stage to go on for the preset's 40."""
    config = load_config("default", {"train.epochs": 3})
    epochs = {name: stage_recipe(config, name).train.epochs for name in ("baseline", "small")}
    assert epochs == {"baseline": 3, "small": 3}
    validate = stage_recipe(load_config("default"), "small").train.validate_every
    assert stage_recipe(config, "small").train.validate_every == validate, "the others stay"


def test_a_field_for_one_stage_beats_one_for_all() -> None:
    config = load_config("default", {"train.epochs": 3, "stages.small.train.epochs": 5})
    epochs = [stage_recipe(config, s).train.epochs for s in ("baseline", "small", "upscaler")]
    assert epochs == [3, 5, 3]


@given(fields)
def test_without(tree: dict) -> None:
    assert without(tree, {}) == tree
    assert without({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"x": 9}, "b": 9}) == {"a": {"y": 2}}
    assert merge(without(tree, tree), tree) == tree
