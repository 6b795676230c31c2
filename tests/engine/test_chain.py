"""In few calls an engine runs all of a model's sampling as one network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scalespace.engine import Call, Engine
from scalespace.engine import onnx as onnx_engine
from scalespace.engine.base import Lazily
from scalespace.errors import InputError
from scalespace.methods import METHODS
from scalespace.model import Model
from scalespace.model.chain import Chain

Trained = Callable[[str], Model]
LABELS = [2, 0, 1, 1, 2, 0, 0]


class Chained(Engine):
    """Plain PyTorch by the way of an engine, which remembers what it was given to run."""

    name: ClassVar[str] = "chained"
    chains: ClassVar[int] = 4

    def __init__(self, off: float = 0.0, why: str = "") -> None:
        self.loaded: list[nn.Module] = []
        self.off, self.why = off, why

    @classmethod
    def lacks(cls, device: torch.device) -> str:
        return ""

    def load(self, network: nn.Module, inputs: Sequence[Tensor]) -> Call:
        self.loaded.append(network)
        if self.why and isinstance(network, Chain):
            raise InputError(self.why)
        off = self.off if isinstance(network, Chain) else 0.0
        return lambda *given: network(*given) + off

    @property
    def kinds(self) -> set[bool]:
        """Whether chains, and whether other networks were loaded."""
        return {isinstance(network, Chain) for network in self.loaded}


def engaged(model: Model, engine: Engine) -> Model:
    return Model(model.method, model.stages, model.device, engine=engine)


def few(model: Model) -> Model:
    """In one call a stage, where that can be chosen."""
    fixed = not model.legs or model.method.name.endswith("-fast")
    return model if fixed else model.stepped(1)


@pytest.mark.parametrize("name", METHODS)
def test_a_chain_makes_the_images_of_the_loop(name: str, trained: Trained) -> None:
    model, engine = few(trained(name)), Chained()
    fast = engaged(model, engine)
    plain, images = model.sample(LABELS, seed=5, first=3), fast.sample(LABELS, seed=5, first=3)
    np.testing.assert_allclose(images.images, plain.images, atol=1e-5)
    assert {**images.meta, "engine": "torch"} == plain.meta
    assert engine.kinds == {bool(model.legs)}
    alone = fast.sample(LABELS[4:5], seed=5, first=7).images
    np.testing.assert_allclose(alone, plain.images[4:5], atol=1e-5)


def test_the_states_between_take_the_networks(trained: Trained) -> None:
    model, engine = few(trained("cascaded")), Chained()
    fast = engaged(model, engine)
    assert not engine.loaded  # until something is asked for
    for step, plain in zip(fast.trajectory(LABELS), model.trajectory(LABELS), strict=True):
        torch.testing.assert_close(step.x, plain.x)
    assert engine.kinds == {False}
    torch.testing.assert_close(fast.end(LABELS).x, step.x)
    assert engine.kinds == {False, True}


def test_many_calls_are_no_chain(trained: Trained) -> None:
    model, engine = trained("cascaded"), Chained()
    engine.chains = model.calls - 1  # type: ignore[misc]
    engaged(model, engine).sample(LABELS)
    assert engine.kinds == {False}


@pytest.mark.parametrize("engine", [Chained(off=0.01), Chained(why="cannot be exported")])
def test_what_is_no_chain_is_sampled_by_the_loop(engine: Chained, trained: Trained) -> None:
    """One that gives other images, and one that cannot be exported."""
    model = few(trained("small"))
    fast = engaged(model, engine)
    assert fast.chain is None
    expected, images = (one.sample(LABELS).images for one in (model, fast))
    np.testing.assert_allclose(images, expected, atol=1e-5)


def test_a_chain_checks_what_is_asked(trained: Trained) -> None:
    fast = engaged(few(trained("small")), Chained())
    assert fast.chain is not None
    with pytest.raises(InputError, match="none of this model's classes"):
        fast.end([3])
    with pytest.raises(InputError, match="seed must be at least 0"):
        fast.end([0], seed=-1)
    with pytest.raises(InputError, match="2 labels and 1 indices"):
        fast.end([0, 1], indices=[4])


def test_the_cache_tells_chains_apart(trained: Trained) -> None:
    """Of one model, sampled in several ways, and of one whose data are others."""
    model = trained("small")
    ways = [
        model.stepped(1),
        model.stepped(2),
        model.stepped(2).resampled({"process.temperature": 0.9}),
        model.stepped(2).resampled({"process.sampler": "ddim"}),
    ]
    keys = set()
    for way in [*ways, ways[0]]:
        engine = Chained()
        assert engaged(way, engine).chain is not None
        (chain,) = engine.loaded
        keys.add(onnx_engine._key(chain, [torch.zeros(2)]))
    assert len(keys) == len(ways)


def test_lazily() -> None:
    loaded = []

    def load() -> Call:
        loaded.append(1)
        return lambda x: 2 * x

    call = Lazily(load)
    assert not loaded
    assert [float(call(torch.tensor(x))) for x in (1.0, 3.0)] == [2, 6]
    assert loaded == [1]


def test_onnx_runs_a_chain(trained: Trained) -> None:
    model = few(trained("small"))
    fast = model.with_engine("onnx")
    for rows in (1, 7, 33):  # more than it runs at a time
        labels = [k % 3 for k in range(rows)]
        expected, images = (one.sample(labels, seed=4).images for one in (model, fast))
        np.testing.assert_allclose(images, expected, atol=1e-4)
    assert fast.chain is not None
