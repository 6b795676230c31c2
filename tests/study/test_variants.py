from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import tiny
from scalespace.config import Config, StudyConfig
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.presets import names
from scalespace.settings import load_config, vary
from scalespace.studies.variants import ALL_RIGHT, ALL_WRONG, make_arms, make_variants
from scalespace.training.training import Training

INFO = DataInfo("digits", ("a", "b", "c"), 12, 12, 0.5, 0.4, "abc")


def config(**study: Any) -> Config:
    return replace(tiny.CONFIG, study=replace(tiny.CONFIG.study, methods=("small",), **study))


def test_a_study_without_variants_has_one_of_no_name() -> None:
    [variant] = make_variants(StudyConfig()).values()
    assert (variant.name, variant.base, variant.changes) == ("", "", {})
    [arm] = make_arms(config(), INFO)
    assert arm.method.name == "small"
    assert list(arm.trainings) == [0, 1]


def test_fields_may_be_nested_or_dotted_and_start_from_another_variant() -> None:
    made = make_variants(
        StudyConfig(
            variants={
                "as it is": {},
                "a": {"process.x0": "none"},
                "b": {"process": {"x0": "none"}, "train.lr": 0.1},
                "c": {"like": "b", "train": {"lr": 0.2}},
                "d": None,
            }
        )
    )
    assert {name: one.base for name, one in made.items()} == {
        "as it is": "as it is",
        "a": "as it is",
        "b": "as it is",
        "c": "b",
        "d": "as it is",
    }
    assert made["a"].changes == {"process": {"x0": "none"}}
    assert made["c"].changes == {"process": {"x0": "none"}, "train": {"lr": 0.2}}


def test_switches_are_turned_one_by_one_from_both_ends() -> None:
    """Against the definition, written out for three."""
    made = make_variants(
        StudyConfig(
            switches={"p": {"process.x0": "clip"}, "q": {"train.lr": 1}, "r": {"net.groups": 2}},
            variants={"more": {"like": ALL_RIGHT, "train.ema": 0.5}},
        )
    )
    x0, lr, groups = {"process": {"x0": "clip"}}, {"train": {"lr": 1}}, {"net": {"groups": 2}}
    assert {name: (one.base, one.changes) for name, one in made.items()} == {
        "all wrong": ("all wrong", {}),
        "only p right": ("all wrong", x0),
        "only q right": ("all wrong", lr),
        "only r right": ("all wrong", groups),
        "all right": ("all wrong", x0 | lr | groups),
        "only p wrong": ("all right", lr | groups),
        "only q wrong": ("all right", x0 | groups),
        "only r wrong": ("all right", x0 | lr),
        "more": ("all right", x0 | groups | {"train": {"lr": 1, "ema": 0.5}}),
    }
    assert next(iter(made)) == ALL_WRONG


def test_a_variant_is_what_load_config_makes_of_the_same_fields() -> None:
    """A field for all stages replaces what the config has for one of them."""
    changes = {"train.epochs": 3, "stages.small.process.x0": "none"}
    for preset in ("quick", "series"):
        assert vary(load_config(preset), changes) == load_config(preset, changes)
    assert vary(tiny.CONFIG, {}) == tiny.CONFIG


def epochs(training: Training) -> int:
    return int(training.recipe.train.epochs)


def test_arms_are_methods_times_variants() -> None:
    study = {"as it is": {}, "long": {"train.epochs": 9}, "own": {"stages.small.train.epochs": 5}}
    made = make_arms(
        replace(
            tiny.CONFIG,
            study=StudyConfig(
                methods=("small", "cascaded"),
                seeds=(3, 4),
                variants=study,
                only={"cascaded": ["own"]},
            ),
        ),
        INFO,
    )
    # each is carried out in the first, which the others are compared with
    assert [(arm.variant.name, arm.method.name) for arm in made] == [
        ("as it is", "small"),
        ("as it is", "cascaded"),
        ("long", "small"),
        ("own", "small"),
        ("own", "cascaded"),
    ]
    assert [[t.seed for t in of] for of in made[1].trainings.values()] == [[3, 3], [4, 4]]
    assert [[epochs(t) for t in arm.trainings[3]] for arm in made] == [
        [2],
        [2, 2],
        [9],
        [5],
        [5, 2],
    ]


def test_the_needs_of_a_training_have_its_seed() -> None:
    study = StudyConfig(methods=("latent",), seeds=(3, 4))
    [arm] = make_arms(replace(tiny.CONFIG, study=study), INFO)
    assert [need.seed for need in arm.trainings[4][1].needs] == [4]


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({"variants": {"x": 3}}, r"study\.variants\.x must be a mapping of fields, got 3"),
        ({"switches": {"x": [1]}}, r"study\.switches\.x must be a mapping"),
        ({"variants": {"x": {"trian.epochs": 3}}}, "did you mean 'train'"),
        ({"variants": {"x": {"cas.epochs": 3}}}, "'cas' is the same for all variants"),
        ({"variants": {"x": {"data": "mnist"}}}, "'data' is the same for all variants"),
        ({"variants": {"x": {"train.epoch": 3}}}, "did you mean 'epochs'"),
        ({"variants": {"x": {"train.epochs": 0}}}, r"train\.epochs must be at least 1"),
        ({"variants": {"x": {"like": "y"}}}, r"unknown variant for study\.variants\.x\.like 'y'"),
        ({"variants": {"y": {}, "x": {"like": ["y"]}}}, r"x\.like must be the name .*\['y'\]"),
        ({"variants": {"y": {}, "x": {"like.y": 1}}}, r"x\.like must be the name of a variant"),
        (
            {"switches": {"x": {"train.epochs": 3}}, "variants": {"all wrong": {}}},
            r"study\.variants\.all wrong: study\.switches make a variant of that name",
        ),
        ({"variants": {"a\nb": {}}}, r"a name must be one line of text .* got 'a\\nb'"),
        ({"variants": {"x" * 101: {}}}, "of at most 100 characters"),
        ({"only": {"small": [["x"]]}}, r"unknown variant of study\.only\.small"),
        ({"only": {"smal": []}}, "did you mean 'small'"),
        ({"only": {"small": "x"}}, r"study\.only\.small must be a list"),
        ({"variants": {"abc": {}}, "only": {"small": ["abd"]}}, "did you mean 'abc'"),
        # its stages would not understand one another
        (
            {
                "methods": ("cascaded",),
                "variants": {"x": {"stages.small.ablation.unit_range": True}},
            },
            "must have their images in the same units",
        ),
    ],
)
def test_bad_variants(study: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_arms(replace(tiny.CONFIG, study=replace(config().study, **study)), INFO)


SNR = {"process.spacing": "snr"}


@pytest.mark.parametrize(
    ("methods", "variants"),
    [
        (("small",), {"x": {"process.eta": 0.5}}),
        (("cascaded",), {"y": {}, "x": {"process.eta": 0.5}}),
        (("latent-flow", "small"), {"y": {}, "x": {"stages.small.process.eta": 0.5}}),
        (("small",), {"y": {"process.steps": 2}, "x": SNR}),
        (("small",), {"y": {}, "x": {"process.guidance_states": [1, 2]}}),
        (("vae",), {"y": {}, "x": {"process.eta": 0.5}}),
    ],
)
def test_a_variant_that_changes_nothing(methods: tuple[str, ...], variants: dict[str, Any]) -> None:
    """By the rule of `sample`; it would be sampled a second time."""
    study = replace(config().study, methods=methods, variants=variants)
    with pytest.raises(InputError, match=r"^study\.variants\.x: .*process\.\w+ changes nothing: "):
        make_arms(replace(tiny.CONFIG, study=study), INFO)


@pytest.mark.parametrize(
    ("methods", "study"),
    [
        # one arm of several heeds it
        (("latent-flow", "small"), {"variants": {"y": {}, "x": {"process.eta": 0.5}}}),
        (("small",), {"variants": {"y": {}, "x": {"process.steps": 2, **SNR}}}),
        # the other's field, which this one's sampler leaves alone
        (
            ("small",),
            {
                "variants": {
                    "y": {"process.sampler": "ddim", "process.eta": 0.5},
                    "x": {"like": "y", "process.sampler": "ancestral"},
                }
            },
        ),
        # a stage of methods that this study does not run
        (("latent-flow",), {"variants": {"y": {}, "x": {"stages.small.process.eta": 0.5}}}),
        # a switch may matter beside another alone
        (
            ("small",),
            {"switches": {"a": {"process.sampler": "ddim"}, "b": {"process.eta": 0.5}}},
        ),
    ],
)
def test_what_is_heeded_somewhere(methods: tuple[str, ...], study: dict[str, Any]) -> None:
    own = replace(config().study, methods=methods, **study)
    assert make_arms(replace(tiny.CONFIG, study=own), INFO)


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_every_shipped_preset_has_arms(name: str) -> None:
    made = load_config(name)
    assert make_arms(made, replace(INFO, classes=tuple("abcdefghij"), height=28, width=28))


@pytest.mark.parametrize("kind", ["variants", "switches"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (1, "text, got 1: write it in quotes, for YAML reads numbers"),
        (date(2020, 1, 1), "text, got 2020-01-01: write it in quotes"),
        (True, "text, got True: write it in quotes"),
        (None, "text, got None: write it in quotes"),
        (" ", "one line of text of at most 100 characters, got ' '"),
    ],
)
def test_a_name_that_is_no_text(kind: str, name: Any, message: str) -> None:
    """JSON would make text of it, under which the results are not found again."""
    study = StudyConfig(**{kind: {"as it is": {}, name: {"train.epochs": 3}}})
    with pytest.raises(InputError) as caught:
        make_variants(study)
    assert str(caught.value).startswith(f"study.{kind}: a name must be {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["off", "3", "2020-01-01", "null"])
def test_a_name_in_a_preset_that_yaml_reads_as_no_text(name: str, tmp_path: Path) -> None:
    preset = tmp_path / "own.yaml"
    preset.write_text(f"base: few\nstudy: {{variants: {{{name}: {{process.steps: 3}}}}}}\n")
    with pytest.raises(InputError, match=r"study\.variants: a name must be text, got .* in quotes"):
        load_config(str(preset))


def test_the_published_code_is_all_wrong_and_the_other_end_all_right() -> None:
    """Issue and design: seven deviations, each a switch of its own."""
    config = load_config("autopsy", {"study.methods": ["small"], "study.seeds": [0]})
    arms = {arm.variant.name: arm.trainings[0][0] for arm in make_arms(config, INFO)}
    switches = list(config.study.switches)
    assert len(switches) == 7
    recipe = arms["all wrong"].recipe
    published = (recipe.net.channels, recipe.net.norm, recipe.process.predict, recipe.train.ema)
    assert published == ((16, 32, 64, 128), "batch", "noise", 0)
    assert (recipe.train.epochs, recipe.train.batch_size, recipe.train.lr) == (5, 128, 1e-3)

    def wrong(name: str) -> list[bool]:
        """Which of the seven, in the preset's order, an arm has wrong."""
        training = arms[name]
        r = training.recipe
        return [
            r.ablation.alpha,
            r.ablation.renoise,
            r.ablation.batch_mode,
            (training.data.mean, training.data.std) == (0, 1),
            r.process.stop_short,
            r.process.x0 == "none",
            len(r.net.channels) == 4,
        ]

    assert wrong("all wrong") == [True] * 7
    assert wrong("all right") == [False] * 7
    for k, switch in enumerate(switches):
        assert wrong(f"only {switch} right") == [j != k for j in range(7)]
        assert wrong(f"only {switch} wrong") == [j == k for j in range(7)]
    # what differs in sampling alone shares a training
    identities = {name: training.identity for name, training in arms.items()}
    for switch in ("estimate", "posterior", "norm", "clip"):
        assert identities[f"only {switch} right"] == identities["all wrong"]
        assert identities[f"only {switch} wrong"] == identities["all right"]
    assert len(set(identities.values())) == 10
    assert len({str(training.sampling) for training in arms.values()}) == 10
