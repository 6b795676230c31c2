"""Sheets of images with words at their edges, each pixel of an image a whole number of dots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.figure import FigureBase
from numpy.typing import NDArray

from scalespace.figures.grids import GAP, tile
from scalespace.figures.lettering import Lettering, fitted
from scalespace.figures.picture import DPI, Drawing, Spots, Theme

NEUTRAL = "#7b828d"  # contrast of 4 : 1 on the light and on the dark page
BELOW, ABOVE = (0.16, 0.47, 1.0), (1.0, 0.16, 0.12)
LINE, SECOND = 26, 14  # dots that a line of words takes, and a second one below it
POINTS, LEAST = 8.5, 6.5  # the height of words, and of those that must be small

Pixels = NDArray[np.floating]


@dataclass(frozen=True)
class Block:
    """One grid of images.

    Args:
        images: [n, h, w] or [n, h, w, 3] in [0, 1], row by row.
        columns: images a row.
        zoom: dots a pixel.
        top: words above each column, or none; smaller, on two lines or cut where they are too wide.
        left: a word beside each row, or none.
        groups: words above runs of columns: (word, first column, number of columns).
        title: a line above all.
        told: what a pointer on each image tells on a page, or nothing.
    """

    images: Pixels
    columns: int
    zoom: int
    top: Sequence[str] = ()
    left: Sequence[str] = ()
    groups: Sequence[tuple[str, int, int]] = ()
    title: str = ""
    told: Sequence[str] = ()

    @property
    def cell(self) -> tuple[int, int]:
        """Width and height in dots of an image with its gap."""
        height, width = self.images.shape[1:3]
        return width * self.zoom + GAP, height * self.zoom + GAP

    @property
    def rows(self) -> int:
        """Rows of images."""
        return -(-len(self.images) // self.columns)

    @property
    def head(self) -> int:
        """Dots above the grid."""
        return LINE * (bool(self.title) + bool(self.groups)) + self.above

    @property
    def above(self) -> int:
        """Dots that the words above the columns take."""
        return (0, LINE, LINE + SECOND)[self.lettering.lines]

    @cached_property
    def lettering(self) -> Lettering:
        """`top`, made to fit."""
        sizes = [points * DPI / 72 for points in (POINTS, (POINTS + LEAST) / 2, LEAST)]
        return fitted(self.top, self.cell[0] - 2 * GAP, sizes)


def sheet(blocks: Sequence[Block], margin: int = 0) -> Drawing:
    """Blocks one under the other; `margin` dots on the left are for the words beside the rows."""
    width = margin + max(b.columns * b.cell[0] + GAP for b in blocks)
    heights = [b.head + b.rows * b.cell[1] + GAP for b in blocks]
    height = sum(heights) + 10 * (len(blocks) - 1)

    tops = [sum(heights[:k]) + 10 * k for k in range(len(blocks))]

    def draw(figure: FigureBase, theme: Theme) -> None:
        for block, top in zip(blocks, tops, strict=True):
            _draw(figure, block, (width, height), margin, top)

    spots = tuple(
        _spots(block, (width, height), margin, top)
        for block, top in zip(blocks, tops, strict=True)
        if block.told
    )
    # the surplus keeps the number of dots from being rounded down
    size = ((width + 0.01) / DPI, (height + 0.01) / DPI)
    return Drawing(size, draw, themed=False, spots=spots)


def _spots(block: Block, size: tuple[int, int], left: int, top: int) -> Spots:
    """Where the images of a block are."""
    (width, height), (across, down) = size, block.cell
    box = (left + GAP / 2, top + block.head + GAP / 2, block.columns * across, block.rows * down)
    shares = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
    return Spots(shares, block.columns, tuple(block.told))


def in_domain_colors(x: Pixels, low: float, high: float) -> Pixels:
    """Grey images [n, h, w] as colours [n, h, w, 3]: `low` is black, `high` white, grey between.

    Values below turn blue and values above turn red, fully at three quarters of the domain's width
    from it. Coloured images [n, h, w, 3] are clipped.
    """
    unit = ((x - low) / (high - low))[..., None]
    if x.ndim == 4:
        return np.clip(unit[..., 0], 0, 1)
    below, above = np.clip(-unit / 0.75, 0, 1), np.clip((unit - 1) / 0.75, 0, 1)
    grey = np.clip(unit, 0, 1) * np.ones(3)
    return grey * (1 - below - above) + np.array(BELOW) * below + np.array(ABOVE) * above


def _draw(figure: FigureBase, block: Block, size: tuple[int, int], left: int, top: int) -> None:
    width, height = size
    picture = np.asarray(tile(block.images, block.columns, block.zoom))
    tall, wide = picture.shape[:2]
    y = top + block.head
    ax = figure.add_axes(
        (left / width, 1 - (y + tall) / height, wide / width, tall / height), frameon=False
    )
    ax.set_axis_off()
    ax.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")

    def write(x: float, y: float, text: str, points: float = POINTS, **how: Any) -> None:
        how = {"ha": "center", "va": "center", **how}
        figure.text(x / width, 1 - y / height, text, color=NEUTRAL, fontsize=points, **how)

    cell_w, cell_h = block.cell
    size_of_words, words = block.lettering
    lowest = y - LINE / 2 + 0.36 * size_of_words  # as if capitals alone were centred on the line
    for k, word in enumerate(words):
        for above, part in enumerate(reversed(word.split("\n"))):
            at = left + GAP / 2 + (k + 0.5) * cell_w, lowest - above * SECOND
            write(*at, part, size_of_words * 72 / DPI, va="baseline")
    line = y - block.above - LINE / 2
    for word, first, count in block.groups:
        write(left + (first + count / 2) * cell_w, line, word, weight="bold")
    line -= LINE if block.groups else 0
    if block.title:
        write(left, line, block.title, ha="left", weight="bold")
    for k, word in enumerate(block.left):
        write(left - 8, y + (k + 0.5) * cell_h, word, ha="right")
