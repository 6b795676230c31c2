"""What a page tells of an image is true: its seed, its place in the samples file, its label."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from fake import make_study
from PIL import Image

import tiny
from scalespace.data import DataSplits, read_samples
from scalespace.figures.picture import DPI
from scalespace.model import Model
from scalespace.report.figures import pictures_of
from scalespace.report.figures.common import about_image
from scalespace.report.figures.reverse import films
from scalespace.report.results import EXAMPLES, Results
from scalespace.studies.runner import run_tasks


@pytest.fixture(scope="module")
def study(splits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one method, of which nothing is measured that takes long."""
    folder = tmp_path_factory.mktemp("study")
    asked = replace(tiny.CONFIG.study, methods=("cascaded",), seeds=(0, 1))
    run_tasks(
        folder,
        replace(tiny.CONFIG, study=asked),
        splits,
        tiny.CPU,
        about={"preset": "tiny"},
        say=lambda _: None,
    )
    return folder


def told_of(line: str) -> tuple[int, int, int]:
    """Seed, index and label."""
    found = re.fullmatch(r"seed (\d+), index (\d+), label (\d+)", line)
    assert found, line
    return int(found[1]), int(found[2]), int(found[3])


def samples_file(folder: Path, seed: int) -> Path:
    (row,) = Results(folder).find("artefact", kind="samples", method="cascaded", seed=seed)
    return folder / row["path"]


def test_each_image_of_a_sheet_is_where_it_says(study: Path) -> None:
    picture = next(p for p in pictures_of(study, "samples") if p.name == "samples-cascaded")
    pixels = np.asarray(Image.open(io.BytesIO(picture.png())).convert("L"))
    spots = picture.drawing.spots
    assert len(spots) == 2  # a block a seed
    assert all(len(one.told) == EXAMPLES * tiny.CLASSES for one in spots)
    height, width = pixels.shape
    for one in spots:
        rows = -(-len(one.told) // one.columns)
        left, top, wide, high = np.array(one.box) * (width, height, width, height)
        for k, line in enumerate(one.told):
            seed, index, label = told_of(line)
            samples = read_samples(samples_file(study, seed))
            assert samples.labels[index] == label
            x = left + (k % one.columns + 0.5) * wide / one.columns
            y = top + (k // one.columns + 0.5) * high / rows
            middle = samples.images[index][tiny.SIDE // 2, tiny.SIDE // 2]
            # the dot right of and below the middle of an even image is in that pixel
            assert abs(int(pixels[int(y) + 1, int(x) + 1]) - 255 * middle) <= 2, line


def test_films_end_in_the_images_that_they_name(study: Path) -> None:
    (film,) = films(Results(study))
    assert film.cell == (tiny.SIDE, tiny.SIDE)
    assert [told_of(line)[2] for line in film.told] == list(range(tiny.CLASSES))
    sheet = np.asarray(film.picture.convert("L")).astype(float)
    assert sheet.shape == (tiny.SIDE * len(film.told), tiny.SIDE * len(film.states))
    assert [words for words, *_ in film.scales] == ["6×6", "12×12"]
    assert sum(count for *_, count in film.scales) == len(film.states)
    for row, line in enumerate(film.told):
        seed, index, _ = told_of(line)
        image = read_samples(samples_file(study, seed)).images[index]
        last = sheet[row * tiny.SIDE :, -tiny.SIDE :][: tiny.SIDE]
        inside = (image > 0) & (image < 1)  # beyond both ends a film is coloured
        assert np.abs(last - 255 * image)[inside].max(initial=0) <= 255 / 96


def test_the_same_seed_index_and_label_make_the_same_image(
    trained: Callable[[str], Model],
) -> None:
    """Also among other labels: so a single image of a report can be made again."""
    model = trained("cascaded")
    whole = model.sample([0, 1, 2, 0, 1, 2], seed=1)
    other = model.sample([2, 2, 2, 2, 1], seed=1)
    np.testing.assert_allclose(whole.images[4], other.images[4], atol=1e-5)
    assert np.abs(whole.images[2] - other.images[3]).max() > 1e-3


def test_words_of_an_image() -> None:
    of = partial(about_image, names=("0", "T-shirt"))
    assert of(3, 17, 0) == "seed 3, index 17, label 0"
    assert of(None, 17, 1) == "index 17, label 1 (T-shirt)"
    assert of(3, -1, 1) == ""
    assert about_image(3, 17, 1, ()) == "seed 3, index 17"


def test_an_image_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    few = np.zeros((5, 28, 28), np.float32)
    folder = make_study(tmp_path / "s", methods=("small",), images=few)
    (picture, *_) = pictures_of(folder, "samples")
    told = picture.drawing.spots[0].told
    assert [line for line in told if line] == [f"seed 0, index {k}, label {k}" for k in range(5)]
    assert picture.drawing.size[0] * DPI > 28 * 10
