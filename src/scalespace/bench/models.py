"""What a sample costs: models of different methods, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scalespace.bench.latency import Latency, Producer, measure
from scalespace.config import BenchConfig
from scalespace.data.pixels import pictures
from scalespace.errors import InputError
from scalespace.evaluation.selection import Selector
from scalespace.model.model import Model


class Cost(Latency):
    """What a sample of a model costs.

    `calls` counts network calls a sample, and `steps` has the states they are in, by segment.
    """

    calls: int
    steps: dict[str, list[float]]
    parameters: int
    engine: str


def benchmark(
    models: Sequence[Model] | Mapping[str, Model],
    config: BenchConfig | None = None,
    progress: bool = False,
    selectors: Mapping[str, Selector] | None = None,
) -> dict[str, Cost]:
    """What a sample of each model costs, measured side by side on their device.

    Args:
        models: of different methods; or any, by names of your own.
        config: how many productions, and which batch sizes; None for the defaults.
        progress: show progress bars.
        selectors: by the name of a model, what chooses among its images: then one image costs all
            of its candidates, and their reading.

    Returns:
        by method, or by name.

    Raises:
        InputError: no models, or two of one method without names.
    """
    if not models:
        raise InputError("no models to time: give one at least")
    if not isinstance(models, Mapping):
        names = [model.method.name for model in models]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(
                f"two of the models are of method '{twice[0]}', and costs are told by method: "
                "time them one after the other"
            )
        models = dict(zip(names, models, strict=True))

    selectors = selectors or {}
    latencies = measure(
        {name: producer(model, selectors.get(name)) for name, model in models.items()},
        next(iter(models.values())).device,
        config or BenchConfig(),
        progress,
        {
            name: producer(model.with_engine("torch"), selectors.get(name))
            for name, model in models.items()
            if model.engine.name != "torch"
        },
    )
    return {
        name: Cost(
            **latencies[name],
            calls=model.calls * (selectors[name].config.candidates if name in selectors else 1),
            steps=model.steps,
            parameters=model.parameters,
            engine=model.engine.name,
        )
        for name, model in models.items()
    }


def producer(model: Model, selector: Selector | None = None) -> Producer:
    """Makes a model's images, of its classes in turn; or all candidates for each, to be read."""
    each = selector.config.candidates if selector else 1

    def produce(indices: range) -> None:
        known = model.data.labels
        labels = [known[index % len(known)] for index in indices for _ in range(each)]
        made = range(indices.start * each, indices.stop * each)
        x = model.end(labels, seed=0, indices=made).x
        if selector:
            selector.judge.probabilities(pictures(model.data.to_unit(x)), selector.device)

    return produce
