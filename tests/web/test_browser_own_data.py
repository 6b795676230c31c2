"""The page with a model of somebody's own data: classes with names, images that are no squares."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from answers import grey
from PIL import Image

pytest.importorskip("uvicorn", reason="the page needs the extra 'web'")

from browsing import Visit, shown
from serving import serving

import tiny
from scalespace.data import load
from scalespace.model import Model, train
from scalespace.web.library import Library

CLASSES = ("moon", "star", "x mark")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A cascade of images of 12 rows and 16 columns."""
    root, rng = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    for name in CLASSES:
        (root / "data" / name).mkdir(parents=True)
        for k in range(12):
            pixels = rng.integers(0, 256, (12, 16)).astype(np.uint8)
            Image.fromarray(pixels).save(root / "data" / name / f"{k}.png")
    splits = load(f"folder:{root / 'data'}")
    return train("cascaded", splits, tiny.CONFIG, root / "trainings", 0, tiny.CPU)


@pytest.fixture(scope="module")
def server(own: Model) -> Iterator[SimpleNamespace]:
    with serving(Library({"mine": own})) as found:
        yield found


def test_classes_by_name_and_pictures_of_their_own_shape(visit: Visit, own: Model) -> None:
    classes = visit.page.locator("#labels")
    assert classes.input_value() == "moon, star, x mark"
    assert "0 moon, 1 star, 2 x mark" in visit.page.locator("#classes").inner_text()
    classes.fill("x mark, 0")
    classes.press("Enter")
    card = visit.finished("Make").first
    np.testing.assert_array_equal(shown(card), grey(own.sample([2, 0], 1).images))
    box = card.locator(".picture img").first.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(16 / 12, abs=0.05)
    classes.fill("moon, sun")
    classes.press("Enter")
    visit.page.get_by_text("Not done: sun is none of the classes.").wait_for()


def test_classes_that_were_written_stay(visit: Visit) -> None:
    visit.page.locator("#labels").fill("star")
    visit.choose()
    assert visit.page.locator("#classes").inner_text() == "Choose a model."
    visit.choose("mine")
    assert visit.page.locator("#labels").input_value() == "star"
