from __future__ import annotations

import math
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from scalespace import options as opt
from scalespace.config import (
    AutoencoderConfig,
    BenchConfig,
    CASConfig,
    Config,
    NetConfig,
    ProcessConfig,
    StudyConfig,
    TrainConfig,
)
from scalespace.config.build import build
from scalespace.core.domain import X0_RULES
from scalespace.core.parametrization import PARAMETRIZATIONS
from scalespace.core.solvers import SOLVERS, Solver, renoise
from scalespace.data.info import DataInfo
from scalespace.errors import InputError, unknown
from scalespace.fields import digest, merge, nested, without
from scalespace.methods import METHODS, get_method, stages
from scalespace.model import Model
from scalespace.nets.unet import ACTIVATIONS
from scalespace.presets import names, read_preset
from scalespace.settings import load_config, make_training, stage_recipe
from scalespace.training import TrainedStage

INFO = DataInfo("mnist", tuple("0123456789"), 28, 28, 0.13, 0.31, "abc")

keys = st.text("abc", min_size=1, max_size=2)
trees = st.recursive(st.integers(), lambda inner: st.dictionaries(keys, inner, max_size=3))
fields = st.dictionaries(keys, trees, max_size=3)


def recipe(config: Config, stage: str) -> Any:
    """The recipe of the stage of that name."""
    return stage_recipe(config, stages()[stage])


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
        (NetConfig, "channels", ()),
        (NetConfig, "channels", (4, 0)),
        (NetConfig, "patch", 0),
        (NetConfig, "groups", 0),
        (NetConfig, "embedding", 0),
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
        (StudyConfig, "metrics", ()),
        (ProcessConfig, "schedule", "quadratic"),
        (ProcessConfig, "temperature", 0.0),
        (ProcessConfig, "temperature", math.inf),
        (ProcessConfig, "temperature", math.nan),
        (ProcessConfig, "predict", "velocity"),
        (AutoencoderConfig, "channels", ()),
        (AutoencoderConfig, "channels", (8, 0)),
        (AutoencoderConfig, "channels", (8, 1025)),
        (AutoencoderConfig, "latent", 0),
        (AutoencoderConfig, "latent", 257),
        (AutoencoderConfig, "beta", -0.1),
        (AutoencoderConfig, "beta", math.nan),
        (AutoencoderConfig, "prior", "uniform"),
    ],
)
def test_values_out_of_range(kind: type, field: str, value: object) -> None:
    if not isinstance(value, str):  # which of a choice's words are known, the builder checks
        with pytest.raises(ValueError, match=field):
            kind(**{field: value})
    with pytest.raises(InputError, match=field):
        build(kind, {field: value})


def test_groups_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match=r"multiples of net\.groups 4"):
        NetConfig(channels=(4, 6), norm="group")
    NetConfig(channels=(4, 6), norm="batch")


def test_the_papers_numbers_are_the_defaults() -> None:
    config = Config()
    assert config.net == NetConfig((16, 32, 64), "gelu", "batch", film="encoders")
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
    for stage in stages().values():
        assert stage_recipe(config, stage).train.epochs >= 1
    for method in config.study.methods:
        for stage in METHODS[method].stages:
            make_training(config, stage, 0, INFO).build()
    assert isinstance(hash(digest(config)), int)


def test_the_presets_there_are() -> None:
    assert set(names()) >= {"quick", "default", "paper", "series"}
    paper = load_config("paper")
    assert (paper.net, paper.process) == (NetConfig(), ProcessConfig())
    assert paper.train.ema == 0


def test_the_series_has_the_methods_of_the_default_as_they_are_there() -> None:
    """So that their trainings serve both."""
    series, default = load_config("series"), load_config("default")
    for name in default.study.methods:
        for stage in METHODS[name].stages:
            ours, theirs = (make_training(c, stage, 0, INFO) for c in (series, default))
            assert ours.identity == theirs.identity
    assert set(series.study.methods) > set(default.study.methods)
    assert series.study.metrics == ("cas", "fd", "kid", "prdc", "copies")
    own = read_preset("series")["stages"]
    assert set(own) <= set(stages())
    used = {stage.name for name in series.study.methods for stage in METHODS[name].stages}
    used |= {need.name for name in used for need in stages()[name].needs}
    assert set(own) <= used
    flow = recipe(series, "latent-flow").process
    assert (flow.schedule, flow.predict, flow.sampler) == ("flow", "flow", "ddim")
    latent = replace(default.process, sampler="ancestral", power=1.5, temperature=1.0)
    assert recipe(series, "latent").process == latent


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
        ("train: {epochs: 2020-13-45}", "not valid YAML"),
        ("[" * 3000, "not valid YAML"),
        ("train: {epochs: 3}\ntrain: {lr: 1}", "'train' is given twice"),
        ("study: {methods: [small, small]}", "study.methods must be different names"),
        ("study: {metrics: [cas, cas]}", "study.metrics must be different names"),
        ("process: {eta: 1.0e+308}", "process.eta must lie between"),
        ("process: {eta: .inf}", "process.eta must be a finite number, got inf"),
        ("study: {images: 9999999999999}", "study.images is too large"),
        ("a: &a [*a]", "contains itself"),
        ("train: {epochs: 1", "is not valid YAML"),
        ("train: {epochs: !!timestamp x}", "is not valid YAML"),
        ("train: {epochs: !!bool x}", "is not valid YAML"),
        ("train: \x00", "is not valid YAML"),
        ("a: " + "[" * 60 + "]" * 60, "50 levels deep"),
        ("bench: {batch_sizes: [1000000000000]}", "bench.batch_sizes must lie between"),
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
        ("base: qick", "base must be another one of autopsy"),
        ("base: 3", "base must be another one"),
        ("base: [quick]", "base must be another one"),
        ("base: {quick: 1}", "base must be another one"),
        ("base: quick\ntrain: {epoch: 3}", "'epoch'; did you mean 'epochs'"),
        ("autoencoder: {latents: 3}", "'latents'; did you mean 'latent'"),
        ("autoencoder: {prior: gaussian}", "prior"),
        ("stages: {vae: {net: {patch: 2}}}", "unknown field of stages.vae 'net'"),
        ("stages: {judge: {autoencoder: {}}}", "unknown field of stages.judge 'autoencoder'"),
        ("stages: {latent: {autoencoder: {}}}", "unknown field of stages.latent 'autoencoder'"),
        ("stages: {vae: 3}", "stages.vae must be a mapping"),
        ("stages: {vae: {train: 3}}", "stages.vae: train must be a mapping"),
        ("stages: {latent-flo: {}}", "did you mean 'latent-flow'"),
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


def test_a_control_has_the_recipe_of_what_it_controls() -> None:
    for preset in names():
        config = load_config(preset)
        assert recipe(config, "upscaler-own") == recipe(config, "upscaler")
    changes = {"upscaler": {"train": {"epochs": 7, "lr": 0.5}}, "upscaler-own": {"train.lr": 0.25}}
    config = load_config("default", {"stages": changes})
    plain, own = recipe(config, "upscaler").train, recipe(config, "upscaler-own").train
    assert (plain.epochs, plain.lr, own.epochs, own.lr) == (7, 0.5, 7, 0.25)


def test_a_stage_may_differ(preset: Path) -> None:
    config = load_config(
        str(preset), {"stages": {"small": {"train": {"epochs": 7}, "net.groups": 4}}}
    )
    small, baseline = recipe(config, "small"), recipe(config, "baseline")
    assert baseline == tiny.RECIPE
    assert small.train == replace(tiny.TRAIN, epochs=7)
    assert small.net == replace(tiny.NET, groups=4)
    assert small.process == tiny.PROCESS


def test_overrides_nested_and_dotted(preset: Path) -> None:
    one = load_config(str(preset), {"train": {"epochs": 9}, "study": {"seeds": [4]}})
    other = load_config(str(preset), {"train.epochs": 9, "study.seeds": [4]})
    assert one == other
    assert one.train == replace(tiny.TRAIN, epochs=9)
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
    assert digest(tiny.RECIPE) == digest(asdict(tiny.RECIPE))
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
    small = recipe(load_config(str(preset), given), "small")
    assert (small.train.epochs, small.net.channels) == (3, (4, 4))


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
    epochs = {name: recipe(config, name).train.epochs for name in ("baseline", "small")}
    assert epochs == {"baseline": 3, "small": 3}
    validate = recipe(load_config("default"), "small").train.validate_every
    assert recipe(config, "small").train.validate_every == validate, "the others stay"


def test_a_field_for_one_stage_beats_one_for_all() -> None:
    config = load_config("default", {"train.epochs": 3, "stages.small.train.epochs": 5})
    epochs = [recipe(config, s).train.epochs for s in ("baseline", "small", "upscaler")]
    assert epochs == [3, 5, 3]


@given(fields)
def test_without(tree: dict) -> None:
    assert without(tree, {}) == tree
    assert without({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"x": 9}, "b": 9}) == {"a": {"y": 2}}
    assert merge(without(tree, tree), tree) == tree


# What a preset takes from another


def write(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return str(path)


def test_a_base_is_what_a_preset_puts_its_own_fields_over(tmp_path: Path) -> None:
    mine = write(tmp_path, "mine", "base: quick\ntrain: {epochs: 3}\nstudy: {seeds: [7, 8]}")
    config, base = load_config(mine), load_config("quick")
    assert config.train == replace(base.train, epochs=3)
    assert config.study == replace(base.study, seeds=(7, 8))
    # as on the command line: a field for all stages also replaces what the base has for one
    typed = load_config("quick", {"train.epochs": 3})
    assert all(typed.stages[name] == config.stages[name] for name in ("small", "upscaler"))
    assert {recipe(config, name).train.epochs for name in ("baseline", "small", "upscaler")} == {3}
    assert recipe(config, "upscaler").net == recipe(base, "upscaler").net
    assert "base" not in read_preset(mine)
    assert load_config(write(tmp_path, "same", "base: quick")) == base
    with pytest.raises(InputError, match="unknown field"):
        load_config("quick", {"base": "default"})


def test_a_preset_is_no_base_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scalespace import presets

    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    write(tmp_path, "own", "base: own\ntrain: {epochs: 3}")
    write(tmp_path, "first", "train: {epochs: 3, lr: 0.5}")
    write(tmp_path, "second", "base: first\ntrain: {epochs: 4}")
    write(tmp_path, "third", "base: second\ntrain: {ema: 0.5}")
    with pytest.raises(InputError, match="base must be another one of first, own, second, third"):
        read_preset("own")
    assert read_preset("third") == {"train": {"epochs": 4, "lr": 0.5, "ema": 0.5}}
    assert load_config("third").train == TrainConfig(epochs=4, lr=0.5, ema=0.5)


# What a stage has of its own, and what beats it

OWN_STAGE = "stages: {vae: {train: {epochs: 4, lr: 0.25}}}\ntrain: {epochs: 2, ema: 0.5, lr: 0.125}"


def test_what_beats_what(tmp_path: Path) -> None:
    """From the weakest: the preset's common field, the stage's own default, what the preset says
    of the stage, the user's common field, the user's field of the stage."""
    preset = write(tmp_path, "own", OWN_STAGE)

    def train(stage: str, **overrides: Any) -> TrainConfig:
        found: TrainConfig = recipe(load_config(preset, overrides), stage).train
        return found

    default = stages()["vae"].defaults["train"]
    assert (default["ema"], default["lr"], default["batch_size"]) == (0.0, 1e-3, 128)
    judge = stages()["judge"].defaults["train"]
    assert (judge["epochs"], judge["lr"], judge["ema"]) == (100, 1e-3, 0.999)
    long = {"batch_size": 256, "validate_images": 10_000}  # of the judge, by its own default
    # no default of the stage: the common field; a default: that; said by the preset: that
    assert train("vae") == TrainConfig(epochs=4, ema=0.0, lr=0.25)
    assert train("judge") == TrainConfig(epochs=100, ema=0.999, lr=1e-3, **long)
    assert train("small") == TrainConfig(epochs=2, ema=0.5, lr=0.125)
    # the user's common field beats all three, and only where it was given
    user = {"train": {"ema": 0.75, "epochs": 9}}
    assert train("vae", **user) == TrainConfig(epochs=9, ema=0.75, lr=0.25)
    assert train("judge", **user) == TrainConfig(epochs=9, ema=0.75, lr=1e-3, **long)
    # and is beaten by what the user says of the stage
    more = {**user, "stages": {"vae": {"train": {"ema": 0.25}}}}
    assert train("vae", **more) == TrainConfig(epochs=9, ema=0.25, lr=0.25)
    assert train("judge", **more) == TrainConfig(epochs=9, ema=0.75, lr=1e-3, **long)


def test_stages_own_fields_stand_without_a_word_from_the_preset() -> None:
    config = load_config("paper")
    flow = recipe(config, "latent-flow").process
    assert (flow.schedule, flow.predict, flow.sampler) == ("flow", "flow", "ddim")
    assert recipe(config, "latent").process == ProcessConfig()
    assert recipe(config, "vae").autoencoder == AutoencoderConfig()
    # the series' judge: all of it is the stage's own
    assert recipe(config, "judge").train == TrainConfig(
        epochs=100, batch_size=256, lr=1e-3, ema=0.999, validate_images=10_000
    )
    assert recipe(load_config("quick"), "judge") == recipe(config, "judge")
    # a choice of the user's for all holds for these, too
    given = load_config("paper", {"process.sampler": "ancestral"})
    assert recipe(given, "latent-flow").process == replace(flow, sampler="ancestral")


def test_reading_a_preset_changes_no_stage() -> None:
    before = {name: digest(dict(stage.defaults)) for name, stage in stages().items()}
    load_config("series", {"stages.vae.train.lr": 0.5, "stages.latent-flow.process.predict": "v"})
    assert {name: digest(dict(stage.defaults)) for name, stage in stages().items()} == before


# What names a training, and what names a model


def model(method: str, **overrides: Any) -> Model:
    """An untrained model of the series' recipe with fields of one's own."""
    config = load_config("quick", overrides)
    stages = {}
    for stage in METHODS[method].stages:
        training = make_training(config, stage, 0, INFO)
        weights = training.build().state_dict()
        stages[stage.name] = TrainedStage(training, weights, weights, {})
    return Model(METHODS[method], stages)


@pytest.mark.parametrize(
    ("method", "field", "value"),
    [
        ("small", "process.sampler", "ancestral"),
        ("small", "process.x0", "none"),
        ("cascaded", "process.x0", "dynamic"),
        ("latent-flow", "process.sampler", "ancestral"),
        ("vae", "autoencoder.prior", "normal"),
    ],
)
def test_what_matters_in_sampling_alone_trains_nothing_again(
    method: str, field: str, value: str
) -> None:
    one, other = model(method), model(method, **{field: value})
    for name, stage in one.stages.items():
        assert stage.training.identity == other.stages[name].training.identity
    assert any(
        stage.training.sampling != other.stages[name].training.sampling
        for name, stage in one.stages.items()
    )
    assert one.hash != other.hash


@pytest.mark.parametrize(
    ("method", "field", "value"),
    [
        ("small", "process.predict", "flow"),
        ("small", "process.schedule", "linear"),
        ("small", "process.labels", False),
        ("small", "process.states", 7),
        ("vae", "autoencoder.beta", 0.5),
        ("vae", "autoencoder.latent", 3),
        ("latent", "autoencoder.beta", 0.5),
        ("latent", "net.patch", 2),
    ],
)
def test_what_matters_in_training_names_another(method: str, field: str, value: object) -> None:
    extra = {"net.channels": [8, 16]}  # latents of 4x4 pixels, halved again by the patch
    one, other = model(method, **extra), model(method, **extra, **{field: value})
    last = METHODS[method].stages[-1].name
    assert one.stages[last].training.identity != other.stages[last].training.identity
    assert one.hash != other.hash


def test_a_judges_training_knows_only_its_own_fields() -> None:
    judge = stages()["judge"]

    def identity(**overrides: Any) -> str:
        return make_training(load_config("quick", overrides), judge, 0, INFO).identity

    same = {"net.patch": 2, "process.states": 9, "autoencoder.beta": 0.5, "cas.epochs": 1}
    assert {identity(**{field: value}) for field, value in same.items()} == {identity()}
    assert identity(**{"train.lr": 0.5}) != identity()


@pytest.mark.parametrize("given", [None, 3, b"default", ["default"], Path])
def test_what_is_no_name_of_a_preset(given: Any) -> None:
    with pytest.raises(
        InputError, match=r"^a preset is a name \(autopsy, .*\) or a YAML file's path"
    ):
        load_config(given)


@pytest.mark.parametrize("given", [3, "train.epochs=3", [("train.epochs", 3)], []])
def test_overrides_are_a_mapping(given: Any) -> None:
    with pytest.raises(InputError, match=r"^overrides must be a mapping of fields, got"):
        load_config("default", given)


def test_a_path_will_do_for_a_preset(preset: Path) -> None:
    assert load_config(preset) == load_config(str(preset))


@pytest.mark.parametrize(
    ("part", "field", "registry"),
    [
        (ProcessConfig, "x0", X0_RULES),
        (ProcessConfig, "predict", PARAMETRIZATIONS),
        (NetConfig, "activation", ACTIVATIONS),
    ],
)
def test_what_a_field_may_be_is_what_its_registry_holds(
    part: type, field: str, registry: dict[str, Any]
) -> None:
    assert set(get_args(get_type_hints(part)[field])) == set(registry)


@pytest.mark.parametrize("field", ["process.sampler", "stages.small.process.sampler"])
def test_no_such_sampler(field: str) -> None:
    near = r"unknown process\.sampler 'euler1'; did you mean 'euler'\?"
    with pytest.raises(InputError, match=near):
        load_config("quick", {field: "euler1"})
    with pytest.raises(InputError, match="if it is your own, set SCALESPACE_PLUGINS"):
        load_config("quick", {field: "mine"})


def test_a_sampler_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry in `SOLVERS` is all that it takes."""
    monkeypatch.setitem(SOLVERS, "mine", Solver("mine", renoise))
    config = load_config("quick", {"process.sampler": "mine"})
    model = make_training(config, get_method("baseline").stages[0], 0, INFO).build()
    assert model.legs()[0].solver == SOLVERS["mine"]


@pytest.mark.parametrize("spacing", get_args(get_type_hints(ProcessConfig)["spacing"]))
@pytest.mark.parametrize("schedule", get_args(get_type_hints(ProcessConfig)["schedule"]))
def test_every_schedule_and_spacing_can_be_made(schedule: str, spacing: str) -> None:
    config = load_config(
        "quick", {"process": {"schedule": schedule, "spacing": spacing, "steps": 3}}
    )
    stage = get_method("baseline").stages[0]
    model = make_training(config, stage, 0, INFO).build()
    (leg,) = model.legs()
    assert len(leg.visits()) == 3


ODD = ["1:2", "1_0", "-1_0.5"]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize(
    "field",
    ["train.epochs", "train.lr", "study.seeds", "net.channels", "process.steps", "train.warmup"],
)
def test_numbers_of_yaml_1_1_are_refused(field: str, text: str, tmp_path: Path) -> None:
    """1:2 is 62 there, and 1_0 is 10."""
    part, name = field.split(".")
    value = f"[{text}]" if name in ("seeds", "channels") else text
    (tmp_path / "own.yaml").write_text(f"{part}: {{{name}: {value}}}\n")
    with pytest.raises(InputError, match=re.escape(f"{field} must be a number, got '{text}'")):
        load_config(tmp_path / "own.yaml")
    with pytest.raises(InputError, match=f"{field} must be a number"):
        load_config("quick", {field: [text] if value[0] == "[" else text})
    (tmp_path / "stage.yaml").write_text(f"stages: {{small: {{{part}: {{{name}: {value}}}}}}}\n")
    if name == "steps":
        with pytest.raises(InputError, match=r"process\.steps must be a number"):
            load_config("quick", {field: {"small": text}})
    if part != "study":
        with pytest.raises(InputError, match=re.escape(f"must be a number, got '{text}'")):
            load_config(tmp_path / "stage.yaml")


def test_what_yaml_writes_otherwise_still_holds(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "train: {epochs: 010, lr: 1e-3, ema: .5, warmup: +3, batch_size: '64'}\n"
        "process: {labels: no, continuous: on, steps: [3, 2], states: 4, predict: v}\n"
        "study: {judge: 1_0, seeds: [0, 1], methods: [small], variants: {'1:2': {}, 'no': {}}}\n"
        "stages: {small: {train: {lr: 2.0e-3}}}\n"
    )
    config = load_config(tmp_path / "own.yaml")
    assert (config.train.epochs, config.train.lr, config.train.ema) == (10, 1e-3, 0.5)
    assert (config.train.warmup, config.train.batch_size) == (3, 64)
    assert (config.process.labels, config.process.continuous) == (False, True)
    assert config.process.steps == (3, 2)
    assert config.study.judge == "1_0"
    assert list(config.study.variants) == ["1:2", "no"]
    assert config.stages["small"]["train"]["lr"] == 2e-3
