"""Denoisers that are made of others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scalespace.core.denoiser import ANY, Condition, Guidance, Guided, InDomain
from scalespace.core.domain import X0_RULES
from scalespace.core.parametrization import PARAMETRIZATIONS
from scalespace.core.schedule import cosine
from scalespace.toy.mixture import Mixture

SCHEDULE = cosine(12)
X = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
CLASSES = (Mixture((-1.0, -0.2)), Mixture((0.4, 1.5)))
EVERY = Mixture((-1.0, -0.2, 0.4, 1.5))


def exact(x: Tensor, t: float, condition: Condition) -> Tensor:
    """E[x_0 | x_t, label] of two classes of points, by Bayes' rule."""
    assert condition.labels is not None
    out = EVERY.mean(x, *SCHEDULE.scales(t))
    for label, mixture in enumerate(CLASSES):
        own = mixture.mean(x, *SCHEDULE.scales(t))
        out = torch.where((condition.labels == label)[:, None], own, out)
    return out


@pytest.mark.parametrize("strength", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("predict", PARAMETRIZATIONS)
def test_guidance_mixes_whatever_is_predicted(strength: float, predict: str) -> None:
    """(1 + w) of the prediction with the label less w of that without, read back as an x_0."""
    p, t, condition = PARAMETRIZATIONS[predict], 7, Condition(torch.arange(9) % 2)
    a, b = SCHEDULE.scales(t)

    def prediction(x0: Tensor) -> Tensor:
        return p.target(x0, (X - a * x0) / b, a, b)

    told = prediction(exact(X, t, condition))
    untold = prediction(exact(X, t, condition.unlabelled()))
    expected = p.x0((1 + strength) * told - strength * untold, X, a, b)
    found = Guided(exact, Guidance(strength))(X, t, condition)
    torch.testing.assert_close(found, expected)


def test_guidance_follows_the_sharpened_posterior() -> None:
    """Its score is that of p(x) p(label | x)^(1 + w): by numeric differentiation."""
    w, t, h = 1.5, 8, 1e-5
    a, b = SCHEDULE.scales(t)
    condition = Condition(torch.ones(9, dtype=torch.int64))

    def sharpened(x: Tensor) -> Tensor:
        own, every = CLASSES[1].log_density(x, a, b), EVERY.log_density(x, a, b)
        return every + (1 + w) * (own - every)

    slope = (sharpened(X + h) - sharpened(X - h)) / (2 * h)
    x0_hat = Guided(exact, Guidance(w))(X, t, condition)
    score = -(X - a * x0_hat) / b**2
    torch.testing.assert_close(score, slope, rtol=1e-5, atol=1e-5)


def test_guidance_acts_in_its_interval_alone() -> None:
    calls: list[int] = []

    def note(x: Tensor, t: float, condition: Condition) -> Tensor:
        calls.append(len(x))
        return x

    guided = Guided(note, Guidance(1.0, low=3, high=6))
    condition = Condition(torch.zeros(9, dtype=torch.int64))
    for t in (7, 6, 3, 2):
        guided(X, t, condition)
    assert calls == [9, 18, 18, 9]  # both answers come from one call
    Guided(note, Guidance(0.0))(X, 5, condition)
    assert calls[-1] == 9


def test_guidance_keeps_what_else_is_known() -> None:
    seen: list[Condition] = []

    def note(x: Tensor, t: float, condition: Condition) -> Tensor:
        seen.append(condition)
        return x

    given, level, guess = torch.rand(2, 1, 3, 3), torch.rand(2), torch.rand(2, 1, 3, 3)
    condition = Condition(torch.tensor([4, 2]), given, level, guess)
    Guided(note, Guidance(2.0))(torch.rand(2, 1, 3, 3), 1, condition)
    [both] = seen
    assert both.labels is not None
    assert both.labels.tolist() == [4, 2, ANY, ANY]
    for found, one in ((both.given, given), (both.level, level), (both.guess, guess)):
        assert found is not None
        torch.testing.assert_close(found, torch.cat([one, one]))


@pytest.mark.parametrize("rule", X0_RULES)
def test_the_rule_comes_after_guidance(rule: str) -> None:
    condition, t = Condition(torch.arange(9) % 2), 5
    guided = Guided(exact, Guidance(4.0))
    kept = InDomain(guided, X0_RULES[rule], (-1.0, 1.5), SCHEDULE)(X, t, condition)
    _, b = SCHEDULE.scales(t)
    expected = X0_RULES[rule](guided(X, t, condition), -1.0, 1.5, b**2)
    torch.testing.assert_close(kept, expected)
    if rule != "none":
        assert float(kept.min()) >= -1 - 1e-9
        assert float(kept.max()) <= 1.5 + 1e-9
