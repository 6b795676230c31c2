"""Students: stages that make in one call, or in a few, what their teacher makes in more.

A teacher that draws no fresh noise turns the noise that it begins with into an image, so its answer
is a function of noise and label. A student learns that function. With one call it regresses the
image onto the noise (Luhman & Luhman 2021, "Knowledge distillation in iterative generative models",
section 3). With more it takes its steps along the teacher's way: each of them must lead to where
the teacher gets by several (Salimans & Ho 2022, "Progressive distillation", algorithm 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from scalespace.config import ObjectiveConfig, Recipe, StudentRecipe
from scalespace.core.denoiser import Condition
from scalespace.core.noise import Seeded
from scalespace.core.sampling import run
from scalespace.core.solvers import ddim
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.nets.critic import Critic
from scalespace.stages.base import Kept, Models, Stage
from scalespace.stages.denoising import Diffusion
from scalespace.stages.diffusion import DiffusionStage

LESSON, TRAINING, VALIDATION = "lesson", 0, 1
"""Purpose and seeds of the noise that the teacher is asked about. No sample begins with it."""
BLUR = 0.1
"""Deviation of the noise on what the critic sees, in units of the standardised pixels."""
STEEP, OFTEN = 0.05, 1 / 8
"""Weight of the critic's squared slope, and the share of steps that it counts in."""


class Taught:
    """What the stages of students have in common: all that they take from their teacher.

    Their recipe is its own but for what `stages.NAME` says.
    """

    teacher: Any

    recipe: ClassVar[type] = StudentRecipe
    defaults: ClassVar[Mapping[str, Any]] = {
        "process": {
            "states": None,
            "steps": None,
            "continuous": False,
            "sampler": "ddim",
            "eta": 0.0,
            "guidance": 0.0,  # the teacher's answers have it
            "guidance_states": None,
        }
    }
    alone: ClassVar[tuple[str, ...]] = ("process.steps",)

    @property
    def needs(self) -> tuple[Stage[Any], ...]:
        """What the teacher needs, and the teacher."""
        return (*self.teacher.needs, self.teacher)

    @property
    def samples(self) -> tuple[Stage[Any], ...]:
        """The teacher."""
        return (self.teacher,)

    @property
    def like(self) -> Stage[Any] | None:
        """The teacher."""
        teacher: Stage[Any] = self.teacher
        return teacher


@dataclass(frozen=True)
class StudentStage(Taught, DiffusionStage):
    """A stage that learns the answers of another.

    Its process has the last state of its teacher's, the data, and a state between them for every
    further call.

    Args:
        name: of the stage.
        teacher: the stage that it learns from; scale and condition are its, whatever is given, and
            `states` is not read.
    """

    states: int = 2
    teacher: DiffusionStage | None = None

    def __post_init__(self) -> None:
        for name in ("scale", "conditioned", "coarser"):
            object.__setattr__(self, name, getattr(self.teacher, name))

    @property
    def idle(self) -> tuple[str, ...]:
        """The objective, and what the teacher never reads."""
        assert self.teacher is not None
        return ("objective", *self.teacher.idle)

    def build(self, recipe: Recipe, data: DataInfo, needs: Models | None = None) -> Student:
        """A `Student` with its teacher's weights, where its network has the same shape.

        Raises:
            InputError: as from `of`.
        """
        assert self.teacher is not None
        assert needs is not None, "a student is built for its teacher"
        return self.of(needs.of(self.teacher), recipe, data)

    def of(
        self, teacher: Diffusion, recipe: Recipe, data: DataInfo, net: nn.Module | None = None
    ) -> Student:
        """The student of a teacher.

        Args:
            teacher, net: as for `Student`.
            recipe: its own.
            data: of the images.

        Raises:
            InputError: a truncated cascade, an ablation in sampling, or more calls than the teacher
                has states.
        """
        assert isinstance(recipe, StudentRecipe)
        if recipe.ablation.in_sampling:
            raise InputError(f"stage '{self.name}': ablations of sampling are of no use to it")
        if recipe.condition.truncate:
            raise InputError(
                f"stage '{self.name}': condition.truncate takes over unfinished images, and a "
                "student makes finished ones"
            )
        # what it has not learnt, whatever the config asks of all stages
        process = replace(recipe.process, continuous=False, guidance=0.0, guidance_states=None)
        recipe = replace(recipe, process=process, objective=ObjectiveConfig())
        return Student(self, recipe, data, teacher, net)


class Student(Diffusion):
    """A `Diffusion` with few states that trains on the ways of its teacher.

    Args:
        stage, recipe, data: as for `Diffusion`.
        teacher: a trained one, to train it; an untrained one of the same recipe, to sample.
        net: a network that it shares with students of other scales; None for one of its own.
    """

    helpers: ClassVar[tuple[str, ...]] = ("critic",)
    more: ClassVar[str] = "a student that was trained for them, with distil.calls"
    ends: Tensor

    def __init__(
        self,
        stage: StudentStage,
        recipe: StudentRecipe,
        data: DataInfo,
        teacher: Diffusion,
        net: nn.Module | None = None,
    ) -> None:
        calls, states = recipe.distil.calls, teacher.segment.first
        if calls > states:
            raise InputError(
                f"stage '{stage.name}': distil.calls is {calls}, and its teacher has {states} "
                f"state{'' if states == 1 else 's'} to call its network in"
            )
        marks = teacher.visits.few(calls)
        # of the teacher's stream: from the same seed both make nearly the same image
        segment = teacher.segment.among([0, *(int(t) for t in reversed(marks))])
        segment = replace(segment, name=stage.name)
        super().__init__(stage, recipe, data, segment, net)
        self.distil = recipe.distil
        self._teacher = Kept(teacher)
        self._examined: dict[tuple[int, ...], tuple[Tensor, Tensor, Condition]] = {}
        self.marks = (*marks, 0.0)
        """The student's states by the teacher's numbers, falling."""
        self.register_buffer("ends", torch.tensor(teacher.domain))
        tables = segment.tables(ddim, range(segment.schedule.last, -1, -1))
        # of x and of x0_hat, in each step and band
        self._weights = [
            [(row.x, row.x0) for row in rows]
            for rows in zip(*(table.rows for table in tables), strict=True)
        ]
        own, theirs = self.net.state_dict(), teacher.net.state_dict()
        if {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in theirs.items()}:
            self.net.load_state_dict(theirs)

    def read_domain(self) -> tuple[float, float]:
        """The teacher's."""
        low, high = self.ends.tolist()
        return low, high

    def facts(self) -> dict[str, Any]:
        """Those of any process, and its teacher."""
        teacher = self._teacher.one
        return {**super().facts(), "teacher": teacher.stage.name}

    def shown(self, x: Tensor) -> Tensor:
        """As the teacher's are shown."""
        teacher = self._teacher.one
        return teacher.shown(x)

    def prepare(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """What `Diffusion` makes of images, and the number of each, which fixes its noise."""
        return (*super().prepare(images), torch.arange(len(images)))

    @property
    def tensors(self) -> int:
        """One more than those of any `Diffusion`."""
        return super().tensors + 1

    def oppose(self) -> None:
        """Adds the critic, if the recipe asks for one."""
        if self.distil.adversary:
            self.critic = Critic(self.segment.shape[0], self.classes)

    def begin(self, batch: Sequence[Tensor], labels: Tensor) -> None:
        """Makes room for the teacher's answers, which it gives when they are first asked for."""
        n, device = len(labels) * self.distil.noises, labels.device
        shape = (n, self.segment.schedule.last, *self.segment.shape)
        self._known = torch.zeros(n, dtype=torch.bool, device=device)
        self._unknown = n
        self._seen = torch.empty(shape, dtype=torch.float16, device=device)
        self._right = torch.empty(shape, dtype=torch.float16, device=device)
        if self.segment.jump.shows:
            self._given = torch.empty((n, *self.segment.shape), dtype=torch.float16, device=device)
        if self.segment.jump.tells:
            self._levels = torch.zeros(n, device=device)

    @torch.no_grad()
    def ways(
        self, batch: Sequence[Tensor], labels: Tensor, numbers: Tensor, seed: int = TRAINING
    ) -> tuple[Tensor, Condition]:
        """The teacher's way from noise to image.

        Args:
            batch: a prepared one; its coarser images are read, if the teacher sees some.
            labels: int64 [n].
            numbers: of the noises, int64 [n].
            seed: of them all.

        Returns:
            its images in each of `marks`, [n, calls + 1, c, h, w]; and what it was told.
        """
        teacher = self._teacher.one
        teacher.to(labels.device).eval()
        noise = Seeded(seed, numbers.tolist(), labels.device)
        segment = replace(teacher.segment, stream=f"{teacher.segment.stream}/{LESSON}")
        x0, *inputs, _ = batch
        begun = segment.jump.begin_real(
            segment, x0, tuple(inputs), Condition(labels), noise, teacher.temperature
        )
        states = sorted({*teacher.visits(), *self.marks}, reverse=True)
        tables = segment.tables(teacher.solver.without_noise(), states)
        (leg,) = teacher.legs()
        stream = noise.stream(segment.stream)
        with torch.autocast(x0.device.type, enabled=False):  # it answers as it samples
            steps = run(leg.denoise, segment, tables, begun.x, begun.condition, stream)
            ways = torch.stack([step.x for step in steps if step.t in self.marks], dim=1)
        return ways, begun.condition

    def forward(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """The squared error of a step drawn for each image, and the critic's part: float [n]."""
        noises, steps = self.distil.noises, self.segment.schedule.last
        which = torch.randint(noises, labels.shape, generator=rng, device=labels.device)
        numbers = batch[-1] * noises + which
        if self._unknown and not bool((known := self._known[numbers]).all()):
            self._ask([part[~known] for part in batch], labels[~known], numbers[~known])
        jump = self.segment.jump
        given = self._given[numbers].float() if jump.shows else None
        told = Condition(labels, given, self._levels[numbers] if jump.tells else None)
        step = torch.randint(steps, labels.shape, generator=rng, device=labels.device)
        x0_hat = self.estimate_in(self._seen[numbers, step].float(), step, told)
        errors = _squared(x0_hat - self._right[numbers, step].float())
        if not self.distil.adversary:
            return errors
        # what an estimate leads to is an image in the last step alone
        return errors + (step == steps - 1) * self._contest(x0_hat, batch[0], labels, rng)

    def _ask(self, batch: Sequence[Tensor], labels: Tensor, numbers: Tensor) -> None:
        ways, told = self.ways(batch, labels, numbers)
        self._seen[numbers], self._right[numbers] = ways[:, :-1].half(), self.lessons(ways).half()
        jump = self.segment.jump  # its condition may hold more than the network is to see
        if jump.shows and told.given is not None:
            self._given[numbers] = told.given.half()
        if jump.tells and told.level is not None:
            self._levels[numbers] = told.level
        self._known[numbers] = True
        self._unknown = int((~self._known).sum())

    def lessons(self, ways: Tensor) -> Tensor:
        """The x0_hat by which `ddim` leads from each of the teacher's states to the next.

        Args:
            ways: the teacher's, [n, calls + 1, c, h, w].

        Returns:
            [n, calls, c, h, w].
        """
        steps = zip(self._weights, pairwise(ways.unbind(1)), strict=True)
        return torch.stack([self.segment.needed(of, *pair) for of, pair in steps], dim=1)

    def estimate_in(self, x: Tensor, step: Tensor, told: Condition) -> Tensor:
        """x0_hat [n, c, h, w] of images in steps of their own, the first of them 0.

        Args:
            x: the images [n, c, h, w], as each step begins.
            step: int64 [n].
            told: what else the network is told.
        """
        segment, last = self.segment, self.segment.schedule.last
        t = last - step
        prediction = self._network(x, t.to(x.dtype) / last, told).to(x.dtype)
        return segment.estimate(self.parametrization, prediction, x, segment.levels_of(t, x))

    def _contest(self, made: Tensor, real: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        """The student's loss before the critic, and the critic's own: float [n].

        Both are of one sum, because either is free of the other's weights. The critic sees images
        under a little noise, and its slope at real ones is kept small now and then (Mescheder et
        al. 2018, "Which training methods for GANs do actually converge?", R1).
        """

        def blurred(x: Tensor) -> Tensor:
            noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
            return x + BLUR * noise

        fixed = {name: weight.detach() for name, weight in self.critic.named_parameters()}
        verdict = functional_call(self.critic, fixed, (blurred(made), labels))
        student = self.distil.adversary * F.softplus(-verdict)
        seen = blurred(real).requires_grad_()
        found = self.critic(seen, labels)
        critic = F.softplus(-found) + F.softplus(self.critic(blurred(made.detach()), labels))
        if float(torch.rand((), generator=rng, device=real.device)) < OFTEN:
            (slope,) = torch.autograd.grad(found.sum(), seen, create_graph=True)
            critic = critic + STEEP / OFTEN * slope.square().flatten(1).sum(dim=1)
        return student + critic

    def losses(self, batch: Sequence[Tensor], labels: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """As for any `Diffusion`; the images' numbers play no part."""
        return super().losses(batch[:-1], labels, t, eps)

    def validate(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """The squared error of every step, the first state's last: [n, calls]."""
        which = tuple(batch[-1].tolist())
        if which not in self._examined:  # the same images and noise in every validation
            ways, told = self.ways(batch, labels, batch[-1], VALIDATION)
            self._examined[which] = ways[:, :-1], self.lessons(ways), told
        seen, right, told = self._examined[which]
        errors = []
        for step in range(self.segment.schedule.last - 1, -1, -1):
            x0_hat = self.estimate_in(seen[:, step], torch.full_like(labels, step), told)
            errors.append(_squared(x0_hat - right[:, step]))
        return torch.stack(errors, dim=1)

    def preview(self, batch: Sequence[Tensor], labels: Tensor, seed: int) -> Tensor | None:
        """As for any `Diffusion`."""
        return super().preview(batch[:-1], labels, seed)


def _squared(error: Tensor) -> Tensor:
    """The mean square of each image's error: [n, ...] to [n]."""
    return error.square().flatten(1).mean(dim=1)
