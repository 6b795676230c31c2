"""Images side by side in one picture, and reverse processes as animations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from scalespace.errors import InputError
from scalespace.figures.lettering import fitted, font
from scalespace.files import atomic, check_suffix

GAP = 2
WIDTH, LARGEST = 900, 112  # dots
BACKGROUND = 40
WORDS = 13  # dots, the height of a word
STATES = 12  # of a film strip
PICTURES = (".png", ".jpg", ".webp")
LONGEST = {".jpg": 65_500, ".webp": 16_383}
"""The dots that a side of such a picture may have; of others any number."""
"""The suffixes of pictures."""


def resized(x: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Images [n, h, w] or [n, h, w, 3] at another size, by nearest neighbours."""
    rows = np.arange(height) * x.shape[1] // height
    columns = np.arange(width) * x.shape[2] // width
    return x[:, rows][:, :, columns]


def evenly(n: int, most: int) -> list[int]:
    """At most `most` of the indices 0 .. n-1, first and last included, evenly spread."""
    return [int(k) for k in np.unique(np.linspace(0, n - 1, min(n, most)).round())]


def tile(
    images: NDArray[np.floating], columns: int | None = None, zoom: int | None = None
) -> Image.Image:
    """Images in [0, 1] row by row, each pixel enlarged to a square of dots.

    Args:
        images: grey [n, h, w] or coloured [n, h, w, 3].
        columns: images a row; by default about as many as rows.
        zoom: dots a pixel; by default as many as keep a row within `WIDTH` dots and an image about
            `LARGEST` dots high at most, but at least 2.

    Raises:
        InputError: no images, of another shape, not finite, or less than one column.
    """
    images = np.asarray(images)
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3) or not images.size:
        raise InputError(
            f"a picture takes images [n, h, w] or [n, h, w, 3], n at least 1: got "
            f"{list(images.shape)}"
        )
    if columns is None:
        columns = math.ceil(math.sqrt(len(images)))
    if columns < 1:
        raise InputError(f"a picture takes at least 1 column, got {columns}")
    if not np.isfinite(images).all():
        raise InputError("a picture takes finite images, and some of these pixels are not")
    n, height, width = images.shape[:3]
    rows = -(-n // columns)
    if zoom is None:
        zoom = max(2, min(round(LARGEST / height), WIDTH // (min(n, columns) * width)))
    pixels = np.clip(np.rint(images * 255), 0, 255).astype(np.uint8)
    pixels = pixels.repeat(zoom, axis=1).repeat(zoom, axis=2)
    cell_h, cell_w = height * zoom + GAP, width * zoom + GAP
    size = (rows * cell_h + GAP, columns * cell_w + GAP, *images.shape[3:])
    sheet = np.full(size, BACKGROUND, dtype=np.uint8)
    for k, image in enumerate(pixels):
        top, left = GAP + k // columns * cell_h, GAP + k % columns * cell_w
        sheet[top : top + height * zoom, left : left + width * zoom] = image
    return Image.fromarray(sheet)


def save_grid(
    path: Path | str,
    images: NDArray[np.floating],
    columns: int | None = None,
    zoom: int | None = None,
    names: Sequence[str] = (),
) -> None:
    """Writes `tile(...)` as a picture; the format is that of the path's suffix.

    Args:
        path: the file.
        images, columns, zoom: as of `tile`.
        names: words above each column, on two lines or cut where they are wider; or none.

    Raises:
        InputError: what `tile` refuses, a suffix of no format, a picture larger than its format
            allows, or the file cannot be written.
    """
    check_suffix(path, PICTURES)
    picture = tile(images, columns, zoom)
    if names:
        picture = headed(picture, names)
    suffix = Path(path).suffix.lower()
    if max(picture.size) > LONGEST.get(suffix, math.inf):
        width, height = picture.size
        raise InputError(
            f"{path} would be {width} x {height} dots, and a {suffix} file takes "
            f"{LONGEST[suffix]:,} a side: write a .png, or fewer images"
        )
    with atomic(path) as aside:
        picture.save(aside)


def headed(picture: Image.Image, names: Sequence[str]) -> Image.Image:
    """A picture of images with a word above each of its columns, which are equally wide."""
    cell = (picture.width - GAP) / len(names)
    lettering = fitted(names, cell - GAP, (WORDS,))
    line = (WORDS + 3 * GAP) * lettering.lines
    grey = f"rgb({BACKGROUND},{BACKGROUND},{BACKGROUND})"
    sheet = Image.new(picture.mode, (picture.width, picture.height + line), grey)
    sheet.paste(picture, (0, line))
    draw, own = ImageDraw.Draw(sheet), font(WORDS)
    for k, word in enumerate(lettering.words):
        at = (GAP + (k + 0.5) * cell, line / 2)
        draw.multiline_text(at, word, "white", own, "mm", spacing=2, align="center")
    return sheet


def save_strip(
    path: Path | str, frames: Sequence[NDArray[np.floating]], most: int = STATES
) -> None:
    """Writes reverse processes as film strips: a row an image, a column a state.

    Args:
        frames: images [n, h, w] or [n, h, w, 3] in [0, 1], one set a state; sets may differ in
            size, and the last one's is taken.
        most: states that are shown, the first and the last among them.

    Raises:
        InputError: no frames, what `tile` refuses, a suffix of no format, or the file cannot be
            written.
    """
    if not frames:
        raise InputError("a film strip takes at least 1 state")
    height, width = frames[-1].shape[1:3]
    shown = [resized(frames[k], height, width) for k in evenly(len(frames), most)]
    film = np.stack(shown, axis=1)
    save_grid(path, film.reshape(-1, *film.shape[2:]), len(shown))


def save_gif(
    path: Path | str,
    frames: Sequence[NDArray[np.floating]],
    columns: int,
    side: int = 56,
    milliseconds: int = 90,
) -> None:
    """Writes an animation: one grid a frame, the last one held for two seconds.

    Args:
        frames: images [n, h, w] or [n, h, w, 3] in [0, 1], a set a frame; sets may differ in size.
        columns: images a row.
        side: approximate height of each image in dots, whatever its scale.
        milliseconds: of a frame.

    Raises:
        InputError: no frames, what `tile` refuses, another suffix than .gif, or the file cannot be
            written.
    """
    check_suffix(path, (".gif",))
    if not frames:
        raise InputError("an animation takes at least 1 frame")
    tiles = [tile(images, columns, max(1, round(side / images.shape[1]))) for images in frames]
    tiles = [picture.resize(tiles[-1].size, Image.Resampling.NEAREST) for picture in tiles]
    times = [milliseconds] * (len(tiles) - 1) + [2000]
    with atomic(path) as aside:
        tiles[0].save(aside, save_all=True, append_images=tiles[1:], duration=times, loop=0)
