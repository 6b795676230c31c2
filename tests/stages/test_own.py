from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
from scalespace.config import AblationConfig, ProcessConfig
from scalespace.core.scale import down, up
from scalespace.data import DataSplits
from scalespace.errors import InputError
from scalespace.methods.cascaded_own import OWN
from scalespace.methods.small import SMALL
from scalespace.model import Model
from scalespace.stages.base import Models
from scalespace.stages.denoising import Diffusion
from scalespace.stages.own import OwnUpscaler
from scalespace.training.training import Training


def models(splits: DataSplits) -> tuple[Diffusion, OwnUpscaler]:
    torch.manual_seed(0)
    recipe = replace(tiny.RECIPE, process=replace(tiny.PROCESS, states=5))
    small = SMALL.build(recipe, splits.info).eval()
    own = replace(OWN, state=3).build(recipe, splits.info, Models({"small": small}))
    return small, own


def test_the_condition_is_the_small_stages_own_image(splits: DataSplits) -> None:
    """Taken to state 3 and back: by hand, the same steps from the same state."""
    small, own = models(splits)
    images = splits.info.standardize(splits.train.unit()[:6])
    labels = splits.train.labels[:6]
    x0, low = own.prepare(images, labels)
    torch.testing.assert_close(x0, images)
    eps = torch.randn(low.shape, generator=torch.Generator().manual_seed(0))
    start = small.segment.q_sample(down(images, 2), torch.full((6,), 3), eps)
    steps = tiny.alone(small, labels, start=(3, start))
    assert [step.t for step in steps] == [3, 2, 1, 0]
    torch.testing.assert_close(steps[0].x, start)
    torch.testing.assert_close(low, steps[-1].x)
    assert not low.is_inference()
    assert float((low - down(images, 2)).abs().max()) > 0.1


def test_a_preview_shows_what_it_is_trained_on(splits: DataSplits) -> None:
    _, own = models(splits)
    batch = own.prepare(splits.info.standardize(splits.train.unit()[:6]), splits.train.labels[:6])
    seen: list[torch.Tensor] = []
    own.eval().net.register_forward_pre_hook(lambda net, given: seen.append(given[0]))
    own.preview(batch, splits.train.labels[:6], seed=0)
    torch.testing.assert_close(seen[0][:, 1:], up(batch[1], 2))


def test_labels_are_needed(splits: DataSplits) -> None:
    _, own = models(splits)
    with pytest.raises(ValueError, match="labels"):
        own.prepare(torch.zeros(2, 1, 12, 12))


def test_the_maker_is_no_part_of_it(splits: DataSplits) -> None:
    _, own = models(splits)
    assert all(name.startswith("net.") for name in own.state_dict())


def test_a_process_begun_at_its_last_state_is_the_whole_process(splits: DataSplits) -> None:
    small, _ = models(splits)
    labels = torch.tensor([0, 1])
    whole = tiny.alone(small, labels)
    again = tiny.alone(small, labels, start=(4, whole[0].x))
    assert len(again) == len(whole)
    torch.testing.assert_close(again[0].x, whole[0].x)


def test_how_the_maker_is_sampled_belongs_to_the_training(splits: DataSplits) -> None:
    """It makes the training data; how the upscaler itself is sampled does not matter."""

    def trained(maker: ProcessConfig, own: ProcessConfig) -> Training:
        small = Training(SMALL, replace(tiny.RECIPE, process=maker), 0, splits.info)
        return Training(OWN, replace(tiny.RECIPE, process=own), 0, splits.info, (small,))

    plain, other = tiny.PROCESS, replace(tiny.PROCESS, sampler="dpm2m")
    one = trained(plain, plain)
    assert trained(plain, other).identity == one.identity
    assert trained(other, plain).identity != one.identity
    assert trained(other, plain).needs[0].identity == one.needs[0].identity


def test_a_saved_model_remembers_how_its_maker_was_sampled(
    trained: Callable[[str], Model], tmp_path: Path
) -> None:
    """Stepping the small stage changes what the model makes, not what the upscaler learnt from."""
    model = trained("cascaded-own")
    stepped = model.stepped({"small": 1})
    again = Model.load(stepped.save(tmp_path / "model"))
    for one in (stepped, again):
        assert one.steps["small"] == stepped.steps["small"] != model.steps["small"]
        for name, stage in model.stages.items():
            assert one.stages[name].training.identity == stage.training.identity
    assert again.hash == stepped.hash


def test_it_refuses_to_be_sampled_wrongly(splits: DataSplits) -> None:
    recipe = replace(tiny.RECIPE, ablation=AblationConfig(batch_mode=True))
    small = SMALL.build(tiny.RECIPE, splits.info)
    with pytest.raises(InputError, match=r"'upscaler-own' has no ablation\.alpha, renoise, batch"):
        OWN.build(recipe, splits.info, Models({"small": small}))
