"""Students of processes with bands, and of those that go on from a coarser image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tiny
from scalespace.config import DistilConfig, FadeConfig, JumpConfig, StudentRecipe
from scalespace.core.denoiser import Condition
from scalespace.core.noise import Seeded
from scalespace.core.sampling import last, run, ways
from scalespace.data import DataSplits
from scalespace.model import Model, train
from scalespace.settings import load_config
from scalespace.stages.base import Models
from scalespace.stages.blurring import BlurringStage
from scalespace.stages.denoising import Diffusion
from scalespace.stages.diffusion import DiffusionStage
from scalespace.stages.onward import FadingStage, RenoisedStage
from scalespace.stages.student import Student, StudentStage

LABELS, NUMBERS = torch.tensor([0, 1, 2, 2, 1, 0]), torch.arange(6)
PROCESS = replace(tiny.PROCESS, states=7, sampler="dpm2m", eta=1.0, temperature=1.1, steps=4)
JUMP = JumpConfig(begin=0.4, fresh=0.5)
TEACHERS = {
    "exact": (FadingStage("fine", states=7), {"jump": JUMP}),
    "approximate": (FadingStage("fine", states=7), {"jump": JUMP, "fade": FadeConfig(left=0.3)}),
    "renoised": (RenoisedStage("fine", states=7), {"jump": JumpConfig(begin=0.3)}),
    "blurring": (BlurringStage("fine", states=7), {}),
}
OF_EVERY_KIND = pytest.mark.parametrize("kind", TEACHERS)


def pair(splits: DataSplits, kind: str, calls: int) -> tuple[Diffusion, Student]:
    """An untrained teacher, and its student as training begins."""
    stage, parts = TEACHERS[kind]
    assert isinstance(stage, DiffusionStage)
    torch.manual_seed(0)
    recipe = stage.recipe(tiny.NET, PROCESS, tiny.TRAIN, **parts)
    teacher = stage.build(recipe, splits.info).eval()
    process = replace(PROCESS, **StudentStage.defaults["process"])
    own = StudentRecipe(tiny.NET, process, tiny.TRAIN, distil=DistilConfig(calls))
    student = StudentStage("fine-student", teacher=stage)
    return teacher, student.build(own, splits.info, Models({"fine": teacher}))


def batch(student: Student, splits: DataSplits) -> tuple[Tensor, ...]:
    return student.prepare(splits.info.standardize(splits.train.unit()[:6]), LABELS)


@OF_EVERY_KIND
@pytest.mark.parametrize("calls", [1, 2])
def test_its_states_are_some_of_its_teachers(kind: str, calls: int, splits: DataSplits) -> None:
    teacher, student = pair(splits, kind, calls)
    assert student.calls == calls
    assert student.marks[0] == teacher.segment.first == 6
    for k, t in enumerate(reversed(student.marks)):
        levels = zip(student.segment.levels(k), teacher.segment.levels(t), strict=True)
        assert all(ours == pytest.approx(theirs) for ours, theirs in levels)
    assert student.segment.first == calls


@OF_EVERY_KIND
def test_the_way_is_the_teachers_from_real_images(kind: str, splits: DataSplits) -> None:
    """By hand: the teacher's solver without new noise, from its jump out of real images."""
    teacher, student = pair(splits, kind, 2)
    x0, *rest = batch(student, splits)
    known, _ = student.ways((x0, *rest), LABELS, NUMBERS)
    lesson = replace(teacher.segment, stream="fine/lesson")
    noise, told = Seeded(0, range(6)), Condition(LABELS)
    begun = lesson.jump.begin_real(lesson, x0, (), told, noise, 1.1)
    torch.testing.assert_close(known[:, 0], begun.x, rtol=0, atol=0)
    states = sorted({*teacher.visits(), *student.marks}, reverse=True)
    tables = lesson.tables(teacher.solver.without_noise(), states)
    (leg,) = teacher.legs()
    made = last(run(leg.denoise, lesson, tables, begun.x, told, noise.stream("none")))
    torch.testing.assert_close(known[:, -1], made.x)


@OF_EVERY_KIND
@pytest.mark.parametrize("calls", [1, 2])
def test_no_error_is_to_follow_the_teacher(
    kind: str, calls: int, splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own sampler, given the answers that `estimates` asks for, ends in the teacher's image."""
    _, student = pair(splits, kind, calls)
    known, told = student.ways(batch(student, splits), LABELS, NUMBERS)

    def perfect(x: Tensor, t: float, told: Condition) -> Tensor:
        step = student.segment.schedule.last - int(t)
        torch.testing.assert_close(x, known[:, step], atol=1e-4, rtol=0)
        return student.lessons(known)[:, step]

    monkeypatch.setattr(student, "denoise", perfect)
    student.x0_rule = lambda x0_hat, x, low, high: x0_hat  # type: ignore[assignment]
    begin = student.segment.schedule.last, known[:, 0]
    made = last(student.alone(told, Seeded(0, range(6)), begin))
    torch.testing.assert_close(made.x, known[:, -1], atol=1e-4, rtol=0)


@OF_EVERY_KIND
def test_what_it_keeps_of_its_teacher_is_exact_enough(kind: str, splits: DataSplits) -> None:
    """In half precision, also where an answer has little weight in a step, as in fine rings."""
    _, student = pair(splits, kind, 4)
    given = batch(student, splits)
    student.begin(given, LABELS)
    student(given, LABELS, torch.Generator().manual_seed(0))
    known, _ = student.ways(given, LABELS, NUMBERS)
    error = student._right.float() - student.lessons(known)
    assert float(error.abs().max()) < 4e-3


@pytest.mark.slow
def test_learning_brings_it_nearer(splits: DataSplits, preset: Path, tmp_path: Path) -> None:
    own = {"train": {"epochs": 24, "lr": 0.01, "ema": 0.9}, "distil": {"noises": 2}}
    changes = {"stages.detail-student": own, "stages.small-student": own}
    config = load_config(preset, changes)
    model = train("scale-space-fast", splits, config, tmp_path, 0, tiny.CPU)
    rows = model.stages["detail-student"].record["history"]
    assert rows[-1]["val_loss"] < 0.7 * rows[0]["val_loss"]
    assert model.calls == 2


def test_the_small_student_hands_over_as_its_teacher_does(trained: Callable[[str], Model]) -> None:
    """The jump finds the time of the right noise between the student's two states."""
    (small, (begin, end)), (_, way) = ways(trained("scale-space-fast").legs)
    assert (begin, way) == (1, (1, 0))
    assert 0 < end < 1
    (teacher, (*_, taken)), _ = ways(trained("scale-space").legs)
    assert small.segment.schedule.scales(end) == pytest.approx(
        teacher.segment.schedule.scales(taken)
    )
