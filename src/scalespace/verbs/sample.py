"""`scalespace sample` makes images with a trained model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from scalespace import options as opt
from scalespace.config import SelectionConfig
from scalespace.config.build import build
from scalespace.data import Samples, check, write_samples
from scalespace.data.info import has_names
from scalespace.data.pixels import pictures
from scalespace.errors import InputError
from scalespace.evaluation.judge import find_judge
from scalespace.model import Model
from scalespace.stages.heeded import check_heeded
from scalespace.training.runtime import Runtime
from scalespace.verbs.common import (
    MODEL,
    check_apart,
    check_new_folder,
    check_target,
    engine_option,
    find_model,
    make_runtime,
    note,
    runtime_options,
)
from scalespace.verbs.labels import MOST, find_labels, read_source

GRID, GIF, STRIP = 400, 100, 20
"""The most images that a picture, an animation, and a film strip has."""
STRENGTH = "a number (1.5), or one for each stage (small=1.5)"
STATE = "a state of the first stage (12), or of another (upscaler=5)"
MODES = ("redraw", "fill", "interpolate", "same_noise")
"""Alternatives to sampling from noise alone; one at a time."""


def steps_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--steps",
        type=str,
        help="network calls of each stage (6), states ([19,13,6]), all, or by stage "
        "(small=6,upscaler=1)",
    )
    parser.add_argument(
        "--guidance",
        type=str,
        help="strength of classifier-free guidance (1.5), or by stage (small=1.5); for models "
        "trained with objective.unlabelled",
    )
    parser.add_argument(
        "--guidance-states", type=str, help="lowest and highest state with guidance, as in 5,15"
    )


def changed(model: Model, options: Namespace, given: dict[str, Any]) -> Model:
    """A model with the options' sampling; a stage's own fields win over --steps."""
    changes = opt.config_fields(given)
    if options.steps is not None:
        if "steps" in (changes.get("process") or {}):
            raise InputError("--steps is short for --process.steps: give one of them")
        model = model.stepped(opt.steps(options.steps, "--steps"))
    model = guided(model.resampled(changes) if changes else model, options)
    check_heeded(changes, [(s.training.stage, model.models[n]) for n, s in model.stages.items()])
    return model


def guided(model: Model, options: Namespace) -> Model:
    """A model with the guidance that the options ask for, if any."""
    if options.guidance is None:
        if options.guidance_states is not None:
            raise InputError("--guidance-states needs --guidance")
        return model
    states = None
    if options.guidance_states is not None:
        example = "two numbers, the lower first, as in 5,15"
        found = opt.reals(options.guidance_states, "--guidance-states", example)
        if len(found) != 2 or not 0 <= found[0] <= found[1]:
            raise InputError(f"--guidance-states takes {example}: got '{options.guidance_states}'")
        states = (found[0], found[1])
    return model.guided(opt.by_stage(options.guidance, "--guidance", STRENGTH), states)


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("model", help=MODEL)
    parser.add_argument("--per-class", type=int, help="images of every class")
    parser.add_argument("--labels", type=str, help="classes, as in 3,1,4, or by name")
    parser.add_argument("--seed", type=int, default=0, help="with its index, fixes an image")
    parser.add_argument("--batch-size", type=int, default=250, help="images made at a time")
    steps_options(parser)
    parser.add_argument(
        "--candidates",
        type=int,
        help="images made for each that is kept: a judge keeps those that teach most (8)",
    )
    parser.add_argument(
        "--hard",
        type=float,
        help="share of the kept ones that are the hardest to read (default: 1)",
    )
    parser.add_argument(
        "--others",
        choices=["any", "even"],
        help="which the other kept ones are: any (default), or spread evenly over all there are",
    )
    parser.add_argument(
        "--judge", help="folder or name of the judge that chooses (default: the shipped one)"
    )
    parser.add_argument(
        "--out", help="the samples file to write (.npz), or a new folder for PNG files"
    )
    parser.add_argument("--grid", help=f"a picture of the images to write (at most {GRID} of them)")
    parser.add_argument(
        "--gif", help=f"an animation of the reverse process to write (at most {GIF} images)"
    )
    parser.add_argument(
        "--strip", help=f"a picture of the reverse process to write (at most {STRIP} images)"
    )
    parser.add_argument(
        "--redraw",
        help="a samples file or a folder of images to start from, noised to --from-state",
    )
    parser.add_argument(
        "--from-state", type=str, help="state of the first stage (12), or of another (upscaler=5)"
    )
    parser.add_argument(
        "--fill", help="a samples file or a folder of images: keep their part --keep, make the rest"
    )
    parser.add_argument(
        "--keep",
        type=str,
        help="top, bottom, left, right, or rows and columns, as in 0:14,7:21",
    )
    parser.add_argument(
        "--interpolate", type=int, help="images of each label, from --seed to --to-seed"
    )
    parser.add_argument("--to-seed", type=int, help="where --interpolate goes (default: seed + 1)")
    parser.add_argument(
        "--same-noise", action="store_true", help="all images from the noise of the first"
    )
    runtime_options(parser, training=False)
    engine_option(parser)
    opt.add_config(parser, only=["process", "condition"], unset="the model", sampling=True)
    parser.add_argument(
        "--stages", type=dict[str, Any], help="the same for one stage: --stages.small.process.eta=1"
    )


def act(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.figures.grids import PICTURES, save_gif, save_grid, save_strip

    _check(options)
    to_folder = options.out is not None and not Path(options.out).suffix
    if to_folder:
        check_new_folder("--out", Path(options.out))
    else:
        if options.out is not None and Path(options.out).suffix.lower() in PICTURES:
            raise InputError(
                f"--out {options.out} would be a picture, which --grid {options.out} writes: --out "
                "takes a samples file (.npz), or a new folder for a PNG file of each image"
            )
        check_target("--out", options.out, ".npz")
    check_target("--grid", options.grid, *PICTURES)
    check_target("--gif", options.gif, ".gif")
    check_target("--strip", options.strip, *PICTURES)
    check_apart(**{name: options[name] for name in ("out", "grid", "gif", "strip")})
    written = [p for p in (options.out, options.grid, options.gif, options.strip) if p]
    if not written:
        raise InputError(
            "say what to write: --out FILE.npz or FOLDER, --grid FILE.png, --gif FILE.gif, "
            "--strip FILE.png, or several"
        )
    runtime = make_runtime(options)
    model = changed(find_model(options.model, runtime.torch_device), options, given)
    source = read_source(options, model)
    labels = find_labels(options, model, source)
    if not model.conditional:
        note(f"{options.model} was trained without labels: those of its images mean nothing")
    each = options.interpolate or options.candidates or 1
    model = model.with_engine(runtime.engine, len(labels) * each)
    samples = _maker(options, model, source, runtime)(labels)
    if to_folder:
        samples.to_folder(options.out)
    elif options.out:
        write_samples(options.out, samples)
    columns = _columns(options, model, len(samples))
    if options.grid:
        across = min(columns, GRID)
        names = _names(model, samples.labels[:GRID].tolist(), across)
        save_grid(options.grid, samples.images[:GRID], across, names=names)
    if options.gif or options.strip:
        frames = _frames(model, samples, GIF if options.gif else STRIP)
        if options.gif:
            save_gif(options.gif, frames, columns)
        if options.strip:
            save_strip(options.strip, [images[:STRIP] for images in frames])
    print(f"{len(samples)} image{'s' * (len(samples) > 1)}: {', '.join(written)}")
    for path, most in ((options.grid, GRID), (options.gif, GIF), (options.strip, STRIP)):
        if path and len(samples) > most:
            print(f"{path} has the first {most} of them")


def _frames(model: Model, samples: Samples, most: int) -> list[np.ndarray]:
    """The states on the way from noise to the images, or to the first of them."""
    indices = samples.meta.get("indices", range(len(samples)))[:most]
    steps = model.trajectory(samples.labels[:most].tolist(), samples.meta["seed"], indices)
    return [pictures(model.data.to_unit(step.x)) for step in steps]


def _check(options: Namespace) -> None:
    """Refuses options that exclude each other."""
    asked = [name for name in MODES if options[name] not in (None, False)]
    if len(asked) > 1:
        named = " and ".join(f"--{name.replace('_', '-')}" for name in asked)
        raise InputError(f"{named} are different things: ask for one of them")
    for option, needed in (("from_state", "redraw"), ("keep", "fill"), ("to_seed", "interpolate")):
        if options[option] is not None and needed not in asked:
            raise InputError(f"--{option.replace('_', '-')} is for --{needed}")
    if "redraw" in asked and options.from_state is None:
        raise InputError("--redraw needs --from-state: the state that the images are taken to")
    if "fill" in asked and options.keep is None:
        raise InputError("--fill needs --keep: which pixels stay")
    for option in ("gif", "strip"):
        if options[option] and asked and asked != ["same_noise"]:
            raise InputError(f"--{option} shows images from noise, and not --{asked[0]}")
    if options.candidates is None:
        for option in ("hard", "others", "judge"):
            if options[option] is not None:
                raise InputError(f"--{option} is for --candidates: how images are chosen")
    elif asked:
        raise InputError(
            f"--candidates are images from noise: not with --{asked[0].replace('_', '-')}"
        )
    if options.seed < 0:
        raise InputError(f"--seed must be at least 0, got {options.seed}")
    path = options.redraw or options.fill
    ways = (options.per_class is not None) + (options.labels is not None)
    if ways == 2 or (ways == 0 and path is None):
        raise InputError("say what to sample: either --per-class N or --labels 3,1,4")


def _columns(options: Namespace, model: Model, n: int) -> int:
    if options.interpolate:
        return int(options.interpolate)
    return len(model.data.labels) if options.per_class is not None else min(n, 10)


def _names(model: Model, labels: Sequence[int], columns: int) -> list[str]:
    """The class of each column, if it has one class alone and classes have names of their own."""
    classes = model.data.classes
    mixed = any(label != labels[k % columns] for k, label in enumerate(labels))
    if mixed or not has_names(classes) or not model.conditional:
        return []
    return [classes[label] for label in labels[:columns]]


def _maker(
    options: Namespace, model: Model, source: Samples | None, runtime: Runtime
) -> Callable[[list[int]], Samples]:
    """The function that makes the images that the options ask for, from their labels."""
    from scalespace.model.edits import fill, interpolate, redraw, region, same_noise

    seed, size, progress = options.seed, options.batch_size, runtime.progress
    if size < 1:
        raise InputError(f"--batch-size must be at least 1, got {size}")
    if source is not None:
        path = options.redraw or options.fill
        check(source.images, source.labels, shape=model.data.shape, where=path)
        images = source.images
    if options.redraw:
        at = opt.by_stage(options.from_state, "--from-state", STATE)
        return lambda labels: redraw(model, images, labels, at, seed, size, progress)
    if options.fill:
        keep = region(options.keep, model.data.height, model.data.width, "--keep")
        return lambda labels: fill(model, images, keep, labels, seed, size, progress)
    if options.interpolate is not None:
        to_seed = seed + 1 if options.to_seed is None else options.to_seed
        count = options.interpolate

        def between(labels: list[int]) -> Samples:
            if count * len(labels) > MOST:
                raise InputError(
                    f"--interpolate {count} makes {count * len(labels)} images, and a file holds "
                    f"{MOST:,} at most"
                )
            return interpolate(model, labels, count, seed, to_seed, size, progress)

        return between
    if options.same_noise:
        return lambda labels: same_noise(model, labels, seed, 0, size, progress)
    if options.candidates is not None:
        return _chooser(options, model, runtime)
    return lambda labels: model.sample(labels, seed, size, progress=progress)


def _chooser(options: Namespace, model: Model, runtime: Runtime) -> Callable[[list[int]], Samples]:
    """The function that makes candidates for images of some labels, and chooses."""
    from scalespace.evaluation.selection import Selector, check_labelled

    given = {name: getattr(options, name) for name in ("candidates", "hard", "others")}
    fields = {name: value for name, value in given.items() if value is not None}
    config = build(SelectionConfig, fields)
    selector = Selector(find_judge(model.data, options.judge), config, runtime.torch_device)
    check_labelled(model.conditional)
    selector.check(model.data)

    def chosen(labels: list[int]) -> Samples:
        if (count := len(labels) * config.candidates) > MOST:
            raise InputError(
                f"{len(labels)} images of {config.candidates} candidates each are {count}, "
                f"and {MOST:,} may be made: ask for fewer"
            )
        asked = selector.asked(labels)
        made = model.sample(asked, options.seed, options.batch_size, progress=runtime.progress)
        return selector.select(made, labels)

    return chosen
