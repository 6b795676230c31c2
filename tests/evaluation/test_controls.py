from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scalespace.data import DataSplits, load
from scalespace.evaluation.controls import (
    CONTROLS,
    FEATURE_CONTROLS,
    FLOOR,
    TITLES,
    control,
    feature_controls,
)


def pixels(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in np.round(images * 255).astype(np.uint8)}


def test_names() -> None:
    assert list(CONTROLS) == ["real", "real-down-up"]
    assert list(FEATURE_CONTROLS) == [FLOOR, "real-down-up", "pixel-noise"]
    assert TITLES.keys() == CONTROLS.keys() | FEATURE_CONTROLS.keys() | {"real-validation"}
    assert feature_controls("test") == FEATURE_CONTROLS
    assert list(feature_controls("validation")) == [
        "real-validation",
        "real-down-up",
        "pixel-noise",
    ]
    assert len(set(TITLES.values())) == len(TITLES)


@pytest.mark.parametrize("name", TITLES)
@pytest.mark.parametrize("n", [1, 30, 10_000])
def test_each_is_a_balanced_set_of_samples(name: str, n: int, splits: DataSplits) -> None:
    made = control(name, splits, n)
    most = {FLOOR: 60, "real-validation": len(splits.val)}.get(name, 99)
    assert len(made) == len(made.images) == min(n, most)
    assert made.images.dtype == np.float32
    assert made.images.shape[1:] == (12, 12)
    assert made.images.min() >= 0
    assert made.images.max() <= 1
    counts = np.bincount(made.labels, minlength=3)
    if n <= 3 * np.bincount(splits.val.labels.numpy()).min() or name != "real-validation":
        assert counts.max() - counts.min() <= 1
    assert made.meta == {"method": name, "data": "mnist", "classes": ["0", "1", "2"]}
    again = control(name, splits, n)
    np.testing.assert_array_equal(again.images, made.images)
    np.testing.assert_array_equal(again.labels, made.labels)


def test_whose_images_they_are(splits: DataSplits) -> None:
    train, test = (pixels(part.unit()[:, 0].numpy()) for part in (splits.train, splits.test()))
    assert pixels(control("real", splits, 50).images) < train
    assert pixels(control(FLOOR, splits, 50).images) < test
    assert not train & test
    validation = pixels(control("real-validation", splits, 50).images)
    assert validation == pixels(splits.val.unit()[:, 0].numpy())
    assert not validation & (train | test)
    real, half = control("real", splits, 50), control("real-down-up", splits, 50)
    x = torch.from_numpy(real.images)[:, None]
    small = x.view(50, 1, 6, 2, 6, 2).mean(dim=(3, 5))
    expected = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(half.images, expected[:, 0].numpy(), atol=1e-6)
    np.testing.assert_array_equal(half.labels, real.labels)


def test_the_noise_of_each_pixel(splits: DataSplits) -> None:
    """Normal, with the pixel's own mean and deviation over the training part, then clipped."""
    every = splits.train.unit()[:, 0].numpy()
    mean, sd = every.mean(axis=0), every.std(axis=0, ddof=1)
    made = control("pixel-noise", splits, 99).images
    rng = np.random.default_rng(0)
    drawn = np.clip(mean + sd * rng.normal(size=(20_000, 12, 12)), 0, 1)
    gap = np.abs(made.mean(axis=0) - drawn.mean(axis=0)) / (drawn.std(axis=0) / 99**0.5)
    assert gap.max() < 5
    np.testing.assert_allclose(made.std(axis=0).mean(), drawn.std(axis=0).mean(), rtol=0.05)
    # pixels know nothing of one another, and images nothing of their label
    left, right = made[:, :6, :6].mean(axis=(1, 2)), made[:, :6, 6:].mean(axis=(1, 2))
    assert abs(np.corrcoef(left, right)[0, 1]) < 0.4
    labels = control("pixel-noise", splits, 99).labels
    by_class = [made[labels == c].mean(axis=0) for c in range(3)]
    assert max(float(np.abs(a - mean).mean()) for a in by_class) < 0.1


def test_pixels_that_never_change_have_no_noise() -> None:
    """The corners of the digits are black in every one of them."""
    digits = load("digits")
    every = digits.train.unit()[:, 0].numpy()
    dead, lively = every.std(axis=0) == 0, every.std(axis=0) > 0.3
    made = control("pixel-noise", digits, 500).images
    assert dead.sum() > 50
    np.testing.assert_array_equal(made[:, dead], np.broadcast_to(every[0, dead], (500, dead.sum())))
    assert made[:, lively].std(axis=0).min() > 0.2


def test_only_the_floor_reads_the_test_part(
    splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: DataSplits) -> None:
        raise AssertionError("the test part was read")

    monkeypatch.setattr(DataSplits, "test", refuse)
    for name in set(TITLES) - {FLOOR}:
        control(name, splits, 10)
    with pytest.raises(AssertionError, match="was read"):
        control(FLOOR, splits, 10)
