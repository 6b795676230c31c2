"""Reverse processes from noise to images: side by side, as film strips, and state by state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scalespace.figures.charts import Line, curves
from scalespace.figures.grids import BACKGROUND, STATES, evenly, resized
from scalespace.figures.lettering import shortened
from scalespace.figures.picture import Color, Picture
from scalespace.figures.sheets import Block, in_domain_colors, sheet
from scalespace.report.about import MethodInfo
from scalespace.report.arrays import Trajectory
from scalespace.report.figures.common import (
    about_image,
    color,
    ends,
    margin,
    zoom,
)
from scalespace.report.results import Results
from scalespace.report.words import join

LATENT_ENDS = 3.0  # deviations of a latent that are black and white
SHADES = 96
"""Steps from black to white in a film: with those beyond both ends they fit a palette."""
FILM_IMAGES, FILM_STATES = 10, 60


@dataclass(frozen=True)
class Reverse:
    """A recorded reverse process of a method.

    Args:
        method: whose it is.
        seed: that it was sampled with.
        trajectory: its states.
        latents: how many of them, from the first, are latents.
        domain: what is black and what is white.
        classes: the names of the classes.
    """

    method: MethodInfo
    seed: int
    trajectory: Trajectory
    latents: int
    domain: tuple[float, float]
    classes: tuple[str, ...]

    def frame(self, k: int, height: int, width: int, shades: int = 0) -> NDArray[Any]:
        """State k of all images in colours [n, height, width, 3], in so many shades if not 0."""
        x = self.trajectory.x[k]
        if k < self.latents:
            unit: NDArray[Any] = _tiles(x, height, width)
        else:
            low, high = self.domain
            unit = (resized(x, height, width) - low) / (high - low)
        return in_domain_colors(np.rint(unit * shades) / shades if shades else unit, 0, 1)

    def scale(self, k: int) -> str:
        """What state k is, in words: the size of an image, or that it is a latent."""
        height, width = self.trajectory.x[k].shape[1:3]
        if self.latents:
            return "latent" if k < self.latents else "decoded"
        return f"{height}×{width}"

    def scales(self, states: Sequence[int]) -> list[tuple[str, int, int]]:
        """The runs of equal `scale` among some states: words, first, how many."""
        runs = [(word, len(list(run))) for word, run in groupby(map(self.scale, states))]
        first = np.cumsum([0, *(count for _, count in runs)])
        return [(word, int(first[k]), count) for k, (word, count) in enumerate(runs)]

    def names(self) -> list[str]:
        """The classes that were asked for; none if the method ignores them."""
        labels = self.trajectory.labels if self.method.conditional else ()
        return [self.classes[label] for label in labels]


@dataclass(frozen=True)
class Film:
    """All states of a few images in one picture: a row an image, a column a state.

    Args:
        name: of the method.
        title: of the method.
        picture: a dot a number; each cell has the size of a finished image.
        cell: its width and height.
        states: each in a few words.
        scales: of the process: words, the first state, how many.
        told: what is known of each image: seed, index, label.
    """

    name: str
    title: str
    picture: Image.Image
    cell: tuple[int, int]
    states: tuple[str, ...]
    scales: tuple[tuple[str, int, int], ...]
    told: tuple[str, ...]


def recorded(results: Results) -> list[Reverse]:
    """A reverse process of each method: of the first seed that has one."""
    study, out = results.study, []
    for method in study.methods:
        kinds = {stage.kind for stage in study.stages if stage.name in method.stages}
        found = ((seed, results.trajectory(method.name, seed)) for seed in study.seeds)
        seed, trajectory = next(((s, t) for s, t in found if t is not None), (0, None))
        if trajectory is not None:
            # where an autoencoder decodes, all states but the last are latents
            latents = len(trajectory.x) - 1 if "vae" in kinds else 0
            about = (latents, study.data.domain, study.data.classes)
            out.append(Reverse(method, seed, trajectory, *about))
    return out


def films(results: Results) -> list[Film]:
    """The states of each method's reverse process, for one image of each class."""
    height, width = results.study.data.height, results.study.data.width
    out = []
    for one in recorded(results):
        labels = one.trajectory.labels
        first = np.sort(np.unique(labels, return_index=True)[1])
        images = (first if one.method.conditional else np.arange(len(labels)))[:FILM_IMAGES]
        states = evenly(len(one.trajectory.x), FILM_STATES)
        film = np.stack([one.frame(k, height, width, SHADES)[images] for k in states], axis=1)
        names = one.classes if one.method.conditional else ()
        out.append(
            Film(
                one.method.name,
                one.method.title,
                _palette(film.transpose(0, 2, 1, 3, 4).reshape(-1, len(states) * width, 3)),
                (width, height),
                tuple(f"{one.scale(k)}, t = {one.trajectory.t[k]}" for k in states),
                tuple(one.scales(states)),
                tuple(about_image(one.seed, int(i), int(labels[i]), names) for i in images),
            )
        )
    return out


def reverse(results: Results) -> list[Picture]:
    """Figure 2: reverse processes from noise to image, and the range of values on the way."""
    pictures = []
    for one in recorded(results):
        height = results.study.data.height
        size = (height, results.study.data.width)
        if one.latents == 1:
            pictures.append(_decoded(one, *size))
        else:
            pictures += [_strip(one, *size), _range(one, color(results, one.method.name))]
    return pictures


def ways(results: Results) -> list[Picture]:
    """One image's way from noise through the scales, a row for each method.

    Of the recorded images it is the one in the middle: of the same index and class for each.
    """
    found = [one for one in recorded(results) if one.latents != 1]
    if len(found) < 2:
        return []
    size = (results.study.data.height, results.study.data.width)
    middle = min(len(one.trajectory.labels) for one in found) // 2
    titles = [one.method.title for one in found]
    scales = [one.scales(_shown(one)) for one in found]
    blocks = [
        _block(one, *size, slice(middle, middle + 1), left=[title], groups=groups)
        for one, title, groups in zip(found, titles, scales, strict=True)
    ]
    conditional = any(one.method.conditional for one in found)
    label, classes = int(found[0].trajectory.labels[middle]), found[0].classes
    seed = found[0].seed if len({one.seed for one in found}) == 1 else None
    told = about_image(seed, middle, label, classes if conditional else ())
    sizes = "; ".join(
        f"{title}: {join(word for word, _, _ in groups)}"
        for title, groups in zip(titles, scales, strict=True)
    )
    return [
        Picture(
            "ways",
            "From noise to image, method by method",
            f"One image of each method ({told}; not selected) in {STATES} states at most, from "
            f"noise (left) to image (right); above each row, the size that the states have; "
            f"{ends(results.study.data.channels > 1)}.",
            f"Film strips: one image of each method emerges from noise. The sizes: {sizes}.",
            sheet(blocks, margin(titles)),
        )
    ]


def _shown(one: Reverse) -> list[int]:
    """The states of a film strip."""
    if one.latents:  # the last one is the only image
        return [*evenly(one.latents, STATES - 1), one.latents]
    return evenly(len(one.trajectory.x), STATES)


def _block(one: Reverse, height: int, width: int, images: slice, **words: Any) -> Block:
    """The states of some images side by side, with `words` at the edges."""
    dots = zoom(height, 84)
    # the numbers of a latent may need more room than an image has
    size, dots = ((height * dots, width * dots), 1) if one.latents else ((height, width), dots)
    shown = _shown(one)
    film = np.stack([one.frame(k, *size)[images] for k in shown], axis=1)
    return Block(film.reshape(-1, *film.shape[2:]), len(shown), dots, **words)


def _strip(one: Reverse, height: int, width: int) -> Picture:
    """Some states of every image side by side."""
    method, trajectory = one.method, one.trajectory
    n, total, shown = len(trajectory.labels), one.latents or len(trajectory.x), _shown(one)
    top = [f"t={trajectory.t[k]}" for k in shown]
    groups = one.scales(shown)
    if one.latents:
        top[-1], groups = "decoded", [("latents", 0, len(shown) - 1)]
        caption = (
            f"{n} latents of seed {one.seed}, {len(shown) - 1} of {total} states from noise "
            f"(left), and the image that each one decodes to (right). {_units()}"
        )
        alt = f"Film strips: {n} latents of {method.title} emerge from noise; last, their images."
    else:
        low, high = one.domain
        last, far = trajectory.x[-1], 0.05 * (high - low)
        outside = float(((last < low - far) | (last > high + far)).mean())
        figure = " Figure 2 of the paper." if method.name == "baseline" else ""
        caption = (
            f"{n} images of seed {one.seed}, {len(shown)} of {total} states from noise (left) to "
            f"image (right); {ends(last.ndim > 3)}. In the finished images "
            f"{outside:.1%} of the pixels lie outside the domain by more than 5% of its "
            f"width.{figure}"
        )
        alt = f"Film strips: {n} images of {method.title} emerge from noise."
    block = _block(
        one,
        height,
        width,
        slice(None),
        top=top,
        left=list(map(shortened, one.names())),
        groups=groups if one.latents or len(groups) > 1 else (),
    )
    title = f"Reverse process of {method.title}"
    drawing = sheet([block], margin(block.left) + 6)
    return Picture(f"reverse-{method.name}", title, caption, alt, drawing)


def _decoded(one: Reverse, height: int, width: int) -> Picture:
    """No process: a latent for each image, and under it what it decodes to."""
    n, dots = len(one.trajectory.labels), zoom(height, 84)
    shown = [one.frame(k, height * dots, width * dots) for k in range(2)]
    beside = ["latent", "image"]
    block = Block(np.concatenate(shown), n, 1, top=one.names(), left=beside)
    return Picture(
        f"reverse-{one.method.name}",
        f"From latent to image: {one.method.title}",
        f"{n} latents drawn with seed {one.seed}, and under each the image that it decodes to. "
        f"{_units()}",
        f"{n} latents of {one.method.title} above the images that they decode to.",
        sheet([block], margin(beside)),
    )


def _units() -> str:
    return (
        f"A latent is shown as its channels side by side: black at −{LATENT_ENDS:g} standard "
        f"deviations, white at {LATENT_ENDS:g}."
    )


def _range(one: Reverse, shade: Color) -> Picture:
    """How far the numbers of a reverse process reach, state by state."""
    states = one.trajectory.x[: one.latents or None]
    ranges = np.array([np.quantile(x, [0, 0.01, 0.99, 1]) for x in states])
    steps, numbers = np.arange(len(ranges)), "numbers" if one.latents else "pixels"
    lines = [
        Line(steps, ranges[:, 3], shade, f"all {numbers}", width=1.8),
        Line(steps, ranges[:, 0], shade, width=1.8),
        Line(steps, ranges[:, 2], shade, "98% of them", "--", 1.1),
        Line(steps, ranges[:, 1], shade, "", "--", 1.1),
    ]
    low, high = one.domain
    if one.latents:
        axis, band = "value in standard deviations", None
        caption = (
            "Numbers of the same latents after each step, in standard deviations over the training "
            "part."
        )
    else:
        axis, band = "standardised value", one.domain
        caption = (
            f"Pixels of the same images after each step, in standardised units. The band is the "
            f"images' domain, black ({low:.2f}) to white ({high:.2f}).".replace("-", "−")
        )
    return Picture(
        f"range-{one.method.name}",
        "Range of values on the way",
        caption,
        f"Extremes of the {numbers} of {one.method.title} from {ranges[0, 0]:.1f} and "
        f"{ranges[0, 3]:.1f} in noise to {ranges[-1, 0]:.1f} and {ranges[-1, 3]:.1f}.",
        curves(lines, "steps done", axis, (3.5, 5.4), whole=True, band=band),
    )


def _tiles(x: NDArray[np.float32], height: int, width: int) -> NDArray[np.float64]:
    """Latents [n, h, w] as grey [n, height, width], each number a square as large as fits."""
    side = max(1, min(height // x.shape[1], width // x.shape[2]))
    tall, wide = min(height, side * x.shape[1]), min(width, side * x.shape[2])
    out = np.full((len(x), height, width), BACKGROUND / 255)
    top, left = (height - tall) // 2, (width - wide) // 2
    grey = np.clip((resized(x, tall, wide) / LATENT_ENDS + 1) / 2, 0, 1)
    out[:, top : top + tall, left : left + wide] = grey
    return out


def _palette(colors: NDArray[Any]) -> Image.Image:
    """A picture [h, w, 3] in [0, 1]; with a palette, which is smaller, where 256 colours do."""
    pixels = np.rint(colors * 255).astype(np.uint8)
    codes = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    used, index = np.unique(codes, return_inverse=True)
    if len(used) > 256:
        return Image.fromarray(pixels)
    picture = Image.fromarray(index.reshape(codes.shape).astype(np.uint8))
    parts = np.stack([used >> 16, used >> 8 & 255, used & 255], axis=1)
    picture.putpalette(parts.astype(np.uint8).tobytes())
    return picture
