"""What a study says of itself in `study.json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from scalespace.evaluation.evaluate import METRICS
from scalespace.machine import machine, versions
from scalespace.nets.unet import parameters
from scalespace.stages.base import Models, Stage
from scalespace.studies.folder import FORMAT
from scalespace.studies.tasks import Context
from scalespace.training.training import with_needs


def describe(context: Context, about: dict[str, Any]) -> dict[str, Any]:
    """The content of `study.json`: all that the report says besides the measurements.

    Methods, stages and recipes are those of the first variant.
    """
    config, data, trainings = context.config, context.splits.info, context.plan.shown
    models = Models({name: training.build() for name, training in trainings.items()})
    return {
        "format": FORMAT,
        "data": asdict(data),
        "held_out": context.plan.held_out,
        "config": asdict(config),
        "recipes": {name: asdict(training.recipe) for name, training in trainings.items()},
        "methods": [
            {
                "name": arm.method.name,
                "title": arm.method.title,
                "doc": " ".join((arm.method.__doc__ or "").split()),
                "calls": arm.method.calls(models) * arm.selection.candidates,
                "conditional": arm.conditional,
                "stages": [stage.name for stage in arm.method.stages],
                "trained": list(dict.fromkeys(one.stage.name for one in with_needs(arm.first))),
            }
            for arm in context.plan.first
        ],
        "stages": [
            {
                "name": name,
                **_shown(training.stage),
                "kind": "other",
                **models[name].facts(),
                "parameters": parameters(models[name]),
            }
            for name, training in trainings.items()
        ],
        "metrics": {name: METRICS[name].facts for name in config.study.metrics},
        "seeds": list(config.study.seeds),
        "tasks": {task.id: context.plan.title(task) for task in context.plan.tasks},
        "machine": machine(context.runtime.torch_device),
        "versions": versions(),
        **about,
    }


def _shown(stage: Stage) -> dict[str, Any]:
    """The fields of a stage that a report shows, and the names of the stages it needs."""
    kinds = {"scale": int, "conditioned": bool}
    own = {key: kind(getattr(stage, key)) for key, kind in kinds.items() if hasattr(stage, key)}
    return {**own, "needs": [need.name for need in stage.needs]}
