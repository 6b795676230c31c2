"""What a page may ask for: JSON in, checked tasks out, every number within its bounds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from scalespace.errors import InputError, unknown
from scalespace.web.library import CALLS, Choice

IMAGES = 64
"""The most images of a request, those of all its models together."""
MODELS = 8
SEED = 2**32 - 1
SIDE = 1024
"""The most rows or columns of a drawing."""
GUIDANCE, TEMPERATURE = (0.0, 20.0), (0.05, 3.0)

Drawing = NDArray[np.uint8]
"""Grey values [h, w], or colours [h, w, 3], from 0 to 255."""


@dataclass(frozen=True)
class Sampling:
    """Images of `labels`, by each model from the noise of one seed."""

    models: tuple[Choice, ...]
    labels: tuple[int, ...]
    seed: int


@dataclass(frozen=True, eq=False)
class Redrawing:
    """A drawing taken to a state of a segment (None: the first one) and back, as a label."""

    model: Choice
    image: Drawing
    label: int
    segment: str | None
    state: float
    seed: int


@dataclass(frozen=True, eq=False)
class Enlarging:
    """A drawing taken down to the coarse size, for the upscaler to enlarge as a label."""

    model: Choice
    image: Drawing
    label: int
    seed: int


@dataclass(frozen=True, eq=False)
class Filling:
    """A drawing to be finished: the part `keep` stays (see `scalespace.model.edits.region`)."""

    model: Choice
    image: Drawing
    label: int
    keep: str
    seed: int


@dataclass(frozen=True)
class Interpolating:
    """`count` images of a label, from the noise of one seed to that of another."""

    model: Choice
    label: int
    count: int
    seed: int
    to_seed: int


@dataclass(frozen=True, eq=False)
class Reading:
    """A drawing for the judge of a model's data."""

    model: str
    image: Drawing


@dataclass(frozen=True, eq=False)
class Saving:
    """A drawing to be written as a samples file, with its label."""

    image: Drawing
    label: int


Task = Sampling | Redrawing | Enlarging | Filling | Interpolating
"""What is answered step by step."""


class Fields:
    """The fields of a JSON object, each read once; whatever is left over is refused.

    Every method that reads one raises `InputError` if it is absent or out of bounds.

    Args:
        value: the object.
        where: what to call it in a message; empty for the whole request.
    """

    def __init__(self, value: Any, where: str = "") -> None:
        self._where = f"{where}: " if where else ""
        if not isinstance(value, dict):
            raise InputError(f"{where or 'the request'} must be a JSON object, got {_shown(value)}")
        self._left = dict(value)

    def whole(self, name: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self._left.pop(name, None)
        if type(value) is not int or not low <= value <= high:
            self._refuse(name, f"a whole number from {low} to {high}", value)
        return value

    def real(self, name: str, low: float, high: float) -> float:
        """A number from `low` to `high`."""
        value = self._left.pop(name, None)
        if type(value) not in (int, float) or not low <= value <= high:
            self._refuse(name, f"a number from {low:g} to {high:g}", value)
        return float(value)

    def has(self, name: str) -> bool:
        """Whether the field is there, and not null; a null is then read."""
        if self._left.get(name) is None:
            self._left.pop(name, None)
        return name in self._left

    def text(self, name: str) -> str:
        """A short text."""
        value = self._left.pop(name, None)
        if not isinstance(value, str) or not 0 < len(value) <= 200:
            self._refuse(name, "a text of 1 to 200 characters", value)
        return value

    def labels(self) -> tuple[int, ...]:
        """1 to `IMAGES` whole numbers."""
        value = self._left.pop("labels", None)
        if not isinstance(value, list) or not 1 <= len(value) <= IMAGES:
            self._refuse("labels", f"a list of 1 to {IMAGES} classes", value)
        for label in value:
            if type(label) is not int or not 0 <= label < 2**31:
                self._refuse("labels", "whole numbers from 0 on", label)
        return tuple(value)

    def drawing(self) -> Drawing:
        """Rows of whole numbers from 0 to 255, or of three for red, green and blue each."""
        value = self._left.pop("image", None)
        rows = value if isinstance(value, list) and all(isinstance(r, list) for r in value) else []
        widths = {len(row) for row in rows}
        if len(widths) != 1 or not (1 <= len(rows) <= SIDE and 1 <= min(widths) <= SIDE):
            self._refuse("image", f"rows of one length, 1 to {SIDE} of 1 to {SIDE} pixels", value)
        pixels = [pixel for row in rows for pixel in row]
        coloured = isinstance(pixels[0], list)
        if coloured and all(isinstance(pixel, list) and len(pixel) == 3 for pixel in pixels):
            pixels = [number for pixel in pixels for number in pixel]
        if any(type(number) is not int or not 0 <= number <= 255 for number in pixels):
            raise InputError(
                f"{self._where}image must have pixels from 0 to 255, or three such numbers each"
            )
        return np.array(rows, dtype=np.uint8)

    def choice(self) -> Choice:
        """The model of the field `model`."""
        return _choice(self._left.pop("model", None), "model")

    def choices(self) -> tuple[Choice, ...]:
        """1 to `MODELS` of them, in the field `models`."""
        value = self._left.pop("models", None)
        if not isinstance(value, list) or not 1 <= len(value) <= MODELS:
            self._refuse("models", f"a list of 1 to {MODELS} models", value)
        return tuple(_choice(one, f"models[{k}]") for k, one in enumerate(value))

    def steps(self) -> int | tuple[tuple[str, int], ...] | None:
        """A number of calls, or one by segment; None if it is absent or null."""
        if not self.has("steps"):
            return None
        value = self._left["steps"]
        if not isinstance(value, dict):
            return self.whole("steps", 1, CALLS)
        if not 1 <= len(value) <= 16:
            self._refuse("steps", "a number of calls, or one for each of 1 to 16 segments", value)
        own = Fields(self._left.pop("steps"), f"{self._where}steps")
        return tuple((name, own.whole(name, 1, CALLS)) for name in sorted(value))

    def end(self) -> None:
        """Raises `InputError` if fields are left."""
        if self._left:
            name = next(iter(self._left))
            raise InputError(f"{self._where}unknown field {_shown(name)}")

    def _refuse(self, name: str, wanted: str, value: Any) -> NoReturn:
        got = "nothing" if value is None else _shown(value)
        raise InputError(f"{self._where}{name} must be {wanted}, got {got}")


def parse(body: bytes) -> Fields:
    """The JSON object that a request brings; `InputError` if it is none."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number")

    def whole(text: str) -> int:
        if len(text) > 300:  # Python itself refuses 4,300 digits, in words about its settings
            raise ValueError(f"a number of {len(text)} digits")
        return int(text)

    try:
        return Fields(json.loads(body, parse_int=whole, parse_constant=refuse))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"the request is no JSON: {reason}") from error


def task(kind: str, body: bytes) -> Task:
    """The task that a request asks for.

    Args:
        kind: a key of `TASKS`.
        body: JSON.

    Raises:
        InputError: an unknown kind, no JSON object, or a field that is unknown or out of bounds.
    """
    if kind not in TASKS:
        raise unknown("task", kind, TASKS)
    fields = parse(body)
    found = TASKS[kind](fields)
    fields.end()
    return found


def reading(body: bytes) -> Reading:
    """A drawing for the judge; raises as `task` does."""
    fields = parse(body)
    found = Reading(fields.text("model"), fields.drawing())
    fields.end()
    return found


def saving(body: bytes) -> Saving:
    """A drawing to be saved; raises as `task` does."""
    fields = parse(body)
    found = Saving(fields.drawing(), _label(fields))
    fields.end()
    return found


def _sampling(fields: Fields) -> Sampling:
    models, labels = fields.choices(), fields.labels()
    if (count := len(models) * len(labels)) > IMAGES:
        raise InputError(
            f"{len(labels)} labels by {len(models)} models are {count} images, and a request may "
            f"ask for {IMAGES}"
        )
    return Sampling(models, labels, _seed(fields))


def _redrawing(fields: Fields) -> Redrawing:
    model, image, label = fields.choice(), fields.drawing(), _label(fields)
    segment = fields.text("segment") if fields.has("segment") else None
    state = fields.real("state", 0, 10_000)
    at = int(state) if state == int(state) else state
    return Redrawing(model, image, label, segment, at, _seed(fields))


def _enlarging(fields: Fields) -> Enlarging:
    return Enlarging(fields.choice(), fields.drawing(), _label(fields), _seed(fields))


def _filling(fields: Fields) -> Filling:
    model, image, label = fields.choice(), fields.drawing(), _label(fields)
    return Filling(model, image, label, fields.text("keep"), _seed(fields))


def _interpolating(fields: Fields) -> Interpolating:
    ends = [fields.whole(name, 0, SEED) for name in ("seed", "to_seed")]
    return Interpolating(
        fields.choice(), _label(fields), fields.whole("count", 2, IMAGES), ends[0], ends[1]
    )


TASKS: dict[str, Callable[[Fields], Task]] = {
    "sample": _sampling,
    "redraw": _redrawing,
    "enlarge": _enlarging,
    "fill": _filling,
    "interpolate": _interpolating,
}


def _choice(value: Any, where: str) -> Choice:
    """A model by name alone, or an object with a name and how to sample it."""
    if isinstance(value, str):
        value = {"name": value}
    own = Fields(value, where)
    found = Choice(
        own.text("name"),
        own.steps(),
        own.real("guidance", *GUIDANCE) if own.has("guidance") else None,
        own.real("temperature", *TEMPERATURE) if own.has("temperature") else None,
    )
    own.end()
    return found


def _seed(fields: Fields) -> int:
    return fields.whole("seed", 0, SEED)


def _label(fields: Fields) -> int:
    return fields.whole("label", 0, 2**31 - 1)


def _shown(value: Any) -> str:
    """A value in a message: short, whatever it is."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return "a number that is not finite"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
