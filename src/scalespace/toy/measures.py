"""What is counted of a set of reverse trajectories, the learnt beside the exact."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scalespace.core.denoiser import Condition
from scalespace.toy.model import Toy
from scalespace.toy.strays import Share, astray, distance, gaps, nearest, outside, share, split
from scalespace.toy.strays import undecided as is_undecided
from scalespace.toy.trajectories import forward, reverse

TOLERANCES = (0.05, 0.1, 0.25, 0.5)  # to show how the count depends on the definition


class Paths(NamedTuple):
    """Reverse trajectories under the same noise: x [S, n] and x0_hat [S-1, n], row t of state t."""

    learnt: Tensor
    learnt_x0: Tensor
    exact: Tensor
    exact_x0: Tensor


def paths(model: Toy, noise: Tensor) -> Paths:
    """The learnt and the exact process of a model, driven by the same noise [S-1, n, 1]."""
    learnt = reverse(model.solver, model.learnt, model.segment, noise)
    return Paths(*learnt, *reverse(model.solver, model.exact, model.segment, noise))


def together(parts: list[Paths]) -> Paths:
    """The trajectories of several runs as those of one."""
    return Paths(*(torch.cat(same, dim=1) for same in zip(*parts, strict=True)))


def measure(model: Toy, found: Paths, tolerance: float) -> dict[str, Any]:
    """All counts of some trajectories, as plain values.

    Args:
        model: gives the process and the points; its weights are not used.
        found: trajectories.
        tolerance: what makes a stray, in half-gaps.
    """
    mixture = model.mixture
    learnt, exact = (astray(x[0], mixture, tolerance) for x in (found.learnt, found.exact))
    return {
        "n": learnt.numel(),
        "learnt": _process(model, found.learnt, found.learnt_x0, tolerance),
        "exact": _process(model, found.exact, found.exact_x0, tolerance),
        "split": asdict(split(learnt, exact)),
        "only_learnt": asdict(share(learnt & ~exact)),
        "forward": _expected(model, tolerance),
    }


def _process(model: Toy, x: Tensor, x0_hat: Tensor, tolerance: float) -> dict[str, Any]:
    mixture, states = model.mixture, range(len(x))
    far = outside(x0_hat, mixture, tolerance)
    ends = nearest(x[0], mixture)
    return {
        "strays": asdict(share(astray(x[0], mixture, tolerance))),
        "strays_by_tolerance": {
            f"{limit:g}": asdict(share(astray(x[0], mixture, limit))) for limit in TOLERANCES
        },
        "largest_distance": float(distance(x[0], mixture).max()),
        "landed": [asdict(share(ends == k)) for k in range(len(mixture.points))],
        "left_domain": asdict(share(outside(x[0], mixture, tolerance))),
        "x0_hat_left_domain": asdict(share(far.any(dim=0))),
        "x0_hat_left_domain_at": [float(row.double().mean()) for row in far],
        "x0_hat_largest": [float(row.abs().max()) for row in x0_hat],
        "outside_at": [float(outside(x[t], mixture).double().mean()) for t in states],
        "undecided_at": [
            float(is_undecided(x[t], mixture, *model.schedule.scales(t), tolerance).double().mean())
            for t in states
        ],
    }


def _expected(model: Toy, tolerance: float) -> dict[str, list[float]]:
    """The same shares of the forward process, in closed form; state 0 is on the points."""
    mixture, out = model.mixture, {"outside_at": [0.0], "undecided_at": [0.0]}
    for t in range(1, model.schedule.states):
        a, b = model.schedule.scales(t)
        below, above = mixture.cdf(torch.tensor(mixture.domain), a, b).tolist()
        out["outside_at"].append(below + 1 - above)
        between = 0.0
        for gap in gaps(mixture, a, b, tolerance):
            low, high = mixture.cdf(torch.tensor(gap), a, b).tolist()
            between += high - low
        out["undecided_at"].append(between)
    return out


def x0_errors(model: Toy, n: int, seed: int) -> list[float]:
    """Root mean square of learnt minus exact E[x0 | x_t], over the forward process: [S-1].

    Entry t-1 is of state t. In units of the predicted noise it is a / b times as much.
    """
    x = forward(model.mixture, model.schedule, n, seed)[:, :, None]
    states = range(1, model.schedule.states)
    alone = Condition()
    errors = [model.learnt(x[t], t, alone) - model.exact(x[t], t, alone) for t in states]
    return [float(error.square().mean().sqrt()) for error in errors]


def blame(model: Toy, noise: Tensor, tolerance: float) -> dict[str, list[Share]]:
    """Strays when the network answers in some states only, and the exact answer in the others.

    `late[k]` has the network in states 1 .. k and `early[k]` in states k+1 .. S-1, k = 0 .. S-1: it
    separates errors late in sampling (small t) from early ones.
    """

    def strays(learns: range) -> Share:
        guess: Tensor | None = None

        def mixed(x: Tensor, t: float, condition: Condition) -> Tensor:
            nonlocal guess
            if t not in learns:
                return model.exact(x, t, condition)
            guess = model.learnt(x, t, condition.after(guess))  # its own last one, not the exact
            return guess

        x, _ = reverse(model.solver, mixed, model.segment, noise)
        return share(astray(x[0], model.mixture, tolerance))

    states = model.schedule.states
    return {
        "late": [strays(range(1, k + 1)) for k in range(states)],
        "early": [strays(range(k + 1, states)) for k in range(states)],
    }
