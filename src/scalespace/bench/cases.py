"""What the suite measures: each section gives its rows.

A row says what was done (`case`), in which `unit` it was measured, the median and the quartiles of
`n` times, and, where they are known, the multiply-adds of one unit of work and the speed that they
come to. `ratio` compares a row with the first of its group: how many times better it is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from scalespace.bench import cold
from scalespace.bench.clock import Seconds, Work, in_turns, summary
from scalespace.bench.latency import macs
from scalespace.bench.models import producer
from scalespace.bench.peers import Sampler, peers
from scalespace.bench.roofline import roofs, wait
from scalespace.config import CASConfig, NetConfig
from scalespace.data import DataSplits, ImageSet
from scalespace.data.pixels import pictures
from scalespace.evaluation.cas import cas
from scalespace.methods import METHODS
from scalespace.model import Model
from scalespace.nets.registry import make_net
from scalespace.pretrained import names
from scalespace.settings import load_config, make_training
from scalespace.stages.denoising import Diffusion
from scalespace.training.loop import Loop
from scalespace.training.runtime import Runtime

Row = dict[str, Any]


@dataclass(frozen=True)
class Suite:
    """How much is measured.

    Args:
        rounds: times that each piece of work is done, all in turns.
        batches: batch sizes.
        sides: heights and widths of images, for the growth with resolution.
        turn: seconds that a turn of sampling lasts at least (see `in_turns`).
        device: where the networks run.
        progress: show progress bars.
    """

    rounds: int = 20
    batches: tuple[int, ...] = (1, 16, 64, 256)
    sides: tuple[int, ...] = (14, 28, 56, 112)
    turn: float = 0.1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    progress: bool = False

    @property
    def few(self) -> int:
        """Rounds of work that takes seconds."""
        return max(3, self.rounds // 5)


def roofline(suite: Suite) -> Iterator[Row]:
    """The machine's limits in 10^9 floating-point operations a second."""
    works = roofs(suite.device)
    times = in_turns(
        {name: work for name, (work, _) in works.items()}, suite.rounds, "roofline", suite.progress
    )
    for name, seconds in times.items():
        yield _rate(name, "GFLOP/s", 2 * works[name][1] / 1e9, seconds)


def one_image(suite: Suite) -> Iterator[Row]:
    """The time of one image alone, by plain PyTorch, by the engine, and by other libraries."""
    for case, seconds, about in _sampled(suite, _samplers(suite), 1, suite.rounds):
        yield _time(case, "ms", 1e3, seconds, **about)


def batches(suite: Suite) -> Iterator[Row]:
    """Images a second, by batch size."""
    samplers = _samplers(suite)
    for size in suite.batches:
        for case, seconds, about in _sampled(suite, samplers, size, suite.few):
            yield _rate(case, "images/s", size, seconds, **about)


Samplers = dict[str, tuple[Sampler, int | None]]
"""What makes so many images, and its multiply-adds for one, where they are known; by case."""


def _samplers(suite: Suite) -> Samplers:
    """Each model by each engine, and the peers."""
    found: Samplers = {}
    for model in _models(suite.device):
        cost, fast = macs(producer(model)), model.with_engine("auto")
        for one in (model, fast) if fast.engine.name != "torch" else (model,):
            case = f"{model.method.name}, {_calls(model)}, {one.engine.name}"
            found[case] = partial(_sample, one), cost
    if suite.device.type == "cpu":
        found |= {name: (sample, None) for name, sample in peers().items()}
    return found


def _sampled(
    suite: Suite, samplers: Samplers, size: int, rounds: int
) -> Iterator[tuple[str, Seconds, Row]]:
    """How long so many images take.

    The ratio is to the baseline called as in the paper, in plain PyTorch.
    """
    works = {case: partial(sample, size) for case, (sample, _) in samplers.items()}
    times = in_turns(works, rounds, f"sample {size}", suite.progress, least=suite.turn)
    reference = next(iter(times.values())).median
    for case, seconds in times.items():
        about: Row = {"batch": size, "ratio": reference / seconds.median}
        _, cost = samplers[case]
        if cost is not None:
            about |= _speed(cost * size, seconds)
        yield case, seconds, about


def _models(device: torch.device) -> list[Model]:
    """The shipped models, called as they are shipped; the first is the paper's 29-call baseline."""
    shipped = {
        name: Model.from_pretrained(name, device=device) for name in names() if name in METHODS
    }
    return [shipped["baseline"].stepped("all"), *shipped.values()]


def _calls(model: Model) -> str:
    return "1 call" if model.calls == 1 else f"{model.calls} calls"


def _sample(model: Model, size: int) -> None:
    producer(model)(range(size))
    wait(model.device)


def training(suite: Suite) -> Iterator[Row]:
    """Images a second in training, by stage of the default preset, at its own batch size."""
    splits, config = noise(1024), load_config("default")
    works: dict[str, Work] = {}
    cost: dict[str, tuple[int, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for stage in METHODS["baseline"].stages + METHODS["cascaded"].stages:
            made = make_training(config, stage, 0, splits.info)
            runtime = Runtime(suite.device.type, progress=False)  # type: ignore[arg-type]
            loop = Loop(made, splits, Path(folder, stage.name), runtime)
            (batch, *_), size = list(loop.rest_of_epoch()), loop.batch_size
            works[stage.name] = partial(_step, loop, batch)
            model = loop.model
            assert isinstance(model, Diffusion)
            x = torch.zeros(2, model.channels, *model.segment.shape[1:], device=suite.device)
            context = torch.zeros(2, model.width, device=suite.device)
            forward = macs(lambda _, x=x, c=context, net=model.net: net(x, c))  # type: ignore[misc]
            cost[stage.name] = size, 3 * forward  # backward takes twice as many
        times = in_turns(works, suite.rounds, "train", suite.progress)
    for name, seconds in times.items():
        size, each = cost[name]
        yield _rate(name, "images/s", size, seconds, batch=size, **_speed(each * size, seconds))


def scoring(suite: Suite) -> Iterator[Row]:
    """The Classification Accuracy Score of 1,024 images by five classifiers, an epoch each."""
    splits, config = noise(1024), CASConfig(classifiers=5, epochs=1)
    images, labels = pictures(splits.train.unit()), splits.train.labels.numpy()

    def score(classifiers: int, times: int) -> None:
        own = replace(config, classifiers=classifiers)
        for _ in range(times):
            cas(images, labels, splits.train, 0.5, 0.3, own, device=suite.device)

    works: dict[str, Work] = {
        "one after the other": partial(score, 1, 5),
        "side by side": partial(score, 5, 1),
    }
    times = in_turns(works, suite.few, "score", suite.progress)
    first = times["one after the other"].median
    for name, seconds in times.items():
        yield _time(name, "s", 1, seconds, ratio=first / seconds.median)


def _step(loop: Loop, batch: torch.Tensor) -> None:
    loop.take_step(batch)
    wait(batch.device)


def noise(n: int) -> DataSplits:
    """Random images: the speed does not depend on what they show."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 1, 28, 28), generator=rng, dtype=torch.uint8)
    part = ImageSet(images, torch.arange(n) % 10, tuple("0123456789"), "random")
    return DataSplits("random", part, part, mean=0.5, std=0.29)


def growth(suite: Suite) -> Iterator[Row]:
    """One call of the baseline's network, untrained, by the image's side and by its width."""
    config = load_config("default").net
    shapes = {f"{side}x{side}": (config, side) for side in suite.sides}
    wider = replace(config, channels=tuple(2 * width for width in config.channels))
    shapes["28x28, twice as wide"] = wider, 28
    works: dict[str, Work] = {}
    cost: dict[str, tuple[int, int]] = {}
    for name, (net, side) in shapes.items():
        works[name], each = _call(net, side, suite.device)
        cost[name] = side, each
    times = in_turns(works, suite.rounds, "one call", suite.progress, least=suite.turn)
    for name, seconds in times.items():
        side, each = cost[name]
        yield _time(name, "ms", 1e3, seconds, side=side, **_speed(each, seconds))


def _call(config: NetConfig, side: int, device: torch.device) -> tuple[Work, int]:
    net = make_net(config, 1, 1, 11, (side, side)).to(device).eval()
    x, context = torch.zeros(1, 1, side, side, device=device), torch.zeros(1, 11, device=device)

    @torch.no_grad()
    def call(images: range = range(1)) -> None:
        net(x.expand(len(images), -1, -1, -1), context.expand(len(images), -1))
        wait(device)

    return call, macs(call)


def memory(suite: Suite) -> Iterator[Row]:
    """The most memory of a process that does one thing."""
    for name in cold.WORKS:
        found = summary([cold.peak(name)])
        yield _time(name, "MiB", 1, found)


def cold_start(suite: Suite) -> Iterator[Row]:
    """The first image of a shipped model in a fresh process; alone, and beside busy programs."""
    cores = torch.get_num_threads()
    for where, programs in (("", 0), (f", beside {cores} busy programs", cores)):
        with cold.busy(programs):
            runs = [cold.first_image("cascaded") for _ in range(suite.few)]
        for part, times in zip(cold.PARTS, zip(*runs, strict=True), strict=True):
            yield _time(f"{part}{where}", "s", 1, summary(list(times)))
        yield _time(f"all{where}", "s", 1, summary([sum(run) for run in runs]))


SECTIONS: dict[str, Callable[[Suite], Iterator[Row]]] = {
    "roofline": roofline,
    "one image": one_image,
    "batches": batches,
    "training": training,
    "scoring": scoring,
    "growth": growth,
    "memory": memory,
    "cold start": cold_start,
}
"""Every section by name; its docstring is its heading."""


def _time(case: str, unit: str, factor: float, seconds: Seconds, **about: Any) -> Row:
    """A row whose less is better."""
    return {
        "case": case,
        "unit": unit,
        "median": factor * seconds.median,
        "q1": factor * seconds.q1,
        "q3": factor * seconds.q3,
        "n": seconds.n,
        **about,
    }


def _rate(case: str, unit: str, amount: float, seconds: Seconds, **about: Any) -> Row:
    """A row of so much a second: more is better."""
    return {
        "case": case,
        "unit": unit,
        "median": amount / seconds.median,
        "q1": amount / seconds.q3,
        "q3": amount / seconds.q1,
        "n": seconds.n,
        **about,
    }


def _speed(macs: int, seconds: Seconds) -> Row:
    return {"macs": macs, "gflops": 2e-9 * macs / seconds.median}
