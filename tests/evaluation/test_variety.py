"""Variety against data whose variances are known, and what it refuses."""

import pytest
import torch
from torch import Tensor

from scalespace.errors import InputError
from scalespace.evaluation.variety import MAIN, components, variety


def classes(n: int, scales: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Two classes of normal 4x5 images about means of their own; deviations `scales` [20]."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    turn = torch.linalg.qr(torch.randn(20, 20, generator=torch.Generator().manual_seed(9)))[0]
    x = torch.randn(n, 20, generator=rng) * scales @ turn + 3 * labels[:, None]
    return x.view(n, 4, 5), labels


SCALES = torch.cat([torch.full((MAIN,), 2.0), torch.full((20 - MAIN,), 0.5)])


def test_real_images_have_all_of_it_and_their_own_exactly() -> None:
    real = components(*classes(4000, SCALES, 0))
    own = variety(*classes(4000, SCALES, 0), real)
    assert own.variety == pytest.approx(1, abs=1e-9)
    assert own.detail == pytest.approx(1, abs=1e-9)
    others = variety(*classes(4000, SCALES, 1), real)
    assert others.variety == pytest.approx(1, abs=0.05)
    assert others.n == 4000


def test_fewer_images_than_pixels_have_the_same_components() -> None:
    """Against the definition: all variances, in the whole space."""
    rng = torch.Generator().manual_seed(0)
    images, labels = torch.randn(15, 4, 5, generator=rng), torch.zeros(15, dtype=torch.int64)
    others = torch.randn(40, 4, 5, generator=rng)
    variances, directions = torch.linalg.eigh(images.flatten(1).double().T.cov())
    along = (others.flatten(1).double() @ directions).var(dim=0)
    found = variety(others, torch.zeros(40, dtype=torch.int64), components(images, labels))
    assert found.variety == pytest.approx(float(along[-MAIN:].sum() / variances[-MAIN:].sum()))
    assert found.detail == pytest.approx(float(along[:-MAIN].sum() / variances[:-MAIN].sum()))


def test_shape_and_detail_are_told_apart() -> None:
    real = components(*classes(4000, SCALES, 0))
    factor = torch.where(SCALES > 1, 0.8, 1.5)
    found = variety(*classes(4000, SCALES * factor, 1), real)
    assert found.variety == pytest.approx(0.64, rel=0.05)
    assert found.detail == pytest.approx(2.25, rel=0.05)


def test_the_mean_of_a_class_does_not_count() -> None:
    real = components(*classes(4000, SCALES, 0))
    images, labels = classes(4000, SCALES, 1)
    assert variety(images + 7, labels, real).variety == pytest.approx(
        variety(images, labels, real).variety
    )


def test_a_class_of_one_image_is_left_out() -> None:
    real = components(*classes(400, SCALES, 0))
    images, labels = classes(400, SCALES, 1)
    kept = (labels == 0) | (torch.arange(400) == 1)
    alone = variety(images[labels == 0], labels[labels == 0], real)
    found = variety(images[kept], labels[kept], real)
    assert (found.variety, found.detail) == (alone.variety, alone.detail)


def test_what_it_cannot_compare() -> None:
    images, labels = classes(60, SCALES, 0)
    real = components(images, labels)
    with pytest.raises(InputError, match="two images"):
        variety(images[:1], labels[:1], real)
    with pytest.raises(InputError, match="12 real images"):
        components(images[:20], labels[:20])
