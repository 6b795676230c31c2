"""A method with its trained stages, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from scalespace.core.sampling import Leg, ways
from scalespace.data.info import DataInfo
from scalespace.engine.base import Engine, Lazily, Torch
from scalespace.fields import digest
from scalespace.hub.figures import Figures
from scalespace.methods import Method
from scalespace.model.chain import Chain, Engaged, engage
from scalespace.model.folder import FORMAT
from scalespace.nets.unet import parameters
from scalespace.training.runtime import find_device
from scalespace.training.training import TrainedStage, models_of


class TrainedMethod:
    """A method with its trained stages, on one device.

    Args:
        method: what is sampled.
        stages: its trained stages, by name.
        device: where to sample.
        figures: what was measured of it.
        name: its `hash`, where it has one already; otherwise it is computed.
        engine: what runs its networks in sampling; plain PyTorch unless given.
    """

    def __init__(
        self,
        method: Method,
        stages: Mapping[str, TrainedStage],
        device: torch.device | str = "cpu",
        figures: Figures | None = None,
        name: str | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.method = method
        self.figures = figures
        self._name = name
        self.stages = dict(stages)
        self.device = find_device(device)
        self.models = models_of(self.stages, self.device)
        self.engine = engine or Torch()
        if not isinstance(self.engine, Torch):
            for model in self.models.values():
                if found := model.networks():
                    load = self.engine.load
                    model.use({name: Lazily(partial(load, *own)) for name, own in found.items()})

    @cached_property
    def chain(self) -> Engaged | None:
        """Its sampling as one call of its engine; None where that does not pay, or cannot be."""
        if self.device.type != self.engine.chained_on:
            return None
        if not self.legs or self.calls > self.engine.chains:
            return None
        return engage(self.as_chain(), self.data, self.engine, self.device)

    def as_chain(self, finish: Callable[[Tensor], Tensor] | None = None) -> Chain:
        """Its sampling as one network, in which no engine has a part yet.

        Args:
            finish: what becomes of the standardised images; nothing unless given.
        """
        own = models_of(self.stages, self.device)
        recipes = [asdict(stage.training.recipe) for stage in self.stages.values()]
        return Chain(self.method, own, finish, about=[recipes, asdict(self.data)])

    @cached_property
    def legs(self) -> tuple[Leg, ...]:
        """The segments of its process, as they are sampled, the coarsest first."""
        return self.method.legs(self.models)

    @cached_property
    def scales(self) -> dict[str, str]:
        """The stage of each segment, where one stage has several."""
        every = [(name, stage.legs()) for name, stage in self.models.items()]
        return {leg.segment.name: name for name, legs in every if len(legs) > 1 for leg in legs}

    @cached_property
    def steps(self) -> dict[str, list[float]]:
        """The states that the network is called in, by segment."""
        return {leg.segment.name: list(way[:-1]) for leg, way in ways(self.legs)}

    @cached_property
    def guidance(self) -> dict[str, float]:
        """The strength of guidance by segment, where there is any."""
        strengths = {leg.segment.name: leg.guidance.strength for leg in self.legs}
        return {name: strength for name, strength in strengths.items() if strength}

    def __repr__(self) -> str:
        return (
            f"<scalespace model {self.hash}: {self.method.name}, trained on {self.data.title}, "
            f"{self.calls} network calls a sample, {self.parameters:,} parameters>"
        )

    @property
    def data(self) -> DataInfo:
        """The facts of the data that it was trained on."""
        return next(iter(self.stages.values())).training.data

    @cached_property
    def calls(self) -> int:
        """Network calls a sample."""
        return self.method.calls(self.models)

    @cached_property
    def conditional(self) -> bool:
        """Whether its images are of the classes asked for."""
        return self.method.conditional(self.models)

    @property
    def parameters(self) -> int:
        """Trained numbers of all its stages."""
        return sum(parameters(model) for model in self.models.values())

    @cached_property
    def hash(self) -> str:
        """Names the model: method, the identities of its trainings, and how it samples."""
        if self._name is not None:
            return self._name
        trainings = [stage.training for stage in self.stages.values()]
        return digest([self.method.name, [[t.identity, t.sampling] for t in trainings]])

    @property
    def config(self) -> dict[str, Any]:
        """What `config.json` holds."""
        figures = {} if self.figures is None else {"figures": asdict(self.figures)}
        trainings = [stage.training for stage in self.stages.values()]
        own = {one.stage.name: one for one in trainings}
        needed = {one.stage.name: one for training in trainings for one in training.every_need}
        needs = {
            name: {"recipe": asdict(one.recipe), "seed": one.seed}
            for name, one in needed.items()
            if own.get(name) != one  # it may be sampled otherwise than when it was built on
        }
        return {
            "format": FORMAT,
            "method": self.method.name,
            "hash": self.hash,
            "calls": self.calls,
            "steps": self.steps,
            "data": asdict(self.data),
            "stages": {
                name: {
                    "recipe": asdict(stage.training.recipe),
                    "seed": stage.training.seed,
                    "identity": stage.training.identity,
                    "record": stage.record,
                }
                for name, stage in self.stages.items()
            },
            **({"needs": needs} if needs else {}),
            **figures,
        }
