"""diffusers' schedulers take the steps, and the images are the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import scalespace as sc
from scalespace.core.schedule import cosine, zero_terminal
from scalespace.errors import InputError
from scalespace.model import Model, bridge

pytest.importorskip("diffusers", reason="diffusers is not installed")
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

Trained = Callable[[str], Model]
LABELS = [0, 1, 2, 1, 0]


def shipped(name: str, **process: Any) -> Model:
    model = Model.from_pretrained(name)
    changes = {f"process.{field}": value for field, value in process.items()}
    return model.resampled(changes) if changes else model


@pytest.mark.parametrize(
    ("name", "steps", "process"),
    [
        ("cascaded", None, {}),  # DPM-Solver++, and its stochastic form
        ("cascaded", 3, {"sampler": "ddim", "eta": 0.0}),
        ("cascaded", None, {"sampler": "ddim", "eta": 0.5}),
        ("small", "all", {"sampler": "ancestral"}),
        ("baseline", [29, 11, 4], {"sampler": "ddim", "eta": 0.0}),
        ("cascaded-fast", None, {}),
    ],
)
def test_the_same_images(name: str, steps: Any, process: dict[str, Any]) -> None:
    model = shipped(name, **process)
    found = sc.to_diffusers(model, steps)(LABELS, seed=3)
    expected = model.sample(LABELS, seed=3, steps=steps)
    np.testing.assert_allclose(found.images, expected.images, atol=1e-4)
    assert found.labels.tolist() == LABELS
    assert found.meta["calls"] == expected.meta["calls"]
    assert found.images.std() > 0.1


def test_guidance_goes_along() -> None:
    model = shipped("guided").guided(1.0)
    found = sc.to_diffusers(model, 3)(LABELS)
    np.testing.assert_allclose(found.images, model.sample(LABELS, steps=3).images, atol=1e-4)


def test_a_scheduler_can_be_replaced() -> None:
    """DDPM is DDIM with all noise new: the same images from one generator's noise."""
    pipeline = sc.to_diffusers(shipped("small", sampler="ancestral"), "all")
    one = pipeline(LABELS, generator=torch.Generator().manual_seed(5)).images
    pipeline.schedulers["small"] = DDPMScheduler.from_config(pipeline.schedulers["small"].config)
    other = pipeline(LABELS, generator=torch.Generator().manual_seed(5)).images
    np.testing.assert_allclose(one, other, atol=1e-4)
    third = pipeline(LABELS, generator=torch.Generator().manual_seed(6)).images
    assert np.abs(one - third).max() > 0.1


def test_what_the_schedulers_hold() -> None:
    model = shipped("cascaded")
    schedulers = sc.to_diffusers(model).schedulers
    assert list(schedulers) == ["small", "upscaler"]
    for leg in model.legs:
        scheduler = schedulers[leg.segment.name]
        assert isinstance(scheduler, DPMSolverMultistepScheduler)
        states = model.steps[leg.segment.name]
        expected = [leg.segment.schedule.alpha_bar_at(t) for t in reversed(states)]
        np.testing.assert_allclose(scheduler.alphas_cumprod, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "message"),
    [("vae", "no process over images"), ("scale-space", "no plain diffusion")],
)
def test_methods_that_do_not_map(name: str, message: str, trained: Trained) -> None:
    with pytest.raises(InputError, match=message):
        sc.to_diffusers(trained(name))


def test_samplers_that_do_not_map() -> None:
    for process in ({"sampler": "euler"}, {"sampler": "ddim", "eta": 2.0}):
        with pytest.raises(InputError, match="take another sampler"):
            sc.to_diffusers(shipped("small", **process))


def test_pure_noise_is_not_for_dpm2m() -> None:
    """Its scheduler divides by the signal there, and gives NaN."""
    (leg,) = shipped("small").legs
    noise = replace(leg, segment=replace(leg.segment, schedule=zero_terminal(cosine(6))))
    with pytest.raises(InputError, match="'small' begins in pure noise"):
        bridge._scheduler(noise)
    ddim = shipped("small", sampler="ddim").legs[0].solver
    assert bridge._scheduler(replace(noise, solver=ddim))[0] is DDIMScheduler


def test_labels_and_seeds_that_are_none() -> None:
    pipeline = sc.to_diffusers(shipped("small"))
    for labels, seed, message in (
        ([10], 0, "label 10 is none"),
        ([1.7], 0, "labels must be a list of whole numbers"),
        ([1], -1, "seed must be at least 0"),
        ([1], 1.5, "seed must be a whole number"),
    ):
        with pytest.raises(InputError, match=message):
            pipeline(labels, seed=seed)  # type: ignore[arg-type]
