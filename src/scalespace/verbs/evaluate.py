"""`scalespace evaluate` scores a samples file against real data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from scalespace import options as opt
from scalespace.config import CASConfig
from scalespace.config.build import build
from scalespace.data import check, load
from scalespace.data.exchange import read_any, told_data
from scalespace.data.info import DataInfo, listed_classes
from scalespace.data.origins import name_told
from scalespace.errors import InputError
from scalespace.verbs.common import data_dir_option, make_runtime, note, runtime_options

MADE = (
    *("method", "model", "seed", "calls", "steps", "guidance", "guidance_states"),
    *("redrawn_from", "kept", "selection"),
)
"""The fields of a samples file's `meta` that tell how its images were made."""


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("samples", help="a samples file (.npz), or a folder of images")
    parser.add_argument("--data", help="the real data set (default: the one the file names)")
    parser.add_argument(
        "--metrics",
        default="cas",
        help="metrics, as in cas,fd,kid,prdc,copies,variety,c2st (default: cas)",
    )
    parser.add_argument(
        "--judge",
        help="folder or name of the judge for fd, kid and prdc (default: the shipped one)",
    )
    parser.add_argument(
        "--controls", action="store_true", help="also score control sets of real images and noise"
    )
    parser.add_argument("--classifiers", type=int, help="short for --cas.classifiers")
    parser.add_argument("--json", action="store_true", help="print JSON")
    data_dir_option(parser, size=True)
    runtime_options(parser, training=False)
    opt.add_config(parser, only=["cas"])


def act(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.evaluation.controls import FLOOR, TITLES, control
    from scalespace.evaluation.evaluate import METRICS, Real, check_metrics, evaluate
    from scalespace.evaluation.judge import doubts, strangers

    metrics = options.metrics.replace(" ", "").split(",")
    check_metrics(metrics)
    data = options.data or name_told(told_data(options.samples), options.samples)
    fields = dict(given.get("cas", {}))
    if options.classifiers is not None:
        if fields.get("classifiers", options.classifiers) != options.classifiers:
            raise InputError("--classifiers is short for --cas.classifiers: give one of them")
        fields["classifiers"] = options.classifiers
    if fields and "cas" not in metrics:
        raise InputError("--classifiers and --cas.* are for cas, which --metrics does not ask for")
    if options.judge and not any(METRICS[metric].judged for metric in metrics):
        judged = ", ".join(name for name, metric in METRICS.items() if metric.judged)
        raise InputError(f"--judge is for {judged}, and --metrics asks for none of them")
    runtime = make_runtime(options)
    splits = load(data, options.data_dir, size=options.size)
    coloured = splits.train.channels > 1
    samples, assumed = read_any(options.samples, splits.train.classes, coloured)
    for sentence in assumed:
        note(sentence)
    real = Real(
        splits,
        build(CASConfig, fields),
        options.judge,
        runtime.torch_device,
        runtime.progress and not options.json,
    )
    samples = check(
        samples.images,
        samples.labels,
        samples.meta,
        shape=splits.info.shape,
        classes=len(splits.train.classes),
        where=options.samples,
    )
    _compare_origin(samples.meta, splits.info, options.samples)
    seen = any(METRICS[metric].judged for metric in metrics)
    # before the other metrics are measured, for there may be no judge
    if seen:
        for doubt in (
            doubts(real.eye.record.get("accuracy", {})),
            strangers(real.eye, splits.info),
        ):
            if doubt:
                note(doubt)
    try:
        found: dict[str, Any] = {"samples": evaluate(samples, real, metrics, floor=True)}
    except InputError as error:
        raise InputError(f"{options.samples}: {error}") from error
    if absent := found["samples"].get("cas", {}).get("absent"):
        names = listed_classes([splits.train.classes[label] for label in absent])
        note(
            f"{options.samples} has no images of {names}: the classifiers of cas never see these "
            "classes, and read none of their real images right"
        )
    for name in TITLES if options.controls else ():
        fitting = [metric for metric in metrics if name in METRICS[metric].beside("test")]
        if fitting and name != FLOOR:  # the floor is measured beside the samples already
            beside = control(name, real.splits, len(samples), samples.conditional)
            found[name] = evaluate(beside, real, fitting)
    made = {name: samples.meta[name] for name in MADE if name in samples.meta}
    if options.json:
        about = {"file": options.samples, "data": data, **({"made": made} if made else {})}
        print(json.dumps({**about, **found.pop("samples"), **found}, indent=2))
        return
    if line := _made(made):
        print(line)
    for name, measures in found.items():
        for metric, result in measures.items():
            print(f"{name}: {_told(metric, result)}")
    splits = real.splits
    per_class = found["samples"].get("cas", {}).get("per_class", [])
    for label, share in zip(splits.train.classes, per_class, strict=False):
        found_of = "no test images" if share is None else f"{share:.4f}"
        print(f"samples, CAS of class {label}: {found_of}")


def _compare_origin(meta: dict[str, Any], data: DataInfo, file: str) -> None:
    """Notes it if images are scored against other data than their model was trained on."""
    name, fingerprint = meta.get("data", data.name), meta.get("fingerprint", data.fingerprint)
    if name != data.name:
        note(f"{file}: made by a model of {name}, and scored against {data.title}")
    elif fingerprint != data.fingerprint:
        note(f"{file}: scored against {data.title}, but its model was trained on other files")


def _made(made: dict[str, Any]) -> str:
    """How the images were made, in a line; empty if the file does not say."""
    steps, calls = made.get("steps"), made.get("calls")
    if not isinstance(steps, dict) or not isinstance(calls, int):
        return ""
    listed = "; ".join(
        f"{name} {', '.join(f'{t:g}' for t in states)}"
        for name, states in steps.items()
        if isinstance(states, list) and all(isinstance(t, int | float) for t in states)
    )
    plural = "" if calls == 1 else "s"
    states = f" ({listed})" if listed else ""
    selection = made.get("selection")
    candidates = selection.get("candidates") if isinstance(selection, dict) else None
    chosen = f", chosen from {candidates} times as many" if isinstance(candidates, int) else ""
    return f"made by {made.get('method')} in {calls} network call{plural}{states}{chosen}"


def _told(metric: str, result: dict[str, Any]) -> str:
    """The result of one metric in a line."""
    from scalespace.evaluation.evaluate import METRICS

    figures = "; ".join(_figures(METRICS[metric].figures, result))
    about = [f"n {result['n']:,}"]
    if "reference_n" in result:
        about.append(f"against {result['reference_n']:,} training images")
    if "judge" in result:
        about.append(f"judge {result['judge']}")
    line = f"{figures} ({', '.join(about)})"
    if "floor" in result:
        floor = "; ".join(_figures(METRICS[metric].figures, result["floor"]))
        line += f"; {result['floor']['n']:,} real test images: {floor}"
    return line


def _figures(figures: dict[str, str], result: dict[str, Any]) -> Iterator[str]:
    for name, title in figures.items():
        text = f"{title} {result[name]:.4f}"
        if "low" in result:
            text += f" [{result['low']:.4f} to {result['high']:.4f}]"
        elif result.get("sd") is not None:
            text += f" ± {result['sd']:.4f}"
        yield text
