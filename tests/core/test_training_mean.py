from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scalespace.core.denoiser import ANY, Condition
from scalespace.core.objective import Objective
from scalespace.core.parametrization import PARAMETRIZATIONS
from scalespace.core.schedule import cosine
from scalespace.core.segment import Segment
from scalespace.core.training_mean import TrainingMean
from scalespace.toy.mixture import Mixture

SCHEDULE = cosine(10)
SEGMENT = Segment("segment", SCHEDULE, (1, 2, 3))
PLAIN = Objective(SEGMENT, PARAMETRIZATIONS["v"])


def training(n: int = 12, classes: int = 3) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(4)
    labels = torch.arange(classes).repeat(n // classes)[torch.randperm(n, generator=rng)]
    return torch.randn((n, 1, 2, 3), generator=rng), labels


def brute_force(x: Tensor, images: Tensor, a: float, b: float) -> Tensor:
    """Bayes' rule in float64, an image at a time."""
    logs = torch.stack([-(x - a * r).double().square().sum() / (2 * b * b) for r in images])
    weights = (logs - logs.max()).exp()
    weights /= weights.sum()
    return sum(w * r.double() for w, r in zip(weights, images, strict=True))  # type: ignore[return-value]


@settings(deadline=None, max_examples=30)
@given(state=st.integers(1, 9), seed=st.integers(0, 100), told=st.booleans())
def test_it_is_bayes_rule_over_the_images_of_the_class(state: int, seed: int, told: bool) -> None:
    images, labels = training()
    x = torch.randn((8, 1, 2, 3), generator=torch.Generator().manual_seed(seed))
    asked = torch.tensor([0, 2, 1, 0, 2, 2, ANY, 1]) if told else None
    t = torch.full((8,), state)
    mean = TrainingMean(images, labels)(x, *SCHEDULE.signal_and_noise(t, x), asked)
    ab = float(SCHEDULE.alpha_bar[state])
    for i in range(8):
        label = ANY if asked is None else int(asked[i])
        some = images if label == ANY else images[labels == label]
        expected = brute_force(x[i], some, math.sqrt(ab), math.sqrt(1 - ab))
        torch.testing.assert_close(mean[i].double(), expected, rtol=1e-4, atol=1e-5)


def test_states_may_differ_within_a_batch() -> None:
    images, labels = training()
    x, t = images + 0.1, torch.arange(12) % 9 + 1
    perfect = TrainingMean(images, labels)
    together = perfect(x, *SCHEDULE.signal_and_noise(t, x), labels)
    for i in range(12):
        row = slice(i, i + 1)
        alone = perfect(x[row], *SCHEDULE.signal_and_noise(t[row], x[row]), labels[row])
        torch.testing.assert_close(together[row], alone)


def test_hardly_noised_it_is_the_image_itself_and_in_noise_the_mean_of_the_class() -> None:
    images, labels = training()
    perfect, n = TrainingMean(images, labels), len(images)
    one = torch.ones((n, 1, 1, 1))
    torch.testing.assert_close(perfect(images, one, 0.01 * one, labels), images)
    mean = torch.stack([images[labels == label].mean(dim=0) for label in labels])
    torch.testing.assert_close(perfect(images, 0 * one, one, labels), mean)


def test_two_points_are_the_closed_form_of_the_1_d_experiment() -> None:
    mixture = Mixture((-1.0, 1.0))
    points = torch.tensor([[-1.0], [1.0]])
    x = torch.linspace(-3, 3, 50)[:, None]
    for state in range(1, SCHEDULE.states):
        a, b = SCHEDULE.signal_and_noise(torch.full((50,), state), x)
        mean = TrainingMean(points)(x, a, b)
        expected = mixture.mean(x.double(), a.double(), b.double())
        torch.testing.assert_close(mean.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("predict", PARAMETRIZATIONS)
def test_the_gradient_is_the_same_in_expectation_and_varies_less(predict: str) -> None:
    """Of a network that is one number, over many draws: Rao and Blackwell's theorem at work."""
    parametrization = PARAMETRIZATIONS[predict]
    images, labels = training()
    perfect = TrainingMean(images, labels)
    rng = torch.Generator().manual_seed(1)
    many = torch.randint(len(images), (40_000,), generator=rng)
    x0, told = images[many], labels[many]
    t, eps = PLAIN.draw(x0, rng)
    a, b = SCHEDULE.signal_and_noise(t, x0)
    mean = perfect(SCHEDULE.q_sample(x0, t, eps), a, b, told)
    x_t = a * x0 + b * eps
    sampled = parametrization.target(x0, eps, a, b)
    aimed = parametrization.target(mean, (x_t - a * mean) / b, a, b)
    # d/dc of (c x_t - target)^2 at c = 0, by the image
    by_sample, by_mean = (-2 * (x_t * target).flatten(1).mean(1) for target in (sampled, aimed))
    error = float((by_sample - by_mean).std()) / math.sqrt(len(many))
    assert abs(float((by_sample - by_mean).mean())) < 4 * error
    assert float(by_mean.var()) < float(by_sample.var())


@pytest.mark.parametrize("fields", [{}, {"perturb": 2.0}, {"unroll": 3}], ids=str)
def test_the_objective_aims_at_the_mean_of_what_the_network_is_given(
    fields: dict[str, Any],
) -> None:
    """Also off the paths of the process: by a second noise, or by the network's own steps."""
    images, labels = training()
    perfect, seen = TrainingMean(images, labels), []

    def network(x: Tensor, u: Tensor, condition: Condition) -> Tensor:
        seen.append(x)
        return torch.sin(x)

    found = Objective(SEGMENT, PARAMETRIZATIONS["v"], target="mean", **fields).losses(
        network, images, Condition(labels), torch.Generator().manual_seed(3), perfect
    )
    t, eps = PLAIN.draw(images, torch.Generator().manual_seed(3))
    a, b = SCHEDULE.signal_and_noise(t, images)
    x = seen[-1]
    on_path = (x - a * images - b * eps).flatten(1).abs().amax(1) < 1e-5
    assert bool(on_path.all()) == (not fields)
    mean = perfect(x, a, b, labels)
    target = a * (x - a * mean) / b - b * mean
    torch.testing.assert_close(found, (torch.sin(x) - target).square().flatten(1).mean(1))


def test_half_precision_around_it_changes_nothing() -> None:
    images, labels = training()
    t = torch.full((12,), 2)
    a, b = SCHEDULE.signal_and_noise(t, images)
    perfect = TrainingMean(images, labels)
    plain = perfect(images, a, b, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(perfect(images, a, b, labels), plain, rtol=0, atol=0)


def test_a_label_without_images_is_an_error() -> None:
    images, labels = training()
    one = torch.ones((1, 1, 1, 1))
    with pytest.raises(KeyError):
        TrainingMean(images, labels)(images[:1], one, one, torch.tensor([7]))
