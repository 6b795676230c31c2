"""What the figures of a study share: a colour for each set of images, words, and sheets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from scalespace.evaluation.controls import FLOORS
from scalespace.figures.picture import Color, Picture
from scalespace.report.arrays import Examples
from scalespace.report.results import REAL, REAL_DOWN_UP, Results

Figure = Callable[[Results], list[Picture]]

GRID_COLUMNS = 13  # more classes than this go on in a second band
MARGIN = 34  # dots for a short word beside a row of images
LETTER = 11  # dots
# the two sets of real images are never in one chart
CONTROL_COLORS = {
    REAL: "control0",
    **dict.fromkeys(FLOORS.values(), "control0"),
    REAL_DOWN_UP: "control1",
    "pixel-noise": "muted",
}


def color(results: Results, name: str) -> Color:
    """The colour of a control or method: the same in every chart of a study."""
    if name in CONTROL_COLORS:
        return CONTROL_COLORS[name]
    return [method.name for method in results.study.methods].index(name)


def how_chosen(sets: Iterable[Examples]) -> str:
    """Whether the images of some sets are as they come, in words."""
    most = max(one.candidates for one in sets)
    return f"each chosen among {most} by the judge" if most > 1 else "not selected"


def about_image(seed: int | None, index: int, label: int, names: Sequence[str]) -> str:
    """What a page tells of an image: 'seed 0, index 13, label 3'; empty for one that is not there.

    Args:
        seed: that it was sampled with; None for a real one.
        index: among the images of its seed, from 0; of a real one, in its file.
        label: of its class.
        names: of all classes; empty if the image is of no class in particular.
    """
    if index < 0:
        return ""
    parts = [f"index {index}"] if seed is None else [f"seed {seed}", f"index {index}"]
    if names:
        named = names[label] != str(label)
        parts.append(f"label {label} ({names[label]})" if named else f"label {label}")
    return ", ".join(parts)


def zoom(height: int, dots: int) -> int:
    """Dots a pixel that make images of `height` pixels about `dots` dots high."""
    return max(1, round(dots / height))


def margin(words: Sequence[str]) -> int:
    """Dots for words beside rows of images."""
    return max([MARGIN, *(8 + LETTER * len(word) for word in words)])


def ends(coloured: bool) -> str:
    """How a picture shows numbers beyond black and white, in a clause."""
    if coloured:
        return "what lies below black or above white in a colour is cut off there"
    return "blue lies below black, red above white"
