from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from scalespace.core.scale import down, enlarge, up

factors = st.sampled_from([1, 2, 4])


@st.composite
def pictures(draw: st.DrawFn, multiple: int = 4) -> torch.Tensor:
    height, width = (multiple * draw(st.integers(1, 5)) for _ in range(2))
    rng = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    return torch.randn((2, 1, height, width), generator=rng, dtype=torch.float64)


@given(pictures(), factors)
def test_down_is_the_mean_of_blocks(x: torch.Tensor, factor: int) -> None:
    n, c, h, w = x.shape
    blocks = x.numpy().reshape(n, c, h // factor, factor, w // factor, factor)
    np.testing.assert_allclose(down(x, factor).numpy(), blocks.mean(axis=(3, 5)), atol=1e-12)


@given(pictures(), factors)
def test_down_keeps_each_images_mean(x: torch.Tensor, factor: int) -> None:
    torch.testing.assert_close(down(x, factor).mean((1, 2, 3)), x.mean((1, 2, 3)))


@given(pictures())
def test_down_by_two_is_bilinear(x: torch.Tensor) -> None:
    half = F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
    torch.testing.assert_close(down(x, 2), half)


@given(pictures(multiple=1), factors)
def test_up_stays_within_the_range(x: torch.Tensor, factor: int) -> None:
    found = up(x, factor)
    assert found.shape[-2:] == (x.shape[-2] * factor, x.shape[-1] * factor)
    assert float(found.min()) >= float(x.min()) - 1e-12
    assert float(found.max()) <= float(x.max()) + 1e-12


@given(pictures(multiple=1))
def test_up_against_weights_by_hand(x: torch.Tensor) -> None:
    """Between pixel centres: along each axis 3/4 of the nearer pixel and 1/4 of the next."""

    def double(row: np.ndarray) -> np.ndarray:
        padded = np.pad(row, 1, mode="edge")
        out = np.empty(2 * len(row))
        out[0::2] = 0.75 * row + 0.25 * padded[:-2]
        out[1::2] = 0.75 * row + 0.25 * padded[2:]
        return out

    expected = np.apply_along_axis(double, 2, np.apply_along_axis(double, 3, x.numpy()))
    np.testing.assert_allclose(up(x, 2).numpy(), expected, atol=1e-12)


@given(pictures(multiple=1), factors)
def test_down_takes_an_enlargement_back(x: torch.Tensor, factor: int) -> None:
    found = enlarge(x, factor)
    nearest = F.interpolate(x, scale_factor=factor, mode="nearest")
    torch.testing.assert_close(found, nearest, rtol=0, atol=0)
    torch.testing.assert_close(down(found, factor), x)


@given(st.floats(-5, 5), factors)
def test_a_constant_survives_down_and_up(value: float, factor: int) -> None:
    x = torch.full((1, 1, 8, 12), value, dtype=torch.float64)
    torch.testing.assert_close(up(down(x, factor), factor), x)


@pytest.mark.parametrize(("size", "factor"), [((7, 8), 2), ((8, 7), 2), ((28, 28), 3)])
def test_sizes_that_do_not_divide_are_refused(size: tuple[int, int], factor: int) -> None:
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]}"):
        down(torch.zeros(1, 1, *size), factor)
