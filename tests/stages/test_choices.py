"""What a stage does with the fields of its objective and of its condition."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tiny
from scalespace.config import ConditionConfig, ObjectiveConfig, ProcessConfig, Recipe
from scalespace.core.augmentation import Augmentation, GaussianNoise
from scalespace.core.denoiser import Condition
from scalespace.core.jumps import Conditioned
from scalespace.data import DataSplits
from scalespace.errors import InputError
from scalespace.methods import get_method
from scalespace.methods.cascaded import UPSCALER
from scalespace.methods.small import SMALL
from scalespace.model import train
from scalespace.nets.norms import batch_norms
from scalespace.settings import load_config
from scalespace.stages.base import Models
from scalespace.stages.denoising import Diffusion
from scalespace.stages.diffusion import DiffusionStage
from scalespace.studies.plan import make_plan

LABELS = torch.tensor([0, 1, 2, 1])


def build(splits: DataSplits, stage: DiffusionStage = SMALL, **parts: Any) -> Diffusion:
    torch.manual_seed(0)
    model = stage.build(replace(tiny.RECIPE, **parts), splits.info)
    assert isinstance(model, Diffusion)
    return model.eval()


def batch(model: Diffusion, splits: DataSplits) -> tuple[Tensor, ...]:
    return model.prepare(splits.info.standardize(splits.train.unit()[:4]))


def test_a_withheld_label_is_no_class(splits: DataSplits) -> None:
    model = build(splits)
    seen: list[Tensor] = []
    model.net.register_forward_pre_hook(lambda net, given: seen.append(given[1]))
    x = batch(model, splits)[0]
    with torch.no_grad():
        model.predict(x, torch.full((4,), 0.5), Condition(torch.tensor([0, -1, 2, -1])))
    [context] = seen
    assert context[:, 0].tolist() == [0.5] * 4
    assert context[:, 1:].argmax(1)[[0, 2]].tolist() == [0, 2]
    assert context[:, 1:].sum(1).tolist() == [1, 0, 1, 0]


def test_labels_are_withheld_at_the_rate_asked_for(splits: DataSplits) -> None:
    model = build(splits, objective=ObjectiveConfig(unlabelled=0.25))
    seen: list[Tensor] = []
    model.net.register_forward_pre_hook(lambda net, given: seen.append(given[1][:, 1:].sum(1)))
    x = batch(model, splits)[0][:1].expand(4000, -1, -1, -1)
    with torch.no_grad():
        model([x], torch.zeros(4000, dtype=torch.int64), torch.Generator().manual_seed(0))
    assert float(1 - seen[0].mean()) == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / 4000) ** 0.5)


def test_guidance_runs_the_network_without_labels_too(splits: DataSplits) -> None:
    model = build(splits, objective=ObjectiveConfig(guide=0.3, unlabelled=0.1))
    seen: list[float] = []
    model.net.register_forward_pre_hook(
        lambda net, given: seen.append(float(given[1][:, 1:].sum()))
    )
    model(batch(model, splits), LABELS, torch.Generator().manual_seed(1))
    assert seen == [4, 0]


def test_self_conditioning_shows_the_last_estimate_in_sampling(splits: DataSplits) -> None:
    model = build(splits, objective=ObjectiveConfig(self_condition=True))
    seen: list[Tensor] = []
    model.net.register_forward_pre_hook(lambda net, given: seen.append(given[0]))
    steps = tiny.alone(model, LABELS)
    assert not seen[0][:, 1].any()  # nothing is known at first
    for given, step in zip(seen[1:], steps[1:-1], strict=True):
        assert step.x0_hat is not None
        torch.testing.assert_close(given[:, 1:], step.x0_hat)


def test_temperature_is_of_the_first_noise_alone(splits: DataSplits) -> None:
    plain = tiny.alone(build(splits), LABELS, 5)
    hot = build(splits, process=replace(tiny.RECIPE.process, temperature=1.5))
    torch.testing.assert_close(tiny.alone(hot, LABELS, 5)[0].x, 1.5 * plain[0].x)
    # nothing else differs: from the same first images both go the same way
    start = (plain[0].t, plain[0].x)
    for one, other in zip(
        tiny.alone(build(splits), LABELS, 5, start=start),
        tiny.alone(hot, LABELS, 5, start=start),
        strict=True,
    ):
        torch.testing.assert_close(one.x, other.x)


@pytest.mark.parametrize("conditional", [True, False])
def test_the_mean_target_is_of_the_training_images_of_the_label(
    splits: DataSplits, conditional: bool
) -> None:
    """Those whose label is withheld, all of them in a model without labels, aim at any class."""
    model = build(
        splits,
        process=replace(tiny.RECIPE.process, labels=conditional),
        objective=ObjectiveConfig(target="mean", unlabelled=0.4),
    )
    data = model.prepare(splits.info.standardize(splits.train.unit()))
    model.begin(data, splits.train.labels)
    asked: list[Tensor | None] = []
    mean = model.mean
    assert mean is not None
    model.mean = lambda x, a, b, labels: (  # type: ignore[assignment]
        asked.append(labels),
        mean(x, a, b, labels),
    )[1]
    told: list[Tensor] = []
    model.net.register_forward_pre_hook(lambda net, given: told.append(given[1][:, 1:]))
    labels = splits.train.labels[:20]
    losses = model([data[0][:20]], labels, torch.Generator().manual_seed(0))
    assert losses.shape == (20,)
    withheld = told[0].sum(1) == 0
    assert withheld.all() if not conditional else 0 < int(withheld.sum()) < 20
    [found] = asked
    if conditional:
        assert found is not None
        assert found.tolist() == torch.where(withheld, -1, labels).tolist()
    else:
        assert found is None


def test_the_mean_target_is_no_part_of_a_model(splits: DataSplits) -> None:
    plain, model = build(splits), build(splits, objective=ObjectiveConfig(target="mean"))
    model.begin(batch(model, splits), splits.train.labels[:4])
    assert model.state_dict().keys() == plain.state_dict().keys()


def test_a_conditioned_stage_has_no_mean_to_aim_at(splits: DataSplits) -> None:
    with pytest.raises(InputError, match=r"objective\.target: stage 'upscaler'"):
        build(splits, UPSCALER, objective=ObjectiveConfig(target="mean"))


@pytest.mark.parametrize("augment", ["gaussian", "blur"])
def test_the_upscaler_is_told_how_bad_its_condition_is(splits: DataSplits, augment: Any) -> None:
    plain = build(splits, UPSCALER)
    model = build(splits, UPSCALER, condition=ConditionConfig(augment=augment, most=2, level=1))
    seen: list[Tensor] = []
    model.net.register_forward_pre_hook(lambda net, given: seen.append(given[1]))
    x, low = batch(model, splits)
    tiny.alone(model, LABELS, low=low)
    model([x, low], LABELS, torch.Generator().manual_seed(0))
    width = 1 + len(splits.info.classes)
    assert seen[0].shape[1] == width + 1
    assert seen[0][:, -1].tolist() == [0.5] * 4  # level 1 of 2
    assert set(seen[-1][:, -1].tolist()) <= {0, 0.5, 1}
    with torch.no_grad():
        plain.net.register_forward_pre_hook(lambda net, given: seen.append(given[1]))
        plain([x, low], LABELS, torch.Generator().manual_seed(0))
    assert seen[-1].shape[1] == width


def cascade(splits: DataSplits, truncate: bool, level: int = 1) -> Models:
    condition = ConditionConfig(augment="gaussian", most=2, level=level, truncate=truncate)
    process = replace(tiny.PROCESS, states=None)  # each stage's own
    return Models(
        small=build(splits, SMALL, process=process),
        upscaler=build(splits, UPSCALER, condition=condition, process=process),
    )


def augmentation(upscaler: Diffusion) -> Augmentation | None:
    jump = upscaler.segment.jump
    assert isinstance(jump, Conditioned)
    return jump.augmentation


def test_a_truncated_cascade_hands_over_a_noisy_state(splits: DataSplits) -> None:
    models, method = cascade(splits, truncate=True), get_method("cascaded")
    seen: list[Tensor] = []
    models.of(UPSCALER).net.register_forward_pre_hook(lambda net, given: seen.append(given[0]))
    steps = tiny.sampled(method, models, LABELS)
    small = [step for step in steps if step.x.shape[-1] == splits.info.width // 2]
    assert small[-1].t == 1
    assert method.calls(models) == 19 - 1 + 9 == len(steps) - 2
    up = torch.nn.functional.interpolate(small[-1].x, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(seen[0][:, 1:], up)


def test_a_finished_cascade_adds_the_noise(splits: DataSplits) -> None:
    models, method = cascade(splits, truncate=False), get_method("cascaded")
    steps = tiny.sampled(method, models, LABELS)
    assert method.calls(models) == 28 == len(steps) - 2
    finished = next(step.x for step in steps[1:] if step.t == 0)
    again = tiny.alone(models.of(UPSCALER), LABELS, 0, low=finished)[-1].x
    torch.testing.assert_close(again, steps[-1].x, rtol=0, atol=0)
    other = tiny.alone(models.of(UPSCALER), LABELS, 1, low=finished)[-1].x
    assert float((again - other).abs().max()) > 1e-3


def test_a_truncated_cascade_tells_how_noisy_another_schedule_is(splits: DataSplits) -> None:
    models, seen = cascade(splits, truncate=True), list[Tensor]()
    upscaler, noise = models.of(UPSCALER), augmentation(models.of(UPSCALER))
    assert isinstance(noise, GaussianNoise)

    def degree() -> float | None:
        _, b = models.of(SMALL).segment.schedule.scales(noise.starts_from)
        return noise.degree(b)

    upscaler.net.register_forward_pre_hook(lambda net, given: seen.append(given[1]))
    tiny.sampled(get_method("cascaded"), models, LABELS)
    assert degree() == 1
    assert seen[0][:, -1].tolist() == [0.5] * 4  # of 2
    seen.clear()
    # Longer steps at the start: more noise in its first state, but less than in the other's second.
    models["small"] = build(splits, SMALL, process=replace(tiny.PROCESS, states=None, power=3))
    noisier = degree()
    assert noisier is not None
    assert 1 < noisier < 2
    tiny.sampled(get_method("cascaded"), models, LABELS)
    assert seen[0][:, -1].tolist() == pytest.approx([noisier / 2] * 4)
    small, fine = models.of(SMALL).segment, upscaler.segment
    assert isinstance(fine.jump, Conditioned)
    assert fine.jump.told(fine, small) == pytest.approx(noisier / 2)


def test_a_truncated_cascade_must_know_such_noise(splits: DataSplits) -> None:
    models = cascade(splits, truncate=True, level=2)
    models["small"] = build(splits, SMALL, process=replace(tiny.PROCESS, states=6))
    with pytest.raises(InputError, match=r"state 2 .* is noisier than all that stage 'upscaler'"):
        tiny.sampled(get_method("cascaded"), models, LABELS)


@pytest.mark.parametrize("level", [4, 6])
def test_a_truncation_that_cannot_be_is_refused_before_training(
    splits: DataSplits, level: int, tmp_path: Path
) -> None:
    """With the default's schedules state 4 of the small process is known, and state 6 is not."""
    condition = {"augment": "gaussian", "level": level, "truncate": True}
    changes = {"stages.upscaler.condition": condition, "study.methods": ["cascaded"]}
    changes |= {"net.channels": [4, 8], "stages.upscaler.net.channels": [4, 8]}
    config = load_config("default", {**changes, "study.metrics": ["cas"]})
    if level == 4:
        make_plan(config, splits.info)
        return
    message = r"state 6 .* is noisier than all that stage 'upscaler'"
    with pytest.raises(InputError, match=message):
        make_plan(config, splits.info)
    with pytest.raises(InputError, match=message):
        train("cascaded", splits, config, tmp_path)
    assert not list(tmp_path.iterdir())


def test_degrees_do_not_depend_on_the_upscalers_own_states(splits: DataSplits) -> None:
    condition = ConditionConfig(augment="gaussian", most=2)
    few, own = (
        build(splits, UPSCALER, condition=condition, process=replace(tiny.PROCESS, states=states))
        for states in (5, None)
    )
    x = torch.zeros(3, 1, 2, 2)
    found = [
        augmentation(model).apply(x, torch.arange(3), torch.ones_like(x))  # type: ignore[union-attr]
        for model in (few, own)
    ]
    torch.testing.assert_close(*found)


def test_a_truncated_upscaler_is_previewed_with_unfinished_images(splits: DataSplits) -> None:
    models, seen = cascade(splits, truncate=True), list[tuple[Tensor, Tensor]]()
    upscaler = models.of(UPSCALER)
    real = batch(upscaler, splits)
    upscaler.net.register_forward_pre_hook(lambda net, given: seen.append(given))
    upscaler.preview(real, LABELS, 0)
    shown, context = seen[0]
    noise = shown[:, 1:] - torch.nn.functional.interpolate(real[1], scale_factor=2, mode="bilinear")
    assert 0.01 < float(noise.std()) < 0.5
    assert context[:, -1].tolist() == [0.5] * 4  # degree 1 of 2


def test_a_level_beyond_the_small_process(splits: DataSplits) -> None:
    condition = ConditionConfig(augment="gaussian", most=20)
    with pytest.raises(InputError, match=r"condition\.most is 20"):
        build(splits, UPSCALER, condition=condition, process=ProcessConfig())


@pytest.mark.parametrize(
    ("make", "fields", "word"),
    [
        (ObjectiveConfig, {"guide": 0.3}, "unlabelled"),
        (ObjectiveConfig, {"guide": 1.0, "unlabelled": 0.1}, "guide"),
        (ObjectiveConfig, {"unroll": 0}, "unroll"),
        (ObjectiveConfig, {"perturb": -0.1}, "perturb"),
        (ConditionConfig, {"level": 1}, "augment"),
        (ConditionConfig, {"augment": "blur", "level": 9}, "level"),
        (ConditionConfig, {"augment": "blur", "truncate": True}, "truncate"),
        (ProcessConfig, {"zero_terminal": True}, "noise"),
    ],
)
def test_choices_that_make_no_sense(make: Any, fields: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        make(**fields)


def test_a_field_at_its_default_gives_no_training_another_name(splits: DataSplits) -> None:
    from scalespace.training.training import Training

    def name(recipe: Recipe) -> str:
        return Training(UPSCALER, recipe, 0, splits.info).identity

    plain = name(Recipe())
    assert plain == name(Recipe(objective=ObjectiveConfig(), condition=ConditionConfig()))
    assert plain != name(Recipe(objective=ObjectiveConfig(perturb=0.1)))
    gaussian = [ConditionConfig("gaussian", 6, level) for level in (0, 3)]
    assert len({name(Recipe(condition=c)) for c in gaussian}) == 1  # level is for sampling
    assert plain != name(Recipe(condition=gaussian[0]))


ASIDE = {
    "unroll": ObjectiveConfig(unroll=4),
    "guide": ObjectiveConfig(guide=0.5, unlabelled=0.1),
    "self-condition": ObjectiveConfig(self_condition=True),
}


@pytest.mark.parametrize("objective", ASIDE.values(), ids=ASIDE)
def test_a_pass_aside_leaves_no_trace(splits: DataSplits, objective: ObjectiveConfig) -> None:
    """Neither in what batch norms remember nor, under autocast, in which weights are moved."""
    model = build(splits, net=replace(tiny.NET, norm="batch"), objective=objective).train()
    x, labels = batch(model, splits), LABELS
    for k in range(1, 4):  # of three steps, one at least has a guess
        with torch.autocast("cpu", dtype=torch.bfloat16):
            model(x, labels, torch.Generator().manual_seed(k)).mean().backward()
        assert all(p.grad is not None for p in model.parameters())
        for norm in batch_norms(model):
            assert norm.num_batches_tracked == k
            assert norm.track_running_stats
        model.zero_grad()


def test_guidance_needs_labels(splits: DataSplits) -> None:
    with pytest.raises(InputError, match=r"'small': objective\.guide needs process\.labels"):
        build(splits, objective=ASIDE["guide"], process=replace(tiny.PROCESS, labels=False))


def test_small_counts_each_estimate_once(splits: DataSplits) -> None:
    small = get_method("small")
    model = build(splits)
    steps = tiny.sampled(small, {"small": model}, LABELS)
    assert sum(step.x0_hat is not None for step in steps) == model.calls
