"""What a study must do: its units of work, each named by a hash of all that decides its result."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from scalespace.config import Config
from scalespace.data.info import DataInfo
from scalespace.evaluation.controls import CONTROLS
from scalespace.methods import METHODS, get_method
from scalespace.presets import digest
from scalespace.settings import stage_recipe
from scalespace.training.training import Training

TRAJECTORY_IMAGES = 12  # as many as the paper's Figure 2 shows


@dataclass(frozen=True)
class Unit:
    """One piece of work with a cached result.

    Args:
        kind: train, sample, real, score or bench; see `scalespace.study.units`.
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
    """
    study = config.study
    methods = [get_method(name) for name in study.methods or METHODS]
    trainings = {
        (stage.name, seed): Training(stage, stage_recipe(config, stage.name), seed, data)
        for seed in study.seeds
        for method in methods
        for stage in method.stages
    }
    train = {
        (stage, seed): Unit(
            "train",
            f"{stage}-seed{seed}",
            {"stage": stage, "seed": seed, "training": training.identity},
        )
        for (stage, seed), training in trainings.items()
    }

    def score(method: str, seed: int | None, images: tuple[Unit, ...]) -> Unit:
        name = method if seed is None else f"{method}-seed{seed}"
        inputs = {"method": method, "seed": seed, "images": study.images, "cas": asdict(config.cas)}
        return Unit("score", name, inputs, images)

    samples, scores = [], []
    for control in CONTROLS:
        inputs = {"method": control, "images": study.images, "data": data.fingerprint}
        samples.append(Unit("real", control, inputs))
        scores.append(score(control, None, (samples[-1],)))
    for method in methods:
        own = []
        for seed in study.seeds:
            inputs = {"method": method.name, "seed": seed, "images": study.images}
            needs = tuple(train[stage.name, seed] for stage in method.stages)
            own.append(Unit("sample", f"{method.name}-seed{seed}", inputs, needs))
        samples += own
        scores.append(score(method.name, None, tuple(own)))
        if len(own) > 1:
            scores += [score(method.name, unit.inputs["seed"], (unit,)) for unit in own]

    seed = study.seeds[0]
    inputs = {
        "methods": [method.name for method in methods],
        "seed": seed,
        "bench": asdict(config.bench),
    }
    stages = dict.fromkeys(stage.name for method in methods for stage in method.stages)
    needs = tuple(train[stage, seed] for stage in stages)
    bench = Unit("bench", f"seed{seed}", inputs, needs, alone=True)
    return Plan((*train.values(), *samples, *scores, bench), trainings)
