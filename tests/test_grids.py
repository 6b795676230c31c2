from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scalespace.errors import InputError
from scalespace.figures.grids import save_gif, save_grid, save_strip, tile


def test_a_picture_row_by_row() -> None:
    images = np.linspace(0, 1, 5)[:, None, None] * np.ones((5, 3, 4))
    pixels = np.asarray(tile(images, columns=2, zoom=1))
    assert pixels.shape == (3 * 5 + 2, 2 * 6 + 2)
    assert [pixels[2 + 5 * (k // 2), 2 + 6 * (k % 2)] for k in range(5)] == [0, 64, 128, 191, 255]


@pytest.mark.parametrize(
    ("n", "columns", "zoom"), [(1, 1, 4), (4, 2, 4), (100, 10, 3), (2000, 45, 2)]
)
def test_a_picture_is_near_to_square_and_large_enough_to_read(
    n: int, columns: int, zoom: int, tmp_path: Path
) -> None:
    save_grid(tmp_path / "a.png", np.zeros((n, 28, 28)))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == columns * (28 * zoom + 2) + 2
        assert picture.height <= picture.width


@pytest.mark.parametrize(
    ("images", "columns", "message"),
    [
        (np.zeros((2, 3, 4)), 0, "at least 1 column"),
        (np.zeros((0, 3, 4)), 1, "n at least 1"),
        (np.zeros((3, 4)), 1, r"images \[n, h, w\]"),
        (np.zeros((2, 1, 3, 4)), 1, r"images \[n, h, w\]"),
        (np.full((2, 3, 4), np.nan), 1, "finite"),
        (np.full((2, 3, 4), np.inf), 1, "finite"),
    ],
)
def test_what_is_no_picture(images: np.ndarray, columns: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        save_grid(tmp_path / "a.png", images, columns)
    with pytest.raises(InputError, match=message):
        save_gif(tmp_path / "a.gif", [images], columns)
    assert list(tmp_path.iterdir()) == []


def test_an_animation_has_all_its_frames(tmp_path: Path) -> None:
    frames = [np.full((4, side, side), 0.1 * k) for k, side in enumerate((7, 7, 14))]
    save_gif(tmp_path / "a.gif", frames, columns=2)
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == 3  # type: ignore[attr-defined]


def test_what_a_file_cannot_be(tmp_path: Path) -> None:
    image = np.zeros((1, 2, 2))
    with pytest.raises(InputError, match=r"x.xyz must end in \.png or \.jpg or \.webp"):
        save_grid(tmp_path / "x.xyz", image, 1)
    with pytest.raises(InputError, match=r"x.mp4 must end in \.gif"):
        save_gif(tmp_path / "x.mp4", [image], 1)
    with pytest.raises(InputError, match="at least 1 frame"):
        save_gif(tmp_path / "x.gif", [], 1)
    for suffix, side in ((".webp", 16_383), (".jpg", 65_500)):
        wide = np.zeros((1, 1, side - 3))  # and two dots on either side
        with pytest.raises(InputError, match=rf"would be {side + 1} x 5 dots.* takes {side:,} a"):
            save_grid(tmp_path / f"x{suffix}", wide, 1, 1)
    assert not list(tmp_path.iterdir())
    save_grid(tmp_path / "x.webp", np.zeros((1, 1, 16_383 - 4)), 1, 1)


def test_a_strip_has_a_row_an_image_and_a_column_a_state(tmp_path: Path) -> None:
    """States of several sizes, more of them than are shown: the first and the last are."""
    frames = [np.full((2, 4, 4), k / 20) for k in range(10)] + [np.full((2, 8, 8), 0.9)] * 10
    frames[0], frames[-1] = np.zeros((2, 4, 4)), np.ones((2, 8, 8))
    save_strip(tmp_path / "strip.png", frames, most=5)
    strip = np.asarray(Image.open(tmp_path / "strip.png"))
    cell = (strip.shape[1] - 2) // 5
    assert strip.shape[0] == 2 * cell + 2
    assert strip[2 + cell // 2, 2 + cell // 2] == 0
    assert strip[2 + cell // 2, 2 + 4 * cell + cell // 2] == 255
    coloured = [np.zeros((1, 4, 4, 3)), np.ones((1, 8, 8, 3))]
    save_strip(tmp_path / "colours.png", coloured)
    assert Image.open(tmp_path / "colours.png").mode == "RGB"
    with pytest.raises(InputError, match="at least 1 state"):
        save_strip(tmp_path / "none.png", [])


@pytest.mark.parametrize("channels", [(), (3,)], ids=["grey", "coloured"])
def test_words_above_the_columns(channels: tuple[int, ...], tmp_path: Path) -> None:
    images = np.full((4, 28, 28, *channels), 0.5)
    save_grid(tmp_path / "plain.png", images, 2, 4)
    save_grid(tmp_path / "named.png", images, 2, 4, ["sun", "an extraordinarily long name"])
    plain, named = (
        np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")) for name in ("plain", "named")
    )
    line = len(named) - len(plain)
    assert line > 0
    np.testing.assert_array_equal(named[line:], plain)
    left, right = named[:line, : plain.shape[1] // 2], named[:line, plain.shape[1] // 2 :]
    written = [np.flatnonzero((half > 100).any(axis=0)) for half in (left, right)]
    middle = [(found.min() + found.max()) / 2 / left.shape[1] for found in written]
    assert middle == pytest.approx([0.5, 0.5], abs=0.05)
    assert len(written[0]) < len(written[1])
    assert np.ptp(written[1]) < 28 * 4  # cut where the column ends
