"""Reports without their drawings, which take most of their time: for tests of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from scalespace.figures.picture import Drawing, Picture


@contextmanager
def undrawn() -> Iterator[None]:
    """Every picture's PNG is one and the same dot; its words and place are as ever."""
    dot = Picture("dot", "", "", "", Drawing((0.1, 0.1), lambda figure, theme: None)).png()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Picture, "png", lambda self, theme=None: dot)
        yield
