"""Turns what was asked for into events: what each model does, a reverse step at a time."""

from __future__ import annotations

import base64
import io
import json
import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from scalespace.core.sampling import Start, Step, ways
from scalespace.core.scale import down
from scalespace.data import Samples
from scalespace.data.pixels import pictures, planes
from scalespace.errors import InputError
from scalespace.model import Model
from scalespace.model.edits import fill_steps, interpolate_steps, redraw_steps, region
from scalespace.web.library import Choice, Library, upscaler
from scalespace.web.requests import (
    Drawing,
    Enlarging,
    Filling,
    Interpolating,
    Reading,
    Redrawing,
    Sampling,
    Saving,
    Task,
)
from scalespace.web.snippets import python, shell

Event = tuple[str, dict[str, Any]]
"""Its name, and plain values."""


@dataclass
class Run:
    """A reverse process on its way.

    Args:
        choice: the model and how it is sampled.
        model: the same, ready.
        labels: of its images.
        steps: what is still to come.
        code: the Python and the command line that do the same.
        calls: network calls an image.
        given: what the model is shown of a drawing at a coarser scale, [h, w] or [h, w, 3] in
            [0, 1]; or None.
        seconds: how long its steps took so far.
        done: how many of them were sent.
    """

    choice: Choice
    model: Model
    labels: list[int]
    steps: Iterator[Step]
    code: dict[str, str]
    calls: int
    given: NDArray[np.floating[Any]] | None = None
    seconds: float = 0.0
    done: int = 0
    _first: list[Step] = field(default_factory=list)

    def begin(self) -> None:
        """Takes the first step, so that what the model refuses is known before anything is sent.

        Raises:
            InputError: what the model refuses.
        """
        if (step := self.advance()) is not None:
            self._first = [step]

    def advance(self) -> Step | None:
        """The next step; None after the last. `seconds` grows by what it took to compute."""
        if self._first:
            return self._first.pop()
        begun = time.perf_counter()
        step = next(self.steps, None)
        self.seconds += time.perf_counter() - begun
        return step

    def close(self) -> None:
        """Ends the process where it is."""
        if isinstance(self.steps, Generator):
            self.steps.close()


def runs(task: Task, library: Library) -> list[Run]:
    """The reverse processes that a task asks for, each begun.

    Raises:
        InputError: an unknown model, or what a model refuses.
    """
    if isinstance(task, Enlarging):
        model = library.model(task.model)
        segment = upscaler(model).segment
        drawn = (task.model, task.image, task.label, segment.name, segment.first, task.seed)
        task = Redrawing(*drawn)
    if isinstance(task, Sampling):
        found = [_sampled(task, choice, library.model(choice)) for choice in task.models]
    else:
        found = [_edited(task, library.model(task.model))]
    for run in found:
        run.begin()
    return found


def events(found: list[Run]) -> Generator[Event, None, None]:
    """What happens, an event at a time; the processes take turns.

    Events are `start`, one a process; `step`; `end`, one a process; and `done`. Closing the
    iterator ends the work.

    Args:
        found: what `runs` gave.
    """
    try:
        for k, run in enumerate(found):
            yield ("start", _start(k, run))
        going = dict(enumerate(found))
        while going:
            for k, run in list(going.items()):
                step = run.advance()
                if step is not None:
                    yield ("step", _step(k, run, step))
                    continue
                del going[k]
                yield ("end", {"run": k, "seconds": run.seconds, "calls": run.calls})
        yield ("done", {})
    finally:
        for run in found:
            run.close()


def written(event: Event) -> bytes:
    """An event as a server sends it (the format of `text/event-stream`)."""
    name, values = event
    return f"event: {name}\ndata: {json.dumps(values)}\n\n".encode()


def read(asked: Reading, library: Library) -> dict[str, Any]:
    """What the judge sees in a drawing: the classes, and how probable each is.

    Raises:
        InputError: an unknown model, no judge for its data, or a drawing of another size.
    """
    judge = library.judge(asked.model)
    (row,) = judge.probabilities(_unit(asked.image)[None]).tolist()
    return {"classes": list(judge.data.classes), "probabilities": row, "judge": judge.hash}


def samples(asked: Saving) -> bytes:
    """A drawing as a samples file (`scalespace.data.samples`)."""
    made = Samples(_unit(asked.image)[None], np.array([asked.label]), {"method": "drawn"})
    file = io.BytesIO()
    meta = np.array(json.dumps(made.meta))
    np.savez_compressed(file, images=made.images, labels=made.labels, meta=meta)
    return file.getvalue()


def data_url(image: NDArray[np.floating[Any]]) -> str:
    """An image [h, w] or [h, w, 3] in [0, 1] as a PNG of 8 bits a channel, in a data URL."""
    file = io.BytesIO()
    pixels = np.rint(np.nan_to_num(image) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _sampled(task: Sampling, choice: Choice, model: Model) -> Run:
    labels = list(task.labels)
    steps = model.trajectory(labels, task.seed)
    return Run(choice, model, labels, steps, _code(task, choice), model.calls)


def _edited(task: Redrawing | Filling | Interpolating, model: Model) -> Run:
    """A process that begins in a drawing, keeps a part of one, or goes from noise to noise."""
    choice, labels, given, calls = task.model, [task.label], None, model.calls
    match task:
        case Redrawing():
            task = replace(task, segment=task.segment or _first(model))
            assert task.segment is not None
            unit, at = _unit(task.image)[None], {task.segment: task.state}
            steps = redraw_steps(model, unit, labels, at, task.seed)
            start = Start(torch.empty(0), task.segment, task.state)
            passed = ways(model.legs, start)
            calls = sum(leg.calls(way[-1], way[0]) for leg, way in passed)
            if (coarser := passed[0][0].segment).jump.factor > 1:
                factor = coarser.factor * coarser.jump.factor
                given = pictures(down(planes(unit), factor))[0]
        case Filling():
            unit = _unit(task.image)[None]
            keep = region(task.keep, *task.image.shape[:2])
            steps = fill_steps(model, unit, keep, labels, task.seed)
        case Interpolating():
            steps = interpolate_steps(model, labels, task.count, task.seed, task.to_seed)
            labels = labels * task.count
    return Run(choice, model, labels, steps, _code(task, choice), calls, given)


def _first(model: Model) -> str:
    if not model.legs:
        raise InputError(f"method '{model.method.name}' is no process: it begins from noise alone")
    return model.legs[0].segment.name


def _code(task: Sampling | Redrawing | Filling | Interpolating, choice: Choice) -> dict[str, str]:
    return {"python": python(task, choice), "shell": shell(task, choice)}


def _start(k: int, run: Run) -> dict[str, Any]:
    values: dict[str, Any] = {"run": k, "model": run.choice.name, "labels": run.labels}
    classes = run.model.data.classes
    values |= {"classes": [classes[label] for label in run.labels], **run.code}
    if run.given is not None:
        values["given"] = {"size": list(run.given.shape[:2]), "image": data_url(run.given)}
    return values


def _step(k: int, run: Run, step: Step) -> dict[str, Any]:
    unit = pictures(run.model.data.to_unit(step.x))
    run.done += 1
    return {
        "run": k,
        "number": run.done,
        "segment": step.segment,
        "state": step.t if math.isfinite(step.t) else None,
        "size": list(unit.shape[1:3]),
        "seconds": run.seconds,
        "images": [data_url(image) for image in unit],
    }


def _unit(image: Drawing) -> NDArray[np.float32]:
    return image.astype(np.float32) / np.float32(255)
