"""`scalespace sample` makes images with a trained model."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser, Namespace

from scalespace import options as opt
from scalespace.data import write_samples
from scalespace.errors import InputError
from scalespace.verbs.common import MODEL, check_target, find_model, make_runtime, runtime_options

GRID, GIF = 400, 100
"""The most images that a picture, and an animation, has."""


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("model", help=MODEL)
    parser.add_argument("--per-class", type=int, help="images of every class")
    parser.add_argument("--labels", type=str, help="classes, as in 3,1,4")
    parser.add_argument("--seed", type=int, default=0, help="with an image's index, fixes it")
    parser.add_argument("--batch-size", type=int, default=250, help="images made at a time")
    parser.add_argument("--out", help="the samples file to write (.npz)")
    parser.add_argument("--grid", help=f"a picture of the images to write (at most {GRID} of them)")
    parser.add_argument(
        "--gif", help=f"an animation of the reverse process to write (at most {GIF} images)"
    )
    runtime_options(parser, training=False)
    opt.add_config(parser, only=["process", "condition"], unset="the model")
    parser.add_argument(
        "--stages", type=dict[str, Any], help="the same for one stage: --stages.small.process.eta=1"
    )


def act(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.figures.grids import PICTURES, save_gif, save_grid

    if (options.per_class is None) == (options.labels is None):
        raise InputError("say what to sample: either --per-class N or --labels 3,1,4")
    if options.seed < 0:
        raise InputError(f"--seed must be at least 0, got {options.seed}")
    check_target("--out", options.out, ".npz")
    check_target("--grid", options.grid, *PICTURES)
    check_target("--gif", options.gif, ".gif")
    written = [path for path in (options.out, options.grid, options.gif) if path]
    if not written:
        raise InputError(
            "say what to write: --out FILE.npz, --grid FILE.png, --gif FILE.gif, or several"
        )
    runtime = make_runtime(options)
    model = find_model(options.model, runtime.torch_device)
    if changes := opt.config_fields(given):
        model = model.resampled(changes)
    classes = len(model.data.classes)
    if options.labels is not None:
        labels = opt.numbers(options.labels, "--labels")
    elif options.per_class < 1:
        raise InputError(f"--per-class must be at least 1, got {options.per_class}")
    else:
        labels = [label for _ in range(options.per_class) for label in range(classes)]
    samples = model.sample(labels, options.seed, options.batch_size, progress=runtime.progress)
    if options.out:
        write_samples(options.out, samples)
    columns = classes if options.labels is None else min(len(labels), 10)
    if options.grid:
        save_grid(options.grid, samples.images[:GRID], columns)
    if options.gif:
        steps = model.trajectory(labels[:GIF], options.seed)
        frames = [model.data.to_unit(step.x)[:, 0].cpu().numpy() for step in steps]
        save_gif(options.gif, frames, columns)
    print(f"{len(labels)} images: {', '.join(written)}")
    for path, most in ((options.grid, GRID), (options.gif, GIF)):
        if path and len(labels) > most:
            print(f"{path} has the first {most} of them")
