"""The diffusion stage: a U-Net trained by Algorithm 1 at one scale, sampled by Algorithm 2."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scalespace.config import ObjectiveConfig, ProcessConfig, Recipe, UNetConfig
from scalespace.core import process
from scalespace.core.augmentation import Augmentation, Blur, GaussianNoise
from scalespace.core.domain import X0_RULES
from scalespace.core.noise import NoiseStreams
from scalespace.core.objective import Objective
from scalespace.core.parametrization import PARAMETRIZATIONS, Parametrization
from scalespace.core.posterior import ANY, TrainingPosterior
from scalespace.core.samplers import Step, make_sampler
from scalespace.core.scale import down, up
from scalespace.core.schedule import Schedule, cosine, flow, linear, zero_terminal
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.nets.norms import in_passing
from scalespace.nets.unet import UNet
from scalespace.stages.base import Stage, StageModel


@dataclass(frozen=True)
class DiffusionStage(Stage):
    """A class-conditional diffusion process over images at one scale.

    Args:
        name: of the stage.
        states: S; sampling takes S-1 network calls. A recipe may override it.
        scale: the images are taken down by this factor first.
        conditioned: for a network that also sees the image at half this scale, taken up to this
            one: the states of the process that makes it. 0: there is none.
    """

    states: int
    scale: int = 1
    conditioned: int = 0

    def build(
        self, recipe: Recipe, data: DataInfo, needs: Mapping[str, StageModel] | None = None
    ) -> Diffusion:
        """An untrained `Diffusion` for this stage; `InputError` as from `shape`."""
        from scalespace.stages.ablation import Ablated  # which builds on this module

        kind = Ablated if recipe.ablation.in_sampling else Diffusion
        return kind(self, recipe, data, self.shape(recipe, data))

    def shape(self, recipe: Recipe, data: DataInfo) -> tuple[int, int, int]:
        """Of what diffuses, (1, h, w), once the recipe is seen to suit the stage and its images.

        Raises:
            InputError: the images cannot be halved, the network is too deep for them, a
                conditioned stage is to aim at the mean, or one without labels to be guided by them.
        """
        if recipe.objective.guide and not recipe.process.labels:
            raise InputError(
                f"stage '{self.name}': objective.guide needs process.labels, which it guides by"
            )
        if self.conditioned and recipe.objective.target == "mean":
            raise InputError(
                f"objective.target: stage '{self.name}' sees the half-size image, which tells it "
                "which image was noised: choose sample"
            )
        factor = self.scale * (2 if self.conditioned else 1)
        if data.height % factor or data.width % factor:
            raise InputError(
                f"stage '{self.name}' takes images down by a factor of {factor}, "
                f"which {data.height}x{data.width} images of {data.name} do not allow"
            )
        height, width = data.height // self.scale, data.width // self.scale
        check_size(self.name, recipe.net, height, width)
        return 1, height, width

    @property
    def idle(self) -> tuple[str, ...]:
        """Conditioning augmentation, where there is no condition."""
        return () if self.conditioned else ("condition",)


def make_schedule(process: ProcessConfig, states: int) -> Schedule:
    """The schedule that a config asks for; `states` is the stage's own number of them."""
    states = process.states or states
    if process.schedule == "cosine":
        schedule = cosine(states, power=process.power, stop_short=process.stop_short)
    else:
        schedule = {"linear": linear, "flow": flow}[process.schedule](states)
    return zero_terminal(schedule) if process.zero_terminal else schedule


def make_objective(
    objective: ObjectiveConfig, schedule: Schedule, parametrization: Parametrization
) -> Objective:
    """The objective that a config asks for."""
    return Objective(
        schedule,
        parametrization,
        weighting=objective.weighting,
        perturb=objective.perturb,
        unroll=objective.unroll,
        self_condition=objective.self_condition,
        guide=objective.guide,
        target=objective.target,
    )


def make_augmentation(recipe: Recipe, low_states: int) -> Augmentation | None:
    """The conditioning augmentation that a recipe asks for, if the stage is conditioned."""
    c = recipe.condition
    if not low_states or c.augment == "none":
        return None
    if c.augment == "blur":
        return Blur(c.most, c.level)
    # as many states as the stage that makes the images has by default, however many this one has
    schedule = make_schedule(replace(recipe.process, states=None), low_states)
    if c.most > schedule.last:
        raise InputError(
            f"condition.most is {c.most}, and the last state of the process that makes the "
            f"half-size images is {schedule.last}"
        )
    return GaussianNoise(c.most, c.level, schedule, finished=not c.truncate)


class Diffusion(StageModel):
    """One stage's network, process and sampler.

    Args:
        stage: its name and states.
        recipe: its fields.
        data: of the images.
        shape: of what diffuses, (c, h, w); standardised images have one channel.
    """

    def __init__(
        self, stage: DiffusionStage, recipe: Recipe, data: DataInfo, shape: tuple[int, int, int]
    ) -> None:
        super().__init__()
        p, o = recipe.process, recipe.objective
        self.stage, self.data, self.shape = stage, data, shape
        self.classes = len(data.classes)
        self.conditional = p.labels
        self.schedule = make_schedule(p, stage.states)
        self.calls = self.schedule.last
        self.parametrization = PARAMETRIZATIONS[p.predict]
        self.x0_rule = X0_RULES[p.x0]
        self.sampler = make_sampler(p.sampler, p.eta)
        self.temperature = p.temperature
        self.objective = make_objective(o, self.schedule, self.parametrization)
        self.unlabelled = o.unlabelled
        self.posterior: TrainingPosterior | None = None  # made when training begins
        self.augmentation = make_augmentation(recipe, stage.conditioned)
        inputs = shape[0] * (1 + bool(stage.conditioned) + o.self_condition)
        context = 1 + self.classes + (self.augmentation is not None)
        self.net = UNet(recipe.net, inputs, shape[0], context, shape[1:])

    @property
    def domain(self) -> tuple[float, float]:
        """The ends of what an x0 may be, in the process's units."""
        return self.data.domain

    @property
    def starts_from(self) -> int:
        """The state of the half-size process whose images `sample` is to be given."""
        return self.augmentation.starts_from if self.augmentation is not None else 0

    def degree(self, schedule: Schedule) -> float | None:
        """How noisy half-size images in state `starts_from` are, in degrees of the augmentation.

        None for finished ones.

        Args:
            schedule: of the process that makes them.

        Raises:
            InputError: there is no such state, or it is noisier than all that it was trained with.
        """
        state = self.starts_from
        if not state:
            return None
        assert isinstance(self.augmentation, GaussianNoise)
        found = None
        if state <= schedule.last:
            found = self.augmentation.degree(float(schedule.alpha_bar[state]))
        if found is None:
            raise InputError(
                f"condition.truncate: state {state} of the process that makes the half-size images "
                f"is noisier than all that stage '{self.stage.name}' was trained with: choose a "
                "smaller condition.level or train with a larger condition.most"
            )
        return found

    def predict(
        self,
        x: Tensor,
        t: Tensor,
        labels: Tensor,
        low: Tensor | None,
        level: Tensor | None = None,
        guess: Tensor | None = None,
    ) -> Tensor:
        """The network's prediction for images x_t.

        Args:
            x: images [n, c, h, w] in states of their own.
            t: those states over S-1: float [n] (paper, appendix 3.6.1).
            labels: int64 [n]; `ANY` tells the network no label.
            low: for a conditioned stage, the images at half the scale [n, 1, h/2, w/2].
            level: for one with augmentation, its degree over the largest: float [n]; None is 0.
            guess: for a self-conditioned one, an earlier estimate of x0 like x; None is none.
        """
        inputs = [x]
        if low is not None:
            inputs.append(up(low))
        if self.objective.self_condition:
            inputs.append(torch.zeros_like(x) if guess is None else guess)
        one_hot = F.one_hot(labels.clamp(min=0), self.classes) * (labels >= 0)[:, None]
        context = [t[:, None], one_hot.to(t.dtype) * self.conditional]
        if self.augmentation is not None:
            context.append(torch.zeros_like(t)[:, None] if level is None else level[:, None])
        # convolutions on the CPU, and half-precision ones on a GPU, run faster channels-last
        seen = torch.cat(inputs, dim=1) if len(inputs) > 1 else x
        return self.net(
            seen.contiguous(memory_format=torch.channels_last), torch.cat(context, dim=1)
        )

    def estimate(self, prediction: Tensor, x: Tensor, t: int) -> Tensor:
        """The x0 that a prediction for images x, all in state t, stands for: shaped as x."""
        alpha_bar = float(self.schedule.alpha_bar[t])
        return self.parametrization.x0(
            prediction, x, math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
        )

    def prepare(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """x0 at the stage's scale and, for a conditioned stage, the image at half of it."""
        x0 = down(images, self.stage.scale)
        return (x0, down(x0)) if self.stage.conditioned else (x0,)

    def begin(self, batch: Sequence[Tensor], labels: Tensor) -> None:
        """Keeps the training images, where the objective aims at their means."""
        if self.objective.target == "mean":
            self.posterior = TrainingPosterior(batch[0], labels)

    def losses(self, batch: Sequence[Tensor], labels: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Squared error of each image at given states t int64 [n] and noise: float [n]."""
        x0, low = batch[0], batch[1] if self.stage.conditioned else None

        def network(x: Tensor, u: Tensor) -> Tensor:
            return self.predict(x, u, labels, low)

        return process.loss(network, self.schedule, self.parametrization, x0, t, eps)

    def forward(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """The stage's `Objective`, Algorithm 1 of Ho et al. 2020 unless changed: float [n]."""
        if self.unlabelled:
            share = torch.rand(labels.shape, generator=rng, device=labels.device)
            labels = torch.where(share < self.unlabelled, ANY, labels)
        low, level = batch[1] if self.stage.conditioned else None, None
        if self.augmentation is not None and low is not None:
            low, level = self.augmentation.drawn(low, rng)

        def told(labels: Tensor, x: Tensor, u: Tensor, guess: Tensor | None) -> Tensor:
            with nullcontext() if torch.is_grad_enabled() else in_passing(self.net):
                return self.predict(x, u, labels, low, level, guess)

        network = partial(told, labels)
        unlabelled = partial(told, torch.full_like(labels, ANY))

        def posterior(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
            assert self.posterior is not None, "`begin` comes first"
            return self.posterior.mean(x, a, b, labels if self.conditional else None)

        return self.objective.losses(network, batch[0], rng, unlabelled, posterior)

    def validate(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """The loss at every state t = 1 .. S-1, each on batches of that state alone: [n, S-1].

        A sampler's batch shares one t as well, so a network that reads the noise level off its
        batch (batch norm does) shows it here and not in the training loss. An augmented condition
        is at degree 0.
        """
        columns = []
        for state in range(1, self.schedule.states):
            t = torch.full_like(labels, state)
            eps = torch.randn(batch[0].shape, generator=rng, device=batch[0].device)
            columns.append(self.losses(batch, labels, t, eps))
        return torch.stack(columns, dim=1)

    def facts(self) -> dict[str, Any]:
        """The states it has, and how much of the image is left in the last one."""
        return {
            "kind": "diffusion",
            "states": self.schedule.states,
            "last_signal": self.schedule.last_signal,
            "conditional": self.conditional,
        }

    def preview(self, batch: Sequence[Tensor], labels: Tensor, seed: int) -> Tensor | None:
        """Samples of this stage alone; a conditioned one is given real images to upscale."""
        low = batch[1] if self.stage.conditioned else None
        if low is not None and self.augmentation is not None and self.starts_from:
            # truncated: what it is given is never finished
            own = NoiseStreams(seed, range(len(labels)), f"{self.stage.name}/preview", low.device)
            level = torch.full((len(low),), self.starts_from, device=low.device)
            low = self.augmentation.apply(low, level, own.normal(low.shape[1:]))
        for step in self.sample(labels, seed, range(len(labels)), low):
            x = step.x
        return x

    @torch.inference_mode()
    def sample(
        self,
        labels: Tensor,
        seed: int,
        indices: Sequence[int],
        low: Tensor | None = None,
        start: tuple[int, Tensor] | None = None,
        degree: float | None = None,
    ) -> Iterator[Step]:
        """The reverse process at this stage's scale, a state at a time.

        Args:
            labels: int64 [n] on the model's device.
            seed: with an index, fixes the noise of an image in this stage.
            indices: int [n].
            low: for a conditioned stage, the images at half the scale [n, 1, h/2, w/2].
            start: a state t and images in it, to go on from; otherwise the last state's noise.
            degree: of `low` where it is not finished, from `degree`; None is `condition.level`.
        """
        streams = NoiseStreams(seed, indices, self.stage.name, labels.device)
        low_end, high_end = self.domain
        level, guess = None, None
        if self.augmentation is not None and low is not None:
            own = NoiseStreams(seed, indices, f"{self.stage.name}/condition", labels.device)
            low, level = self.augmentation.chosen(low, own.normal, degree)

        def denoise(x: Tensor, t: int) -> Tensor:
            nonlocal guess
            u = torch.full((len(x),), t / self.schedule.last, device=x.device)
            prediction = self.predict(x, u, labels, low, level, guess).to(x.dtype)
            variance = 1 - float(self.schedule.alpha_bar[t])
            guess = self.x0_rule(self.estimate(prediction, x, t), low_end, high_end, variance)
            return guess

        if start is None:
            first, schedule = self.temperature * streams.normal(self.shape), self.schedule
        else:
            first, schedule = start[1], Schedule(self.schedule.alpha_bar[: start[0] + 1])
        draws = chain([first], iter(lambda: streams.normal(self.shape), None))
        yield from self.sampler(denoise, schedule, lambda: next(draws))


def check_size(stage: str, net: UNetConfig, height: int, width: int) -> None:
    """Raises `InputError` unless a network suits images of that size."""
    least = net.patch * 2 ** (len(net.channels) - 1)
    if height % net.patch or width % net.patch or min(height, width) < least:
        raise InputError(
            f"stage '{stage}': net.channels {list(net.channels)} with net.patch {net.patch} "
            f"need images of at least {least}x{least} pixels, in multiples of {net.patch}, "
            f"and its are {height}x{width}"
        )
