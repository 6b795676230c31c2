from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from scalespace.data import load
from scalespace.evaluation.copies import Copies, copies, nearest_two


def brute_force(images: Tensor, training: Tensor) -> np.ndarray:
    x, y = (v.double().flatten(1).numpy() for v in (images, training))
    return np.sort(np.sqrt(((x[:, None] - y[None]) ** 2).sum(axis=2)), axis=1)[:, :2]


def noise(n: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    """Training digits and digits that are none of them: float32 [n, 1, 28, 28]."""
    splits = load("digits")
    return splits.train.unit()[:1500], splits.test().unit()[:200]


@given(
    n=st.integers(1, 12),
    m=st.integers(2, 25),
    chunk=st.integers(1, 30),
    levels=st.sampled_from([2, 256]),
    seed=st.integers(0, 10**6),
)
def test_brute_force(n: int, m: int, chunk: int, levels: int, seed: int) -> None:
    """With 2 levels a pixel, most distances occur more than once and some are 0."""
    rng = np.random.default_rng(seed)
    images, training = (
        torch.from_numpy(rng.integers(0, levels, (k, 1, 3, 2)) / (levels - 1)) for k in (n, m)
    )
    found = nearest_two(images, training, chunk)
    assert found.shape == (n, 2)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, brute_force(images, training), rtol=1e-6, atol=1e-6)


def test_brute_force_on_digits(digits: tuple[Tensor, Tensor]) -> None:
    training, other = digits
    expected = brute_force(other[:40], training)
    np.testing.assert_allclose(nearest_two(other[:40], training), expected, rtol=1e-6)


@pytest.mark.parametrize("chunk", [1, 33, 200, 1499, 10**6])
def test_chunks_make_no_difference(digits: tuple[Tensor, Tensor], chunk: int) -> None:
    training, other = digits
    n = 5 if chunk == 1 else 200
    images = torch.cat([training[:n], other[:n]])
    assert torch.equal(nearest_two(images, training, chunk), nearest_two(images, training, 70))


def test_a_hair_from_a_bright_image() -> None:
    """Squares of 784 hide a difference of 1e-4 in one pixel from float32's matrix products."""
    training = 1 - noise(600, 28, 28) / 100
    image = training[300].clone()
    image[3, 3] -= 1e-4
    found = nearest_two(image[None], training)[0]
    np.testing.assert_allclose(found[None], brute_force(image[None], training), rtol=1e-3)
    assert found[0] == pytest.approx(1e-4, rel=1e-3)


def test_planted_copies_are_counted(digits: tuple[Tensor, Tensor]) -> None:
    training, other = digits
    images = torch.cat([other[:60], training[100:140]])
    found = nearest_two(images, training)
    assert (found[60:, 0] == 0).all()
    baseline = copies(nearest_two(other[:60], training))
    assert baseline == Copies(0.0, baseline.median_distance, 60)
    result = copies(found)
    assert result.copies == pytest.approx(0.4)
    assert result.n == 100
    assert result.median_distance == pytest.approx(np.median(found[:, 0]))


def test_copies_with_a_little_noise_are_counted(digits: tuple[Tensor, Tensor]) -> None:
    training, _ = digits
    for strength, expected in ((0.01, 1.0), (0.5, 0.0)):
        noisy = (training[:50] + strength * (2 * noise(50, 1, 28, 28) - 1)).clamp(0, 1)
        assert copies(nearest_two(noisy, training)).copies == expected


def test_blurred_images_are_no_copies(digits: tuple[Tensor, Tensor]) -> None:
    training, other = digits
    for images in (training[:100], other[:100]):
        blurred = F.avg_pool2d(images, 5, stride=1, padding=2)
        assert copies(nearest_two(blurred, training)).copies <= 0.01


def test_an_image_that_is_there_twice() -> None:
    training = noise(10, 5, 5)
    training[7] = training[2]
    assert copies(nearest_two(training[2:3], training)) == Copies(1.0, 0.0, 1)


def test_the_criterion_by_hand() -> None:
    nearest = torch.tensor([[0.9, 3.0], [1.0, 3.0], [1.1, 3.0], [0.0, 2.0], [0.0, 0.0], [4, 5]])
    assert copies(nearest).copies == 3 / 6
    assert copies(nearest).median_distance == pytest.approx(0.95)


def test_more_duplicates_than_candidates() -> None:
    training = torch.cat([noise(1, 9).expand(40, 9), noise(5, 9, seed=1)])
    images = noise(3, 9, seed=2)
    np.testing.assert_allclose(
        nearest_two(images, training, chunk=7), brute_force(images, training), rtol=1e-6
    )
