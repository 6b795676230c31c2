"""The Python and the command line that do what a page did, ready to copy."""

from __future__ import annotations

import json
import shlex
from typing import Any

from scalespace.web.library import Choice
from scalespace.web.requests import Filling, Interpolating, Redrawing, Sampling

DRAWING = "drawing.npz"
"""The samples file that the page saves a drawing as."""


def python(task: Sampling | Redrawing | Filling | Interpolating, choice: Choice) -> str:
    """A program that makes the images of one model and writes them as a picture.

    Args:
        task: what was asked for; a `Redrawing` names its segment.
        choice: the model, one of the task's.
    """
    lines = ["import scalespace as sc", "", f"model = {_model(choice)}"]
    if isinstance(task, Redrawing | Filling):
        lines.append(f'drawing = sc.read_samples("{DRAWING}")  # "Save the drawing" on the page')
    match task:
        case Sampling():
            lines.append(f"samples = model.sample({list(task.labels)}, seed={task.seed})")
            columns = min(len(task.labels), 10)
        case Redrawing():
            at = {task.segment: task.state}
            given = f"drawing.images, [{task.label}], {at!r}, seed={task.seed}"
            lines.append(f"samples = sc.redraw(model, {given})")
            columns = 1
        case Filling():
            lines[0:0] = ["import numpy as np", ""]
            lines += [
                f"keep = np.zeros({task.image.shape[:2]}, dtype=bool)",
                f"keep[{_kept(task)}] = True",
            ]
            given = f"drawing.images, keep, [{task.label}], seed={task.seed}"
            lines.append(f"samples = sc.fill(model, {given})")
            columns = 1
        case Interpolating():
            given = f"[{task.label}], {task.count}, seed={task.seed}, to_seed={task.to_seed}"
            lines.append(f"samples = sc.interpolate(model, {given})")
            columns = task.count
    lines.append(f'sc.save_grid("out.png", samples.images, columns={columns})')
    return "\n".join(lines) + "\n"


def shell(task: Sampling | Redrawing | Filling | Interpolating, choice: Choice) -> str:
    """The command line that does the same; arguments as for `python`."""
    words = ["scalespace", "sample", choice.name]
    match task:
        case Sampling():
            words += ["--labels", ",".join(map(str, task.labels)), "--seed", str(task.seed)]
        case Redrawing():
            words += ["--redraw", DRAWING, "--from-state", f"{task.segment}={task.state:g}"]
            words += ["--labels", str(task.label), "--seed", str(task.seed)]
        case Filling():
            words += ["--fill", DRAWING, "--keep", task.keep]
            words += ["--labels", str(task.label), "--seed", str(task.seed)]
        case Interpolating():
            words += ["--labels", str(task.label), "--interpolate", str(task.count)]
            words += ["--seed", str(task.seed), "--to-seed", str(task.to_seed)]
    if isinstance(choice.steps, tuple):
        words += ["--steps", ",".join(f"{name}={calls}" for name, calls in choice.steps)]
    elif choice.steps is not None:
        words += ["--steps", str(choice.steps)]
    if choice.guidance is not None:
        words += ["--guidance", f"{choice.guidance!r}"]
    if choice.temperature is not None:
        words.append(f"--process.temperature={choice.temperature!r}")
    return shlex.join([*words, "--grid", "out.png"]) + "\n"


def _model(choice: Choice) -> str:
    made = f"sc.Model.from_pretrained({_quoted(choice.name)})"
    if choice.steps is not None:
        steps: Any = dict(choice.steps) if isinstance(choice.steps, tuple) else choice.steps
        made += f".stepped({_quoted(steps)})"
    if choice.temperature is not None:
        made += f'.resampled({{"process.temperature": {choice.temperature!r}}})'
    return made if choice.guidance is None else f"{made}.guided({choice.guidance!r})"


def _kept(task: Filling) -> str:
    """The rows and columns that stay, as an index."""
    height, width = task.image.shape[:2]
    halves = {
        "top": f":{height // 2}",
        "bottom": f"{height // 2}:",
        "left": f":, :{width // 2}",
        "right": f":, {width // 2}:",
    }
    return halves.get(task.keep, task.keep.replace(",", ", "))


def _quoted(value: Any) -> str:
    """A text, or numbers by name, in Python's spelling with double quotes."""
    return json.dumps(value, ensure_ascii=False)
