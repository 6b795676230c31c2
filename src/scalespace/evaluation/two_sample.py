"""Classifier two-sample test (Lopez-Paz & Oquab 2017): can a network tell images from real ones?

FD compares means and covariances of features that were made to tell classes apart. A network that
is trained to tell the two sets themselves apart finds what else differs. What it does not find may
be there all the same: its share is a lower bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scalespace.core.noise import derive_seed
from scalespace.core.torch_state import learning
from scalespace.errors import InputError
from scalespace.evaluation.cas import untrained
from scalespace.progress import bar

LEAST = 8
"""The fewest images: three in four teach the network, the others examine it."""
EXAMINED = 4  # one image in so many
NOISE = 0.3
"""Standard deviation, white being 1: it hides grey levels that no eye tells apart, not strokes."""
EPOCHS, BATCH, LR = 8, 128, 1e-3
ROWS = 1000  # examined at a time


class TwoSample(NamedTuple):
    """Shares of images that a network takes for what they are: 1/2 is chance, 1 is all.

    Args:
        told: of the images as they are, in the 256 grey levels of a file.
        told_in_noise: of the same under Gaussian noise of standard deviation `NOISE`.
        n: how many images there were of each kind.
    """

    told: float
    told_in_noise: float
    n: int


def two_sample(
    images: Tensor,
    labels: Tensor,
    reference: Tensor,
    reference_labels: Tensor,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> TwoSample:
    """Trains a critic on three quarters of both kinds of images, and examines it on the others.

    The critic is the network of CAS, and its output for an image's class says how real the image
    seems. It gets as many images of each class of either kind, so that a label alone tells nothing.
    Of m examined images the standard error is 1 / (2 sqrt(m)) at chance.

    Args:
        images: generated, float [n, c, h, w] in [0, 1].
        labels: int64 [n], 0 and up.
        reference: real, float [m, c, h, w] in [0, 1].
        reference_labels: int64 [m].
        seed: chooses the images, the critic's first weights, the orders and the noise. Torch's
            global generator is neither read nor changed.
        device: where the critic is trained.
        progress: show a progress bar.

    Raises:
        InputError: fewer than `LEAST` images of either kind have a counterpart of their class.
    """
    rng = torch.Generator().manual_seed(derive_seed(seed, "c2st"))
    rows, real_rows = _paired(labels, reference_labels, rng)
    if len(rows) < LEAST:
        raise InputError(f"c2st: {len(rows)} images are too few, at least {LEAST} are needed")
    count = 2 * _steps(len(rows))
    # tensors that are made within a caller's inference_mode cannot be learnt from
    with learning(), bar(count, "critics", "step", shown=progress) as shown:
        x = torch.stack([reference[real_rows], images[rows]]).mul(255).round().div(255)
        y = torch.stack([reference_labels[real_rows], labels[rows]])
        told, in_noise = (
            _told(x.to(device), y.to(device), noise, rng, derive_seed(seed, "critic"), shown.update)
            for noise in (0.0, NOISE)
        )
    return TwoSample(told, in_noise, len(rows))


def _steps(n: int) -> int:
    """Steps of one training, for n images of each kind."""
    return EPOCHS * -(-2 * _taught(n) // BATCH)


def _taught(n: int) -> int:
    return n - n // EXAMINED


def _paired(a: Tensor, b: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows of two sets of labels, as many of each class, in an order of chance."""
    pairs = []
    for label in torch.cat([a, b]).unique():
        both = [(labels == label).nonzero()[:, 0] for labels in (a, b)]
        count = min(map(len, both))
        pairs.append([own[torch.randperm(len(own), generator=rng)[:count]] for own in both])
    rows, others = (torch.cat(own) for own in zip(*pairs, strict=True))
    order = torch.randperm(len(rows), generator=rng)
    return rows[order], others[order]


def _told(
    x: Tensor,
    y: Tensor,
    noise: float,
    rng: torch.Generator,
    start: int,
    after_step: Callable[[], object],
) -> float:
    """The share of examined images that a critic tells: x [2, n, c, h, w] with the real ones first,
    y [2, n]."""
    taught = _taught(x.shape[1])
    truth = torch.tensor([1.0, 0.0], device=x.device)[:, None].expand(x.shape[:2])

    channels, height, width = x.shape[2:]
    critic = untrained(start, height, width, int(y.max()) + 1, channels).to(x.device)

    def answers(part: Tensor, labels: Tensor) -> Tensor:
        drawn = torch.randn(part.shape, generator=rng) if noise else torch.zeros(())
        seen = 2 * part - 1 + 2 * noise * drawn.to(part.device)
        return critic(seen).gather(1, labels[:, None])[:, 0]

    teach_x, teach_y, teach_t = (part[:, :taught].flatten(0, 1) for part in (x, y, truth))
    optimizer = torch.optim.AdamW(critic.parameters(), LR, fused=True)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _steps(x.shape[1]))
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(teach_x), generator=rng).to(x.device).split(BATCH):
            real = answers(teach_x[rows], teach_y[rows])
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(real, teach_t[rows]).backward()
            optimizer.step()
            decay.step()
            after_step()
    ask_x, ask_y, ask_t = (part[:, taught:].flatten(0, 1) for part in (x, y, truth))
    with torch.no_grad():
        parts = zip(ask_x.split(ROWS), ask_y.split(ROWS), strict=True)
        real = torch.cat([answers(*part) for part in parts])
    return float(((real > 0) == (ask_t > 0)).double().mean())
