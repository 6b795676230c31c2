"""What a study uses that is none of the package's own, and the modules that bring it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scalespace import plugins
from scalespace.config import NetConfig, ProcessConfig
from scalespace.core.solvers import SOLVERS
from scalespace.errors import InputError
from scalespace.evaluation.evaluate import METRICS
from scalespace.nets.registry import module_of
from scalespace.studies.tasks import Context
from scalespace.training.training import with_needs


def plug_ins(context: Context) -> list[str]:
    """The modules that other processes must import for a study.

    Raises:
        InputError: one is the program itself.
    """
    found = dict(brought(context))
    if plugins.MAIN in found:
        raise InputError(
            f"{found[plugins.MAIN]} is written in the program itself, which other processes cannot "
            "import: put it into a module, or do one task at a time (jobs=1)"
        )
    return list(dict.fromkeys([*plugins.named(), *found]))


def brought(context: Context) -> Iterator[tuple[str, str]]:
    """Each module, and in words what the study uses from there."""
    arms = context.plan.arms
    parts = [
        part
        for arm in arms
        for training in with_needs(arm.first)
        for part in vars(training.recipe).values()
    ]
    samplers = {part.sampler for part in parts if isinstance(part, ProcessConfig)}
    things: dict[str, Any] = {f"method '{arm.method.name}'": arm.method for arm in arms}
    things |= {f"metric '{name}'": METRICS[name].measure for name in context.config.study.metrics}
    things |= {f"sampler '{name}'": SOLVERS[name].make for name in sorted(samplers)}
    for what, thing in things.items():
        for module in plugins.outside([thing]):
            yield module, what
    for kind in sorted({part.kind for part in parts if isinstance(part, NetConfig)}):
        if module := module_of(kind):
            yield module, f"network '{kind}'"
