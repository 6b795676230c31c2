"""A diffusion stage's model: a network trained by Algorithm 1, and what it is sampled with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scalespace.config import Recipe
from scalespace.core.denoiser import ANY, Condition, Guided, InDomain
from scalespace.core.domain import X0_RULES
from scalespace.core.noise import Noise, Seeded, derive_seed
from scalespace.core.objective import Objective
from scalespace.core.parametrization import PARAMETRIZATIONS
from scalespace.core.sampling import Leg, Step, last, run
from scalespace.core.segment import Segment
from scalespace.core.steps import Visits
from scalespace.core.training_mean import TrainingMean
from scalespace.data.info import DataInfo
from scalespace.engine.base import Call
from scalespace.errors import InputError
from scalespace.nets.norms import batch_norms, batch_statistics, in_passing
from scalespace.nets.registry import make_net
from scalespace.stages.base import BATCHES, STATISTICS, Networks, Stage, StageModel
from scalespace.stages.fast import Drawing, Fast
from scalespace.stages.from_recipe import make_guidance, make_objective, make_visits, solver_of


class Diffusion(StageModel):
    """One stage's network, the segment that it works in, and how it is sampled.

    Args:
        stage: the stage.
        recipe: its fields.
        data: of the images.
        segment: the process that the network learns to undo.
        net: a network that it shares with other segments; None for one of its own.
    """

    more: ClassVar[str] = Visits.more
    """What more calls than it has states would need."""

    def __init__(
        self,
        stage: Stage[Any],
        recipe: Recipe,
        data: DataInfo,
        segment: Segment,
        net: nn.Module | None = None,
    ) -> None:
        super().__init__()
        p, o = recipe.process, recipe.objective
        if not segment.plain and (o.unroll > 1 or o.target == "mean" or o.weighting != "none"):
            raise InputError(
                f"stage '{stage.name}': its states are not a x_0 + b eps, so that it needs "
                "objective.target=sample, objective.weighting=none and objective.unroll=1"
            )
        self.stage, self.data, self.segment = stage, data, segment
        self.classes = len(data.classes)
        self.conditional = p.labels
        self.parametrization = PARAMETRIZATIONS[p.predict]
        self.objective = make_objective(o, p, segment)
        self.algorithm_1 = Objective(segment, self.parametrization)
        self.unlabelled = o.unlabelled
        self.mean: TrainingMean | None = None  # made when training begins
        self.x0_rule = X0_RULES[p.x0]
        self.solver, self.temperature = solver_of(p), p.temperature
        self.visits, self.guidance = make_visits(p, segment, self.more), make_guidance(p)
        if self.guidance.strength and not any(map(self.guidance.acts, self.visits())):
            raise InputError(
                f"stage '{stage.name}': process.guidance_states hold none of the states that it is "
                f"called in, {', '.join(f'{t:g}' for t in self.visits())}"
            )
        channels, height, width = segment.shape
        jump = segment.jump
        self.channels = channels * (1 + jump.shows + o.self_condition)
        self.width = 1 + self.classes + jump.tells  # of the context
        size = (height, width)
        self.net = net or make_net(recipe.net, self.channels, channels, self.width, size)
        self.fast: Fast | None = None  # an engine's
        self.fixed: tuple[float, float] | None = None  # the domain, once it is known

    @property
    def domain(self) -> tuple[float, float]:
        """The least and the greatest value of x0, in the process's units."""
        return self.read_domain() if self.fixed is None else self.fixed

    def read_domain(self) -> tuple[float, float]:
        """`domain`, read where it is kept: by a stage of its own, in a buffer."""
        return self.data.domain

    def fix(self) -> None:
        """Reads the domain."""
        self.fixed = self.read_domain()

    @property
    def guidable(self) -> bool:
        """Whether labels were withheld in its training."""
        return self.unlabelled > 0

    @property
    def calls(self) -> int:
        """Network calls a sample."""
        return sum(leg.calls() for leg in self.legs())

    def legs(self) -> tuple[Leg, ...]:
        """Its one segment, as it is sampled."""
        guided = Guided(self.denoise, self.guidance)
        denoise = InDomain(guided, self.x0_rule, self.domain, self.segment.schedule)
        leg = Leg(self.segment, denoise, self.solver, self.visits, self.temperature, self.guidance)
        return (leg,)

    def denoise(self, x: Tensor, t: float, condition: Condition) -> Tensor:
        """The network's estimate of x_0: a `Denoiser`, before guidance and the domain's rule."""
        if self.fast is not None:
            prediction = self.fast(self.inputs(x, condition), t, condition)
        else:
            prediction = self.predict(x, self._times(t, x), condition)
        return self.estimate(prediction.to(x.dtype), x, t)

    def networks(self) -> Networks:
        """Its one network, without what it makes of the context alone."""
        drawing = Drawing(self.net).eval()
        device = next(self.net.parameters()).device
        x = torch.zeros(2, self.channels, *self.segment.shape[1:], device=device)
        with torch.no_grad():
            modulation = drawing.modulation(torch.zeros(2, self.width, device=device))
        return {"net": (drawing, (x, modulation))}

    def use(self, calls: Mapping[str, Call]) -> None:
        """Predicts by an engine's call from now on."""
        self.fast = Fast(calls["net"], self.modulation, self.classes)

    def modulation(self, t: float, condition: Condition) -> Tensor:
        """What a `Drawing` of its network takes besides images, all in state t: [n, m]."""
        assert condition.labels is not None, "an image's class is told, or `ANY`"
        context = self.context(self._times(t, condition.labels), condition)
        return Drawing(self.net).modulation(context)

    def _times(self, t: float, like: Tensor) -> Tensor:
        """One state over the last, for each image: float [n]."""
        return torch.full(like.shape[:1], t / self.segment.schedule.last, device=like.device)

    def predict(self, x: Tensor, u: Tensor, condition: Condition) -> Tensor:
        """The network's prediction for images x_t: a `Network`.

        Args:
            x: images [n, c, h, w] in states of their own.
            u: those states over the last: float [n] (paper, appendix 3.6.1).
            condition: labels, `ANY` where one is withheld, and what else this network sees: a
                coarser image and its degree of augmentation, the previous estimate.
        """
        # convolutions on the CPU, and half-precision ones on a GPU, run faster channels-last
        seen = self.inputs(x, condition).contiguous(memory_format=torch.channels_last)
        return self.net(seen, self.context(u, condition))

    def inputs(self, x: Tensor, condition: Condition) -> Tensor:
        """The images that the network sees, as channels of one: [n, channels, h, w]."""
        inputs = [x]
        if self.segment.jump.shows:
            assert condition.given is not None, "this network sees a coarser image"
            inputs.append(condition.given)
        if self.objective.self_condition:
            guess = condition.guess
            inputs.append(torch.zeros_like(x) if guess is None else guess)
        return torch.cat(inputs, dim=1) if len(inputs) > 1 else x

    def context(self, u: Tensor, condition: Condition) -> Tensor:
        """What else it is told: the state, the label and the level of the given image: [n, k]."""
        labels = condition.labels
        assert labels is not None, "an image's class is told, or `ANY`"
        one_hot = F.one_hot(labels.clamp(min=0), self.classes) * (labels >= 0)[:, None]
        context = [u[:, None], one_hot.to(u.dtype) * self.conditional]
        if self.segment.jump.tells:
            level = condition.level
            context.append((torch.zeros_like(u) if level is None else level)[:, None])
        return torch.cat(context, dim=1)

    def estimate(self, prediction: Tensor, x: Tensor, t: float) -> Tensor:
        """The x0 that a prediction for images x, all in state t, stands for: shaped as x."""
        return self.segment.estimate(self.parametrization, prediction, x, self.segment.levels(t))

    def prepare(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """x0 in the stage's segment, and the `inputs` of its jump."""
        x0 = self.segment.x0_of(images)
        return (x0, *self.segment.jump.inputs(x0))

    @property
    def tensors(self) -> int:
        """How many `prepare` makes."""
        return 1 + len(self.segment.jump.inputs(torch.empty(0, *self.segment.shape)))

    def begin(self, batch: Sequence[Tensor], labels: Tensor) -> None:
        """Keeps the training images if the objective aims at their means."""
        if self.objective.target == "mean":
            self.mean = TrainingMean(batch[0], labels)

    def forward(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """The stage's `Objective`, Algorithm 1 of Ho et al. 2020 unless changed: float [n]."""
        if self.unlabelled:
            share = torch.rand(labels.shape, generator=rng, device=labels.device)
            labels = torch.where(share < self.unlabelled, ANY, labels)
        condition = self.segment.jump.training_condition(tuple(batch[1:]), Condition(labels), rng)
        return self.objective.losses(self._network, batch[0], condition, rng, self._mean_x0)

    def _mean_x0(self, x: Tensor, a: Tensor, b: Tensor, labels: Tensor | None) -> Tensor:
        assert self.mean is not None, "`begin` comes first"
        return self.mean(x, a, b, labels if self.conditional else None)

    def _network(self, x: Tensor, u: Tensor, condition: Condition) -> Tensor:
        with nullcontext() if torch.is_grad_enabled() else in_passing(self.net):
            return self.predict(x, u, condition)

    def losses(self, batch: Sequence[Tensor], labels: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Algorithm 1's squared error of each image at given states int64 [n] and noise: float [n].

        The stage's own objective does not matter. An augmented condition is at degree 0.
        """
        condition = self.segment.jump.training_condition(tuple(batch[1:]), Condition(labels), None)
        return self.algorithm_1.losses_at(self.predict, batch[0], t, eps, condition)

    def validate(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """`losses` at every state t = 1 .. S-1, each on batches of that state alone: [n, S-1].

        A sampler's batch shares one t as well, so a network that reads the noise level off its
        batch, as batch norm does, shows it here and not in the training loss.
        """
        columns = []
        for state in range(1, self.segment.schedule.states):
            t = torch.full_like(labels, state)
            eps = torch.randn(batch[0].shape, generator=rng, device=batch[0].device)
            columns.append(self.losses(batch, labels, t, eps))
        return torch.stack(columns, dim=1)

    @torch.no_grad()
    def losses_by_company(
        self, batch: Sequence[Tensor], labels: Tensor, batch_size: int = 128
    ) -> dict[tuple[str, str], Tensor]:
        """The loss at each state when a batch is of that state alone, and when it holds all states.

        Both see the same images with the same noise in the same states: only the company differs.
        A network without batch norm has the same losses in both, and none by batch statistics. It
        must be in evaluation mode.

        Args:
            batch: what `prepare` made of images.
            labels: int64 [n].
            batch_size: images that share a batch; in training it is 128.

        Returns:
            by (`BATCHES`, `STATISTICS`): float [S-1], the mean over the images for t = 1 .. S-1.
        """
        states, n = self.segment.schedule.last, len(labels)
        rng = torch.Generator(labels.device).manual_seed(derive_seed(0, "leak"))
        eps = torch.randn((states, *batch[0].shape), generator=rng, device=labels.device)
        image = torch.arange(n, device=labels.device)
        statistics = STATISTICS if batch_norms(self.net) else STATISTICS[1:]
        found = {}
        for company in BATCHES:
            for kind in statistics:
                table = torch.zeros((states, n), device=labels.device)
                for k in range(states):
                    # state - 1 of every image in this pass; every image is in every state once
                    at = torch.full_like(image, k) if company == "single" else (image + k) % states
                    for part in image.split(batch_size):
                        rows, t = [whole[part] for whole in batch], at[part]
                        with batch_statistics(self.net) if kind == "batch" else nullcontext():
                            table[t, part] = self.losses(rows, labels[part], t + 1, eps[t, part])
                found[company, kind] = table.mean(dim=1).cpu()
        return found

    def facts(self) -> dict[str, Any]:
        """The states it has, and how much of the image is left in the last one."""
        schedule = self.segment.schedule
        return {
            "kind": "diffusion",
            "states": schedule.states,
            "last_signal": schedule.last_signal,
            "conditional": self.conditional,
            "latents_of": self.segment.latents_of,
        }

    def preview(self, batch: Sequence[Tensor], labels: Tensor, seed: int) -> Tensor | None:
        """Samples of this stage alone, from real images where it needs coarser ones."""
        noise, (x0, *inputs) = Seeded(seed, range(len(labels)), labels.device), batch
        begin = self.segment.jump.begin_real
        begun = begin(self.segment, x0, tuple(inputs), Condition(labels), noise, self.temperature)
        return self.shown(last(self.alone(begun.condition, noise, (begun.t, begun.x))).x)

    def shown(self, x: Tensor) -> Tensor:
        """Standardised images [n, c, h, w] of x_0 [n, ...]."""
        return x

    def alone(
        self, condition: Condition, noise: Noise, start: tuple[float, Tensor] | None = None
    ) -> Iterator[Step]:
        """The reverse process of this stage's segment, without those before it.

        Args:
            condition: all that its network is told.
            noise: of these images.
            start: a state and images in it [n, c, h, w], to go on from; None begins with noise.
        """
        (leg,) = self.legs()
        stream, last = noise.stream(self.segment.stream), self.segment.schedule.last
        if start is None:
            start = last, self.temperature * stream.normal(self.segment.shape)
        tables = self.segment.tables(self.solver, leg.states(start[0], 0))
        yield from run(leg.denoise, self.segment, tables, start[1], condition, stream)
