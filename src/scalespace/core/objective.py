"""What a training step minimises: Algorithm 1 of Ho et al. 2020, and the field's changes to it.

Each change is one argument whose default leaves Algorithm 1 as it is; they combine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scalespace.core.parametrization import Parametrization
from scalespace.core.process import at_state, draw, q_sample, signal_and_noise
from scalespace.core.schedule import Schedule

Network = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Maps x_t [n, ...], t / (S-1) float [n] and an earlier estimate of x0 (or None: none was made) to
a prediction shaped as x_t."""
Posterior = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Maps x_t [n, ...], sqrt(alpha_bar) and sqrt(1 - alpha_bar) [n, 1, ...] to E[x0 | x_t]."""

MIN_SNR = 5.0  # gamma of Hang et al. 2023, section 3.4
GUESSED = 0.5  # share of batches with an estimate to go by (Chen et al. 2022, section 2.2)


@dataclass(frozen=True, eq=False)
class Objective:
    """The loss of a denoising network.

    Args:
        schedule: the process.
        parametrization: what the network's prediction stands for.
        weighting: none, every state's error as it is; or min-snr, the error in x0 times
            min(SNR, 5) (Hang et al. 2023).
        perturb: deviation of a second noise that the network's input is given in training, per unit
            of the first: input perturbation (Ning et al. 2023; theirs is 0.1), which makes it
            forgiving of its own errors. The target does not know of it, unless it is the mean.
        unroll: n; the input is what n-1 ancestral steps by the network's own estimates make of
            x_{t+n-1}, so that it learns from the states that it will meet: the n-step training
            which the seed paper proposes in section 1.3. The gradient is that of the last step.
        self_condition: in half of the steps the network is also given its own estimate of x0 from
            the same input (Chen et al. 2022).
        guide: g; the target gains g times the difference that the label makes to the prediction,
            so that a single call gives what classifier-free guidance takes two for (Tang et al.
            2025). Where the network is exact, the difference itself comes out 1 / (1 - g) times as
            large.
        target: sample, what is aimed at is made of the image that x_t was made of; or mean, of the
            mean of all images that it may have been made of. Every parametrisation is linear in x0,
            so that this is the mean of their targets. With `perturb` or `unroll` it is what the
            perfect network says of the input, off the process's paths as on them: the imitation of
            an expert where the learner may come (Ross et al. 2011, "DAgger").
    """

    schedule: Schedule
    parametrization: Parametrization
    weighting: str = "none"
    perturb: float = 0.0
    unroll: int = 1
    self_condition: bool = False
    guide: float = 0.0
    target: str = "sample"

    def losses(
        self,
        network: Network,
        x0: Tensor,
        rng: torch.Generator,
        unlabelled: Network | None = None,
        posterior: Posterior | None = None,
    ) -> Tensor:
        """Algorithm 1 with its changes: the squared error of each image, float [n].

        Args:
            network: told the labels.
            x0: images [n, ...].
            rng: on the images' device.
            unlabelled: the same network, told no labels; only guidance asks for it.
            posterior: the mean of all images that an x_t may be made of; only the target mean asks
                for it.
        """
        t, eps = draw(self.schedule, x0, rng)
        a, b = signal_and_noise(self.schedule, t, x0)
        x_t = self.unrolled(network, x0, t, eps, rng)
        if self.unroll > 1:
            eps = (x_t - a * x0) / b  # the noise that x_t stands for now
        if self.perturb:
            x_t = x_t + b * self.perturb * _noise_like(x0, rng)
        if self.target == "mean":
            assert posterior is not None, "the target mean needs a posterior"
            x0 = posterior(x_t, a, b)
            eps = (x_t - a * x0) / b
        guess = None
        if self.self_condition and float(torch.rand((), generator=rng, device=x0.device)) < GUESSED:
            with torch.no_grad():
                guess = self.x0_hat(network(x_t, self._u(t, x0), None).to(x0.dtype), x_t, t)
        prediction = network(x_t, self._u(t, x0), guess).to(x0.dtype)
        target = self.parametrization.target(x0, eps, a, b)
        if self.guide and unlabelled is not None:
            with torch.no_grad():
                without = unlabelled(x_t, self._u(t, x0), guess).to(x0.dtype)
                target = target + self.guide * (prediction - without)
        return (prediction - target).square().flatten(1).mean(dim=1) * self.weight(t, x0)

    def weight(self, t: Tensor, like: Tensor) -> Tensor:
        """The factor of each image's squared error: float [n], or 1.

        An error of the prediction is one of x0 times the slope of x0 in the prediction, so one rule
        serves every parametrisation: gamma / SNR for the noise, where the SNR is above gamma, and
        min(SNR, gamma) / (SNR + 1) for v, as in the paper.
        """
        if self.weighting == "none":
            return torch.ones((), dtype=like.dtype, device=like.device)
        a, b = (part.flatten() for part in signal_and_noise(self.schedule, t, like))
        slope = self.parametrization.x0(1.0, 0.0, a, b)
        return (a / b).square().clamp(max=MIN_SNR) * slope**2

    def unrolled(
        self, network: Network, x0: Tensor, t: Tensor, eps: Tensor, rng: torch.Generator
    ) -> Tensor:
        """x_t [n, ...], reached from x_{t+n-1} by the ancestral sampler (n = 1: q(x_t | x0))."""
        state = (t + self.unroll - 1).clamp(max=self.schedule.last)
        x = q_sample(self.schedule, x0, state, eps)
        with torch.no_grad():
            for _ in range(self.unroll - 1):
                x0_hat = self.x0_hat(network(x, self._u(state, x0), None).to(x0.dtype), x, state)
                to_x0, to_x, std = (at_state(table, state, x0) for table in self.schedule.steps)
                moved = to_x0 * x0_hat + to_x * x + std * _noise_like(x0, rng)
                arrived = (state == t).view(-1, *[1] * (x.ndim - 1))
                x = torch.where(arrived, x, moved)
                state = torch.maximum(state - 1, t)
        return x

    def x0_hat(self, prediction: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The image [n, ...] that a prediction for x_t in states t int64 [n] stands for."""
        return self.parametrization.x0(prediction, x_t, *signal_and_noise(self.schedule, t, x_t))

    def _u(self, t: Tensor, like: Tensor) -> Tensor:
        return t.to(like.dtype) / self.schedule.last


def _noise_like(x: Tensor, rng: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
