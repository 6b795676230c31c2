"""Students of stages that share one network among several scales: they share one, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, ClassVar

from torch import nn

from scalespace.config import Recipe
from scalespace.data.info import DataInfo
from scalespace.stages.base import Models, Stage
from scalespace.stages.diffusion import DiffusionStage
from scalespace.stages.shared import Shared, SharedStage
from scalespace.stages.student import Student, StudentStage, Taught


@dataclass(frozen=True)
class SharedStudentStage(Taught, SharedStage):
    """One network that learns at each scale what another answers there.

    Args:
        name: of the stage.
        teacher: the stage that it learns from; `scales` are the students of its own, whatever is
            given.
    """

    scales: tuple[StudentStage, ...] = ()
    teacher: SharedStage | None = None

    def __post_init__(self) -> None:
        assert self.teacher is not None
        scales = tuple(student_of(one) for one in self.teacher.scales)
        object.__setattr__(self, "scales", scales)

    def build(self, recipe: Recipe, data: DataInfo, needs: Models | None = None) -> SharedStudents:
        """Its scales, with the teacher's weights where its network has the same shape.

        Raises:
            InputError: as from the stage of any student, or `parts_by`.
        """
        assert self.teacher is not None
        assert needs is not None, "a student is built for its teacher"
        teachers = needs.of(self.teacher).parts

        def part(k: int, net: nn.Module | None) -> Student:
            return self.scales[k].of(teachers[k], recipe, data, net)

        return SharedStudents(self, self.parts_by(part, recipe))


class SharedStudents(Shared):
    """A `Shared` whose scales are students; each has a critic of its own, if there are any.

    Args:
        stage: the stage.
        parts: its scales, the coarsest first, all of one network.
    """

    helpers: ClassVar[tuple[str, ...]] = ("critics",)

    def __init__(self, stage: SharedStudentStage, parts: Sequence[Student]) -> None:
        super().__init__(stage, parts)
        self.students = tuple(parts)

    def oppose(self) -> None:
        """As each scale does."""
        for part in self.students:
            part.oppose()
        self.critics = nn.ModuleList(part.critic for part in self.students if part.distil.adversary)


@singledispatch
def student_of(stage: Stage[Any]) -> Stage[Any] | None:
    """The stage that learns another's answers in one call a scale; None if that is no process.

    A kind of stage of one's own has students, too, if `student_of.register` is told how to make
    one.
    """
    return None


@student_of.register
def _(stage: DiffusionStage) -> Stage[Any] | None:
    return StudentStage(f"{stage.name}-student", teacher=stage)


@student_of.register
def _(stage: SharedStage) -> Stage[Any] | None:
    return SharedStudentStage(f"{stage.name}-student", teacher=stage)
