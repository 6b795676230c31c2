"""The images themselves: a block a training seed, and the controls."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from scalespace.evaluation.controls import TITLES
from scalespace.figures.picture import Picture
from scalespace.figures.sheets import Block, sheet
from scalespace.report import paper
from scalespace.report.figures.common import GRID_COLUMNS, zoom
from scalespace.report.results import EXAMPLES, REAL, Results
from scalespace.report.words import of_seeds

NOISE = "Normal noise with the mean and deviation of each pixel over the training part."


def samples(results: Results) -> list[Picture]:
    """Figures 8 to 10: images of every class, a block a training seed, and the controls."""
    pictures = []
    titles = results.titles | results.measured
    if results.examples(REAL, None) is not None:
        titles.pop(results.floor, None)  # one set of real images is enough to compare with
    # methods first: the controls, one block each, are for comparing
    for name, title in sorted(titles.items(), key=lambda item: item[0] in TITLES):
        seeds = [None] if name in TITLES else list(results.study.seeds)
        found = [(seed, results.examples(name, seed)) for seed in seeds]
        classes = results.study.data.classes
        of_classes = results.of_classes(name)
        blocks = [
            block
            for seed, images in found
            if images is not None
            for block in _blocks(images, classes if of_classes else (), seed)
        ]
        if not blocks:
            continue
        shown = of_seeds(
            [seed for seed, images in found if images is not None and seed is not None]
        )
        number = paper.FIGURES.get(name)
        figure = f" Figure {number} of the paper." if number else ""
        each = "" if len(found) == 1 else "a block each for "
        if name in TITLES:
            caption = f"The first {EXAMPLES} training images of every class."
            held_out = f"The first {EXAMPLES} {results.study.part} images of every class."
            caption = {results.floor: held_out, "pixel-noise": NOISE}.get(name, caption)
        elif of_classes:
            caption = f"The first {EXAMPLES} images of every class, not selected; {each}{shown}."
        else:
            caption = (
                f"{EXAMPLES * len(classes)} images, not selected, of no class in particular; "
                f"{each}{shown}."
            )
        alt = f"Grid of images of {title}"
        if of_classes:
            alt += f", one column for each of {len(classes)} classes"
        pictures.append(
            Picture(f"samples-{name}", title, caption + figure, f"{alt}.", sheet(blocks))
        )
    return pictures


def _blocks(
    images: NDArray[np.float32], names: tuple[str, ...], seed: int | None
) -> Iterator[Block]:
    """Images [classes, k, h, w(, 3)], a column a class, in bands of at most `GRID_COLUMNS`."""
    bands = -(-len(images) // GRID_COLUMNS)
    columns = -(-len(images) // bands)
    for start in range(0, len(images), columns):
        part = images[start : start + columns]
        rows = part.swapaxes(0, 1).reshape(-1, *images.shape[2:])
        title = "" if start or seed is None else f"seed {seed}"
        top = [name[:6] for name in names[start : start + columns]]
        yield Block(rows, len(part), zoom(images.shape[2], 56), top=top, title=title)
