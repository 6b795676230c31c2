from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from scalespace.core.augmentation import Augmentation, Blur, GaussianNoise
from scalespace.core.schedule import cosine

SCHEDULE = cosine(20)


def images(n: int = 7) -> torch.Tensor:
    return torch.randn((n, 1, 6, 5), generator=torch.Generator().manual_seed(0))


def test_gaussian_noise_is_a_state_of_the_small_process() -> None:
    low, noise, level = images(), images() * 2, torch.arange(7)
    found = GaussianNoise(6, 0, SCHEDULE).apply(low, level, noise)
    torch.testing.assert_close(found, SCHEDULE.q_sample(low, level, noise))
    torch.testing.assert_close(found[0], low[0])  # level 0 is the image itself


def test_blur_against_scipy() -> None:
    low, level = images(), torch.tensor([0, 1, 3, 5, 6, 2, 4])
    found = Blur(6, 0).apply(low, level, torch.zeros_like(low)).numpy()
    for image, blurred, tenths in zip(low[:, 0].numpy(), found[:, 0], level.tolist(), strict=True):
        taps = [math.exp(-(k**2) / (2 * (tenths / 10) ** 2)) if tenths else k == 0
                for k in range(-2, 3)]  # fmt: skip
        weights = np.array(taps, dtype=np.float64) / sum(taps)
        expected = image
        for axis in (0, 1):
            expected = correlate1d(expected, weights, axis=axis, mode="nearest")
        np.testing.assert_allclose(blurred, expected, atol=1e-5)


@pytest.mark.parametrize("kind", [GaussianNoise(6, 4, SCHEDULE), Blur(6, 4)])
def test_training_draws_every_degree_and_tells_it(kind: Augmentation) -> None:
    low = torch.zeros(14_000, 1, 2, 2)
    _, told = kind.drawn(low, torch.Generator().manual_seed(0))
    counts = torch.bincount((told * 6).round().long(), minlength=7)
    assert len(counts) == 7
    assert float(((counts - 2000.0) ** 2 / 2000).sum()) < 30  # 6 degrees of freedom
    assert (float(told.min()), float(told.max())) == (0, 1)


def test_sampling_uses_one_degree() -> None:
    low, noise = images(), images() * 3
    found, told = GaussianNoise(6, 4, SCHEDULE).chosen(low, lambda shape: noise)
    torch.testing.assert_close(found, SCHEDULE.q_sample(low, torch.full((7,), 4), noise))
    torch.testing.assert_close(told, torch.full((7,), 4 / 6))


def test_a_truncated_process_is_noisy_already() -> None:
    kind, low = GaussianNoise(6, 4, SCHEDULE, finished=False), images()
    found, told = kind.chosen(low, lambda shape: pytest.fail("no noise is wanted"))
    assert kind.starts_from == 4
    torch.testing.assert_close(found, low)
    torch.testing.assert_close(told, torch.full((7,), 4 / 6))
    assert GaussianNoise(6, 4, SCHEDULE).starts_from == 0


def test_a_noisy_image_is_told_in_degrees_of_training() -> None:
    kind = GaussianNoise(6, 4, SCHEDULE, finished=False)
    deviations = (1 - SCHEDULE.alpha_bar).sqrt().tolist()
    assert [kind.degree(b) for b in deviations[:7]] == pytest.approx(range(7))
    assert kind.degree(deviations[7]) is None
    # half-way between two states by the deviation of the noise
    assert kind.degree((deviations[2] + deviations[3]) / 2) == pytest.approx(2.5)
    low = images()
    _, told = kind.chosen(low, lambda shape: pytest.fail("no noise is wanted"), 2.5)
    torch.testing.assert_close(told, torch.full((7,), 2.5 / 6))
