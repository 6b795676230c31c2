"""`scalespace models` lists the methods, or describes a trained model."""

from __future__ import annotations

import json
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from scalespace import pretrained
from scalespace.methods import METHODS
from scalespace.model.folder import CARD
from scalespace.verbs.common import MODEL, find_model


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help=MODEL)
    parser.add_argument("--json", action="store_true", help="print JSON")


def act(options: Namespace, given: dict[str, Any]) -> None:
    if options.model is None:
        about: list[dict[str, Any]] = [
            {
                "method": method.name,
                "title": method.title,
                "stages": [stage.name for stage in method.stages],
                "about": (method.__doc__ or "").strip().partition("\n")[0],
                "shipped": pretrained.of_method(method.name),
            }
            for method in METHODS.values()
        ]
        if options.json:
            print(json.dumps(about, indent=2))
            return
        widest = max(len(one["method"]) for one in about)
        for one in about:
            stages = ", ".join(one["stages"])
            print(f"{one['method']:<{widest}}  {one['about']} Stages: {stages}.")
        shipped = [
            name if name == one["method"] else f"{name} (a model of {one['method']})"
            for one in about
            for name in one["shipped"]
        ]
        print(f"\nshipped models: {', '.join(shipped)}")
        return
    model = find_model(options.model)
    config = {**model.config, "parameters": model.parameters}
    if options.json:
        print(json.dumps(config, indent=2))
        return
    print(f"{config['method']} ({config['hash']}), trained on {model.data.title}")
    data = model.data
    colours = " in colour" if data.channels > 1 else ""
    classes = ", ".join(data.classes[label] for label in data.labels)
    print(f"images of {data.height} x {data.width} pixels{colours}, classes: {classes}")
    print(f"{config['calls']} network calls a sample, {config['parameters']} parameters")
    for name, states in model.steps.items():
        listed = ", ".join(f"{t:g}" for t in states)
        print(f"  {name}: called in state{'' if len(states) == 1 else 's'} {listed}")
    for name, stage in config["stages"].items():
        record = stage["record"]
        print(
            f"  {name}: seed {stage['seed']}, {record['images']} images in "
            f"{record['seconds']:.0f} s, validation loss {record['val_loss']:.4f}"
        )
    if model.figures is not None:
        measured = [f"{one.title} {one.value:.4f}" for one in model.figures.measures]
        print(f"measured: {', '.join(measured)}")
    if (card := pretrained.find(options.model) / CARD).is_file():
        print(f"card: {card}")
