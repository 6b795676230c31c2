"""`scalespace bench` times trained models side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from scalespace import options as opt
from scalespace.bench import Suite, benchmark, run_suite
from scalespace.bench.suite import table
from scalespace.config import BenchConfig
from scalespace.config.build import build
from scalespace.errors import InputError, unknown
from scalespace.model import Model
from scalespace.training.runtime import Runtime
from scalespace.verbs.common import (
    MODEL,
    check_folder,
    engine_option,
    find_model,
    make_runtime,
    runtime_options,
)
from scalespace.verbs.sample import guided, steps_options


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("models", nargs="*", help=f"measured in turns; each {MODEL}")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--suite",
        action="store_true",
        help="measure the whole package instead: sampling, training, memory, cold start",
    )
    parser.add_argument(
        "--sections", type=str, help="parts of the suite, as in 'one image,cold start'"
    )
    parser.add_argument("--rounds", type=int, help="times that the suite does each thing")
    parser.add_argument("--out", help="folder for the suite's bench.json, bench.md and pictures")
    steps_options(parser)
    runtime_options(parser, training=False)
    engine_option(parser)
    opt.add_config(parser, only=["bench"])


def act(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.machine import machine, versions

    runtime = make_runtime(options)
    own = {name: getattr(options, name) for name in ("sections", "rounds", "out")}
    if options.suite:
        _suite(options, runtime, given)
        return
    if wrong := [name for name, value in own.items() if value is not None]:
        raise InputError(f"--{wrong[0]} needs --suite")
    if not options.models:
        raise InputError("nothing to time: name a model (scalespace models lists them), or --suite")
    config: BenchConfig = build(BenchConfig, given.get("bench", {}))
    models = [find_model(name, runtime.torch_device) for name in options.models]
    if options.steps is not None:
        models = _stepped(models, opt.steps(options.steps, "--steps"))
    models = [guided(model, options).with_engine(runtime.engine) for model in models]
    found = benchmark(_named(options.models, models), config, runtime.progress and not options.json)
    if options.json:
        about = {"machine": machine(runtime.torch_device), "versions": versions()}
        print(json.dumps({"models": found, **about}, indent=2))
        return
    for name, cost in found.items():
        ms = {key: 1000 * cost[key] for key in ("mean", "median", "q1", "q3")}
        print(
            f"{name}: {ms['mean']:.1f} ms a sample (median {ms['median']:.1f}, quartiles "
            f"{ms['q1']:.1f} to {ms['q3']:.1f}, n {cost['productions']}), {cost['calls']} calls, "
            f"{cost['macs'] / 1e6:.0f} M multiply-adds, {cost['images_per_s']:.0f} images/s at "
            f"batch {cost['best_batch_size']}, by {cost['engine']}"
        )


def _named(words: Sequence[str], models: Sequence[Model]) -> dict[str, Model]:
    """The models by method, or as they were asked for if two are of one method."""
    names = [model.method.name for model in models]
    if len({*names}) < len(names):
        names = list(words)
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"'{twice[0]}' is named twice: a model is timed once")
    return dict(zip(names, models, strict=True))


def _suite(options: Namespace, runtime: Runtime, given: dict[str, Any]) -> None:
    if options.models or options.steps is not None or options.guidance is not None:
        raise InputError("--suite times the shipped models as they are: name none, and no steps")
    if runtime.engine != "auto" or given.get("bench"):
        raise InputError("--suite times plain PyTorch beside the engine: no --engine, no --bench.*")
    rounds = 20 if options.rounds is None else options.rounds
    if not 1 <= rounds <= 10_000:
        raise InputError(f"--rounds must lie in 1 .. 10000, got {rounds}")
    if options.out is not None:
        check_folder("--out", Path(options.out))
    suite = Suite(rounds, device=runtime.torch_device, progress=runtime.progress)
    found = run_suite(suite, opt.words(options.sections), options.out)
    print(json.dumps(found, indent=2) if options.json else table(found))


def _stepped(models: list[Model], steps: Any) -> list[Model]:
    """Each model with the steps of its own stages and scales."""
    if not isinstance(steps, dict):
        return [model.stepped(steps) for model in models]
    names = [{*model.stages, *model.scales} for model in models]
    known = set().union(*names)
    if unheard := sorted(set(steps) - known):
        raise unknown("stage", unheard[0], known)
    own = [{name: s for name, s in steps.items() if name in theirs} for theirs in names]
    return [m.stepped(part) if part else m for m, part in zip(models, own, strict=True)]
