from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats
import torch
from numpy.typing import NDArray

from scalespace.data import DataSplits
from scalespace.evaluation.judge import Judge
from scalespace.evaluation.normality import BINS, Normality, accuracy, inside, normality

SHAPES = {
    "normal": lambda rng, n: rng.normal(3, 0.2, n),
    "exponential": lambda rng, n: rng.exponential(2, n) - 1,
    "uniform": lambda rng, n: rng.uniform(-5, 5, n),
    "rectified": lambda rng, n: np.maximum(rng.normal(size=n), 0),
    "two points": lambda rng, n: rng.choice([-1.0, 4.0], n),
    "heavy tails": lambda rng, n: rng.standard_t(3, n),
}


def columns(n: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    return np.stack([draw(rng, n) for draw in SHAPES.values()], axis=1)


def measured(x: NDArray[np.float64]) -> Normality:
    return normality(torch.from_numpy(x))


@pytest.mark.parametrize("n", [3, 10, 501, 4000])
def test_against_scipy(n: int) -> None:
    x = columns(n)
    found = measured(x)
    np.testing.assert_allclose(found.skewness, scipy.stats.skew(x), atol=1e-8)
    np.testing.assert_allclose(found.kurtosis, scipy.stats.kurtosis(x), atol=1e-8)
    for k, column in enumerate(x.T):
        fit = scipy.stats.norm(column.mean(), column.std())
        expected = scipy.stats.kstest(column, fit.cdf).statistic
        assert found.ks[k] == pytest.approx(expected, abs=1e-9)


def test_w2_against_integrated_quantiles() -> None:
    """The integral over p of (F^-1(p) - Q(p))^2, the part of each order statistic in turn."""
    x = columns(12)
    found = measured(x)
    for k, column in enumerate(x.T):
        fit, n = scipy.stats.norm(column.mean(), column.std()), len(column)
        total = 0.0
        for rank, value in enumerate(np.sort(column)):
            part, _ = scipy.integrate.quad(
                lambda p, value=value, fit=fit: (value - fit.ppf(p)) ** 2, rank / n, (rank + 1) / n
            )
            total += part
        assert found.w2[k] == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize(("at", "distance"), [(0.0, 1.0), (10.0, 1.0), (-3.0, 7.0)])
def test_w2_of_two_points_in_closed_form(at: float, distance: float) -> None:
    """Half of the mass at either side of the mean, s away: s^2 (2 - 2 sqrt(2/pi)).

    The coupling sends each half of the normal to its point: 2 s^2 - 2 s s E|z|.
    """
    x = torch.tensor([at - distance, at + distance] * 50, dtype=torch.float64)[:, None]
    [w2] = normality(x).w2
    assert w2 == pytest.approx(distance**2 * (2 - 2 * math.sqrt(2 / math.pi)), rel=1e-9)


@pytest.mark.parametrize("scale", [1e-3, 0.5, -4.0])
def test_moved_and_scaled_features(scale: float) -> None:
    """Skewness and kurtosis have no unit, w2 a squared one; a mirror turns skewness alone."""
    x = columns(200)
    found, other = measured(x), measured(scale * x + 7)
    np.testing.assert_allclose(other.w2, scale**2 * found.w2, rtol=1e-6)
    np.testing.assert_allclose(other.skewness, np.sign(scale) * found.skewness, atol=1e-6)
    np.testing.assert_allclose(other.kurtosis, found.kurtosis, atol=1e-6)
    np.testing.assert_allclose(other.ks, found.ks, atol=1e-6)


def test_normal_features_are_normal() -> None:
    n = 20_000
    found = measured(np.random.default_rng(1).normal(size=(n, 4)))
    assert np.abs(found.skewness).max() < 5 * math.sqrt(6 / n)
    assert np.abs(found.kurtosis).max() < 5 * math.sqrt(24 / n)
    assert found.ks.max() < 2 / math.sqrt(n)
    assert found.w2.sum() < 4 * 10 / n
    assert (found.w2 > 0).all()


def test_the_blind_spot_is_a_lower_bound_of_the_distance() -> None:
    """Two sets of equal mean and covariance, for which FD is 0, are at least that far apart."""
    n = 64
    rng = np.random.default_rng(2)
    points = np.repeat([[-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, -1.0]], n // 4, axis=0)
    found = measured(points)
    normal = rng.normal(size=(n, 2))
    costs = ((points[:, None] - normal[None]) ** 2).sum(axis=2)
    rows, matched = scipy.optimize.linear_sum_assignment(costs)
    transport = costs[rows, matched].mean()
    assert found.w2.sum() == pytest.approx(2 * (2 - 2 * math.sqrt(2 / math.pi)), rel=1e-9)
    assert 0.3 < found.w2.sum() < transport + 0.3  # of a sample of the normal distribution


def test_a_feature_that_never_changes() -> None:
    x = columns(30)
    x[:, 2] = 0.1 + 0.2
    found = measured(x)
    for values in found:
        assert np.isnan(values[2])
        assert np.isfinite(np.delete(values, 2)).all()


# The judge's features


def test_inside(judge: Judge, splits: DataSplits) -> None:
    images, labels = splits.whole.unit(), splits.whole.labels
    found = inside(judge.net, images, labels, 4)  # a class that has no images, too
    assert int(found["n"]) == len(images)
    features = judge.features(images)
    for kind, part in features._asdict().items():
        x = part.double().numpy()
        assert found[f"{kind}_counts"].shape == (32, BINS)
        assert found[f"{kind}_edges"].shape == (32, BINS + 1)
        for k in range(32):
            counts, edges = np.histogram(x[:, k], bins=BINS)
            np.testing.assert_array_equal(found[f"{kind}_counts"][k], counts)
            np.testing.assert_allclose(found[f"{kind}_edges"][k], edges)
        np.testing.assert_allclose(found[f"{kind}_mean"], x.mean(axis=0))
        np.testing.assert_allclose(found[f"{kind}_std"], x.std(axis=0))
        alive = x.std(axis=0) > 1e-9
        expected = np.where(alive, scipy.stats.skew(x), np.nan)
        np.testing.assert_allclose(found[f"{kind}_skewness"], expected, atol=1e-6)
    # the mean of each pooling layer's output within each class, by hooks
    seen: list[torch.Tensor] = []
    poolings = [m for m in judge.net.layers if "Pool" in type(m).__name__]
    hooks = [m.register_forward_hook(lambda *call: seen.append(call[2])) for m in poolings]
    judge.net(judge.net.pad(images))
    for hook in hooks:
        hook.remove()
    shapes = [(8, 8, 8), (16, 4, 4), (32, 1, 1)]
    for k, (output, shape) in enumerate(zip(seen, shapes, strict=True), start=1):
        shown = found[f"activations_{k}"]
        assert shown.shape == (4, *shape)
        for label in range(3):
            np.testing.assert_allclose(
                shown[label], output[labels == label].mean(dim=0).numpy(), atol=1e-5
            )
        assert not shown[3].any()


def test_inside_in_parts(judge: Judge, splits: DataSplits, monkeypatch: pytest.MonkeyPatch) -> None:
    from scalespace.evaluation import normality as module

    images, labels = splits.val.unit(), splits.val.labels
    whole = inside(judge.net, images, labels, 3)
    monkeypatch.setattr(module, "PART", 4)
    for name, array in inside(judge.net, images, labels, 3).items():
        np.testing.assert_allclose(array, whole[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_accuracy(judge: Judge, splits: DataSplits, monkeypatch: pytest.MonkeyPatch) -> None:
    from scalespace.evaluation import normality as module

    part = splits.test()
    with torch.no_grad():
        answers = judge.net(judge.net.pad(part.unit())).argmax(dim=1)
    monkeypatch.setattr(module, "PART", 7)
    assert accuracy(judge.net, part.unit(), answers) == 1
    assert accuracy(judge.net, part.unit(), (answers + 1) % 3) == 0
    half = torch.where(torch.arange(len(part)) % 2 == 0, answers, (answers + 1) % 3)
    assert accuracy(judge.net, part.unit(), half) == pytest.approx(0.5)
