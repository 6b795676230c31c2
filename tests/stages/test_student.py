"""Students learn what their teachers answer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import tiny
from scalespace.config import (
    AblationConfig,
    ConditionConfig,
    DistilConfig,
    NetConfig,
    ProcessConfig,
    Recipe,
    StudentRecipe,
)
from scalespace.core.denoiser import Condition
from scalespace.core.jumps import Conditioned
from scalespace.core.noise import Seeded
from scalespace.core.sampling import last, run
from scalespace.core.scale import down
from scalespace.core.solvers import Solver, ddim, dpm2m, euler, make_solver, renoise
from scalespace.data import DataSplits
from scalespace.errors import InputError
from scalespace.methods import get_method
from scalespace.methods.cascaded import UPSCALER
from scalespace.methods.small import SMALL
from scalespace.model import Model, train
from scalespace.settings import load_config, make_training, make_trainings, vary
from scalespace.stages import student as module
from scalespace.stages.base import Models
from scalespace.stages.denoising import Diffusion
from scalespace.stages.diffusion import DiffusionStage
from scalespace.stages.student import Student, StudentStage
from scalespace.training.muon import kernels

SMALL_STUDENT = StudentStage("small-student", teacher=SMALL)
UPSCALER_STUDENT = StudentStage("upscaler-student", teacher=UPSCALER)
PROCESS = replace(tiny.PROCESS, states=7, sampler="dpm2m", eta=1.0, temperature=1.1, steps=4)
CONDITION = ConditionConfig(augment="gaussian", most=3, level=2)
LABELS = torch.tensor([0, 1, 2, 2, 1, 0])
NUMBERS = torch.arange(6)


def pair(
    splits: DataSplits,
    calls: int = 1,
    teacher: DiffusionStage = SMALL,
    student: StudentStage = SMALL_STUDENT,
    **parts: Any,
) -> tuple[Diffusion, Student]:
    """An untrained teacher, and its student as training begins."""
    torch.manual_seed(0)
    recipe = Recipe(tiny.NET, PROCESS, tiny.TRAIN, condition=CONDITION)
    known = teacher.build(recipe, splits.info).eval()
    fields = {"net": tiny.NET, "process": learner(PROCESS), "condition": CONDITION, **parts}
    fields.setdefault("distil", DistilConfig(calls))
    own = StudentRecipe(train=tiny.TRAIN, **fields)
    return known, student.build(own, splits.info, Models({teacher.name: known}))


def learner(process: ProcessConfig) -> ProcessConfig:
    return replace(process, **SMALL_STUDENT.defaults["process"])


def prepared(student: Student, splits: DataSplits) -> tuple[Tensor, ...]:
    batch = student.prepare(splits.info.standardize(splits.train.unit()[:6]), LABELS)
    student.begin(batch, LABELS)
    return batch


@pytest.mark.parametrize(
    ("solver", "expected"),
    [
        (make_solver("ancestral"), ddim),
        (make_solver("renoise"), ddim),
        (make_solver("ddim", 0.7), ddim),
        (make_solver("dpm2m", 1.0), dpm2m),
        (make_solver("euler"), euler),
        (Solver("own", euler, draws=False), euler),
        (Solver("own", renoise), ddim),
        (Solver("own", dpm2m, eta=0.3), dpm2m),
    ],
)
def test_a_solver_without_noise(solver: Solver, expected: Any, splits: DataSplits) -> None:
    schedule = SMALL.build(tiny.RECIPE, splits.info).segment.schedule
    table = solver.without_noise()(schedule, (2, 1, 0))
    assert table == expected(schedule, (2, 1, 0))
    assert all(row.std == 0 for row in table.rows)


def test_its_states_are_some_of_its_teachers(splits: DataSplits) -> None:
    teacher, student = pair(splits, calls=3)
    assert student.calls == 3
    assert len(student.marks) == 4
    assert (student.marks[0], student.marks[-1]) == (6, 0)
    ours, theirs = student.segment.schedule, teacher.segment.schedule
    for k, t in enumerate(reversed(student.marks)):
        assert ours.scales(k) == theirs.scales(int(t))
    assert student.segment.stream == teacher.segment.stream == "small"
    _, one = pair(splits)
    assert one.segment.schedule.states == 2


def test_the_way_is_the_teachers_without_fresh_noise(splits: DataSplits) -> None:
    """By hand: the teacher's solver at eta 0, from noise of the teacher's temperature."""
    teacher, student = pair(splits)
    ways, told = student.ways(prepared(student, splits), LABELS, NUMBERS)
    assert ways.shape == (6, 2, 1, 6, 6)
    assert told.given is None
    noise = Seeded(0, range(6)).stream("small/lesson")
    start = 1.1 * noise.normal((1, 6, 6))
    torch.testing.assert_close(ways[:, 0], start)
    tables = (dpm2m(teacher.segment.schedule, (*teacher.visits(), 0)),)
    (leg,) = teacher.legs()
    made = last(run(leg.denoise, teacher.segment, tables, start, Condition(LABELS), noise)).x
    torch.testing.assert_close(ways[:, 1], made)
    # no user's sample begins with that noise
    assert float((Seeded(0, range(6)).stream("small").normal((1, 6, 6)) * 1.1 - start).abs().max())


def test_an_upscalers_student_sees_what_its_teacher_saw(splits: DataSplits) -> None:
    teacher, student = pair(splits, teacher=UPSCALER, student=UPSCALER_STUDENT)
    batch = prepared(student, splits)
    _, told = student.ways(batch, LABELS, NUMBERS)
    jump = teacher.segment.jump
    assert isinstance(jump, Conditioned)
    low, noise = down(batch[0], 2), Seeded(0, range(6))
    expected = jump.with_coarser(low, Condition(LABELS), noise, "upscaler/lesson")
    assert told.given is not None
    assert expected.given is not None
    assert told.level is not None
    torch.testing.assert_close(told.given, expected.given)
    assert told.level.tolist() == pytest.approx([2 / 3] * 6)
    seen: list[tuple[Tensor, Tensor]] = []
    student.net.register_forward_pre_hook(lambda net, given: seen.append(given))
    student(batch, LABELS, torch.Generator().manual_seed(0))
    torch.testing.assert_close(seen[0][0][:, 1:], told.given, atol=2e-3, rtol=0)  # half precision
    assert seen[0][1][:, -1].tolist() == pytest.approx([2 / 3] * 6)


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_no_error_is_to_follow_the_teacher(
    calls: int, splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An x0_hat without error takes `ddim` from each of the teacher's states to the next."""
    _, student = pair(splits, calls)
    batch = prepared(student, splits)
    ways, _ = student.ways(batch, LABELS, NUMBERS)
    schedule = student.segment.schedule
    for step in range(calls):
        t = schedule.last - step
        (row,) = ddim(schedule, (t, t - 1)).rows
        right = (ways[:, step + 1] - row.x * ways[:, step]) / row.x0
        torch.testing.assert_close(row.apply(ways[:, step], right, None, None), ways[:, step + 1])
        a, b = schedule.scales(t)
        v = (a * ways[:, step] - right) / b  # what such a network predicts
        monkeypatch.setattr(student, "predict", lambda x, u, told, v=v: v)
        at = torch.full_like(LABELS, step)
        x0_hat = student.estimate_in(ways[:, step], at, Condition(LABELS))
        torch.testing.assert_close(x0_hat, right, atol=1e-4, rtol=0)
        torch.testing.assert_close(student.lessons(ways)[:, step], right)
    monkeypatch.undo()
    # the whole way in its own sampler, its estimates without error
    monkeypatch.setattr(student, "denoise", partial(perfect, ways, schedule))
    made = last(student.alone(Condition(LABELS), Seeded(0, range(6)), (schedule.last, ways[:, 0])))
    torch.testing.assert_close(made.x, ways[:, -1], atol=1e-4, rtol=0)


def perfect(ways: Tensor, schedule: Any, x: Tensor, t: float, told: Condition) -> Tensor:
    step = schedule.last - int(t)
    (row,) = ddim(schedule, (t, t - 1)).rows
    return (ways[:, step + 1] - row.x * ways[:, step]) / row.x0


def test_the_teacher_is_asked_once(splits: DataSplits, monkeypatch: pytest.MonkeyPatch) -> None:
    _, student = pair(splits, calls=2)
    batch = prepared(student, splits)
    asked: list[list[int]] = []
    ways = student.ways

    def counted(part: Any, labels: Tensor, numbers: Tensor) -> Any:
        asked.append(numbers.tolist())
        return ways(part, labels, numbers)

    monkeypatch.setattr(student, "ways", counted)
    for rows in ([0, 1, 2], [2, 3], [1, 0], [5, 4, 3]):
        part = [whole[rows] for whole in batch]
        losses = student(part, LABELS[rows], torch.Generator().manual_seed(0))
        assert losses.shape == (len(rows),)
    assert asked == [[0, 1, 2], [3], [5, 4]]
    whole, _ = ways(batch, LABELS, NUMBERS)
    torch.testing.assert_close(student._seen.float(), whole[:, :-1], atol=2e-3, rtol=0)
    torch.testing.assert_close(student._right.float(), student.lessons(whole), atol=2e-3, rtol=0)


def test_it_is_asked_once_about_what_is_held_out(
    splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validations are of the same images and noise; and a copy of the student keeps its teacher."""
    teacher, student = pair(splits, calls=2)
    average = copy.deepcopy(student)
    assert average._teacher.one is teacher
    batch, asked = prepared(average, splits), 0
    ways = average.ways

    def counted(*given: Any) -> Any:
        nonlocal asked
        asked += 1
        return ways(*given)

    monkeypatch.setattr(average, "ways", counted)
    first, again = (average.validate(batch, LABELS, torch.Generator()) for _ in range(2))
    assert asked == 1
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    average.validate([part[:3] for part in batch], LABELS[:3], torch.Generator())
    assert asked == 2  # other images


def test_each_image_has_several_noises(splits: DataSplits) -> None:
    _, student = pair(splits, distil=DistilConfig(noises=3))
    batch = prepared(student, splits)
    rng = torch.Generator().manual_seed(0)
    for _ in range(30):
        student(batch, LABELS, rng)
    assert bool(student._known.all())
    numbers = torch.arange(18)
    every = [part.repeat_interleave(3, 0) for part in batch]
    ways, _ = student.ways(every, LABELS.repeat_interleave(3), numbers)
    torch.testing.assert_close(student._seen.float(), ways[:, :-1], atol=2e-3, rtol=0)


def contested(splits: DataSplits, weight: float = 0.5) -> tuple[Student, tuple[Tensor, ...]]:
    _, student = pair(splits, distil=DistilConfig(adversary=weight))
    torch.manual_seed(1)
    student.oppose()
    torch.nn.init.normal_(student.critic.own.weight)
    return student, prepared(student, splits)


def test_student_and_critic_have_losses_of_their_own(
    splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: neither's part moves the other's weights, and the signs oppose."""
    monkeypatch.setattr(module, "OFTEN", 1e-9)  # no slope
    student, batch = contested(splits)
    with torch.no_grad():
        student.net.final.weight.add_(0.1)
    student(batch, LABELS, torch.Generator().manual_seed(0)).sum().backward()
    found = {name: p.grad for name, p in student.named_parameters()}

    rng, first = torch.Generator().manual_seed(0), torch.zeros(6, dtype=torch.int64)
    torch.randint(1, (6,), generator=rng)
    torch.randint(1, (6,), generator=rng)
    blur = [0.1 * torch.randn(6, 1, size, size, generator=rng) for size in (6, 6, 6)]
    student.zero_grad()
    x0_hat = student.estimate_in(student._seen[:, 0].float(), first, Condition(LABELS))
    right = student._right[:, 0].float()
    verdict = student.critic(x0_hat + blur[0], LABELS)
    loss = (x0_hat - right).square().mean(dim=(1, 2, 3)) - 0.5 * verdict.sigmoid().log()
    loss.sum().backward()
    for name, p in student.net.named_parameters():
        torch.testing.assert_close(found[f"net.{name}"], p.grad, atol=1e-5, rtol=1e-4)
    student.zero_grad()
    real = student.critic(batch[0] + blur[1], LABELS)
    made = student.critic(x0_hat.detach() + blur[2], LABELS)
    (-real.sigmoid().log() - (1 - made.sigmoid()).log()).sum().backward()
    for name, p in student.critic.named_parameters():
        torch.testing.assert_close(found[f"critic.{name}"], p.grad, atol=1e-5, rtol=1e-4)


def test_the_critics_slope_counts_in_some_steps(
    splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, batch = contested(splits)
    rngs = [torch.Generator().manual_seed(3) for _ in range(2)]
    monkeypatch.setattr(module, "OFTEN", 1e-9)
    without = student(batch, LABELS, rngs[0])
    monkeypatch.setattr(module, "OFTEN", 1.0)
    assert bool((student(batch, LABELS, rngs[1]) > without).all())


def test_the_critic_judges_finished_images_alone(splits: DataSplits) -> None:
    _, student = pair(splits, distil=DistilConfig(calls=2, adversary=0.5))
    _, plain = pair(splits, calls=2)
    student.oppose()
    batch = prepared(student, splits)
    prepared(plain, splits)
    losses = student(batch, LABELS, torch.Generator().manual_seed(0))
    errors = plain(batch, LABELS, torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(0)
    torch.randint(1, (6,), generator=rng)
    steps = torch.randint(2, (6,), generator=rng)
    assert 0 < int(steps.sum()) < 6
    assert ((losses - errors).abs() > 1e-3).tolist() == (steps == 1).tolist()


def test_the_critic_does_not_outlive_training(splits: DataSplits) -> None:
    student, _ = contested(splits)
    assert any(name.startswith("critic.") for name in student.state_dict())
    assert all(name == "ends" or name.startswith("net.") for name in student.kept())
    assert not {id(p) for p in kernels(student)} & {id(p) for p in student.critic.parameters()}
    assert student.critic(torch.zeros(3, 1, 14, 14), torch.tensor([0, 1, 2])).shape == (3,)


def test_it_begins_as_its_teacher(splits: DataSplits) -> None:
    teacher, student = pair(splits)
    for name, own in student.net.state_dict().items():
        torch.testing.assert_close(own, teacher.net.state_dict()[name], rtol=0, atol=0)
    assert not any("teacher" in name for name in student.state_dict())
    _, other = pair(splits, net=NetConfig(channels=(4,), norm="group", groups=2))
    assert other.net.state_dict().keys() != teacher.net.state_dict().keys()


def test_validation_is_the_error_of_each_step(splits: DataSplits) -> None:
    _, student = pair(splits, calls=2)
    batch = prepared(student, splits)
    ways, told = student.ways(batch, LABELS, NUMBERS, seed=1)  # no noise of the training part
    columns = student.validate(batch, LABELS, torch.Generator())
    assert columns.shape == (6, 2)
    for state in (1, 2):
        x0_hat = student.estimate_in(ways[:, 2 - state], torch.full_like(LABELS, 2 - state), told)
        right = student.lessons(ways)[:, 2 - state]
        expected = (x0_hat - right).square().mean(dim=(1, 2, 3))
        torch.testing.assert_close(columns[:, state - 1], expected)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"ablation": AblationConfig(alpha=True)}, "ablations of sampling"),
        ({"condition": replace(CONDITION, truncate=True)}, "finished ones"),
    ],
)
def test_what_it_cannot_learn(parts: dict, message: str, splits: DataSplits) -> None:
    with pytest.raises(InputError, match=f"'upscaler-student': .*{message}"):
        pair(splits, teacher=UPSCALER, student=UPSCALER_STUDENT, **parts)


def test_what_the_config_asks_of_all_stages_and_it_has_not_learnt(
    trained: Callable[[str], Model],
    splits: DataSplits,
) -> None:
    """Guidance, and calls between its states."""
    wanted = {"process.guidance": 1.5, "process.guidance_states": [1, 2]}
    config = vary(tiny.CONFIG, {**wanted, "process.continuous": True, "objective.unlabelled": 0.1})
    student = make_training(config, SMALL_STUDENT, 0, splits.info).build()
    assert isinstance(student, Student)
    assert student.guidance.strength == 0
    assert not student.guidable
    assert not student.visits.continuous
    assert student.calls == 1
    model = trained("cascaded-fast")
    assert model.guidable == []


def test_calls_asked_of_all_stages_are_its_teachers(splits: DataSplits) -> None:
    config = vary(tiny.CONFIG, {"process.steps": 2})
    trainings = make_trainings(config, get_method("cascaded-fast"), 0, splits.info)
    for training in trainings:
        assert training.recipe.process.steps is None
        (teacher,) = [need for need in training.needs if need.stage is training.stage.teacher]
        assert teacher.recipe.process.steps == 2
        training.build()
    own = vary(tiny.CONFIG, {"stages.small-student.process.steps": [1]})
    assert make_training(own, SMALL_STUDENT, 0, splits.info).recipe.process.steps == (1,)


def test_more_calls_than_the_teacher_has_states(splits: DataSplits) -> None:
    with pytest.raises(InputError, match=r"'small-student': distil.calls is 7, .* has 6 states"):
        pair(splits, calls=7)


def test_learning_brings_it_nearer(splits: DataSplits, preset: Path, tmp_path: Path) -> None:
    """A teacher and its student from the command's own parts, seed by seed the same image."""
    train_it = {"epochs": 24, "lr": 0.01, "ema": 0.9}
    own = {"train": train_it, "distil": {"noises": 2, "adversary": 0.01}}
    changes = {"stages.small-student": own, "process.sampler": "ddim"}
    config = load_config(preset, changes)
    teacher = train("small", splits, config, tmp_path, 0, tiny.CPU)
    student = train("cascaded-fast", splits, config, tmp_path, 0, tiny.CPU)
    rows = student.stages["small-student"].record["history"]
    assert rows[-1]["val_loss"] < 0.7 * rows[0]["val_loss"]
    assert student.calls == 2
    small, labels = student.models["small-student"], [0, 1, 2] * 4
    assert isinstance(small, Student)
    made = last(small.alone(Condition(torch.tensor(labels)), Seeded(3, range(12)))).x
    theirs = next(
        step.x for step in teacher.trajectory(labels, seed=3) if step.t == 0 and step.segment
    )
    error = (made - theirs).square().mean()
    other = (made - theirs.roll(3, 0)).square().mean()  # of the same class, from other noise
    assert float(error) < float(other)


def test_it_is_saved_without_its_teacher(trained: Callable[[str], Model], tmp_path: Path) -> None:
    for name in ("cascaded-fast", "latent-flow-fast"):
        model = trained(name)
        loaded = Model.load(model.save(tmp_path / name))
        assert loaded.hash == model.hash
        assert "needs" in loaded.config
        assert set(loaded.stages) == {stage.name for stage in model.method.stages}
        images = model.sample([0, 1, 2], seed=4).images
        np.testing.assert_array_equal(loaded.sample([0, 1, 2], seed=4).images, images)


def test_calls_are_fixed_by_its_training(trained: Callable[[str], Model]) -> None:
    with pytest.raises(InputError, match=r"has 1 state .* and 3 calls .* distil\.calls"):
        trained("cascaded-fast").stepped({"small-student": 3})
    with pytest.raises(InputError, match="would have to be trained anew"):
        trained("cascaded-fast").resampled({"stages.small-student.distil.calls": 2})
