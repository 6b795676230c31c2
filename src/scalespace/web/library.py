"""The models that a page offers, each with its variants, and the judges that read images."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from scalespace.core.sampling import Leg, ways
from scalespace.errors import InputError, unknown
from scalespace.evaluation.judge import Judge, shipped_judge
from scalespace.model import Model

KEPT = 24
"""How many variants are cached: each holds networks of its own, of some 100 kB."""
CALLS = 200
"""The most calls a segment that may be asked for."""


@dataclass(frozen=True)
class Choice:
    """A model as somebody wants it sampled; None stands for the model's own.

    Args:
        name: of the model.
        steps: network calls of every segment, or by segment as sorted pairs.
        guidance: strength of classifier-free guidance.
        temperature: standard deviation of the initial noise, relative to the process's own.
    """

    name: str
    steps: int | tuple[tuple[str, int], ...] | None = None
    guidance: float | None = None
    temperature: float | None = None


class Library:
    """Models by name, which many threads may ask for at once.

    Args:
        models: by the names that `Model.from_pretrained` and the command line know them by.
    """

    def __init__(self, models: Mapping[str, Model]) -> None:
        self.models = dict(models)
        self._variants: OrderedDict[Choice, Model] = OrderedDict()
        self._lock = Lock()
        self._judges = {name: shipped_judge(model.data) for name, model in self.models.items()}

    def plain(self, name: str) -> Model:
        """The model of that name as it is; `InputError` if there is none."""
        if name not in self.models:
            raise unknown("model", name, self.models)
        return self.models[name]

    def model(self, choice: Choice) -> Model:
        """A model as it was chosen.

        Raises:
            InputError: there is no such model, or it cannot be sampled so.
        """
        model = self.plain(choice.name)
        with self._lock:  # `Model.stepped` has a cache of its own, which no two threads may change
            if choice not in self._variants:
                self._variants[choice] = _variant(model, choice)
                if len(self._variants) > KEPT:
                    self._variants.popitem(last=False)
            self._variants.move_to_end(choice)
            return self._variants[choice]

    def judge(self, name: str) -> Judge:
        """The judge of a model's images; `InputError` if none ships for its data."""
        data = self.plain(name).data
        judge = self._judges[name]
        if judge is None:
            raise InputError(f"no judge for {data.title}, on which '{name}' was trained, ships")
        return judge

    def about(self) -> list[dict[str, Any]]:
        """What a page needs to know of each model, in plain values."""
        return [
            _about(name, model, self._judges[name] is not None)
            for name, model in self.models.items()
        ]


def upscaler(model: Model) -> Leg:
    """The last segment of a model that takes over smaller images; `InputError` if none does."""
    for leg in reversed(model.legs):
        if leg.segment.jump.factor > 1:
            return leg
    raise InputError(
        f"a model of '{model.method.name}' enlarges nothing by itself: choose a cascade"
    )


def _variant(model: Model, choice: Choice) -> Model:
    """In the order of the command line: steps, fields of the recipe, guidance."""
    steps = choice.steps
    model = model.stepped(dict(steps) if isinstance(steps, tuple) else steps)
    if choice.temperature is not None:
        model = model.resampled({"process.temperature": choice.temperature})
    return model if choice.guidance is None else model.guided(choice.guidance)


def _about(name: str, model: Model, judged: bool) -> dict[str, Any]:
    data = model.data
    segments = []
    for leg, way in ways(model.legs):
        segment, least = leg.segment, math.floor(way[-1]) + 1
        last = segment.schedule.last
        segments.append(
            {
                "name": segment.name,
                "size": list(segment.shape[-2:]),
                "states": list(way[:-1]),
                "least": least,
                "last": last,
                "calls": len(way) - 1,
                "most": CALLS if leg.visits.continuous else min(CALLS, last - least + 1),
            }
        )
    return {
        "name": name,
        "title": model.method.title,
        "hash": model.hash,
        "data": data.title,
        "classes": list(data.classes),
        "labels": list(data.labels),
        "conditional": model.conditional,
        "size": [data.height, data.width],
        "channels": data.channels,
        "calls": model.calls,
        "parameters": model.parameters,
        "temperature": model.legs[0].temperature if model.legs else None,
        "segments": segments,
        "guided": bool(model.guidable),
        "guidance": max(model.guidance.values(), default=0.0),
        "enlarges": any(leg.segment.jump.factor > 1 for leg in model.legs),
        "redraws": bool(model.legs),
        "fills": bool(model.legs) and not any(leg.segment.latents_of for leg in model.legs),
        "judged": judged,
    }
