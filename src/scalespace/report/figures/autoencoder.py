"""An autoencoder from inside: what it keeps of an image, and what the numbers of a latent do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scalespace.figures.panels import Maps, maps
from scalespace.figures.picture import Picture
from scalespace.figures.sheets import Block, sheet
from scalespace.report.figures.common import margin, zoom
from scalespace.report.inside import EncoderView
from scalespace.report.words import digits, join
from scalespace.stages.vae import TRAVERSAL

COLLAPSED = 0.01  # nats a number of the latent; with fewer it says nothing about the image
CHANNELS = 12  # whose maps are shown


def reconstructions(view: EncoderView) -> list[Picture]:
    """Held-out images above their reconstructions."""
    a = view.arrays
    real, again = a["originals"], a["reconstructions"]
    beside = ["real", "again"]
    block = Block(np.concatenate([real, again]), len(real), zoom(real.shape[1], 84), left=beside)
    error = a["error"]
    spread = f" ± {digits(float(error.std(ddof=1)), 2)} (sd over images)" if len(error) > 1 else ""
    mean = digits(float(error.mean()))
    return [
        Picture(
            f"reconstructions-{view.name}",
            f"Reconstructions by {view.name}",
            f"{len(real)} validation images, each the first of its class, and what the means of "
            f"their latents decode to (seed {view.seed}). Mean squared error of a pixel in "
            f"[0, 1], over {len(error):,} validation images: {mean}{spread}.",
            f"{len(real)} real images above their reconstructions; mean squared error {mean}.",
            sheet([block], margin(beside)),
        )
    ]


def interpolations(view: EncoderView) -> list[Picture]:
    """Decoded points of the straight line between two latents."""
    between = view.arrays["interpolations"]
    rows, steps, height, *_ = between.shape
    block = Block(
        between.reshape(-1, *between.shape[2:]),
        steps,
        zoom(height, 56),
        top=[f"{u:.3g}" for u in np.linspace(0, 1, steps)],
    )
    return [
        Picture(
            f"interpolations-{view.name}",
            f"Interpolations in {view.name}",
            f"{rows} pairs of validation images (seed {view.seed}): the latents' means at both "
            f"ends, and {steps - 2} steps of a straight line between them.",
            f"{rows} rows of images that turn into one another from left to right.",
            sheet([block]),
        )
    ]


def traversals(view: EncoderView) -> list[Picture]:
    """Decoded latents in which one number moves, for the numbers that carry most."""
    a = view.arrays
    moved, kl = a["traversals"], a["kl"]
    rows, steps, height, *_ = moved.shape
    where = [_address(int(number), kl.shape) for number in a["traversed"]]
    ends = np.linspace(-TRAVERSAL, TRAVERSAL, steps)
    block = Block(
        moved.reshape(-1, *moved.shape[2:]),
        steps,
        zoom(height, 56),
        top=[f"{value:+.1f}".replace("-", "−") if value else "0" for value in ends],
        left=where,
    )
    nats = [float(kl.flat[int(number)]) for number in a["traversed"]]
    return [
        Picture(
            f"traversals-{view.name}",
            f"Traversals of {view.name}",
            f"The latent of one validation image with one of its {kl.size} numbers moved from "
            f"−{TRAVERSAL} to {TRAVERSAL} standard deviations (seed {view.seed}). Rows: the "
            f"{rows} numbers that carry most, {digits(nats[0])} to {digits(nats[-1])} nats of KL "
            f"each, named by channel, row and column.",
            f"{rows} rows of images; in each, one number of the latent grows from left to right.",
            sheet([block], 70),
        )
    ]


def collapse(view: EncoderView) -> list[Picture]:
    """How much each number of the latent carries, and which channels have collapsed."""
    kl, std = view.arrays["kl"], view.arrays["posterior_std"]
    channels = kl.sum(axis=(1, 2))
    gone = np.flatnonzero(kl.mean(axis=(1, 2)) < COLLAPSED)
    listed = f"Collapsed channels: {join(str(k) for k in gone)}"
    which = listed if len(gone) else "No channel has collapsed"
    shown = np.sort(np.argsort(-channels, kind="stable")[:CHANNELS])
    some = f"Of {len(kl)} channels, the {len(shown)} with most. " if len(shown) < len(kl) else ""
    total = digits(float(kl.sum()))
    rows = [
        Maps("KL (nats)", kl[shown], 0, max(float(kl.max()), COLLAPSED)),
        Maps("deviation", std[shown], 1, max(float(std.max()), 1.0)),
    ]
    return [
        Picture(
            f"collapse-{view.name}",
            f"What each channel of {view.name} carries",
            f"{some}Above, the KL divergence of each number's posterior from the prior in nats; "
            f"summed over a channel, {join(digits(float(nats)) for nats in channels[shown])}; "
            f"{total} nats in all. {which} (below {COLLAPSED} nats a number); of all {kl.size} "
            f"numbers {float((kl < COLLAPSED).mean()):.1%} lie below that. Below, the mean "
            f"deviation of its posterior, in standard deviations of the latent: near 0 the image "
            f"determines it, near 1 the image says nothing about it. Mean over "
            f"{len(view.arrays['error']):,} validation images, seed {view.seed}.",
            f"Maps of KL ({total} nats in all, up to {digits(float(kl.max()))} a number) and of "
            f"the posterior's deviation ({digits(float(std.min()))} to "
            f"{digits(float(std.max()))}). {which}.",
            maps(rows, [f"channel {k}" if len(shown) <= 6 else str(k) for k in shown]),
        )
    ]


def _address(number: int, shape: tuple[int, ...]) -> str:
    channel, row, column = np.unravel_index(number, shape)
    return f"c{channel} r{row} c{column}"


AUTOENCODER_FIGURES: dict[str, Callable[[EncoderView], list[Picture]]] = {
    "reconstructions": reconstructions,
    "interpolations": interpolations,
    "traversals": traversals,
    "collapse": collapse,
}
"""The figures of an autoencoder by name."""
