"""What a sample costs: models of different methods, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scalespace.config import BenchConfig
from scalespace.errors import InputError
from scalespace.evaluation.latency import Producer, measure
from scalespace.model.model import Model


def benchmark(
    models: Sequence[Model], config: BenchConfig | None = None, progress: bool = False
) -> dict[str, dict[str, Any]]:
    """What a sample of each model costs, measured side by side on their device.

    Args:
        models: of different methods.
        config: how many productions, and which batch sizes; None for the defaults.
        progress: show progress bars.

    Returns:
        by method: the fields of `Latency` (seconds, images a second, multiply-adds), `calls`
        (network calls a sample) and `parameters`.

    Raises:
        InputError: two models of one method.
    """
    names = [model.method.name for model in models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(
            f"two of the models are of method '{twice[0]}', and costs are told by method: time "
            "them one after the other"
        )

    def producer(model: Model) -> Producer:
        def produce(indices: range) -> None:
            labels = [index % len(model.data.classes) for index in indices]
            for _ in model.trajectory(labels, seed=0, indices=indices):
                pass

        return produce

    latencies = measure(
        {model.method.name: producer(model) for model in models},
        models[0].device,
        config or BenchConfig(),
        progress,
    )
    return {
        model.method.name: {
            **latencies[model.method.name].as_dict(),
            "calls": model.calls,
            "parameters": model.parameters,
        }
        for model in models
    }
