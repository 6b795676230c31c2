from __future__ import annotations

import pytest
import torch
from torch import nn

from scalespace.training.ema import EMA


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9, 0.9999])
def test_against_the_closed_form(decay: float) -> None:
    """The average is the sum over k of w_k (1 - d_k) times all later decays."""
    model, rng = nn.Linear(3, 2), torch.Generator().manual_seed(0)
    start = model.weight.detach().double().clone()
    ema, weights, decays = EMA(model, decay), [], []
    for step in range(1, 30):
        with torch.no_grad():
            model.weight.copy_(torch.randn(2, 3, generator=rng))
        ema.update(step)
        weights.append(model.weight.detach().double().clone())
        decays.append(min(decay, (1 + step) / (10 + step)))
        product = torch.tensor(decays, dtype=torch.float64)
        expected = start * product.prod()
        for k, weight in enumerate(weights):
            expected = expected + weight * (1 - decays[k]) * product[k + 1 :].prod()
        torch.testing.assert_close(ema.model.weight.double(), expected, rtol=1e-5, atol=1e-5)


def test_warm_up_forgets_the_first_weights() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 100.0)
    ema = EMA(model, 0.9999)
    nn.init.zeros_(model.weight)
    for step in range(1, 101):
        ema.update(step)
    assert float(ema.model.weight.detach()) < 1e-3  # 100 * 0.9999**100 would be 99


def test_decay_zero_follows_the_model() -> None:
    model = nn.Linear(4, 4)
    ema = EMA(model, 0.0)
    nn.init.normal_(model.weight)
    ema.update(1)
    torch.testing.assert_close(ema.model.weight, model.weight, rtol=0, atol=0)


def test_buffers_are_copied_and_the_average_is_for_inference() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3))
    ema = EMA(model, 0.99)
    model(torch.randn(8, 1, 4, 4))
    ema.update(1)
    norm = ema.model[1]
    torch.testing.assert_close(norm.running_mean, model[1].running_mean, rtol=0, atol=0)
    assert int(norm.num_batches_tracked) == 1
    assert not ema.model.training
    assert not any(p.requires_grad for p in ema.model.parameters())
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
