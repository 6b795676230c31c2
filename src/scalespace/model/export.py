"""A model, or one of its networks, as an ONNX file that needs none of this package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scalespace.core.denoiser import ANY, Condition
from scalespace.core.segment import Level
from scalespace.data.pixels import planes
from scalespace.engine import find_engine
from scalespace.engine.onnx import export, open_session
from scalespace.errors import InputError, unknown
from scalespace.files import write_bytes
from scalespace.model.chain import CLOSE, examples
from scalespace.model.model import Model
from scalespace.stages.denoising import Diffusion
from scalespace.stages.vae import PART


class Calls(nn.Module):
    """A stage's estimates of x_0 in the states that it is called in: its network and its tables.

    Neither guidance, which mixes two of them, nor the domain's rule is a part of it.

    Args:
        stage: whose.
        level: that its network is told of the coarser image; None for none.
    """

    tables: Tensor
    levels: Tensor

    def __init__(self, stage: Diffusion, level: float | None) -> None:
        super().__init__()
        self.stage = stage
        self.states = stage.visits()
        (network, _), *_ = stage.networks().values()
        self.network = network
        every = torch.tensor([*range(stage.classes), ANY])
        told = Condition(every, level=_each(level, len(every)))
        with torch.no_grad():
            tables = [stage.modulation(t, told) for t in self.states]
            levels = [stage.segment.levels(t) for t in self.states]
        self.register_buffer("tables", torch.stack(tables))
        self.register_buffer("levels", torch.tensor(levels))  # [states, bands, 3]

    def forward(self, x: Tensor, state: Tensor, labels: Tensor, *given: Tensor) -> Tensor:
        """x0_hat [n, c, h, w].

        Args:
            x: x_t [n, c, h, w].
            state: of each image, its place in `states`: int64 [n].
            labels: int64 [n]; -1 for none.
            given: the coarser image at this size [n, c, h, w], for a stage that sees one.
        """
        seen = torch.cat([x, *given], dim=1)
        prediction = self.network(seen, self.tables[state, labels])
        bands = self.levels[state][..., None, None, None].unbind(1)
        levels = tuple(Level(*band.unbind(1)) for band in bands)
        return self.stage.segment.estimate(self.stage.parametrization, prediction, x, levels)


def level_of(model: Model, stage: Diffusion) -> float | None:
    """The level that its network is told in sampling; None for none.

    Raises:
        InputError: its jump tells one, and does not say which.
    """
    jump, segments = stage.segment.jump, [leg.segment for leg in model.legs]
    if not jump.tells:
        return None
    # none comes before the first segment, which stands in for it as in `Jump.begin_real`
    for before, segment in pairwise([*segments[:1], *segments]):
        if segment.name == stage.segment.name:
            found = segment.jump.told(segment, before)
            if found is not None:
                return found
    raise InputError(
        f"stage '{stage.stage.name}': its {type(jump).__name__} tells the network a level and does "
        "not say which, so that it cannot be exported: override `told` too"
    )


def export_model(model: Model, path: Path | str) -> dict[str, Any]:
    """Writes all of a model's sampling as one ONNX file, once it is seen to give its images.

    Inputs: `labels` int64 [n], then a tensor of standard normal noise [n, ...] for each draw.
    Output: `y`, images [n, c, h, w] in [0, 1]. Any n up to `PART` will do.

    Args:
        model: with the steps and the guidance that it is to have there.
        path: ends in .onnx.

    Returns:
        what the file says of itself: method, hash, classes, calls, and the purpose of each noise.

    Raises:
        InputError: ONNX Runtime is not installed, the method cannot be exported, the file gives
            other images, or it cannot be written.
    """
    engine = find_engine("onnx", torch.device("cpu"))
    model = model.with_engine("torch")
    chain = model.as_chain(model.data.to_unit).eval()
    chain.use(engine)
    inputs, purposes, _ = examples(chain, model.data, 2, seed=0)
    names = ["labels", *(f"noise{k}" for k in range(len(purposes)))]
    about = _about(model) | {"noise": purposes}
    content = export(chain, inputs, names, _words(about), most=PART)
    inputs, _, _ = examples(chain, model.data, 3, seed=1)
    expected = model.sample(inputs[0].tolist(), seed=1).images
    _check(path, content, inputs, planes(expected))
    write_bytes(path, content)
    return about


def export_stage(model: Model, stage: str, path: Path | str) -> dict[str, Any]:
    """Writes the network of one stage of a model as an ONNX file, with what it makes of labels.

    Inputs and output are those of `Calls`; the file says which `states` it knows.

    Args:
        model: whose.
        stage: a diffusion process.
        path: ends in .onnx.

    Returns:
        what the file says of itself.

    Raises:
        InputError: as `export_model`; there is no such stage, or it is not one call of x_t.
    """
    find_engine("onnx", torch.device("cpu"))
    if stage not in model.models:
        raise unknown("stage", stage, model.models)
    own = model.with_engine("torch").models[stage]
    if not isinstance(own, Diffusion) or own.objective.self_condition or not own.networks():
        raise InputError(f"stage '{stage}' makes no estimate of x_0 from x_t and a label alone")
    level = level_of(model, own)
    calls = Calls(own, level).eval()
    shape, shows, n = own.segment.shape, own.segment.jump.shows, 3
    images = [torch.randn(n, *shape, generator=torch.Generator().manual_seed(k)) for k in (0, 1)]
    state, labels = torch.arange(n) % len(calls.states), torch.tensor([0, ANY, own.classes - 1])
    inputs = [images[0], state, labels, *(images[1:] if shows else [])]
    names = ["x", "state", "labels", "given"][: len(inputs)]
    about = _about(model) | {"stage": stage, "states": list(calls.states)}
    content = export(calls, inputs, names, _words(about))
    given = images[1] if shows else None
    expected = [
        own.denoise(
            images[0][k : k + 1],
            calls.states[int(state[k])],
            Condition(
                labels[k : k + 1], None if given is None else given[k : k + 1], _each(level, 1)
            ),
        )
        for k in range(n)
    ]
    _check(path, content, inputs, torch.cat(expected).detach())
    write_bytes(path, content)
    return about


def _each(level: float | None, n: int) -> Tensor | None:
    return None if level is None else torch.full((n,), level)


def _about(model: Model) -> dict[str, Any]:
    return {
        "method": model.method.name,
        "model": model.hash,
        "data": model.data.title,
        "classes": list(model.data.classes),
        "calls": model.calls,
        "mean": model.data.mean,
        "std": model.data.std,
    }


def _words(about: dict[str, Any]) -> dict[str, str]:
    return {name: json.dumps(value) for name, value in about.items()}


def _check(path: Path | str, content: bytes, inputs: Sequence[Tensor], expected: Tensor) -> None:
    """Refuses a file that does not give what it should."""
    session = open_session(content)
    names = [one.name for one in session.get_inputs()]
    given = {name: one.numpy() for name, one in zip(names, inputs, strict=True)}
    found = torch.from_numpy(session.run(None, given)[0])
    error = float((found - expected).abs().max())
    if not error <= CLOSE:
        raise InputError(
            f"{path} was not written: as ONNX, the model gives other numbers (by up to {error:.2g})"
        )
