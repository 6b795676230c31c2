"""Classification Accuracy Score (Ravuri & Vinyals 2019): train on samples, test on real images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from scalespace.config import CASConfig
from scalespace.core.noise import derive_seed
from scalespace.core.torch_state import check_defaults, learning
from scalespace.data.images import ImageSet
from scalespace.data.pixels import planes
from scalespace.evaluation.workers import side_by_side
from scalespace.nets.classifier import CASClassifier
from scalespace.progress import bar


@dataclass(frozen=True)
class CASResult:
    """The outcome for one set of images.

    Args:
        confusion: counts, int [m, classes, classes]: classifier, true class, predicted class.
        n: number of images that the classifiers were trained on.
    """

    confusion: NDArray[np.int64]
    n: int

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Share of the test set that each classifier gets right: [m]."""
        hits = np.trace(self.confusion, axis1=1, axis2=2)
        return hits / self.confusion.sum(axis=(1, 2))

    @property
    def per_class(self) -> NDArray[np.float64]:
        """Accuracy within each true class: [m, classes]; NaN for a class without test images."""
        totals = self.confusion.sum(axis=2).astype(np.float64)
        hits = np.diagonal(self.confusion, axis1=1, axis2=2)
        return hits / np.where(totals > 0, totals, np.nan)

    @property
    def mean(self) -> float:
        """Mean accuracy over the classifiers: the score."""
        return float(self.accuracy.mean())

    @property
    def sd(self) -> float:
        """Sample standard deviation over the classifiers; NaN for a single one."""
        return float(sample_sd(self.accuracy))

    @property
    def together(self) -> NDArray[np.int64]:
        """The counts of all classifiers together: int [classes, classes]."""
        return self.confusion.sum(axis=0)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; None for unknown ones, as in a class without test images."""
        return {
            "cas": self.mean,
            "sd": plain(np.array([self.sd]))[0],
            "accuracy": self.accuracy.tolist(),
            "per_class": plain(self.per_class.mean(axis=0)),
            "per_class_sd": plain(sample_sd(self.per_class)),
            "confusion": self.together.tolist(),
            "classifiers": [
                {"per_class": plain(own), "confusion": counts.tolist()}
                for own, counts in zip(self.per_class, self.confusion, strict=True)
            ],
            "n": self.n,
        }


def cas(
    images: NDArray[np.floating],
    labels: NDArray[np.integer],
    test: ImageSet,
    mean: float,
    std: float,
    config: CASConfig,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = False,
    batched: bool | None = None,
) -> CASResult:
    """Trains m classifiers on labelled images and counts their answers on real test images.

    Args:
        images: float [n, h, w] or [n, h, w, 3] in [0, 1].
        labels: int [n], of the test set's classes.
        test: the real images to classify, of the same size.
        mean, std: of the real training pixels; with `config.standardize` they standardise both
            `images` and `test`.
        config: the protocol.
        seed: classifier k draws its weights and orders from (seed, k), whatever the images are, so
            that two sets are compared with the same m starts.
        device: where they are trained.
        progress: show a progress bar.
        batched: train all of them as one model, each step for all at once: the same weights up to
            rounding. None does what is fastest on the device (`as_one`).
    """

    def ready(unit: Tensor) -> Tensor:
        x = (unit - mean) / std if config.standardize else unit
        return x.to(device).contiguous(memory_format=torch.channels_last)

    with learning():  # tensors that are made within a caller's inference_mode cannot be learnt from
        x = ready(planes(np.ascontiguousarray(images, dtype=np.float32)))
        y = torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(device)
        real, truth = ready(test.unit()), test.labels.cpu().numpy()
        seeds = [derive_seed(seed, "cas", k) for k in range(config.classifiers)]
        together = as_one(x.device) if batched is None else batched
        groups = [seeds] if together else [[own] for own in seeds]
        starts = [(group, _untrained(group, test, x.device)) for group in groups]
    classes = len(test.classes)
    steps = config.classifiers * config.epochs * -(-len(x) // config.batch_size)
    confusion = np.zeros((config.classifiers, classes, classes), dtype=np.int64)

    def answers(start: Start, go_on: Callable[[], None]) -> list[NDArray[np.int64]]:
        own, nets = start

        def after_step() -> None:
            go_on()
            shown.update(len(own))

        with learning():
            _train(own, nets, x, y, config, after_step)
        return [_answers(net, real) for net in nets]

    # a GPU does one thing after another, whichever thread asks for it
    workers = 1 if x.device.type == "cuda" else min(torch.get_num_threads(), len(groups))
    with bar(steps, "classifiers", "step", shown=progress) as shown:
        every = chain.from_iterable(side_by_side(answers, starts, workers))
        for counts, found in zip(confusion, every, strict=True):
            np.add.at(counts, (truth, found), 1)
    return CASResult(confusion, len(x))


def as_one(device: torch.device) -> bool:
    """Whether classifiers are trained fastest as one batched model on that device.

    A single classifier keeps a GPU waiting for the next launch. On a CPU the grouped convolutions
    of the batched one take three times as long as the classifiers in turn.
    """
    return device.type == "cuda"


Start = tuple[Sequence[int], list[CASClassifier]]
"""Seeds, and an untrained classifier for each."""


def untrained(seed: int, height: int, width: int, classes: int, channels: int = 1) -> CASClassifier:
    """A classifier whose weights are drawn from `seed`; arguments and errors as it has them.

    Torch's global generator is neither read nor changed.
    """
    check_defaults()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CASClassifier(height, width, classes, channels)


def _untrained(seeds: Sequence[int], test: ImageSet, device: torch.device) -> list[CASClassifier]:
    nets = [untrained(seed, *test.shape, len(test.classes), test.channels) for seed in seeds]
    return [net.to(device, memory_format=torch.channels_last) for net in nets]  # type: ignore[call-overload]


def _train(
    seeds: Sequence[int],
    nets: list[CASClassifier],
    x: Tensor,
    y: Tensor,
    config: CASConfig,
    after_step: Callable[[], None],
) -> None:
    """Trains the classifiers as one batched model, each as it would be alone."""
    loss_of, weights = _alone(nets[0]) if len(nets) == 1 else _together(nets)
    optimizer = torch.optim.AdamW(weights, config.lr, fused=True)
    rngs = [torch.Generator().manual_seed(seed) for seed in seeds]
    orders = torch.arange(len(x)).expand(len(nets), -1)
    for _ in range(config.epochs):
        if config.shuffle:
            orders = torch.stack([torch.randperm(len(x), generator=rng) for rng in rngs])
        for rows in orders.to(x.device).split(config.batch_size, dim=1):
            loss = loss_of(x, y, rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            after_step()


LossOf = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The sum of the losses of m classifiers, for images [n, ...], labels [n] and rows int64 [m, b]."""


def _alone(net: CASClassifier) -> tuple[LossOf, list[Tensor]]:
    def loss_of(x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
        return F.cross_entropy(net(x[rows[0]]), y[rows[0]])

    return loss_of, list(net.parameters())


def _together(nets: Sequence[CASClassifier]) -> tuple[LossOf, list[Tensor]]:
    """Their weights stacked, [m, ...] each; from now on those of the nets are parts of these.

    AdamW moves every number by itself, so each learns as if alone.
    """
    weights, _ = stack_module_state(list(nets))
    for k, net in enumerate(nets):
        for own, stacked in zip(net.parameters(), weights.values(), strict=True):
            own.data = stacked.detach()[k]

    def one(own: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(nets[0], own, (x,)), y)

    def loss_of(x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
        return vmap(one)(weights, x[rows], y[rows]).sum()

    return loss_of, list(weights.values())


@torch.no_grad()
def _answers(net: CASClassifier, images: Tensor) -> NDArray[np.int64]:
    """The class that it sees in the images: int64 [n]."""
    net.eval()
    return torch.cat([net(part).argmax(dim=1) for part in images.split(1000)]).cpu().numpy()


def plain(values: NDArray[np.float64]) -> list[float | None]:
    """Numbers for JSON, which has no NaN: None instead."""
    return [None if np.isnan(value) else float(value) for value in values]


def sample_sd(values: NDArray[np.float64]) -> Any:
    """Sample standard deviation along the first axis; NaN for fewer than two values.

    Args:
        values: [n, ...].

    Returns:
        float64 [...]: for a row of values, a number.
    """
    if len(values) < 2:
        return np.full(values.shape[1:], np.nan)[()]
    return values.std(axis=0, ddof=1)
