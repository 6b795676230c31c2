"""Studies of variants: what they share, what they leave, and scores by the validation part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from scalespace.cli import main
from scalespace.config import Config, NetConfig
from scalespace.data import DataSplits, read_samples
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.evaluation import judge as judges
from scalespace.evaluation.judge import Judge
from scalespace.report import page as report
from scalespace.report.results import Results
from scalespace.settings import load_config
from scalespace.stages.denoising import Diffusion
from scalespace.studies import executors
from scalespace.studies.plan import Plan, make_plan
from scalespace.studies.runner import run_tasks
from scalespace.studies.variants import make_arms

Row = dict[str, Any]
INFO = DataInfo("digits", ("a", "b", "c"), 12, 12, 0.5, 0.4, "abc")
VARIANTS = {
    "as it is": {},
    "no clip": {"process.x0": "none"},
    "long": {"train.epochs": 3},
    "long, no clip": {"like": "long", "process.x0": "none"},
}


def quiet(_: str) -> None:
    pass


def config(variants: dict[str, Any] | None = None, **study: Any) -> Config:
    fields = {"methods": ("small",), "variants": VARIANTS if variants is None else variants}
    return replace(tiny.CONFIG, study=replace(tiny.CONFIG.study, **(fields | study)))


def ids(plan: Plan, *kinds: str) -> set[str]:
    return {task.id for task in plan.tasks if task.kind in kinds}


# The plan


def test_variants_that_differ_in_sampling_share_a_training() -> None:
    plan = make_plan(config(), INFO)
    by_kind: dict[str, dict[str, tuple[str, ...]]] = {}
    for task in plan.tasks:
        names = plan.serves.get(task.id, ())
        by_kind.setdefault(task.kind, {}).setdefault(task.name, ())
        by_kind[task.kind][task.name] += (", ".join(names),)
    both = ("as it is, no clip", "long, long, no clip")
    assert by_kind["train"] == {"small-seed0": both, "small-seed1": both}
    assert by_kind["leak"] == by_kind["train"]
    own = tuple(VARIANTS)
    assert by_kind["sample"] == {"small-seed0": own, "small-seed1": own}
    # the seeds' images together are scored of the first variant alone
    assert by_kind["score"] == {
        "cas-real": ("",),
        "cas-real-down-up": ("",),
        "cas-small": ("as it is",),
        "cas-small-seed0": own,
        "cas-small-seed1": own,
    }
    assert by_kind["bench"] == {"seed0": ("",)}
    done: set[str] = set()
    for task in plan.tasks:
        assert {need.id for need in task.needs} <= done
        done.add(task.id)
    assert len(done) == len(plan.tasks)


def test_each_unit_samples_as_its_variant_says() -> None:
    plan = make_plan(config(), INFO)
    for task in plan.tasks:
        if task.kind == "sample":
            [variant] = plan.serves[task.id]
            [training] = plan.trainings[task.id]
            assert (training.recipe.process.x0 == "none") == ("no clip" in variant)
            assert (training.recipe.train.epochs == 3) == ("long" in variant)
            assert training.seed == task.inputs["seed"]


@pytest.mark.parametrize("methods", [("small",), ("cascaded", "latent", "small")])
def test_units_without_variants_are_those_of_the_unchanged_variant(
    methods: tuple[str, ...],
) -> None:
    """So nothing that a study has done is done again when variants come to it."""
    study = {"methods": methods, "metrics": ("cas", "fd", "copies")}
    alone = make_plan(config({}, **study), INFO)
    beside = make_plan(config({"as it is": {}}, **study), INFO)
    more = make_plan(config({"as it is": {}, "x": {"train.epochs": 3}}, **study), INFO)
    kinds = ("train", "real", "sample", "reconstruct", "score", "inspect", "bench")
    assert ids(alone, *kinds) == ids(beside, *kinds) < ids(more, *kinds)
    assert [task.id for task in alone.tasks] == [
        task.id for task in beside.tasks if task.kind != "leak"
    ]
    assert alone.serves == {}
    # whatever the variants are called, and in whatever order
    named = make_plan(config({"a": {}, "b": {"train.epochs": 3}}, **study), INFO)
    assert ids(named, *kinds) == ids(more, *kinds)


def test_variants_that_come_to_the_same_share_everything() -> None:
    plan = make_plan(config({"a": {}, "b": {"process.x0": "clip"}}), INFO)
    assert {plan.serves[task.id] for task in plan.tasks if task.kind == "sample"} == {("a", "b")}


def test_only_some_arms() -> None:
    only = {"small": ["long"]}
    plan = make_plan(config(methods=("baseline", "small"), only=only), INFO)
    arms = [(arm.method.name, arm.variant.name) for arm in plan.arms]
    assert [name for method, name in arms if method == "baseline"] == list(VARIANTS)
    assert [name for method, name in arms if method == "small"] == ["as it is", "long"]


@pytest.mark.parametrize("preset", ["letters", "fashion", "fast", "chosen"])
def test_a_preset_may_be_run_with_some_of_its_methods(preset: str) -> None:
    data = DataInfo("mnist", tuple("0123456789"), 28, 28, 0.13, 0.31, "abc")
    arms = make_arms(load_config(preset, {"study.methods": ["cascaded"]}), data)
    assert {arm.method.name for arm in arms} == {"cascaded"}


def test_only_for_what_is_no_method() -> None:
    with pytest.raises(InputError, match=r"unknown method of study\.only 'smal'"):
        make_plan(config(only={"smal": ["long"]}), INFO)


# Carried out


def carry_out(folder: Path, splits: DataSplits, of: Config, jobs: int = 1) -> list[Row]:
    path = run_tasks(folder, of, splits, tiny.CPU, jobs, {"preset": "tiny"}, quiet)
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(splits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of four variants, to be read only."""
    folder = tmp_path_factory.mktemp("variants")
    carry_out(folder, splits, config())
    return folder


@pytest.fixture(scope="module")
def rows(finished: Path) -> list[Row]:
    return [json.loads(line) for line in (finished / "results.jsonl").read_text().splitlines()]


def test_rows_name_their_variant(finished: Path, rows: list[Row]) -> None:
    variants = {
        metric: sorted({row.get("variant", "") for row in rows if row["metric"] == metric})
        for metric in {row["metric"] for row in rows}
    }
    every = sorted(VARIANTS)
    for metric in ("train_seconds", "state_loss", "outside_pixels", "outside_x0_hat"):
        assert variants[metric] == every
    assert variants["cas"] == ["", *every]
    assert variants["latency_mean"] == variants["macs"] == [""]
    assert len(list((finished / "trainings").glob("small-*"))) == 4  # two recipes, two seeds
    losses = {
        row["variant"]: row["value"] for row in rows if row["metric"] == "loss" and not row["seed"]
    }
    assert losses["as it is"] == losses["no clip"] != losses["long"] == losses["long, no clip"]


def test_each_variant_has_its_own_view(finished: Path) -> None:
    results = Results(finished)
    assert (results.variant, results.of("long").variant) == ("as it is", "long")
    scores = {name: results.of(name).score("small", 0) for name in VARIANTS}
    assert all(score is not None for score in scores.values())
    assert results.score("real") is not None
    assert results.of("long").score("real") is not None
    # pooled images are those of the first alone, so that no view shows them twice
    assert results.score("small") is not None
    assert results.of("long").score("small") is None
    found = [results.of(name).examples("small", 0) for name in VARIANTS]
    images = [examples.images for examples in found if examples]
    assert len(images) == len(VARIANTS)
    for k, one in enumerate(images):
        for other in images[:k]:
            assert not np.array_equal(one, other)


def test_values_outside_the_domain_are_counted(finished: Path, rows: list[Row]) -> None:
    """Against the trajectory: the first images, before anything clips them."""
    shares = {
        (row["variant"], row["metric"]): row["value"]
        for row in rows
        if row["metric"].startswith("outside_") and row["seed"] == 0
    }
    assert all(0 <= value <= 1 for value in shares.values())
    for name in VARIANTS:
        clipped = "no clip" not in name
        for kind in ("pixels", "images", "x0_hat"):
            assert (shares[name, f"outside_{kind}"] == 0) == clipped, (name, kind)
        assert shares[name, "outside_images"] >= shares[name, "outside_pixels"]


@pytest.mark.usefixtures("quick_pictures")
def test_the_page_of_a_study(finished: Path) -> None:
    text = report.build(finished).read_text()
    assert "not finished" not in text
    for words in ("long, no clip", "What a batch gives away", "Result of the variant “as it is”"):
        assert words in text
    assert "**Small, upscaled: 4 variants**" in (finished / "table.md").read_text()


def test_a_second_run_does_nothing_and_a_new_variant_only_its_own(
    finished: Path, splits: DataSplits, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    run_task = executors.run_task

    def noted(context: Any, task: Any) -> None:
        run_task(context, task)
        done.append(task.kind)

    monkeypatch.setattr(executors, "run_task", noted)
    assert carry_out(finished, splits, config()) == rows
    assert done == []
    carry_out(finished, splits, config({**VARIANTS, "ddim": {"process.sampler": "ddim"}}))
    assert sorted(done) == ["sample"] * 2 + ["score"] * 2
    assert carry_out(finished, splits, config()) == rows


@pytest.mark.slow
def test_side_by_side(finished: Path, splits: DataSplits, rows: list[Row], tmp_path: Path) -> None:
    found = carry_out(tmp_path, splits, config(), jobs=2)
    timed = ("train_seconds", "latency", "images_per_s")
    kept = [[r for r in of if not r["metric"].startswith(timed)] for of in (found, rows)]
    assert kept[0] == kept[1]


WRONG = {
    "alpha": {"ablation.alpha": False},
    "noise": {"ablation.renoise": False},
    "norm": {"ablation.batch_mode": False},
    "data": {"ablation.unit_range": False},
    "clip": {"process.x0": "clip"},
}


@pytest.mark.usefixtures("quick_pictures")
def test_an_autopsy_end_to_end(splits: DataSplits, tmp_path: Path) -> None:
    """All wrong to all right, by the command's own path, on data in [0, 1] among others."""
    base = config(
        {},
        switches=WRONG,
        seeds=(0,),
        methods=("cascaded",),
        only={"cascaded": ["all right", "only data right", "only data wrong"]},
    )
    wrong = {"alpha": True, "renoise": True, "batch_mode": True, "unit_range": True}
    fields = {"net": NetConfig(channels=(4, 8)), "process": tiny.PROCESS}
    fields["process"] = replace(tiny.PROCESS, predict="noise", x0="none")
    made = replace(base, **fields, ablation=replace(base.ablation, **wrong))  # type: ignore[arg-type]
    rows = carry_out(tmp_path, splits, made)
    arms = {row["variant"] for row in rows if row["metric"] == "outside_images"}
    assert arms == {"all wrong", "all right", "only data right", "only data wrong"}
    plan = make_plan(made, splits.info)
    for arm in plan.arms:
        unit_range = {t.data.mean == 0 for t in arm.trainings[0]}
        assert unit_range == {arm.variant.name in ("all wrong", "only data wrong")}
    text = report.build(tmp_path).read_text()
    assert "Cascaded: switches" in text
    assert "not finished" not in text  # the other switches' arms were not asked for
    for row in rows:
        if row.get("kind") == "samples":
            images = read_samples(tmp_path / row["path"]).images
            assert np.isfinite(images).all()


def test_a_variant_that_runs_away_is_a_finding(
    splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no number becomes black and is counted; the study goes on and is reported."""
    estimate = Diffusion.estimate

    def away(self: Diffusion, prediction: torch.Tensor, x: torch.Tensor, t: int) -> torch.Tensor:
        found = estimate(self, prediction, x, t) * 1e30
        return found - found + float("nan") if t == 1 else found * 1e30

    monkeypatch.setattr(Diffusion, "estimate", away)
    made = config({"away": {"process.x0": "none"}, "more": {"train.epochs": 3}}, seeds=(0,))
    rows = carry_out(tmp_path, splits, made)
    found = {
        row["metric"]: row["value"]
        for row in rows
        if row["metric"].startswith("outside") and row["variant"] == "away"
    }
    assert found["outside_pixels"] == found["outside_images"] == 1
    [path] = [r["path"] for r in rows if r.get("kind") == "samples" and r["variant"] == "away"]
    assert not read_samples(tmp_path / path).images.any()
    report.build(tmp_path)


def test_a_bad_variant_is_one_line(
    data_dir: Path, preset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(preset.read_text() + "\n")
    words = ["study", "--preset", str(own), "--data-dir", str(data_dir), "--quiet"]
    words += ["--device", "cpu", "--out", str(tmp_path / "study"), "--study.methods=small"]
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--study.variants={x: {trian.epochs: 3}}"])
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    [line] = err.strip().splitlines()
    told = "scalespace: unknown field of study.variants.x 'trian'; did you mean 'train'?"
    assert line.startswith(told)
    assert not (tmp_path / "study").exists()


# Scores by the validation part


@pytest.mark.usefixtures("quick_pictures")
def test_a_search_never_reads_the_test_part(
    splits: DataSplits, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(self: DataSplits) -> None:
        raise AssertionError("the test part was read")

    monkeypatch.setattr(DataSplits, "test", forbidden)
    folder = judge.save(tmp_path / "judge")
    made = config(
        {"a": {}, "b": {"process.sampler": "ddim"}},
        methods=("small", "vae"),
        seeds=(0,),
        metrics=("cas", "fd", "kid", "prdc", "copies"),
        part="validation",
        judge=str(folder),
    )
    rows = carry_out(tmp_path / "study", splits, made)
    cas = [row for row in rows if row["metric"] == "cas"]
    assert {int(np.sum(row["confusion"])) for row in cas} == {len(splits.val)}
    of = {row["method"] for row in rows if row["metric"] == "fd"}
    assert of == {"real-validation", "real-down-up", "pixel-noise", "small", "vae", *RECONSTRUCTED}
    # the reference is what the floor is no part of
    assert {row["reference_n"] for row in rows if row["metric"] == "fd"} == {len(splits.train)}
    text = " ".join(report.build(tmp_path / "study").read_text().split())
    assert "not finished" not in text
    assert "real validation images" in text
    assert "real test images" not in text.lower()


RECONSTRUCTED = ["vae-reconstruction"]


def test_scores_by_another_part_are_other_units() -> None:
    study = {"metrics": ("cas", "copies"), "seeds": (0,)}
    test, validation = (
        make_plan(config({}, part=p, **study), INFO) for p in ("test", "validation")
    )
    assert not ids(test, "score") & ids(validation, "score")
    for kind in ("train", "sample", "bench"):
        assert ids(test, kind) == ids(validation, kind)


def test_no_judge_is_trained_for_a_search(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its training looks at the test part."""
    monkeypatch.setattr(judges, "SHIPPED", tmp_path)
    with pytest.raises(InputError, match=r"--study\.judge=FOLDER"):
        make_plan(config({}, metrics=("fd",), part="validation"), INFO)
    assert make_plan(config({}, metrics=("cas",), part="validation"), INFO).judge is None


def test_a_net_without_batch_norm_has_no_batch_statistics(rows: list[Row]) -> None:
    found = {(r["batches"], r["statistics"]) for r in rows if r["metric"] == "state_loss"}
    assert found == {("single", "running"), ("mixed", "running")}
