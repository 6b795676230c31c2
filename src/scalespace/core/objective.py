"""What a training step minimises: Algorithm 1 of Ho et al. 2020, and the field's changes to it.

Each change is one argument whose default leaves Algorithm 1 as it is; they combine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from scalespace.core.denoiser import Condition
from scalespace.core.parametrization import Parametrization
from scalespace.core.schedule import Schedule, broadcast
from scalespace.core.segment import Segment
from scalespace.core.solvers import ancestral


class Network(Protocol):
    """The network that is trained."""

    def __call__(self, x: Tensor, u: Tensor, condition: Condition) -> Tensor:
        """The prediction for x_t [n, ...], shaped as x.

        Args:
            x: images, each in a state of its own.
            u: those states over the last: float [n] in [0, 1] (paper, appendix 3.6.1).
            condition: what else it is told.
        """


MeanOfX0 = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""Maps x_t [n, ...], a and b [n, 1, ...] and labels to E[x_0 | x_t, label]."""

MIN_SNR = 5.0  # gamma of Hang et al. 2023, section 3.4
GUESSED = 0.5  # share of batches that are given an x0_hat (Chen et al. 2022, section 2.2)


@dataclass(frozen=True, eq=False)
class Objective:
    """The loss of a denoising network.

    Args:
        segment: the process that the network learns to undo.
        parametrization: what the network predicts.
        weighting: none (every error counts alike), or min-snr: the error in x0 times min(SNR, 5)
            (Hang et al. 2023).
        perturb: standard deviation of a second noise added to the network's input in training, in
            units of the first (input perturbation, Ning et al. 2023, who use 0.1). It makes the
            network tolerant of its own errors. The target ignores it, unless it is the mean.
        unroll: n: the input is reached from x_{t+n-1} by n-1 ancestral steps with the network's own
            estimates, so that it trains on the states that it will meet (n-step training, seed
            paper, section 1.3). The gradient is that of the last step alone.
        self_condition: in half of the steps the network also gets its own estimate of x0 from the
            same input (Chen et al. 2022).
        guide: g: adds to the target g times the difference that the label makes to the prediction,
            so that one call gives what classifier-free guidance takes two for (Tang et al. 2025).
            In an exact network the difference grows by a factor of 1 / (1 - g).
        target: sample makes the target from the image that x_t was made from; mean makes it from
            the mean of all images that x_t may have been made from. Every parametrisation is linear
            in x0, so this is the mean of their targets. With `perturb` or `unroll` it is the
            perfect network's answer to the input, also off the process's paths: imitation of an
            expert wherever the learner gets to (Ross et al. 2011, "DAgger").
        continuous: draw times between the states as well, so that sampling may visit them.
    """

    segment: Segment
    parametrization: Parametrization
    weighting: str = "none"
    perturb: float = 0.0
    unroll: int = 1
    self_condition: bool = False
    guide: float = 0.0
    target: str = "sample"
    continuous: bool = False

    @property
    def schedule(self) -> Schedule:
        """The segment's."""
        return self.segment.schedule

    def draw(self, x0: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """The random part of Algorithm 1: states [n] and noise like `x0`.

        States are uniform on 1 .. S-1, int64, or on all times in (0, S-1], float.
        """
        if self.continuous:
            # uniform on (0, 1]
            u = 1 - torch.rand(len(x0), generator=rng, device=x0.device, dtype=x0.dtype)
            t = u * self.schedule.last
        else:
            t = torch.randint(1, self.schedule.states, (len(x0),), generator=rng, device=x0.device)
        return t, _noise_like(x0, rng)

    def losses(
        self,
        network: Network,
        x0: Tensor,
        condition: Condition,
        rng: torch.Generator,
        mean: MeanOfX0 | None = None,
    ) -> Tensor:
        """Algorithm 1 with its changes: the weighted squared error of each image, float [n].

        Args:
            network: the one that is trained.
            x0: images [n, ...].
            condition: what the network is told of them.
            rng: on the images' device.
            mean: gives E[x_0 | x_t]; only the target mean needs it.
        """
        t, eps = self.draw(x0, rng)
        return self.losses_at(network, x0, t, eps, condition, rng, mean)

    def losses_at(
        self,
        network: Network,
        x0: Tensor,
        t: Tensor,
        eps: Tensor,
        condition: Condition,
        rng: torch.Generator | None = None,
        mean: MeanOfX0 | None = None,
    ) -> Tensor:
        """The same at given states and noise: float [n].

        Args:
            network, x0, condition, mean: as for `losses`.
            t: states 1 .. S-1, int64 [n], or times, float [n].
            eps: standard normal noise, shaped as `x0`.
            rng: for the changes that draw more; Algorithm 1 itself draws nothing here.
        """
        levels = self.segment.levels_of(t, x0)
        a, b, _ = levels[0]
        u = t.to(x0.dtype) / self.schedule.last
        x_t = self.unrolled(network, x0, t, eps, condition, rng)
        if self.unroll > 1:
            eps = (x_t - a * x0) / b  # the noise that x_t stands for now
        if self.perturb:
            x_t = x_t + b * self.perturb * _noise_like(x0, rng)
        if self.target == "mean":
            assert mean is not None, "the target mean needs the mean of x0"
            x0 = mean(x_t, a, b, condition.labels)
            eps = (x_t - a * x0) / b
        if self.self_condition and float(torch.rand((), generator=rng, device=x0.device)) < GUESSED:
            with torch.no_grad():
                guess = network(x_t, u, condition).to(x0.dtype)
            guess = self.segment.estimate(self.parametrization, guess, x_t, levels)
            condition = condition.after(guess)
        prediction = network(x_t, u, condition).to(x0.dtype)
        target = self.segment.target(self.parametrization, x0, eps, levels)
        if self.guide:
            with torch.no_grad():
                without = network(x_t, u, condition.unlabelled()).to(x0.dtype)
                target = target + self.guide * (prediction - without)
        return (prediction - target).square().flatten(1).mean(dim=1) * self.weight(t, x0)

    def weight(self, t: Tensor, like: Tensor) -> Tensor:
        """The factor of each image's squared error: float [n], or a scalar 1.

        The weight min(SNR, gamma) on the error in x0 becomes one on the prediction's error by the
        squared slope of x0 in the prediction: min(SNR, gamma) / SNR for the noise and
        min(SNR, gamma) / (SNR + 1) for v, as in the paper.
        """
        if self.weighting == "none":
            return torch.ones((), dtype=like.dtype, device=like.device)
        a, b = (part.flatten() for part in self.schedule.signal_and_noise(t, like))
        slope = self.parametrization.x0(1.0, 0.0, a, b)
        return (a / b).square().clamp(max=MIN_SNR) * slope**2

    @cached_property
    def _steps(self) -> Tensor:
        """The ancestral sampler's weights of x_t, x0_hat and noise by state: float64 [3, S].

        Those of state 0, from which no step leads, are 0.
        """
        table = ancestral(self.schedule, range(self.schedule.last, -1, -1))
        weights = table.columns()[[0, 1, 3]].flip(1)
        return torch.cat([torch.zeros(3, 1, dtype=weights.dtype), weights], dim=1)

    def unrolled(
        self,
        network: Network,
        x0: Tensor,
        t: Tensor,
        eps: Tensor,
        condition: Condition,
        rng: torch.Generator | None,
    ) -> Tensor:
        """x_t [n, ...], reached from x_{t+n-1} by the ancestral sampler (n = 1: q(x_t | x0))."""
        if self.unroll == 1:
            return self.segment.q_sample(x0, t, eps)
        state = (t + self.unroll - 1).clamp(max=self.schedule.last)
        x = self.segment.q_sample(x0, state, eps)
        steps, shape = broadcast(self._steps, x0), (-1, *[1] * (x0.ndim - 1))
        with torch.no_grad():
            for _ in range(self.unroll - 1):
                a, b = self.schedule.signal_and_noise(state, x0)
                prediction = network(x, state.to(x0.dtype) / self.schedule.last, condition)
                x0_hat = self.parametrization.x0(prediction.to(x0.dtype), x, a, b)
                to_x, to_x0, std = (weights[state].view(shape) for weights in steps)
                moved = to_x0 * x0_hat + to_x * x + std * _noise_like(x0, rng)
                x = torch.where((state == t).view(shape), x, moved)
                state = torch.maximum(state - 1, t)
        return x


def _noise_like(x: Tensor, rng: torch.Generator | None) -> Tensor:
    return torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
