"""What a stage and a method are, and the registry of methods.

A *stage* is what is trained: one network and its loss. A *method* is what is sampled: it names its
stages in training order and turns labels into images. Two methods that name the same stage share
its training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from scalespace.core.samplers import Step
from scalespace.data.info import DataInfo
from scalespace.errors import unknown


class StageModel(nn.Module, ABC):
    """A stage's networks with their loss. Calling it gives the loss, so that DDP can wrap it."""

    calls: int
    """Network calls that one sample takes in this stage."""

    @abstractmethod
    def prepare(self, images: Tensor) -> tuple[Tensor, ...]:
        """What training needs of standardised images [n, 1, h, w]: tensors of n rows.

        Done once for a data set; batches are then rows of the result.
        """

    @abstractmethod
    def forward(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """The training loss of each image of a prepared batch: float [n]."""

    @abstractmethod
    def validate(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """The loss of each image at each level: float [n, levels].

        Levels are what the loss may usefully be split by: here the states t = 1 .. S-1.
        """

    def facts(self) -> dict[str, Any]:
        """What a report should tell of the stage besides its fields."""
        return {}

    @abstractmethod
    def preview(self, batch: Sequence[Tensor], labels: Tensor, seed: int) -> Tensor:
        """What the stage makes of labels (and, where it has one, of a batch's condition).

        Standardised images [n, 1, h, w], for the sample grids that show training at work.
        """


@dataclass(frozen=True)
class Stage(ABC):
    """What is trained, by name. Frozen: its fields and the recipe are hashed to address it."""

    name: str

    @abstractmethod
    def build(self, recipe: Any, data: DataInfo) -> StageModel:
        """An untrained model for a recipe (see `scalespace.config.Recipe`) and a data set."""


Models = Mapping[str, Any]
"""Trained stages by name; a method knows what each of its own can do."""


class Method(ABC):
    """What is sampled. Subclass it in a file of this package and decorate it with `register`."""

    name: ClassVar[str]
    title: ClassVar[str]
    """The name in tables and figures."""
    stages: ClassVar[tuple[Stage, ...]]
    """What must be trained, in order."""

    @abstractmethod
    def sample(
        self,
        models: Models,
        labels: Tensor,
        seed: int,
        indices: Sequence[int],
    ) -> Iterator[Step]:
        """The reverse process for labels int64 [n], a state at a time, in standardised units.

        The last step holds the samples, [n, 1, h, w] at the data's own size; those before it may
        be smaller.

        Args:
            models: the trained stages by name.
            labels: a class for each image.
            seed: with an index, fixes an image.
            indices: each image's index within the run; its noise depends on (seed, index) alone.
        """

    def calls(self, models: Models) -> int:
        """Network calls a sample: those of its stages, together."""
        return sum(models[stage.name].calls for stage in self.stages)


METHODS: dict[str, Method] = {}
"""Every method by name, in the order of their files."""


def register(method: type[Method]) -> type[Method]:
    """Class decorator: makes a method known to every command, test and table."""
    if method.name in METHODS:
        raise ValueError(f"a method named '{method.name}' is registered already")
    METHODS[method.name] = method()
    return method


def get_method(name: str) -> Method:
    """The method of that name; `InputError` with the nearest name if there is none."""
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return METHODS[name]
