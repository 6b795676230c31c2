"""`scalespace export` writes a trained model as an ONNX file."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser, Namespace

from scalespace import options as opt
from scalespace.errors import InputError
from scalespace.verbs.common import MODEL, check_target, find_model
from scalespace.verbs.sample import guided, steps_options


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("model", help=MODEL)
    parser.add_argument("file", help="the file to write (.onnx)")
    parser.add_argument("--stage", help="one stage's network with its tables; else all of sampling")
    steps_options(parser)


def act(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.model.export import export_model, export_stage

    check_target("the file", options.file, ".onnx")
    model = find_model(options.model)
    if options.steps is not None:
        model = model.stepped(opt.steps(options.steps, "--steps"))
    if options.stage is not None and options.guidance is not None:
        raise InputError("--guidance mixes two calls of a network: it is not for --stage")
    model = guided(model, options)
    if options.stage is not None:
        about = export_stage(model, options.stage, options.file)
        print(f"{options.file}: x0_hat of stage {options.stage} in states {about['states']}")
    else:
        about = export_model(model, options.file)
        noises = len(about["noise"])
        print(f"{options.file}: labels and {noises} noises to images, {model.calls} calls")
