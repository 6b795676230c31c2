"""That the methods learn: on the embedded digits, judged by the shipped judge. Takes minutes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import scalespace as sc
import tiny
from scalespace.data import DataSplits, Samples, load
from scalespace.evaluation.controls import control
from scalespace.evaluation.evaluate import Real, evaluate
from scalespace.model import Model, train
from scalespace.settings import load_config

pytestmark = pytest.mark.slow

N = 300
OVERRIDES = {
    "autoencoder.beta": 0.02,
    "stages.vae.train": {
        "epochs": 40,
        "batch_size": 64,
        "lr": 0.004,
        "ema": 0.99,
        "warmup": 50,
        "decay": "linear",
        "validate_every": 10,
        "grid_every": 0,
    },
    "stages.latent.train": {"epochs": 60, "validate_every": 20, "grid_every": 0},
    "stages.latent-flow.train": {"epochs": 60, "validate_every": 20, "grid_every": 0},
}


@pytest.fixture(scope="module")
def digits() -> DataSplits:
    return load("digits")


@pytest.fixture(scope="module")
def real(digits: DataSplits) -> Real:
    return Real(digits)


@pytest.fixture(scope="module")
def made(
    digits: DataSplits, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Model, Samples]]:
    """A trained method of the series, and images of all classes."""
    trainings, known = tmp_path_factory.mktemp("trainings"), {}

    def make(name: str) -> tuple[Model, Samples]:
        if name not in known:
            config = load_config("quick", OVERRIDES)
            model = train(name, digits, config, trainings, 0, tiny.CPU)
            known[name] = model, model.sample([k % 10 for k in range(N)])
        return known[name]

    return make


def read_right(samples: Samples, real: Real) -> float:
    """Share of images that the judge reads as the class that was asked for."""
    pooled = real.eye.features(samples.images).pooled
    logits = real.eye.net.layers[-1](pooled)
    return float((logits.argmax(dim=1) == torch.from_numpy(samples.labels)).float().mean())


@pytest.mark.parametrize("name", ["vae", "latent", "latent-flow"])
def test_images_are_digits_of_their_class(
    name: str,
    made: Callable[[str], tuple[Model, Samples]],
    real: Real,
    digits: DataSplits,
) -> None:
    _, samples = made(name)
    found = evaluate(samples, real, ["fd", "copies"], floor=True)
    noise = evaluate(control("pixel-noise", digits, N), real, ["fd"])["fd"]["fd"]
    assert found["fd"]["floor"]["fd"] < found["fd"]["fd"] < noise / 4
    assert found["copies"]["copies"] < 0.02
    assert read_right(samples, real) > 0.6


def test_reconstructions_bound_what_is_decoded(
    made: Callable[[str], tuple[Model, Samples]], real: Real, digits: DataSplits, tmp_path: Path
) -> None:
    model, samples = made("latent-flow")
    rebuilt = sc.reconstruct(model, control("real-test", digits, N))
    error = (rebuilt.images - control("real-test", digits, N).images) ** 2
    assert error.mean() < 0.02
    own = evaluate(rebuilt, real, ["fd"])["fd"]["fd"]
    assert own < evaluate(samples, real, ["fd"])["fd"]["fd"]
