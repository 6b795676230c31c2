"""The diffusion stage: a U-Net trained by Algorithm 1 at one scale, sampled by Algorithm 2."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scalespace.config import ProcessConfig, Recipe, UNetConfig
from scalespace.core import process
from scalespace.core.domain import X0_RULES
from scalespace.core.noise import NoiseStreams
from scalespace.core.parametrization import PARAMETRIZATIONS
from scalespace.core.samplers import SAMPLERS, Step
from scalespace.core.scale import down, up
from scalespace.core.schedule import Schedule, cosine, flow, linear
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.nets.unet import UNet
from scalespace.stages.base import Stage, StageModel


@dataclass(frozen=True)
class DiffusionStage(Stage):
    """A class-conditional diffusion process over images at one scale.

    Args:
        name: of the stage.
        states: S; sampling takes S-1 network calls. A recipe may override it.
        scale: the images are taken down by this factor first.
        conditioned: the network also sees the image at half this scale, taken up to this one.
    """

    states: int
    scale: int = 1
    conditioned: bool = False

    def build(
        self, recipe: Recipe, data: DataInfo, needs: Mapping[str, StageModel] | None = None
    ) -> Diffusion:
        """An untrained `Diffusion` for this stage.

        Raises:
            InputError: the images cannot be halved, or the network is too deep for them.
        """
        return Diffusion(self, recipe, data, (1, *_size(self, recipe.net, data)))


def make_schedule(process: ProcessConfig, states: int) -> Schedule:
    """The schedule that a config asks for; `states` is the stage's own number of them."""
    states = process.states or states
    if process.schedule == "cosine":
        return cosine(states, power=process.power, stop_short=process.stop_short)
    return {"linear": linear, "flow": flow}[process.schedule](states)


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
        p = recipe.process
        self.stage, self.data, self.shape = stage, data, shape
        self.classes = len(data.classes)
        self.conditional = p.labels
        self.schedule = make_schedule(p, stage.states)
        self.calls = self.schedule.last
        self.parametrization = PARAMETRIZATIONS[p.predict]
        self.x0_rule = X0_RULES[p.x0]
        self.sampler = SAMPLERS[p.sampler]
        inputs = shape[0] * (2 if stage.conditioned else 1)
        self.net = UNet(recipe.net, inputs, shape[0], context=1 + self.classes)

    @property
    def domain(self) -> tuple[float, float]:
        """The ends of what an x0 may be, in the process's units."""
        return self.data.domain

    def predict(self, x: Tensor, t: Tensor, labels: Tensor, low: Tensor | None) -> Tensor:
        """The network's prediction for images x_t.

        Args:
            x: images [n, c, h, w] in states of their own.
            t: those states over S-1: float [n] (paper, appendix 3.6.1).
            labels: int64 [n].
            low: for a conditioned stage, the images at half the scale [n, 1, h/2, w/2].
        """
        if low is not None:
            x = torch.cat([x, up(low)], dim=1)
        one_hot = F.one_hot(labels, self.classes).to(t.dtype)
        context = torch.cat([t[:, None], one_hot * self.conditional], dim=1)
        # convolutions on the CPU, and half-precision ones on a GPU, run faster channels-last
        return self.net(x.contiguous(memory_format=torch.channels_last), context)

    def prepare(self, images: Tensor) -> tuple[Tensor, ...]:
        """x0 at the stage's scale and, for a conditioned stage, the image at half of it."""
        x0 = down(images, self.stage.scale)
        return (x0, down(x0)) if self.stage.conditioned else (x0,)

    def losses(self, batch: Sequence[Tensor], labels: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Squared error of each image at given states t int64 [n] and noise: float [n]."""
        x0, low = batch[0], batch[1] if self.stage.conditioned else None

        def network(x: Tensor, u: Tensor) -> Tensor:
            return self.predict(x, u, labels, low)

        return process.loss(network, self.schedule, self.parametrization, x0, t, eps)

    def forward(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """Algorithm 1 of Ho et al. 2020: t uniform, one noise an image; float [n]."""
        return self.losses(batch, labels, *process.draw(self.schedule, batch[0], rng))

    def validate(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """The loss at every state t = 1 .. S-1, each on batches of that state alone: [n, S-1].

        A sampler's batch shares one t as well, so a network that reads the noise level off its
        batch (batch norm does) shows it here and not in the training loss.
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
        for step in self.sample(labels, seed, range(len(labels)), low):
            x = step.x
        return x

    @torch.inference_mode()
    def sample(
        self, labels: Tensor, seed: int, indices: Sequence[int], low: Tensor | None = None
    ) -> Iterator[Step]:
        """The reverse process at this stage's scale, a state at a time.

        Args:
            labels: int64 [n] on the model's device.
            seed: with an index, fixes the noise of an image in this stage.
            indices: int [n].
            low: for a conditioned stage, the images at half the scale [n, 1, h/2, w/2].
        """
        streams = NoiseStreams(seed, indices, self.stage.name, labels.device)
        low_end, high_end = self.domain

        def denoise(x: Tensor, t: int) -> Tensor:
            u = torch.full((len(x),), t / self.schedule.last, device=x.device)
            a = math.sqrt(float(self.schedule.alpha_bar[t]))
            b = math.sqrt(1 - float(self.schedule.alpha_bar[t]))
            prediction = self.predict(x, u, labels, low).to(x.dtype)
            return self.x0_rule(self.parametrization.x0(prediction, x, a, b), low_end, high_end)

        yield from self.sampler(denoise, self.schedule, lambda: streams.normal(self.shape))


def _size(stage: DiffusionStage, net: UNetConfig, data: DataInfo) -> tuple[int, int]:
    """Height and width of the stage's images; `InputError` unless they suit it and its network."""
    factor = stage.scale * (2 if stage.conditioned else 1)
    if data.height % factor or data.width % factor:
        raise InputError(
            f"stage '{stage.name}' takes images down by a factor of {factor}, "
            f"which {data.height}x{data.width} images of {data.name} do not allow"
        )
    height, width = data.height // stage.scale, data.width // stage.scale
    check_size(stage.name, net, height, width)
    return height, width


def check_size(stage: str, net: UNetConfig, height: int, width: int) -> None:
    """Raises `InputError` unless a network suits images of that size."""
    least = net.patch * 2 ** (len(net.channels) - 1)
    if height % net.patch or width % net.patch or min(height, width) < least:
        raise InputError(
            f"stage '{stage}': net.channels {list(net.channels)} with net.patch {net.patch} "
            f"need images of at least {least}x{least} pixels, in multiples of {net.patch}, "
            f"and its are {height}x{width}"
        )
