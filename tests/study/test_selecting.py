"""A study whose variants choose among candidates."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import tiny
from scalespace.config import SelectionConfig
from scalespace.data import DataSplits, read_samples
from scalespace.errors import InputError
from scalespace.evaluation.judge import Judge
from scalespace.report.narrative.warnings import warnings
from scalespace.report.page import REPORT, build
from scalespace.report.results import Results
from scalespace.studies.plan import make_plan
from scalespace.studies.runner import run_tasks

Row = dict[str, Any]
VARIANTS = {"all": {}, "hardest": {"selection.candidates": 3}}
CONFIG = replace(
    tiny.CONFIG,
    study=replace(tiny.CONFIG.study, methods=("small",), images=30, variants=VARIANTS),
    bench=replace(tiny.CONFIG.bench, variants=True),
)


@pytest.fixture(scope="module")
def finished(splits: DataSplits, judge_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("selecting")
    config = replace(CONFIG, study=replace(CONFIG.study, judge=str(judge_dir)))
    run_tasks(folder, config, splits, tiny.CPU, 1, {"preset": "tiny"}, lambda _: None)
    return folder


@pytest.fixture(scope="module")
def rows(finished: Path) -> list[Row]:
    return [json.loads(line) for line in (finished / "results.jsonl").read_text().splitlines()]


def of(rows: list[Row], **where: Any) -> list[Row]:
    return [row for row in rows if where.items() <= row.items()]


def test_images_are_the_chosen_ones_of_their_candidates(
    finished: Path, rows: list[Row], judge: Judge
) -> None:
    found = {}
    for variant in VARIANTS:
        [row] = of(rows, kind="samples", variant=variant, seed=1)
        found[variant] = read_samples(finished / row["path"])
    every, hardest = found["all"], found["hardest"]
    assert "selection" not in every.meta
    assert hardest.meta["selection"]["candidates"] == 3
    assert hardest.labels.tolist() == every.labels.tolist()
    indices = hardest.meta["indices"]
    assert max(indices) >= 30  # the first 30 candidates are the images of the other variant
    both = [k for k, index in enumerate(indices) if index < 30]
    np.testing.assert_array_equal(hardest.images[both], every.images[[indices[k] for k in both]])
    sure = {name: judge.probabilities(one.images).numpy() for name, one in found.items()}
    for label in range(3):
        of_class = hardest.labels == label
        limit = sure["hardest"][of_class, label].max()
        left = (every.labels == label) & ~np.isin(np.arange(30), indices)
        left &= sure["all"].argmax(axis=1) == label
        right = sure["hardest"][of_class].argmax(axis=1) == label
        assert not right.all() or (sure["all"][left, label] >= limit).all()


def test_an_image_costs_all_of_its_candidates_and_their_reading(
    rows: list[Row], judge: Judge
) -> None:
    def value(variant: str, metric: str) -> float:
        [row] = of(rows, metric=metric, variant=variant, method="small", seed=None)
        return float(row["value"])

    with FlopCounterMode(display=False) as counter:
        judge.probabilities(torch.zeros(1, 1, 12, 12))
    reading = counter.get_total_flops() // 2
    assert value("hardest", "calls") == 3 * value("all", "calls")
    assert value("hardest", "macs") == 3 * (value("all", "macs") + reading)
    assert value("hardest", "parameters") == value("all", "parameters")


def test_a_page_tells_which_image_of_its_seed_each_is(finished: Path, rows: list[Row]) -> None:
    results = Results(finished).of("hardest")
    examples = results.examples("small", 0)
    [row] = of(rows, kind="samples", variant="hardest", seed=0)
    samples = read_samples(finished / row["path"])
    assert examples is not None
    for label, places in enumerate(examples.places):
        rank = np.flatnonzero(samples.labels == label)[: len(places)]
        assert places.tolist() == [samples.meta["indices"][k] for k in rank]
    build(finished)
    page = (finished / REPORT).read_text()
    told = "where a judge chooses each among 3, in the other rows not selected"
    assert told in page
    assert "The first 4 images of every class, not selected" in page  # of the first variant


def test_units_of_what_chooses_nothing_are_as_before(splits: DataSplits) -> None:
    one = replace(CONFIG, study=replace(CONFIG.study, variants={"all": {}}))
    plain = {task.id for task in make_plan(replace(one), splits.info).tasks}
    said = replace(one, selection=SelectionConfig(candidates=1, hard=0.3))
    assert {task.id for task in make_plan(said, splits.info).tasks} == plain
    both = make_plan(CONFIG, splits.info).tasks
    samples = [task for task in both if task.kind == "sample"]
    assert sum("selection" in task.inputs for task in samples) == len(samples) / 2
    assert {task.id for task in samples if "selection" not in task.inputs} <= plain


def test_a_study_without_a_judge_trains_one_to_choose_by(splits: DataSplits) -> None:
    plan = make_plan(CONFIG, splits.info)
    assert plan.judge is not None
    [judge] = [task for task in plan.tasks if task.kind == "train" and task.name == "judge-seed0"]
    for task in plan.tasks:
        if "selection" in task.inputs or "selections" in task.inputs:
            assert judge in task.needs


def test_a_judge_that_has_seen_the_scored_images_is_told(finished: Path) -> None:
    results = Results(finished)
    assert not any("A judge has chosen" in text for text in warnings(results))
    study = replace(results.study.config.study, part="validation")
    results.study = replace(results.study, config=replace(results.study.config, study=study))
    assert any("have learnt from the validation part" in text for text in warnings(results))


def test_a_judge_of_other_classes_is_refused_before_any_work(
    splits: DataSplits, judge_dir: Path
) -> None:
    config = replace(CONFIG, study=replace(CONFIG.study, judge=str(judge_dir)))
    make_plan(config, splits.info)
    with pytest.raises(InputError, match="of the classes that it reads"):
        make_plan(config, replace(splits.info, classes=("cat", "dog", "owl")))
