"""All of a model's sampling as one network: labels and noise in, images out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scalespace.core.noise import Noise, Seeded, Stream
from scalespace.core.sampling import last
from scalespace.data.info import DataInfo
from scalespace.engine.base import Call, Engine
from scalespace.errors import InputError
from scalespace.fields import digest
from scalespace.files import source
from scalespace.methods import Method
from scalespace.stages.base import Models

CLOSE = 1e-4
"""The most by which a number of an exported model may differ from the model's own."""


class Drawn:
    """Noise that remembers its draws, or hands out the draws that it is given.

    Args:
        noise: where the draws come from; None to hand out `draws`.
        draws: purpose and tensor [n, ...] of each, in order.
    """

    def __init__(self, noise: Noise | None, draws: Sequence[tuple[str, Tensor]] = ()) -> None:
        self.noise, self.draws = noise, list(draws)
        self._next = iter(draws)

    def stream(self, purpose: str) -> Stream:
        """The draws of that purpose."""
        return _Draws(self, purpose)

    def draw(self, purpose: str, shape: Sequence[int]) -> Tensor:
        """The next one."""
        if self.noise is None:
            return next(self._next)[1]
        self.draws.append((purpose, self.noise.stream(purpose).normal(shape)))
        return self.draws[-1][1]


class _Draws:
    def __init__(self, every: Drawn, purpose: str) -> None:
        self._every, self._purpose = every, purpose

    def normal(self, shape: Sequence[int]) -> Tensor:
        return self._every.draw(self._purpose, shape)


class Chain(nn.Module):
    """A model's sampling.

    Args:
        method: what is sampled.
        models: its trained stages, with no engine.
        finish: what becomes of the standardised images; nothing unless given.
        about: plain values that name what its weights and its modules' code do not, such as the
            steps.
    """

    def __init__(
        self,
        method: Method,
        models: Models,
        finish: Callable[[Tensor], Tensor] | None = None,
        about: Any = None,
    ) -> None:
        super().__init__()
        self.method, self.models = method, models
        self.finish = finish or nn.Identity()
        self.stages = nn.ModuleList(models.values())
        self.about = digest([method.name, about, source(type(method)), _package()])

    def extra_repr(self) -> str:
        """Names it in an engine's cache."""
        return self.about

    def use(self, engine: Engine) -> None:
        """Leaves its networks to the parts that an engine makes of them, if any."""
        for model in self.models.values():
            parts = {name: engine.part(*own) for name, own in model.networks().items()}
            if found := {name: part for name, part in parts.items() if part is not None}:
                model.use(found)

    def forward(self, labels: Tensor, *noise: Tensor) -> Tensor:
        """Labels int64 [n] and standard normal noise [n, ...] to images [n, c, h, w]."""
        drawn = Drawn(None, [("", one) for one in noise])
        return self.finish(last(self.method.sample(self.models, labels, drawn)).x)


def examples(
    chain: Chain, data: DataInfo, n: int, seed: int, device: torch.device | str = "cpu"
) -> tuple[list[Tensor], list[str], Tensor]:
    """A chain's inputs, the purpose of each noise among them, and the images that it makes.

    Args:
        chain: whose.
        data: of the images.
        n: how many.
        seed: of the noise.
        device: the chain's.
    """
    known = [data.labels[k % len(data.labels)] for k in range(n)]
    labels = torch.tensor(known, device=device)
    drawn = Drawn(Seeded(seed, range(n), device))
    images = chain.finish(last(chain.method.sample(chain.models, labels, drawn)).x)
    return [labels, *(one for _, one in drawn.draws)], [name for name, _ in drawn.draws], images


class Engaged:
    """A chain that an engine runs: labels and noise to standardised images.

    Args:
        call: the chain, as the engine runs it.
        draws: purpose and shape of each noise that it takes, in order.
    """

    def __init__(self, call: Call, draws: Sequence[tuple[str, tuple[int, ...]]]) -> None:
        self.call, self.draws = call, draws

    def __call__(self, labels: Tensor, noise: Noise) -> Tensor:
        """Images [n, c, h, w], standardised."""
        drawn = (noise.stream(purpose).normal(shape) for purpose, shape in self.draws)
        return self.call(labels, *drawn)


@torch.no_grad()
def engage(
    chain: Chain, data: DataInfo, engine: Engine, device: torch.device | str = "cpu"
) -> Engaged | None:
    """The chain in the hands of an engine; None where that cannot be, or gives other images.

    Args:
        chain: on the device; its stages become the engine's.
        data: of the images.
        engine: one that runs chains.
        device: where.
    """
    chain.eval()
    try:
        first, _, _ = examples(chain, data, 2, 0, device)
        given, purposes, expected = examples(chain, data, 3, 1, device)
        chain.use(engine)
        call = engine.load_chain(chain, first)
        error = float((call(*given) - expected).abs().max())
    except InputError:
        return None
    shapes = [tuple(one.shape[1:]) for one in given[1:]]
    draws = list(zip(purposes, shapes, strict=True))
    return Engaged(call, draws) if error <= CLOSE else None


@lru_cache(maxsize=1)
def _package() -> str:
    """A hash of the package's code, which decides what an exported chain does."""
    root = Path(__file__).parents[1]
    return digest([path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py"))])
