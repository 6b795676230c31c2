from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

import tiny
from scalespace.config import Config
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.methods import METHODS
from scalespace.study.plan import Plan, make_plan

INFO = DataInfo("digits", ("a", "b", "c"), 12, 12, 0.5, 0.4, "abc")


def plan(config: Config = tiny.CONFIG, data: DataInfo = INFO) -> Plan:
    return make_plan(config, data)


@cache
def base() -> Plan:
    return plan()


def ids(made: Plan, *kinds: str) -> set[str]:
    return {unit.id for unit in made.units if unit.kind in kinds}


def names(made: Plan, kind: str) -> list[str]:
    return [unit.name for unit in made.units if unit.kind == kind]


KINDS = ("train", "sample", "real", "score", "bench")


def test_a_stage_is_trained_once_a_seed() -> None:
    made = base()
    stages = {stage.name for method in METHODS.values() for stage in method.stages}
    expected = {f"{stage}-seed{seed}" for stage in stages for seed in (0, 1)}
    assert set(names(made, "train")) == expected
    assert len(names(made, "train")) == len(expected)
    small = next(unit for unit in made.units if unit.name == "small-seed0" and unit.kind == "train")
    users = [u.name for u in made.units if u.kind == "sample" and small in u.needs]
    assert sorted(users) == ["cascaded-seed0", "small-seed0"]


def test_units_come_after_what_they_need() -> None:
    done: set[str] = set()
    for unit in base().units:
        assert {need.id for need in unit.needs} <= done
        done.add(unit.id)
    assert len(done) == len(base().units)  # no two share a folder


def test_what_is_scored() -> None:
    made = base()
    controls = ["real", "real-down-up"]
    pooled = [name for method in METHODS for name in (method, f"{method}-seed0", f"{method}-seed1")]
    assert names(made, "score") == controls + pooled
    for unit in made.units:
        if unit.kind == "score" and unit.inputs["method"] in METHODS:
            seeds = [need.inputs["seed"] for need in unit.needs]
            assert seeds == ([0, 1] if unit.inputs["seed"] is None else [unit.inputs["seed"]])
    one = plan(replace(tiny.CONFIG, study=replace(tiny.CONFIG.study, seeds=(4,))))
    assert names(one, "score") == [*controls, *METHODS]


def test_time_is_measured_alone_and_of_all_methods_together() -> None:
    bench = [unit for unit in base().units if unit.kind == "bench"]
    assert len(bench) == 1
    assert bench[0].alone
    assert bench[0].inputs["methods"] == list(METHODS)
    assert not any(unit.alone for unit in base().units if unit.kind != "bench")


def test_some_methods_only() -> None:
    config = replace(tiny.CONFIG, study=replace(tiny.CONFIG.study, methods=("small",), seeds=(0,)))
    assert names(plan(config), "train") == ["small-seed0"]
    assert names(plan(config), "score") == ["real", "real-down-up", "small"]


def test_ids_are_the_same_every_time() -> None:
    assert [unit.id for unit in base().units] == [unit.id for unit in plan(C).units]
    for unit in base().units:
        assert base().unit(unit.id) == unit
        assert unit.id.startswith(f"{unit.kind}-{unit.name}-")


C = tiny.CONFIG
CHANGES: dict[str, tuple[Config, set[str]]] = {
    "net": (replace(C, net=replace(C.net, residual=True)), {"train", "sample", "score", "bench"}),
    "process": (
        replace(C, process=replace(C.process, states=4)),
        {"train", "sample", "score", "bench"},
    ),
    "train": (replace(C, train=replace(C.train, lr=1e-4)), {"train", "sample", "score", "bench"}),
    "images": (replace(C, study=replace(C.study, images=31)), {"sample", "real", "score"}),
    "cas": (replace(C, cas=replace(C.cas, epochs=9)), {"score"}),
    "bench": (replace(C, bench=replace(C.bench, productions=9)), {"bench"}),
    "data's name": (replace(C, data="kmnist"), set()),  # what counts are its images, below
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_renews_what_it_matters_to_and_nothing_else(change: str) -> None:
    config, renewed = CHANGES[change]
    for kind in KINDS:
        before, after = ids(base(), kind), ids(plan(config), kind)
        controls = {i for i in before if i.startswith("score-real")}
        if kind == "score" and renewed >= {"train"}:
            # real images are not trained
            assert before & after == controls
        elif kind in renewed:
            assert not before & after, (change, kind)
        else:
            assert before == after, (change, kind)


def test_other_data_renew_everything() -> None:
    other = replace(INFO, fingerprint="another")
    assert not ids(base(), *KINDS) & ids(plan(data=other), *KINDS)


def test_a_change_of_one_stage_leaves_the_others() -> None:
    config = replace(C, stages={"upscaler": {"train": {"epochs": 5}}})
    before, after = ids(base(), *KINDS), ids(plan(config), *KINDS)
    renewed = {unit.id for unit in base().units if unit.id not in before & after}
    assert {i.split("-")[1] for i in renewed if i.startswith("train")} == {"upscaler"}
    assert {i.split("-")[1] for i in renewed if i.startswith(("sample", "score"))} == {"cascaded"}


def test_another_seed_keeps_what_is_done() -> None:
    more = replace(C, study=replace(C.study, seeds=(0, 1, 2)))
    for kind in ("train", "sample", "real"):
        assert ids(base(), kind) < ids(plan(more), kind) or kind == "real"
    assert ids(base(), "real", "bench") == ids(plan(more), "real", "bench")


def test_unknown_method() -> None:
    with pytest.raises(InputError, match="did you mean 'small'"):
        plan(replace(C, study=replace(C.study, methods=("smal",))))
