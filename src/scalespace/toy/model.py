"""The one-dimensional diffusion model, and its training (paper, appendix 3.8)."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from scalespace.core.denoiser import Condition
from scalespace.core.domain import X0_RULES
from scalespace.core.noise import derive_seed
from scalespace.core.parametrization import PARAMETRIZATIONS
from scalespace.core.schedule import Schedule
from scalespace.core.segment import Segment
from scalespace.core.torch_state import check_defaults, learning
from scalespace.errors import InputError
from scalespace.nets.mlp import MLP
from scalespace.progress import bar
from scalespace.stages.from_recipe import make_objective, make_schedule, solver_of
from scalespace.toy.config import STATES, ToyConfig
from scalespace.training.checkpoint import load_tensors, load_weights, save_tensors
from scalespace.training.loop import decayed


class Toy(nn.Module):
    """Network, process and solver for points on a line, shaped [n, 1] throughout.

    Args:
        config: its fields.
        seed: of the first weights.
    """

    def __init__(self, config: ToyConfig, seed: int) -> None:
        super().__init__()
        p, o = config.process, config.objective
        self.config, self.mixture = config, config.mixture
        self.segment = Segment("toy", make_schedule(p, STATES), (1,))
        self.parametrization = PARAMETRIZATIONS[p.predict]
        self.x0_rule = X0_RULES[p.x0]
        self.solver = solver_of(p)
        self.objective = make_objective(o, p, self.segment)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "toy", "weights"))
            self.net = MLP(1 + o.self_condition, config.hidden)

    @property
    def schedule(self) -> Schedule:
        """The segment's."""
        return self.segment.schedule

    def predict(self, x: Tensor, u: Tensor, condition: Condition) -> Tensor:
        """The network's prediction [n, 1] for x_t [n, 1]: a `Network`.

        Args:
            x: x_t.
            u: the states over the last: float [n].
            condition: for a self-conditioned network, its last estimate of x0 [n, 1].
        """
        if self.objective.self_condition:
            guess = condition.guess
            x = torch.cat([x, torch.zeros_like(x) if guess is None else guess], dim=1)
        return self.net(x, u)

    def losses(self, x0: Tensor, rng: torch.Generator) -> Tensor:
        """The objective at points x0 [n, 1]: float [n]."""

        def mean(x: Tensor, a: Tensor, b: Tensor, labels: Tensor | None) -> Tensor:
            return self.mixture.mean(x, a, b).to(x.dtype)

        return self.objective.losses(self.predict, x0, Condition(), rng, mean)

    @torch.no_grad()
    def learnt(self, x: Tensor, t: float, condition: Condition) -> Tensor:
        """The trained network as a `Denoiser`."""
        a, b = self.schedule.scales(t)
        u = torch.full((len(x),), t / self.schedule.last, dtype=x.dtype)
        x0_hat = self.parametrization.x0(self.predict(x, u, condition), x, a, b)
        return self.x0_rule(x0_hat, *self.mixture.domain, b**2)

    def exact(self, x: Tensor, t: float, condition: Condition) -> Tensor:
        """The perfect network as a `Denoiser`: E[x0 | x_t], under the same rule for x0."""
        a, b = self.schedule.scales(t)
        return self.x0_rule(self.mixture.mean(x, a, b), *self.mixture.domain, b**2)


def fit(config: ToyConfig, seed: int, folder: Path, progress: bool = True) -> Toy:
    """A trained model in float64: trained now, or taken from `folder` if it was before.

    Configs of one batch size see the same points, states and noises of a seed in the same order, as
    long as their objectives draw nothing else.

    Args:
        config: what to train.
        seed: of weights, points and noise.
        folder: of trained networks; each is a file named by the config's hash and the seed.
        progress: show a progress bar.

    Raises:
        InputError: the training diverged, or a file is damaged or cannot be written.
    """
    check_defaults()
    model, path = Toy(config, seed), folder / f"{config.identity}-seed{seed}.safetensors"
    if path.exists():
        tensors, record = load_tensors(path, "trained network")
        if record.get("identity") != config.identity or record.get("seed") != seed:
            raise InputError(f"{path} holds another training than its name says: delete it")
        load_weights(model.net, tensors, f"trained network {path}")
    else:
        began = time.monotonic()
        with learning():
            loss = _train(model, seed, progress)
        record = {
            "identity": config.identity,
            "seed": seed,
            "config": asdict(config),
            "loss": loss,
            "seconds": round(time.monotonic() - began, 1),
        }
        save_tensors(path, model.net.state_dict(), record)
    return model.double().eval()


def _train(model: Toy, seed: int, progress: bool) -> float:
    """Trains by Adam on fresh points; returns the mean loss of the last epoch."""
    config = model.config
    steps, step = config.epochs * config.batches, 0
    rng = torch.Generator().manual_seed(derive_seed(seed, "toy", "training"))
    optimizer = torch.optim.Adam(model.net.parameters(), config.lr, fused=True)
    with bar(steps, f"train {config.identity} (seed {seed})", "step", shown=progress) as shown:
        for _ in range(config.epochs):
            total = torch.zeros(())
            points = model.mixture.draw(config.batches * config.batch_size, rng).float()
            for x0 in points.split(config.batch_size):
                loss = model.losses(x0, rng).mean()
                loss.backward()
                optimizer.param_groups[0]["lr"] = config.lr * decayed(config.decay, step / steps)
                optimizer.step()
                optimizer.zero_grad()
                total += loss.detach()
                step += 1
            shown.update(config.batches)
            mean = float(total) / config.batches
            if not math.isfinite(mean):
                raise InputError(
                    f"the training diverged (loss {mean}): try points nearer to one another, or a "
                    "smaller lr"
                )
            shown.set_postfix(loss=f"{mean:.4f}", refresh=False)
    return mean
