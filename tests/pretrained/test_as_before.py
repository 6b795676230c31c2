"""The shipped models make what they made in the first edition, all states visited.

`first-edition.npz` holds four images of each, and four by the ancestral sampler, made by version
0.1.0 before processes, solvers and steps were taken apart.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scalespace import pretrained
from scalespace.model import Model

BEFORE = Path(__file__).with_name("first-edition.npz")
LABELS, SEED = [2, 0, 7, 9], 3


@pytest.mark.parametrize("sampler", ["", "ancestral"])
@pytest.mark.parametrize("name", ["baseline", "small", "cascaded"])
def test_the_same_images(name: str, sampler: str) -> None:
    model = Model.load(pretrained.FOLDER / name).stepped("all")
    if sampler:
        model = model.resampled({"process.sampler": sampler})
    with np.load(BEFORE) as before:
        expected = before[name + (f", {sampler}" if sampler else "")]
    images = model.sample(LABELS, SEED).images
    # processors round in other ways, and networks carry that on: single pixels differ a little more
    assert float(np.abs(images - expected).mean()) < 1e-6
    np.testing.assert_allclose(images, expected, atol=2e-4)
