from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from scalespace.bench import benchmark, clock
from scalespace.bench.latency import macs, measure
from scalespace.config import BenchConfig
from scalespace.errors import InputError
from scalespace.methods import METHODS
from scalespace.model import Model

CPU = torch.device("cpu")
CONFIG = BenchConfig(productions=4, warmup=2, batch_sizes=(3, 5), batches=2)


def test_producers_take_turns_one_image_each() -> None:
    calls: list[tuple[str, list[int]]] = []

    def producer(name: str) -> Callable[[range], None]:
        return lambda indices: calls.append((name, list(indices)))

    found = measure({"a": producer("a"), "b": producer("b")}, CPU, CONFIG)
    warm_up = [(name, [k]) for name in "ab" for k in range(2)]
    turns = [(name, [2 + k]) for k in range(4) for name in "ab"]
    batches = [(name, list(range(n))) for n in (3, 5) for _ in range(1 + 2) for name in "ab"]
    counted = [(name, [0, 1]) for name in "ab"]
    assert calls == warm_up + turns + batches + counted
    assert found.keys() == {"a", "b"}


@pytest.fixture
def take(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets the benchmark's clock go on by some seconds."""
    now = 100.0
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now)

    def take(seconds: float) -> None:
        nonlocal now
        now += seconds

    return take


def test_figures(take: Callable[[float], None]) -> None:
    """Productions of 1, 2, 3 and 10 s, batches of 3 and 2 s, 1 and 9 s, after warm-ups of 50 s."""
    times = iter([50.0, 50.0, 1.0, 2.0, 3.0, 10.0, 50.0, 3.0, 2.0, 50.0, 1.0, 9.0, 50.0])
    found = SimpleNamespace(**measure({"a": lambda indices: take(next(times))}, CPU, CONFIG)["a"])
    assert (found.mean, found.median, found.productions) == (4.0, 2.5, 4)
    assert (found.q1, found.q3) == tuple(np.percentile([1, 2, 3, 10], [25, 75]))
    assert found.throughput == {"3": 3 / 2.5, "5": 5 / 5}
    assert (found.best_batch_size, found.images_per_s) == (3, 1.2)
    assert found.macs == 0


def test_the_clock_is_around_the_work(take: Callable[[float], None]) -> None:
    found = SimpleNamespace(
        **measure({"a": lambda indices: take(2.0 * len(indices))}, CPU, CONFIG)["a"]
    )
    assert (found.mean, found.q1, found.q3) == (2.0, 2.0, 2.0)
    assert found.throughput == {"3": 0.5, "5": 0.5}


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_multiply_adds_of_layers_by_hand(context: Callable) -> None:
    conv, linear = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(10, 7)
    strided = nn.Conv2d(4, 6, (3, 5), stride=2)

    def produce(indices: range) -> None:
        n = len(indices)
        with context():
            conv(torch.zeros(n, 3, 12, 10))
            linear(torch.zeros(n, 10))
            strided(torch.zeros(n, 4, 9, 11))

    expected = 12 * 10 * 8 * 3 * 9 + 10 * 7 + 4 * 4 * 6 * 4 * 15
    assert macs(produce) == expected


def test_two_models_of_one_method_are_refused(trained: Callable[[str], Model]) -> None:
    model = trained("small")
    with pytest.raises(InputError, match="two of the models are of method 'small'"):
        benchmark([model, trained("baseline"), model], BenchConfig(1, 0, (2,), 1))


def test_no_models_are_refused() -> None:
    with pytest.raises(InputError, match="no models to time"):
        benchmark([])


@pytest.mark.parametrize("name", METHODS)
def test_multiply_adds_of_a_sample(name: str, trained: Callable[[str], Model]) -> None:
    """What hooks on the layers count must be what torch's own counter finds."""
    model, total = trained(name), 0

    def hook(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        each = layer.weight.numel()
        if isinstance(layer, nn.Conv2d):
            each *= output.shape[-2] * output.shape[-1]
        total += each * len(output)

    layers = [m for stage in model.models.values() for m in stage.modules()]
    hooks = [m.register_forward_hook(hook) for m in layers if isinstance(m, nn.Conv2d | nn.Linear)]
    list(model.trajectory([1]))
    for one in hooks:
        one.remove()
    if name == "vae":
        total += int(np.prod(model.models["vae"].shape)) ** 2  # its class's covariance root  # type: ignore[arg-type]
    found = benchmark([model], BenchConfig(1, 0, (2,), 1))[name]
    if name.startswith("blurring"):  # its cosine transforms are no layers
        assert found["macs"] > total
    else:
        assert found["macs"] == total > 0
    assert (found["calls"], found["parameters"]) == (model.calls, model.parameters)
    assert found["productions"] == 1
