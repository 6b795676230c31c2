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
    a, b = float(phi.cos()), float(phi.sin())
    # That of the straight path is the derivative of z_u by its time u, which at u = b / (a + b)
    # passes through x_t / (a + b) (Lipman et al.).
    time = torch.tensor(b / (a + b), dtype=torch.float64)
    z, straight = torch.func.jvp(
        lambda u: (1 - u) * x0 + u * eps, (time,), (torch.ones_like(time),)
    )
    torch.testing.assert_close(z * (a + b), a * x0 + b * eps)
    expected = {"noise": eps, "x0": x0, "v": velocity, "flow": straight}
    assert expected.keys() == PARAMETRIZATIONS.keys()
    for name, parametrization in PARAMETRIZATIONS.items():
        assert parametrization.name == name
        torch.testing.assert_close(parametrization.target(x0, eps, a, b), expected[name])


@given(alpha_bar=st.floats(0, 1), seed=st.integers(0, 1000))
def test_flow_is_well_conditioned_at_both_ends(alpha_bar: float, seed: int) -> None:
    """It divides by a + b, which is never below 1: alpha_bar of 0 and 1 are as good as any.

    An error of the prediction reaches the estimate no larger than it is (b / (a + b) <= 1).
    """
    flow, (x0, eps) = PARAMETRIZATIONS["flow"], pair(seed)
    a, b = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    assert a + b >= 1
    x_t = a * x0 + b * eps
    torch.testing.assert_close(flow.x0(flow.target(x0, eps, a, b), x_t, a, b), x0)
    error = pair(seed + 1)[0]
    off = flow.x0(flow.target(x0, eps, a, b) + error, x_t, a, b) - x0
    assert bool((off.abs() <= error.abs() + 1e-9).all())
