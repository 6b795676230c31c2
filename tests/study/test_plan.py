from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from scalespace.config import Config, SelectionConfig
from scalespace.data import DataSplits
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.evaluation import judge as judges
from scalespace.evaluation.controls import control
from scalespace.evaluation.evaluate import METRICS, Real
from scalespace.evaluation.judge import Judge
from scalespace.fields import digest
from scalespace.methods import METHODS, stages
from scalespace.nets.judge import JudgeNet
from scalespace.settings import load_config
from scalespace.studies.plan import Plan, Task, make_plan

INFO = DataInfo("digits", ("a", "b", "c"), 12, 12, 0.5, 0.4, "abc")
EVERY = ("cas", "fd", "kid", "prdc", "copies", "variety", "c2st")


def plan(config: Config = tiny.CONFIG, data: DataInfo = INFO) -> Plan:
    return make_plan(config, data)


@cache
def base() -> Plan:
    return plan()


def changed(**fields: Any) -> Config:
    """The tiny config with fields of its study changed."""
    return replace(tiny.CONFIG, study=replace(tiny.CONFIG.study, **fields))


def ids(made: Plan, *kinds: str) -> set[str]:
    return {task.id for task in made.tasks if task.kind in kinds}


def names(made: Plan, kind: str) -> list[str]:
    return [task.name for task in made.tasks if task.kind == kind]


KINDS = ("train", "sample", "real", "score", "inspect", "bench")


def stages_of(*methods: str) -> set[str]:
    """All that is trained for methods."""
    return {stage.name for method in methods for stage in METHODS[method].stages}


def test_a_stage_is_trained_once_a_seed() -> None:
    made = base()
    expected = {f"{stage}-seed{seed}" for stage in stages_of(*tiny.STUDIED) for seed in (0, 1)}
    assert set(names(made, "train")) == expected
    assert len(names(made, "train")) == len(expected)

    def users(stage: str, kind: str) -> list[str]:
        trained = next(u for u in made.tasks if u.name == f"{stage}-seed0" and u.kind == "train")
        return sorted(u.name for u in made.tasks if u.kind == kind and trained in u.needs)

    assert users("small", "sample") == ["cascaded-own-seed0", "cascaded-seed0", "small-seed0"]
    in_latents = ["latent-flow-fast-seed0", "latent-flow-seed0", "latent-seed0"]
    assert users("vae", "sample") == [*in_latents, "vae-seed0"]
    learning = ["latent-flow-seed0", "latent-flow-student-seed0", "latent-seed0"]
    assert users("vae", "train") == learning


def test_units_come_after_what_they_need() -> None:
    done: set[str] = set()
    for task in base().tasks:
        assert {need.id for need in task.needs} <= done
        done.add(task.id)
    assert len(done) == len(base().tasks)  # no two share a folder


def test_what_is_scored() -> None:
    made = base()
    controls = ["cas-real", "cas-real-down-up"]
    pooled = [
        f"cas-{name}"
        for method in tiny.STUDIED
        for name in (method, f"{method}-seed0", f"{method}-seed1")
    ]
    assert names(made, "score") == controls + pooled
    for task in made.tasks:
        if task.kind == "score" and task.inputs["method"] in tiny.STUDIED:
            seeds = [need.inputs["seed"] for need in task.needs]
            assert seeds == ([0, 1] if task.inputs["seed"] is None else [task.inputs["seed"]])
    one = plan(replace(tiny.CONFIG, study=replace(tiny.CONFIG.study, seeds=(4,))))
    assert names(one, "score") == [*controls, *(f"cas-{method}" for method in tiny.STUDIED)]


def scores(made: Plan) -> dict[str, list[str]]:
    """What each metric is measured of."""
    found: dict[str, list[str]] = {}
    for task in made.tasks:
        if task.kind == "score":
            found.setdefault(task.inputs["metric"], []).append(task.inputs["method"])
    return found


def test_several_metrics() -> None:
    made = plan(changed(metrics=EVERY, methods=("small", "vae"), seeds=(3,)))
    cas = ["real", "real-down-up"]
    seen = ["real-test", "real-down-up", "pixel-noise"]
    every = [*seen, "small", "vae", "vae-reconstruction"]
    assert {metric: sorted(of) for metric, of in scores(made).items()} == {
        "cas": sorted([*cas, "small", "vae"]),
        **{metric: sorted(every) for metric in EVERY[1:]},
    }
    assert names(made, "real") == ["real", "real-down-up", "real-test", "pixel-noise"]
    only_fd = plan(changed(metrics=("fd",), methods=("small",)))
    assert names(only_fd, "real") == seen
    assert set(scores(only_fd)) == {"fd"}
    assert names(only_fd, "train") == ["small-seed0", "small-seed1", "judge-seed0"]


def test_an_autoencoders_own_floor() -> None:
    """The test images through it, of the first seed: nothing that it decodes comes nearer."""
    made = plan(changed(metrics=("cas", "fd"), methods=("latent", "small"), seeds=(3, 4)))
    [task] = [task for task in made.tasks if task.kind == "reconstruct"]
    assert task.name == "vae-reconstruction"
    assert [need.name for need in task.needs] == ["vae-seed3", "real-test"]
    users = [one.name for one in made.tasks if task in one.needs]
    assert users == ["fd-vae-reconstruction"]
    # which only a study that compares with the training images has a use for
    for config in (
        changed(),
        changed(methods=("vae",)),
        changed(metrics=("fd",), methods=("small",)),
    ):
        assert names(plan(config), "reconstruct") == []


@pytest.mark.parametrize(
    "metrics", [("cas", "fid"), ("",), ("CAS",)], ids=["fid", "empty", "upper case"]
)
def test_unknown_metric(metrics: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="unknown metric"):
        plan(changed(metrics=metrics))


LEAST = {"cas": 1, "fd": 2, "kid": 2, "prdc": 6, "copies": 1, "variety": 4, "c2st": 8}


def test_the_least_is_known_of_every_metric() -> None:
    assert LEAST.keys() == METRICS.keys()


@pytest.mark.parametrize("metric", LEAST)
def test_too_few_images_for_a_metric(metric: str) -> None:
    """Before anything is trained."""
    least = LEAST[metric]
    assert plan(changed(metrics=(metric,), images=least, methods=("small",))).tasks
    if least > 1:
        message = rf"^study\.images={least - 1} is too few for {metric}.* at least {least}$"
        with pytest.raises(InputError, match=message):
            plan(changed(metrics=(metric,), images=least - 1, methods=("small",)))


@pytest.mark.parametrize("metric", LEAST)
def test_the_least_is_what_evaluation_takes(
    metric: str, splits: DataSplits, tmp_path: Path
) -> None:
    real = Real(splits, tiny.CONFIG.cas, judge(tmp_path))
    least = METRICS[metric].fewest(len(splits.train.classes))
    assert least == LEAST[metric]
    assert METRICS[metric].measure(control("real", splits, least), real)
    if least > 1:
        with pytest.raises(InputError):
            METRICS[metric].measure(control("real", splits, least - 1), real)


def test_no_cas_of_images_without_classes() -> None:
    """Their labels say nothing of them; every other metric applies."""
    blind = replace(
        changed(metrics=EVERY, methods=("vae", "latent", "small")),
        process=replace(tiny.PROCESS, labels=False),
    )
    found = scores(plan(blind))
    assert set(found["cas"]) == {"real", "real-down-up", "vae"}
    for metric in EVERY[1:]:
        assert {"vae", "latent", "small"} <= set(found[metric])
    normal = replace(blind, autoencoder=replace(tiny.AUTOENCODER, prior="normal"))
    assert set(scores(plan(normal))["cas"]) == {"real", "real-down-up"}


# The judge


def judge(folder: Path, side: int = 12, seed: int = 0) -> Judge:
    """A judge that is not trained, written to a folder."""
    torch.manual_seed(seed)
    weights = JudgeNet(side, side, 3).state_dict()
    made = Judge(weights, replace(INFO, height=side, width=side), {})
    made.save(folder)
    return made


def judged(made: Plan) -> list[Task]:
    return [u for u in made.tasks if u.kind == "score" and u.inputs["metric"] in EVERY[1:4]]


def test_a_judge_is_trained_where_none_ships() -> None:
    made = plan(changed(metrics=EVERY, methods=("small",)))
    assert names(made, "train") == ["small-seed0", "small-seed1", "judge-seed0"]
    [training] = [task for task in made.tasks if task.name == "judge-seed0"]
    assert training.inputs["training"] == made.judge.identity  # type: ignore[union-attr]
    for task in made.tasks:
        if task.kind == "score":
            assert (training in task.needs) == (task.inputs["metric"] in ("fd", "kid", "prdc"))
    # another training of it means other distances, and the same CAS
    other = replace(tiny.CONFIG, stages={**tiny.STAGES, "judge": {"train": {"epochs": 1}}})
    study = changed(metrics=EVERY, methods=("small",)).study
    renewed = ids(made, "score") - ids(plan(replace(other, study=study)), "score")
    assert renewed == {task.id for task in judged(made)}


def test_none_is_trained_for_metrics_that_need_none() -> None:
    made = plan(changed(metrics=("cas", "copies")))
    assert "judge-seed0" not in names(made, "train")
    assert "judge" not in names(made, "inspect")


def test_a_judge_of_ones_own(tmp_path: Path) -> None:
    ours = judge(tmp_path / "ours")
    made = plan(changed(metrics=EVERY, methods=("small",), judge=str(tmp_path / "ours")))
    assert names(made, "train") == ["small-seed0", "small-seed1"]
    assert {task.inputs["judge"] for task in judged(made)} == {ours.hash}
    another = judge(tmp_path / "another", seed=1)
    assert another.hash != ours.hash
    other = plan(changed(metrics=EVERY, methods=("small",), judge=str(tmp_path / "another")))
    assert ids(made, "score") - ids(other, "score") == {task.id for task in judged(made)}
    # its folder is no part of a result's name
    judge(tmp_path / "moved")
    moved = plan(changed(metrics=EVERY, methods=("small",), judge=str(tmp_path / "moved")))
    assert ids(moved, *KINDS) == ids(made, *KINDS)
    with pytest.raises(InputError, match="judge folder not found"):
        plan(changed(metrics=EVERY, judge=str(tmp_path / "none")))


def test_a_judge_that_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "SHIPPED", tmp_path)
    ours = judge(tmp_path / "mnist")
    made = plan(changed(metrics=EVERY, methods=("small",)))
    assert names(made, "train") == ["small-seed0", "small-seed1"]
    assert {task.inputs["judge"] for task in judged(made)} == {ours.hash}
    [own] = [task for task in made.tasks if (task.kind, task.name) == ("inspect", "judge")]
    assert own.needs == ()
    # for other data, or a size that it does not see, one is trained
    for data in (replace(INFO, name="fashion"), replace(INFO, height=16)):
        own_judge = plan(changed(metrics=EVERY, methods=("vae",)), data)
        assert "judge-seed0" in names(own_judge, "train")


def test_what_is_looked_into() -> None:
    """What shows something of itself, with the first seed alone."""
    assert names(base(), "inspect") == ["vae"]
    made = plan(changed(metrics=("kid",), methods=("latent",), seeds=(5, 6)))
    assert sorted(names(made, "inspect")) == ["judge", "vae"]
    vae, own = [task for task in made.tasks if task.kind == "inspect"]
    assert [need.name for need in vae.needs] == ["vae-seed5"]
    assert [need.name for need in own.needs] == ["judge-seed5"]
    assert names(plan(changed(methods=("small",))), "inspect") == []
    assert "judge" in stages()


def test_time_is_measured_alone_and_of_all_methods_together() -> None:
    bench = [task for task in base().tasks if task.kind == "bench"]
    assert len(bench) == 1
    assert bench[0].alone
    assert bench[0].inputs["methods"] == list(tiny.STUDIED)
    assert not any(task.alone for task in base().tasks if task.kind != "bench")


def test_some_methods_only() -> None:
    config = replace(tiny.CONFIG, study=replace(tiny.CONFIG.study, methods=("small",), seeds=(0,)))
    assert names(plan(config), "train") == ["small-seed0"]
    assert names(plan(config), "score") == ["cas-real", "cas-real-down-up", "cas-small"]


def test_ids_are_the_same_every_time() -> None:
    assert [task.id for task in base().tasks] == [task.id for task in plan(C).tasks]
    for task in base().tasks:
        assert task.id.startswith(f"{task.kind}-{task.name}-")


C = tiny.CONFIG
FLOW = {"latent-flow", "latent-flow-student"}
STUDENTS = {"baseline-student", "small-student", "upscaler-student"}
DIFFUSION = {"baseline", "small", "upscaler", "upscaler-own", "latent", *STUDENTS, *FLOW}
TAUGHT = {"upscaler-own", "latent-flow-student", *STUDENTS}  # by samples of another stage
# what is changed, and the stages that are trained anew for it
TRAININGS: dict[str, tuple[Config, set[str]]] = {
    "net": (replace(C, net=replace(C.net, residual=True)), DIFFUSION),
    "process": (replace(C, process=replace(C.process, states=4)), DIFFUSION),
    "labels": (replace(C, process=replace(C.process, labels=False)), DIFFUSION),
    # the flow stage predicts what it predicts
    "predict": (
        replace(C, process=replace(C.process, predict="x0")),
        DIFFUSION - FLOW,
    ),
    "train": (replace(C, train=replace(C.train, validate_images=14)), stages_of(*tiny.STUDIED)),
    # what is learnt of another autoencoder's latents is another training, too
    "autoencoder": (
        replace(C, autoencoder=replace(C.autoencoder, beta=0.7)),
        {"vae", "latent", *FLOW},
    ),
}


@pytest.mark.parametrize("change", TRAININGS)
def test_a_change_of_training_renews_what_it_matters_to_and_nothing_else(change: str) -> None:
    config, renewed = TRAININGS[change]
    after = plan(config)
    gone = {task.id for task in base().tasks} - {task.id for task in after.tasks}

    def renewed_of(kind: str) -> set[str]:
        return {task.name for task in base().tasks if task.kind == kind and task.id in gone}

    methods = {name for name in tiny.STUDIED if stages_of(name) & renewed}
    assert renewed_of("train") == {f"{stage}-seed{seed}" for stage in renewed for seed in (0, 1)}
    assert renewed_of("sample") == {f"{name}-seed{seed}" for name in methods for seed in (0, 1)}
    assert renewed_of("inspect") == renewed & {"vae"}
    assert renewed_of("real") == set()
    assert renewed_of("score") == {
        f"cas-{name}{end}" for name in methods for end in ("", "-seed0", "-seed1")
    }
    assert renewed_of("bench") == {"seed0"}


CHANGES: dict[str, tuple[Config, set[str]]] = {
    "images": (replace(C, study=replace(C.study, images=31)), {"sample", "real", "score"}),
    "cas": (replace(C, cas=replace(C.cas, epochs=9)), {"score"}),
    "bench": (replace(C, bench=replace(C.bench, productions=9)), {"bench"}),
    "data's name": (replace(C, data="kmnist"), set()),  # what counts are its images, below
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_renews_what_it_matters_to_and_nothing_else(change: str) -> None:
    config, renewed = CHANGES[change]
    changed = plan(config)
    for kind in KINDS:
        before, after = ids(base(), kind), ids(changed, kind)
        if kind in renewed:
            assert not before & after, (change, kind)
        else:
            assert before == after, (change, kind)


SAMPLING = {
    "sampler": ({"process": replace(C.process, sampler="ddim")}, DIFFUSION - FLOW),
    "x0": ({"process": replace(C.process, x0="none")}, DIFFUSION),
    "prior": ({"autoencoder": replace(C.autoencoder, prior="normal")}, {"vae"}),
}


KEPT = ("train", "inspect", "real")


@pytest.mark.parametrize("change", SAMPLING)
def test_another_way_of_sampling_trains_nothing_again(change: str) -> None:
    fields, matters = SAMPLING[change]
    after = plan(replace(C, **fields))  # type: ignore[arg-type]
    # but for a stage that is trained on samples: those of another sampler are other data
    kept, now = (
        {
            task.id
            for task in made.tasks
            if task.kind in KEPT and task.inputs.get("stage") not in TAUGHT
        }
        for made in (base(), after)
    )
    assert now == kept
    own, others = (ids(made, "train") - kept for made in (base(), after))
    assert len(own) == len(others) == 2 * len(TAUGHT)
    unchanged = {task.inputs["stage"] for task in after.tasks if task.id in own & others}
    assert unchanged == {"sampler": FLOW & TAUGHT, "x0": set(), "prior": TAUGHT}[change]
    gone = {task.id for task in base().tasks} - {task.id for task in after.tasks}
    sampled = {u.inputs["method"] for u in base().tasks if u.kind == "sample" and u.id in gone}
    users = {name for name in tiny.STUDIED if stages_of(name) & matters}
    # what is made in an autoencoder's latents may count its prior as well, which changes nothing
    assert users - {"latent", "latent-flow", "latent-flow-fast"} <= sampled <= users
    assert change == "prior" or sampled == users
    assert not ids(after, "bench") & ids(base(), "bench")


def test_other_data_renew_everything() -> None:
    other = replace(INFO, fingerprint="another")
    assert not ids(base(), *KINDS) & ids(plan(data=other), *KINDS)


def test_other_held_out_images_renew_what_they_score() -> None:
    """Their training part may be the same: a user's own test images can be replaced alone."""
    config = changed(metrics=("cas", "fd"))
    one, other = (make_plan(config, INFO, held_out) for held_out in ("one", "other"))
    assert ids(one, "sample", "bench") == ids(other, "sample", "bench")
    assert not ids(one, "score") & ids(other, "score")
    judged = {task.id for task in one.tasks if (task.kind, task.name) == ("inspect", "judge")}
    assert judged
    assert not judged & ids(other, "inspect")
    kept = {task.name for task in one.tasks if task.id in ids(other, "real")}
    assert "real-test" in names(one, "real")
    assert kept == set(names(one, "real")) - {"real-test"}


def test_a_judge_that_cannot_see_the_images_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="the judge sees 28x28 images, those of digits are 12x12"):
        plan(changed(metrics=("fd",), judge="mnist"))


def test_nothing_is_chosen_among_images_without_classes() -> None:
    blind = replace(tiny.PROCESS, labels=False)
    config = replace(changed(methods=("small",)), process=blind)
    plan(config)
    with pytest.raises(InputError, match="these are made without classes"):
        plan(replace(config, selection=SelectionConfig(candidates=3)))


def test_a_change_of_one_stage_leaves_the_others_but_its_control() -> None:
    config = replace(C, stages={**C.stages, "upscaler": {"train": {"epochs": 5}}})
    after = ids(plan(config), *KINDS)
    renewed = [task for task in base().tasks if task.id not in after]
    assert {u.inputs["stage"] for u in renewed if u.kind == "train"} == {
        "upscaler",
        "upscaler-own",
        "upscaler-student",
    }
    assert {u.inputs["method"] for u in renewed if u.kind in ("sample", "score")} == {
        "cascaded",
        "cascaded-own",
        "cascaded-fast",
    }


@pytest.mark.parametrize(
    ("preset", "tasks"),
    [("default", "d0a85423e5c8"), ("series", "88f70c78ea7d"), ("autopsy", "cb4b22ef0101")],
)
def test_studies_of_the_first_edition_are_not_done_again(preset: str, tasks: str) -> None:
    """A field that a later version adds gives nothing another name while it is at its default."""
    mnist = DataInfo("mnist", tuple("0123456789"), 28, 28, 0.1316, 0.3089, "f81694911840")
    config = load_config(preset, {"study.judge": ""})
    assert digest([task.id for task in make_plan(config, mnist).tasks]) == tasks


def test_another_seed_keeps_what_is_done() -> None:
    more = plan(replace(C, study=replace(C.study, seeds=(0, 1, 2))))
    for kind in ("train", "sample"):
        assert ids(base(), kind) < ids(more, kind)
    assert ids(base(), "real", "inspect", "bench") == ids(more, "real", "inspect", "bench")


def test_unknown_method() -> None:
    with pytest.raises(InputError, match="did you mean 'small'"):
        plan(replace(C, study=replace(C.study, methods=("smal",))))
