"""What a method is, and the registry of methods.

A *stage* is what is trained (see `scalespace.stages`). A *method* is what is sampled: it names its
stages in training order and turns labels into images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from torch import Tensor

from scalespace.core.denoiser import Condition
from scalespace.core.noise import Noise
from scalespace.core.process import Process
from scalespace.core.sampling import Edit, Leg, Start, Step, reverse, with_ends
from scalespace.core.scale import up
from scalespace.errors import InputError, unknown
from scalespace.plugins import HINT
from scalespace.stages.base import Models, Stage


class Method(ABC):
    """What is sampled. Subclass it in a file of this package and decorate it with `register`."""

    name: ClassVar[str]
    title: ClassVar[str]
    """The name in tables and figures."""
    stages: ClassVar[tuple[Stage[Any], ...]]
    """What must be trained, in order."""

    @abstractmethod
    def sample(
        self,
        models: Models,
        labels: Tensor,
        noise: Noise,
        start: Start | None = None,
        edit: Edit | None = None,
    ) -> Iterator[Step]:
        """The reverse process for labels int64 [n], a state at a time, in standardised units.

        The last step holds the samples, [n, c, h, w] at the data's own size; those before it may
        be smaller.

        Args:
            models: the trained stages.
            labels: a class for each image.
            noise: all that is random in them.
            start: images to begin from, instead of noise.
            edit: applied to the images in each state.

        Raises:
            InputError: it cannot begin from images, or have its states edited.
        """

    def legs(self, models: Models) -> tuple[Leg, ...]:
        """The segments of its process, the coarsest first; none where it is no process."""
        return ()

    def check(self, models: Models) -> None:
        """Refuses stages that do not go together, before they are trained.

        Args:
            models: untrained.

        Raises:
            InputError: what is wrong with them.
        """
        if legs := self.legs(models):
            Process(tuple(leg.segment for leg in legs))
            self.calls(models)

    def calls(self, models: Models) -> int:
        """Network calls a sample."""
        if legs := self.legs(models):
            return sum(leg.calls(end) for leg, end in with_ends(legs))
        return sum(models.of(stage).calls for stage in self.stages)

    def conditional(self, models: Models) -> bool:
        """Whether the stage that its process begins with heeds the labels; without a process,
        whether any does."""
        made = [models.of(stage) for stage in self.stages]
        begins = next((model for model in made if model.legs()), None)
        return begins.conditional if begins else any(model.conditional for model in made)


class ProcessMethod(Method):
    """A method whose stages are the segments of one process over images, the coarsest first.

    Where the last of them works below the data's size, its images are enlarged bilinearly.
    """

    def legs(self, models: Models) -> tuple[Leg, ...]:
        """Those of its stages."""
        return tuple(leg for stage in self.stages for leg in models.of(stage).legs())

    def sample(
        self,
        models: Models,
        labels: Tensor,
        noise: Noise,
        start: Start | None = None,
        edit: Edit | None = None,
    ) -> Iterator[Step]:
        """All segments in a row, and one last step that is the same image at full size."""
        legs = self.legs(models)
        for step in reverse(legs, Condition(labels), noise, start, edit):
            yield step
        if (factor := legs[-1].segment.factor) > 1:
            yield Step(0, up(step.x, factor), None)


METHODS: dict[str, Method] = {}
"""Every method by name, in the order of their files."""


def register(method: type[Method]) -> type[Method]:
    """Class decorator: makes a method known to every command, test and table.

    The same class made anew takes its place, as when a module is imported again that has failed, or
    a cell of a notebook is run again.

    Raises:
        ValueError: another class has that name.
    """
    before, now = METHODS.get(method.name), _whence(method)
    if before is not None and _whence(type(before)) != now:
        raise ValueError(
            f"a method named '{method.name}' is registered already, by {_whence(type(before))}: "
            f"give {now} another name or, if both are in one file, import that by one name only"
        )
    METHODS[method.name] = method()
    return method


def _whence(method: type[Method]) -> str:
    return f"{method.__module__}.{method.__qualname__}"


def get_method(name: str) -> Method:
    """The method of that name; `InputError` with the nearest name if there is none."""
    if name not in METHODS:
        raise unknown("method", name, METHODS, HINT)
    return METHODS[name]


def refuse_images(method: Method, start: Start | None, edit: Edit | None) -> None:
    """Raises `InputError` if a method that is no process over pixels gets a start or an edit."""
    if start is not None or edit is not None:
        raise InputError(
            f"method '{method.name}' is no process over pixels: it samples from noise alone"
        )
