"""The tasks of a study, each named by a hash of all that decides its result.

A task does not depend on the variant's name: a training or a set of images that two variants share
is one task, and is made once. The plan records which variants each task serves.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from scalespace.config import Config
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.evaluation.controls import FLOORS
from scalespace.evaluation.evaluate import METRICS, check_metrics
from scalespace.evaluation.judge import Judge, find_judge, shipped_judge
from scalespace.evaluation.selection import Selector, check_labelled
from scalespace.fields import digest
from scalespace.settings import make_training
from scalespace.stages.judge import JUDGE
from scalespace.studies.variants import Arm, make_arms
from scalespace.training.training import Training

TRAJECTORY_IMAGES = 12  # as many as the paper's Figure 2 shows
KINDS = ("train", "real", "sample", "reconstruct", "score", "inspect", "leak", "bench")
"""The kinds of tasks, in the order in which a study does them."""


@dataclass(frozen=True)
class Task:
    """A unit of work with a cached result.

    Args:
        kind: one of `KINDS`.
        name: for people.
        inputs: its parameters, as plain values.
        needs: the tasks whose results it reads.
        alone: nothing else may run meanwhile (it measures time).
    """

    kind: str
    name: str
    inputs: dict[str, Any]
    needs: tuple[Task, ...] = ()
    alone: bool = field(default=False, compare=False)

    @cached_property
    def id(self) -> str:
        """Folder name: kind, name and the hash of inputs and needs."""
        return f"{self.kind}-{self.name}-{digest([self.inputs, [n.id for n in self.needs]])}"


@dataclass(frozen=True)
class Plan:
    """All tasks of a study, each after those that it needs.

    Args:
        arms: what is compared.
        trainings: by a task's id, the trainings that it makes, or samples with.
        serves: by a task's id, the names of the variants that it is a part of, if any.
        judge: the judge's training, if the study has one of its own.
        held_out: as for `make_plan`.
    """

    tasks: tuple[Task, ...]
    arms: tuple[Arm, ...]
    trainings: dict[str, tuple[Training, ...]]
    serves: dict[str, tuple[str, ...]]
    judge: Training | None = None
    held_out: str = ""

    def title(self, task: Task) -> str:
        """A task in words, with the variants that it serves."""
        names = self.serves.get(task.id, ())
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return f"{task.kind} {task.name}" + (f" ({names[0]}{more})" if names else "")

    @property
    def first(self) -> tuple[Arm, ...]:
        """The arms of the first variant, which others are compared with: one for each method."""
        return tuple(arm for arm in self.arms if arm.variant == self.arms[0].variant)

    def timed(self, config: Config) -> tuple[Arm, ...]:
        """The arms whose cost is measured, side by side."""
        return self.arms if config.bench.variants else self.first

    @property
    def shown(self) -> dict[str, Training]:
        """The trainings that a report describes, by stage: the first variant's, first seed."""
        own = [training for arm in self.first for training in arm.first]
        judge = [self.judge] if self.judge else []
        return {training.stage.name: training for training in (*own, *judge)}


def make_plan(config: Config, data: DataInfo, held_out: str = "") -> Plan:
    """The tasks of a study.

    What several arms share is done once: a stage that several methods name is trained once a seed.
    With several seeds, each method of the first variant is scored on the seeds' images pooled and
    shuffled (paper, section 0.2), and on each seed's alone. Other variants are compared seed by
    seed, and scored on each seed's alone.

    Args:
        config: what is asked.
        data: the facts of the training part.
        held_out: names the part that scores use, where the data's name does not: see
            `DataSplits.mark`.

    Raises:
        InputError: an unknown method, metric or variant, fields that no recipe has, or fewer
            images than a metric needs.
    """
    check_metrics(config.study.metrics)
    for metric in config.study.metrics:
        least = METRICS[metric].fewest(len(data.labels))
        if config.study.images < least:
            raise InputError(
                f"study.images={config.study.images} is too few for {metric}, which needs at "
                f"least {least}"
            )
    draft = _Draft(config, data, held_out)
    for seed in config.study.seeds:
        for arm in draft.arms:
            for training in arm.trainings[seed]:
                draft.train(training, arm.variant.name)
    draft.add_controls()
    for arm in draft.arms:
        draft.add_arm(arm)
    draft.add_insides()
    draft.add_bench()
    return draft.plan()


class _Draft:
    """A plan under construction; adding a task that is there already changes nothing."""

    def __init__(self, config: Config, data: DataInfo, held_out: str) -> None:
        self.config, self.data, self.study = config, data, config.study
        self.held_out = held_out
        self.first = self.study.seeds[0]
        self.arms = tuple(make_arms(config, data))
        self.tasks: dict[str, Task] = {}
        self.trainings: dict[str, tuple[Training, ...]] = {}
        self.serves: dict[str, dict[str, None]] = {}
        self.judged = any(METRICS[metric].judged for metric in self.study.metrics) or any(
            arm.selects for arm in self.arms
        )
        eye = judge_of(self.study.judge, data) if self.judged else None
        self.eye = eye.hash if eye else ""
        for arm in self.arms:
            if arm.selects:
                check_labelled(arm.conditional)
                if eye:
                    Selector(eye, arm.selection).check(data)
        self.judge: Training | None = None
        if self.judged and not self.eye:
            self.judge = make_training(config, JUDGE, self.first, data)
            if self.study.part != "test":
                raise InputError(
                    f"no judge for {data.title} ships with the package, and training one reads the "
                    f"test part, which study.part={self.study.part} must not: give one with "
                    "--study.judge=FOLDER"
                )

    def plan(self) -> Plan:
        tasks = sorted(self.tasks.values(), key=lambda task: KINDS.index(task.kind))
        serves = {key: tuple(names) for key, names in self.serves.items()}
        return Plan(tuple(tasks), self.arms, self.trainings, serves, self.judge, self.held_out)

    def add(self, task: Task, *trainings: Training, variant: str = "") -> Task:
        key = task.id
        if trainings:
            self.trainings[key] = trainings
        if variant:
            self.serves.setdefault(key, {})[variant] = None
        return self.tasks.setdefault(key, task)

    def train(self, training: Training, variant: str = "") -> Task:
        needs = tuple(self.train(need, variant) for need in training.needs)
        stage, seed = training.stage.name, training.seed
        inputs = {"stage": stage, "seed": seed, "training": training.identity}
        task = Task("train", f"{stage}-seed{seed}", inputs, needs)
        return self.add(task, training, variant=variant)

    def score(
        self, metric: str, name: str, seed: int | None, images: tuple[Task, ...], variant: str = ""
    ) -> None:
        inputs: dict[str, Any] = {"metric": metric, "method": name, "seed": seed}
        inputs |= {"images": self.study.images, **self.part}
        if metric == "cas":
            inputs["cas"] = asdict(self.config.cas)
        if METRICS[metric].judged:
            inputs["judge"] = self.eye
            images += self.judge_tasks
        title = f"{metric}-{name}" if seed is None else f"{metric}-{name}-seed{seed}"
        self.add(Task("score", title, inputs, images), variant=variant)

    @property
    def part(self) -> dict[str, str]:
        """What scores depend on besides, unless it is the test part of published data."""
        return self.mark | ({} if self.study.part == "test" else {"part": self.study.part})

    @property
    def mark(self) -> dict[str, str]:
        """The additional input of what is made of a user's own held-out images."""
        return {"held_out": self.held_out} if self.held_out else {}

    @property
    def judge_tasks(self) -> tuple[Task, ...]:
        return (self.train(self.judge),) if self.judge else ()

    @property
    def beside_floor(self) -> list[str]:
        """The metrics for which held-out real images are the floor."""
        return [metric for metric in self.study.metrics if METRICS[metric].floor]

    def real(self, name: str) -> Task:
        inputs = {"method": name, "images": self.study.images, "data": self.data.fingerprint}
        inputs |= self.mark if name in FLOORS.values() else {}
        return self.add(Task("real", name, inputs))

    def add_controls(self) -> None:
        beside = {metric: METRICS[metric].beside(self.study.part) for metric in self.study.metrics}
        for name in dict.fromkeys(name for sets in beside.values() for name in sets):
            for metric in self.study.metrics:
                if name in beside[metric]:
                    self.score(metric, name, None, (self.real(name),))

    def add_arm(self, arm: Arm) -> None:
        """Adds its images with every seed, their scores and, in a study of variants, its leaks."""
        method, variant = arm.method.name, arm.variant.name
        own = []
        for seed, trainings in arm.trainings.items():
            inputs = {"method": method, "seed": seed, "images": self.study.images}
            inputs["sampling"] = [training.sampling for training in trainings]
            needs = tuple(self.train(training, variant) for training in trainings)
            if arm.selects:
                inputs |= {"selection": arm.selects, "judge": self.eye}
                needs += self.judge_tasks
            task = Task("sample", f"{method}-seed{seed}", inputs, needs)
            own.append(self.add(task, *trainings, variant=variant))
            for training in trainings if variant else ():
                if arm.models[training.stage.name].can("losses_by_company"):
                    self.add_leak(training, variant)
        arm.method.check(arm.models)
        for metric in self.study.metrics:
            if metric == "cas" and not arm.conditional:
                continue  # the labels say nothing of the images
            if len(own) == 1 or arm.variant == self.arms[0].variant:
                self.score(metric, method, None, tuple(own), variant)
            for task in own if len(own) > 1 else ():
                self.score(metric, method, task.inputs["seed"], (task,), variant)

    def add_leak(self, training: Training, variant: str) -> None:
        """Adds the task that tests whether a network on images reads its batch: `tasks.leak`."""
        if training.needs:
            return
        stage, seed = training.stage.name, training.seed
        inputs = {"stage": stage, "seed": seed}
        task = Task("leak", f"{stage}-seed{seed}", inputs, (self.train(training),))
        self.add(task, training, variant=variant)

    def add_insides(self) -> None:
        """Adds the inspections of stages and the judge, and reconstructions by autoencoders."""
        for stage, training in self.plan().shown.items():
            model, inputs = training.build(), {"stage": stage, "seed": self.first}
            if model.can("reconstruct") and self.beside_floor:
                name, floor = reconstruction(stage), self.real(FLOORS[self.study.part])
                task = Task("reconstruct", name, inputs, (self.train(training), floor))
                for metric in self.beside_floor:
                    self.score(metric, name, None, (self.add(task, training),))
            if model.can("inspect"):
                self.add(Task("inspect", stage, inputs, (self.train(training),)), training)
        if self.judged:
            inputs = {"judge": self.eye, "data": self.data.fingerprint, **self.part}
            self.add(Task("inspect", JUDGE.name, inputs, self.judge_tasks))

    def add_bench(self) -> None:
        timed = self.plan().timed(self.config)
        used = [training for arm in timed for training in arm.trainings[self.first]]
        bench = asdict(self.config.bench)
        inputs = {
            "methods": [arm.method.name for arm in timed],
            "seed": self.first,
            # a newer field: leaving its default out keeps the names of older studies' tasks
            "bench": bench if bench.pop("variants") is False else {**bench, "variants": True},
            "sampling": [training.sampling for training in used],
        }
        needs = {task.id: task for task in map(self.train, used)}
        if self.config.bench.variants:  # the rows name them, so another order is another result
            inputs["arms"] = [
                [arm.variant.name, [training.identity for training in arm.trainings[self.first]]]
                for arm in timed
            ]
        if any(selects := [arm.selects for arm in timed]):
            inputs |= {"selections": selects, "judge": self.eye}
            needs |= {task.id: task for task in self.judge_tasks}
        task = Task("bench", f"seed{self.first}", inputs, tuple(needs.values()), alone=True)
        self.add(task, *used)


def reconstruction(stage: str) -> str:
    """The name of the set of real images that an autoencoder has encoded and decoded."""
    return f"{stage}-reconstruction"


def judge_of(folder: str, data: DataInfo) -> Judge | None:
    """The judge that a study uses; None for one that it trains itself.

    Raises:
        InputError: the one that is named is damaged, or sees other images.
    """
    return find_judge(data, folder) if folder else shipped_judge(data)
