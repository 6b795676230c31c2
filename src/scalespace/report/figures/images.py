"""The images themselves: a block a training seed, and the controls."""

from __future__ import annotations

from collections.abc import Iterator

from scalespace.evaluation.controls import TITLES
from scalespace.figures.picture import Picture
from scalespace.figures.sheets import Block, sheet
from scalespace.report import paper
from scalespace.report.arrays import Examples
from scalespace.report.figures.common import GRID_COLUMNS, about_image, how_chosen, zoom
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
            for seed, examples in found
            if examples is not None
            for block in _blocks(examples, classes, seed, of_classes)
        ]
        if not blocks:
            continue
        shown = of_seeds(
            [seed for seed, examples in found if examples is not None and seed is not None]
        )
        number = paper.FIGURES.get(name)
        figure = f" Figure {number} of the paper." if number else ""
        each = "" if len(found) == 1 else "a block each for "
        if name in TITLES:
            caption = f"The first {EXAMPLES} training images of every class."
            held_out = f"The first {EXAMPLES} {results.study.part} images of every class."
            caption = {results.floor: held_out, "pixel-noise": NOISE}.get(name, caption)
        elif of_classes:
            how = how_chosen(one for _, one in found if one)
            caption = f"The first {EXAMPLES} images of every class, {how}; {each}{shown}."
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
    examples: Examples, names: tuple[str, ...], seed: int | None, of_classes: bool
) -> Iterator[Block]:
    """Images of every class, a column a class, in bands of at most `GRID_COLUMNS`."""
    classes, each, height = examples.images.shape[:3]
    bands = -(-classes // GRID_COLUMNS)
    columns = -(-classes // bands)
    for start in range(0, classes, columns):
        some = range(start, min(start + columns, classes))
        yield Block(
            examples.images[some.start : some.stop]
            .swapaxes(0, 1)
            .reshape(-1, *examples.images.shape[2:]),
            len(some),
            zoom(height, 56),
            top=[names[label] for label in some] if of_classes else (),
            title="" if start or seed is None else f"seed {seed}",
            told=[
                about_image(
                    seed, int(examples.places[label, k]), label, names if of_classes else ()
                )
                for k in range(each)
                for label in some
            ],
        )
