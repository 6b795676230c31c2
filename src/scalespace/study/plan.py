"""What a study must do: its units of work, each named by a hash of all that decides its result."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from scalespace.config import Config
from scalespace.data.info import DataInfo
from scalespace.evaluation.controls import FLOOR
from scalespace.evaluation.evaluate import METRICS, check_metrics
from scalespace.evaluation.judge import load_judge, shipped_judge
from scalespace.methods import METHODS, get_method
from scalespace.presets import digest
from scalespace.settings import make_training
from scalespace.stages.base import StageModel
from scalespace.stages.judge import JUDGE
from scalespace.stages.vae import VAE
from scalespace.study.results import reconstruction
from scalespace.training.training import Training

TRAJECTORY_IMAGES = 12  # as many as the paper's Figure 2 shows


@dataclass(frozen=True)
class Unit:
    """One piece of work with a cached result.

    Args:
        kind: one of `scalespace.study.units.KINDS`.
        name: for people.
        inputs: what it is about: plain values.
        needs: the units whose results it reads.
        alone: nothing else may run meanwhile (it measures time).
    """

    kind: str
    name: str
    inputs: dict[str, Any]
    needs: tuple[Unit, ...] = ()
    alone: bool = field(default=False, compare=False)

    @property
    def id(self) -> str:
        """Folder name: kind, name and the hash of inputs and needs."""
        return f"{self.kind}-{self.name}-{digest([self.inputs, [n.id for n in self.needs]])}"


@dataclass(frozen=True)
class Plan:
    """All units of a study, each after those that it needs, and the trainings they make."""

    units: tuple[Unit, ...]
    trainings: dict[tuple[str, int], Training]

    def unit(self, unit_id: str) -> Unit:
        """The unit of that id."""
        return next(unit for unit in self.units if unit.id == unit_id)

    def training(self, stage: str, seed: int) -> Training:
        """The training of a stage with a seed."""
        return self.trainings[stage, seed]


def make_plan(config: Config, data: DataInfo) -> Plan:
    """The units of a study.

    A stage that several methods name is trained once a seed. With several seeds each method is
    scored on the seeds' images pooled and shuffled (paper, section 0.2), and on each seed's alone.

    Raises:
        InputError: an unknown method or metric.
    """
    study = config.study
    check_metrics(study.metrics)
    methods = [get_method(name) for name in study.methods or METHODS]
    trainings = {
        (stage.name, seed): make_training(config, stage, seed, data)
        for seed in study.seeds
        for method in methods
        for stage in method.stages
    }
    first = study.seeds[0]
    judged = any(METRICS[metric].judged for metric in study.metrics)
    eye = judge_name(study.judge, data) if judged else ""
    if judged and not eye:
        trainings[JUDGE.name, first] = make_training(config, JUDGE, first, data)
    train: dict[tuple[str, int], Unit] = {}
    for (stage, seed), training in trainings.items():
        inputs = {"stage": stage, "seed": seed, "training": training.identity}
        needs = tuple(train[need.stage.name, seed] for need in training.needs)
        train[stage, seed] = Unit("train", f"{stage}-seed{seed}", inputs, needs)
    models = {stage: t.build() for (stage, seed), t in trainings.items() if seed == first}
    judge = tuple(train[key] for key in train if key[0] == JUDGE.name)

    def score(metric: str, name: str, seed: int | None, images: tuple[Unit, ...]) -> Unit:
        inputs: dict[str, Any] = {"metric": metric, "method": name, "seed": seed}
        inputs |= {"images": study.images}
        if metric == "cas":
            inputs["cas"] = asdict(config.cas)
        seen = METRICS[metric].judged
        if seen:
            inputs["judge"] = eye
        title = f"{metric}-{name}" if seed is None else f"{metric}-{name}-seed{seed}"
        return Unit("score", title, inputs, (*images, *(judge if seen else ())))

    beside_floor = [metric for metric in study.metrics if METRICS[metric].floor]
    controls = dict.fromkeys(name for m in study.metrics for name in METRICS[m].controls)
    same = {"images": study.images, "data": data.fingerprint}
    real = {name: Unit("real", name, {"method": name, **same}) for name in controls}
    samples = list(real.values())
    scores = [
        score(metric, name, None, (unit,))
        for name, unit in real.items()
        for metric in study.metrics
        if name in METRICS[metric].controls
    ]
    for method in methods:
        own = []
        stages = [trainings[stage.name, first] for stage in method.stages]
        for seed in study.seeds:
            inputs = {"method": method.name, "seed": seed, "images": study.images}
            inputs["sampling"] = [training.sampling for training in stages]
            needs = tuple(train[stage.name, seed] for stage in method.stages)
            own.append(Unit("sample", f"{method.name}-seed{seed}", inputs, needs))
        samples += own
        for metric in study.metrics:
            if metric == "cas" and not method.conditional(models):
                continue  # their labels say nothing of the images
            scores.append(score(metric, method.name, None, tuple(own)))
            if len(own) > 1:
                scores += [score(metric, method.name, u.inputs["seed"], (u,)) for u in own]

    for (stage, seed), unit in train.items():
        if seed == first and isinstance(models[stage], VAE) and beside_floor:
            name = reconstruction(stage)
            needs = (unit, real[FLOOR])
            samples.append(Unit("reconstruct", name, {"stage": stage, "seed": seed}, needs))
            scores += [score(metric, name, None, (samples[-1],)) for metric in beside_floor]
    inspect = [
        Unit("inspect", stage, {"stage": stage, "seed": first}, (unit,))
        for (stage, seed), unit in train.items()
        if seed == first and shows_itself(models[stage])
    ]
    if judged:
        inputs = {"judge": eye, "data": data.fingerprint}
        inspect.append(Unit("inspect", JUDGE.name, inputs, judge))
    inputs = {
        "methods": [method.name for method in methods],
        "seed": first,
        "bench": asdict(config.bench),
        "sampling": [
            trainings[stage.name, first].sampling for method in methods for stage in method.stages
        ],
    }
    stages_used = dict.fromkeys(stage.name for method in methods for stage in method.stages)
    needs = tuple(train[stage, first] for stage in stages_used)
    bench = Unit("bench", f"seed{first}", inputs, needs, alone=True)
    return Plan((*train.values(), *samples, *scores, *inspect, bench), trainings)


def shows_itself(model: StageModel) -> bool:
    """Whether a stage has something to show from inside."""
    return type(model).inspect is not StageModel.inspect


def judge_name(folder: str, data: DataInfo) -> str:
    """The hash of the judge that a study uses; empty for one that it trains itself."""
    judge = load_judge(folder) if folder else shipped_judge(data)
    return judge.hash if judge else ""
