"""What a method is, and the registry of methods.

A *stage* is what is trained (see `scalespace.stages`). A *method* is what is sampled: it names its
stages in training order and turns labels into images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

from torch import Tensor

from scalespace.core.samplers import Step
from scalespace.errors import unknown
from scalespace.stages.base import Models, Stage


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

    def check(self, models: Models) -> None:  # noqa: B027 - most have nothing to refuse
        """Refuses stages that do not go together, before they are trained.

        Args:
            models: untrained, by name.

        Raises:
            InputError: what is wrong with them.
        """

    def calls(self, models: Models) -> int:
        """Network calls a sample: those of its stages, together."""
        return sum(models[stage.name].calls for stage in self.stages)

    def conditional(self, models: Models) -> bool:
        """Whether its images are of the classes asked for: if any of its stages heeds them."""
        return any(models[stage.name].conditional for stage in self.stages)


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
