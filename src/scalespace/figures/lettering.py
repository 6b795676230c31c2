"""Words above columns of images, made to fit: smaller, on two lines, and only then cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from PIL import ImageFont

LONGEST = 10
"""Letters of a class's name beside a row, or at a tick."""


class Lettering(NamedTuple):
    """Words, some with a line break, and the height in dots that they are written in."""

    size: float
    words: list[str]

    @property
    def lines(self) -> int:
        """Of the word with the most: 1 or 2; 0 if there are no words."""
        return max((word.count("\n") + 1 for word in self.words), default=0)


@cache
def font(size: float) -> ImageFont.FreeTypeFont:
    """The font of all pictures, of that height in dots; it knows more alphabets than Pillow's."""
    import matplotlib  # slow to import

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", size)


def fitted(words: Sequence[str], width: float, sizes: Sequence[float]) -> Lettering:
    """Words in the largest size in which all of them fit, in one line or else in two.

    Args:
        words: any.
        width: dots that a word may take.
        sizes: heights in dots to choose from, falling; in the last one, what is too wide is cut.
    """
    for size in sizes:
        for most in (1, 2):
            found = [_broken(word, width, size, most) for word in words]
            if None not in found:
                return Lettering(size, [word for word in found if word is not None])
    return Lettering(sizes[-1], [cut(word, width, sizes[-1]) for word in words])


def cut(word: str, width: float, size: float) -> str:
    """A word, with an ellipsis for what is too wide at its end."""
    shown = word
    while font(size).getlength(shown) > width and len(shown) > 1:
        shown = shown.removesuffix("…")[:-1] + "…"
    return shown


def shortened(name: str) -> str:
    """The name of a class with at most `LONGEST` letters, where there is room for no more."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _broken(word: str, width: float, size: float, most: int) -> str | None:
    """The word on at most so many lines, as even as can be; None if it does not fit."""
    length = font(size).getlength
    if length(word) <= width:
        return word
    # at a space, or after / or -
    gaps = re.finditer(r" |(?<=[/-])(?=.)", word) if most > 1 else ()
    pairs = [(word[: gap.start()], word[gap.end() :]) for gap in gaps]
    best = min(pairs, key=lambda pair: max(map(length, pair)), default=())
    return "\n".join(best) if best and max(map(length, best)) <= width else None
