from __future__ import annotations

import pytest
import torch

from scalespace.errors import InputError
from scalespace.nets.classifier import CASClassifier


@pytest.mark.parametrize("side", [8, 14, 28, 29, 32, 64])
def test_first_linear_layer_is_the_papers(side: int) -> None:
    """ "The number of inputs is 64 (side / 4 - 1)^2": appendix 3.9."""
    net = CASClassifier(side, side, 10)
    assert net.fc1.in_features == 64 * (side // 4 - 1) ** 2
    assert net(torch.zeros(3, 1, side, side)).shape == (3, 10)


def test_sides_may_differ() -> None:
    assert CASClassifier(8, 20, 4)(torch.zeros(2, 1, 8, 20)).shape == (2, 4)


def test_layers() -> None:
    net = CASClassifier(28, 28, 10)
    shapes = [tuple(p.shape) for p in net.parameters() if p.ndim > 1]
    assert shapes == [(32, 1, 3, 3), (64, 32, 3, 3), (128, 2304), (10, 128)]


@pytest.mark.parametrize(("height", "width"), [(7, 28), (28, 7), (1, 1)])
def test_too_small(height: int, width: int) -> None:
    with pytest.raises(InputError, match="at least 8x8"):
        CASClassifier(height, width, 10)
