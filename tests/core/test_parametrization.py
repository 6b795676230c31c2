from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalespace.core.parametrization import PARAMETRIZATIONS

alpha_bars = st.floats(1e-4, 1 - 1e-4)


def pair(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return tuple(torch.randn((3, 1, 4, 4), generator=rng, dtype=torch.float64) for _ in range(2))  # type: ignore[return-value]


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
@given(alpha_bar=alpha_bars, seed=st.integers(0, 1000))
def test_reads_back_what_it_aimed_at(name: str, alpha_bar: float, seed: int) -> None:
    parametrization, (x0, eps) = PARAMETRIZATIONS[name], pair(seed)
    a, b = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    target = parametrization.target(x0, eps, a, b)
    torch.testing.assert_close(parametrization.x0(target, a * x0 + b * eps, a, b), x0)


@given(alpha_bar=alpha_bars, seed=st.integers(0, 1000))
def test_what_each_predicts(alpha_bar: float, seed: int) -> None:
    x0, eps = pair(seed)
    # The velocity is the derivative of x_t by the angle phi, a = cos(phi) (Salimans & Ho).
    phi = torch.tensor(math.acos(math.sqrt(alpha_bar)), dtype=torch.float64)
    _, velocity = torch.func.jvp(
        lambda angle: angle.cos() * x0 + angle.sin() * eps, (phi,), (torch.ones_like(phi),)
    )
    expected = {"noise": eps, "x0": x0, "v": velocity}
    a, b = float(phi.cos()), float(phi.sin())
    assert expected.keys() == PARAMETRIZATIONS.keys()
    for name, parametrization in PARAMETRIZATIONS.items():
        assert parametrization.name == name
        torch.testing.assert_close(parametrization.target(x0, eps, a, b), expected[name])
