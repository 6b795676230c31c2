"""Few calls, guidance, and what else a trained process can do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import scalespace as sc
import tiny
from scalespace.config import ObjectiveConfig
from scalespace.core.noise import Seeded
from scalespace.core.sampling import Start
from scalespace.core.scale import down
from scalespace.data import DataSplits
from scalespace.errors import InputError
from scalespace.methods import METHODS
from scalespace.model import Model, train
from scalespace.nets.autoencoder import Decoder
from scalespace.nets.unet import UNet

Trained = Callable[[str], Model]
every_method = pytest.mark.parametrize("name", METHODS)
every_process = pytest.mark.parametrize(
    "name", [name for name in METHODS if name != "vae" and not name.endswith("-fast")]
)
"""The methods whose calls are of choice: a student's are fixed by its training."""
LABELS = [0, 1, 2, 1]
LONG = replace(
    tiny.CONFIG,
    process=replace(tiny.PROCESS, states=7),
    train=replace(tiny.TRAIN, epochs=1),
)
"""The tiny recipe with six states to call in."""


@pytest.fixture(scope="module")
def longer(splits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained models of any method, with six calls a process."""
    root, made = tmp_path_factory.mktemp("longer"), dict[str, Model]()

    def model(name: str) -> Model:
        if name not in made:
            made[name] = train(name, splits, LONG, root, 0, tiny.CPU)
        return made[name]

    return model


@pytest.fixture(scope="module")
def guided(splits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A cascade whose small stage learnt what an image is without its label."""
    config = replace(LONG, stages={**tiny.STAGES, "small": {"objective": {"unlabelled": 0.3}}})
    return train("cascaded", splits, config, tmp_path_factory.mktemp("guided"), 0, tiny.CPU)


def network_calls(model: Model, run: Callable[[], object]) -> int:
    """How often the networks of a model are called while something runs."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    nets = [m for s in model.models.values() for m in s.modules() if isinstance(m, UNet | Decoder)]
    hooks = [net.register_forward_hook(count) for net in nets]
    run()
    for hook in hooks:
        hook.remove()
    return calls


# Any number of calls


@every_process
@pytest.mark.parametrize("calls", [1, 2, 4])
def test_any_number_of_calls(name: str, calls: int, longer: Trained) -> None:
    model = longer(name)
    few = model.stepped(calls)
    segments = len(model.legs)
    decoder = int("vae" in model.models)
    assert few.calls == segments * calls + decoder
    made: list[Any] = []
    images = network_calls(few, lambda: made.append(few.sample(LABELS, seed=3)))
    assert images == few.calls
    meta = made[0].meta
    assert meta["calls"] == few.calls
    assert meta["steps"] == few.steps
    assert all(len(states) == calls for states in meta["steps"].values())
    np.testing.assert_array_equal(model.sample(LABELS, 3, steps=calls).images, made[0].images)
    # an image depends on its seed and index alone, in few calls too
    alone = model.sample(LABELS[2:3], 3, first=2, steps=calls)
    np.testing.assert_allclose(alone.images[0], made[0].images[2], atol=1e-4)
    assert few.hash != model.hash


def test_what_is_no_process_has_no_steps(longer: Trained) -> None:
    with pytest.raises(InputError, match="'vae' is no process: there are no steps"):
        longer("vae").sample(LABELS, steps=1)


@every_process
def test_all_states_by_number_are_all_states(name: str, longer: Trained) -> None:
    model = longer(name)
    whole = model.sample(LABELS, seed=1).images
    numbers = {segment: len(states) for segment, states in model.steps.items()}
    np.testing.assert_array_equal(model.sample(LABELS, seed=1, steps=numbers).images, whole)
    np.testing.assert_array_equal(model.sample(LABELS, seed=1, steps=model.steps).images, whole)
    if set(numbers.values()) == {6}:  # no segment ends before its image is finished
        np.testing.assert_array_equal(model.sample(LABELS, seed=1, steps=6).images, whole)
        states = [6, 5, 4, 3, 2, 1]
        np.testing.assert_array_equal(model.sample(LABELS, seed=1, steps=states).images, whole)
    if "small" in model.models:
        some = {"small": [6, 3], **({"upscaler": 1} if "upscaler" in model.models else {})}
        assert model.stepped(some).steps["small"] == [6, 3]


def test_steps_by_stage(longer: Trained, tmp_path: Path) -> None:
    model = longer("cascaded")
    few = model.stepped({"small": 4, "upscaler": [6, 2]})
    assert few.steps == {"small": [6, 5, 4, 2], "upscaler": [6, 2]}
    assert few.calls == 6
    steps = list(model.trajectory(LABELS, steps={"small": 4, "upscaler": [6, 2]}))
    assert [step.t for step in steps] == [6, 5, 4, 2, 0, 6, 2, 0]
    assert [step.segment for step in steps] == ["small"] * 5 + ["upscaler"] * 3
    # a saved model keeps its steps
    again = Model.load(few.save(tmp_path / "few"))
    assert again.steps == few.steps
    np.testing.assert_array_equal(again.sample(LABELS).images, few.sample(LABELS).images)
    assert model.stepped(None) is model
    assert few.stepped("all").steps == model.steps
    assert few.stepped({"upscaler": "all"}).steps == {**few.steps, "upscaler": [6, 5, 4, 3, 2, 1]}
    assert model.stepped(4) is model.stepped(4)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (7, "'small' has 6 states to call its network in, and 7 calls"),
        ({"smal": 3}, "unknown stage 'smal'; did you mean 'small'"),
        ([5, 2], "'small' must fall from its last state, 6"),
        ([6, 2.5], "no time between them"),
        (0, r"process\.steps must lie between 1"),
        ({"upscaler": "x"}, "steps of 'upscaler' must be a number of calls"),
    ],
)
def test_steps_that_a_model_cannot_take(steps: Any, message: str, longer: Trained) -> None:
    with pytest.raises(InputError, match=message):
        longer("cascaded").sample(LABELS, steps=steps)


def test_more_calls_than_states_of_a_network_that_knows_all_times(
    splits: DataSplits, tmp_path: Path
) -> None:
    config = replace(LONG, process=replace(LONG.process, continuous=True))
    model = train("baseline", splits, config, tmp_path, 0, tiny.CPU)
    many = model.stepped(15)
    assert many.calls == 15
    assert many.steps["baseline"][:2] == [6, 5.6]
    assert np.isfinite(many.sample(LABELS).images).all()
    assert model.stepped([6, 2.5, 0.1]).calls == 3
    assert model.stages["baseline"].training.identity != (
        train("baseline", splits, LONG, tmp_path, 0, tiny.CPU).stages["baseline"].training.identity
    )
    with pytest.raises(InputError, match=r"objective\.unroll goes from state to state"):
        train(
            "baseline",
            splits,
            replace(config, objective=ObjectiveConfig(unroll=2)),
            tmp_path,
            0,
            tiny.CPU,
        )


@pytest.mark.parametrize("spacing", ["state", "snr", "correlation"])
def test_spacings(spacing: str, longer: Trained) -> None:
    model = longer("small").resampled({"process.spacing": spacing}).stepped(3)
    assert len(model.steps["small"]) == 3
    assert np.isfinite(model.sample(LABELS).images).all()


# Guidance


def test_guidance_takes_two_calls_in_one(guided: Model) -> None:
    strong = guided.guided(2.0)
    assert strong.guidance == {"small": 2.0}
    assert strong.calls == 2 * 6 + 6
    assert network_calls(strong, lambda: strong.sample(LABELS)) == 12  # of twice as many images
    assert strong.sample(LABELS).meta["guidance"] == {"small": 2.0}
    assert "guidance" not in guided.sample(LABELS).meta
    part = guided.guided(2.0, (2, 4))
    assert part.calls == 6 + 3 + 6
    assert guided.guided({"small": 1.0}).guidance == {"small": 1.0}
    plain, more = guided.sample(LABELS).images, strong.sample(LABELS).images
    assert np.abs(plain - more).max() > 1e-3
    np.testing.assert_array_equal(guided.guided(0.0).sample(LABELS).images, plain)
    np.testing.assert_allclose(strong.sample(LABELS[1:2], first=1).images[0], more[1], atol=1e-4)


def test_guidance_is_what_the_two_answers_say(guided: Model) -> None:
    """(1 + w) of the estimate with the label, less w of that without, then the domain's rule."""
    small = guided.models["small"]
    steps = list(guided.guided(1.5).trajectory(LABELS, seed=2))
    x, t = steps[1].x, steps[1].t
    labels = torch.tensor(LABELS)
    from scalespace.core.denoiser import Condition

    with torch.no_grad():
        told = small.denoise(x, t, Condition(labels))  # type: ignore[operator]
        untold = small.denoise(x, t, Condition(labels).unlabelled())  # type: ignore[operator]
    low, high = guided.data.domain
    expected = (2.5 * told - 1.5 * untold).clamp(low, high)
    torch.testing.assert_close(steps[2].x0_hat, expected, rtol=1e-4, atol=1e-5)


def test_a_model_that_never_learnt_to_be_guided(longer: Trained, guided: Model) -> None:
    with pytest.raises(InputError, match=r"'cascaded' cannot be guided: no stage of it"):
        longer("cascaded").guided(1.5)
    with pytest.raises(InputError, match=r"stage 'upscaler' never learnt"):
        guided.guided({"upscaler": 1.0})
    with pytest.raises(InputError, match="unknown stage 'large'"):
        guided.guided({"large": 1.0})
    with pytest.raises(InputError, match=r"process\.guidance must lie between 0 and 100"):
        guided.guided(-1.0)
    with pytest.raises(InputError, match="lowest and the highest state"):
        guided.guided(1.0, (5, 2))


# Beginning from images


@pytest.mark.parametrize("name", ["baseline", "small", "cascaded", "latent", "latent-flow"])
def test_redrawing_keeps_more_of_an_image_the_earlier_it_stops(
    name: str, longer: Trained, splits: DataSplits
) -> None:
    model = longer(name)
    images, labels = splits.train.unit()[:6, 0].numpy(), splits.train.labels[:6].tolist()
    some = [sc.redraw(model, images, labels, at, seed=1) for at in (1, 6)]
    apart = [float(np.abs(one.images - images).mean()) for one in some]
    assert some[0].images.shape == images.shape
    if name in ("baseline", "small"):
        assert apart[0] < apart[1]
    assert some[0].meta["redrawn_from"] == {model.legs[0].segment.name: 1}
    # whatever the batch
    again = sc.redraw(model, images, labels, 1, seed=1, batch_size=4)
    np.testing.assert_allclose(again.images, some[0].images, atol=1e-4)


def test_redrawing_from_a_later_segment_passes_over_those_before(
    longer: Trained, splits: DataSplits
) -> None:
    model = longer("cascaded")
    images, labels = splits.train.unit()[:3, 0].numpy(), [0, 1, 2]
    x = splits.info.standardize(torch.from_numpy(images)[:, None])
    found = sc.redraw(model, images, labels, {"upscaler": 2}, seed=5)
    small = model.models["small"].net
    assert network_calls_of(small, lambda: sc.redraw(model, images, labels, {"upscaler": 2})) == 0
    # by hand: the state, and the coarser image as it is
    a, b = model.legs[1].segment.schedule.scales(2)
    eps = Seeded(5, range(3)).stream("upscaler/start").normal((1, 12, 12))
    steps = list(model.trajectory(labels, 5, start=Start(x, "upscaler", 2)))
    torch.testing.assert_close(steps[0].x, a * x + b * eps)
    np.testing.assert_allclose(found.images, model.data.to_unit(steps[-1].x)[:, 0], atol=1e-6)


def network_calls_of(net: Any, run: Callable[[], object]) -> int:
    calls: list[object] = []
    hook = net.register_forward_hook(lambda *_: calls.append(None))
    run()
    hook.remove()
    return len(calls)


@pytest.mark.parametrize(
    ("at", "message"),
    [
        (7, "'small' has states 1 to 6 to begin from, got 7"),
        (0, "states 1 to 6"),
        ({"large": 2}, "unknown segment 'large'"),
        ({"small": 1, "upscaler": 1}, "one state to begin from"),
    ],
)
def test_states_that_nothing_can_begin_in(at: Any, message: str, longer: Trained) -> None:
    with pytest.raises(InputError, match=message):
        sc.redraw(longer("cascaded"), np.zeros((1, 12, 12)), [0], at)


def test_images_and_models_that_cannot_be_redrawn(longer: Trained) -> None:
    with pytest.raises(InputError, match="'vae' is no process"):
        sc.redraw(longer("vae"), np.zeros((1, 12, 12)), [0], 1)
    with pytest.raises(InputError, match="14 x 14 pixels, 12 x 12 are needed"):
        sc.redraw(longer("baseline"), np.zeros((1, 14, 14)), [0], 1)
    with pytest.raises(InputError, match="labels"):
        sc.redraw(longer("baseline"), np.zeros((2, 12, 12)), [0], 1)


# Filling in


@pytest.mark.parametrize("name", ["baseline", "small", "cascaded"])
def test_known_pixels_stay_to_the_last_digit(
    name: str, longer: Trained, splits: DataSplits
) -> None:
    model = longer(name)
    images, labels = splits.train.unit()[:5, 0].numpy(), splits.train.labels[:5].tolist()
    keep = np.zeros((12, 12), dtype=bool)
    keep[:, :6] = True
    found = sc.fill(model, images, keep, labels, seed=2)
    np.testing.assert_allclose(found.images[:, keep], images[:, keep], atol=1e-6)
    free = model.sample(labels, seed=2).images
    assert np.abs(found.images[:, ~keep] - images[:, ~keep]).max() > 1e-2
    assert found.meta["kept"] == pytest.approx(0.5)
    assert np.abs(free - found.images).max() > 1e-2
    again = sc.fill(model, images, keep, labels, seed=2, batch_size=3)
    np.testing.assert_allclose(again.images, found.images, atol=1e-4)


def test_every_state_holds_the_known_part_as_noisy_as_it_is(
    longer: Trained, splits: DataSplits
) -> None:
    """Seen from inside: what the network is given on the way."""
    model = longer("small")
    images, seen = splits.train.unit()[:2, 0].numpy(), list[torch.Tensor]()
    keep = np.ones((12, 12), dtype=bool)
    hook = model.models["small"].net.register_forward_pre_hook(  # type: ignore[union-attr]
        lambda net, given: seen.append(given[0])
    )
    sc.fill(model, images, keep, [0, 1], seed=3)
    hook.remove()
    x0 = down(splits.info.standardize(torch.from_numpy(images)[:, None]), 2)
    stream = Seeded(3, range(2)).stream("small/keep")
    for t, x in zip((6, 5, 4, 3, 2, 1), seen, strict=True):
        a, b = model.legs[0].segment.schedule.scales(t)
        torch.testing.assert_close(x, a * x0 + b * stream.normal((1, 6, 6)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["small", "cascaded", "pyramid", "scale-space", "dimensionality-varying", "blurring"]
)
def test_what_is_to_be_filled_counts_for_nothing(
    name: str, longer: Trained, splits: DataSplits
) -> None:
    """Even where a state mixes neighbours, and the border runs through a block."""
    model, keep = longer(name), np.zeros((12, 12), dtype=bool)
    keep[:7, :5] = True
    images, labels = splits.train.unit()[:3, 0].numpy(), [0, 1, 2]
    filled = [sc.fill(model, np.where(keep, images, hole), keep, labels) for hole in (0.0, 1.0)]
    np.testing.assert_array_equal(filled[0].images, filled[1].images)
    free = model.sample(labels).images
    assert np.abs(filled[0].images - free)[:, ~keep].max() > 1e-3


def test_nothing_known_is_sampling(longer: Trained) -> None:
    model = longer("cascaded")
    found = sc.fill(model, np.zeros((3, 12, 12)), np.zeros((12, 12), dtype=bool), [0, 1, 2], seed=4)
    np.testing.assert_allclose(found.images, model.sample([0, 1, 2], seed=4).images, atol=1e-6)


def test_what_cannot_be_filled(longer: Trained) -> None:
    images, keep = np.zeros((1, 12, 12)), np.ones((12, 12), dtype=bool)
    for name, message in (("latent", "no pixels to be kept"), ("vae", "no process over pixels")):
        with pytest.raises(InputError, match=message):
            sc.fill(longer(name), images, keep, [0])
    with pytest.raises(InputError, match=r"keep must be of the images' size, \[12, 12\]"):
        sc.fill(longer("baseline"), images, np.ones((5, 12), dtype=bool), [0])


# Noise


@every_method
def test_the_ends_of_a_way_between_noises_are_the_two_images(name: str, longer: Trained) -> None:
    model = longer(name)
    found = sc.interpolate(model, [0, 2], 5, seed=3, to_seed=8)
    assert found.images.shape == (10, 12, 12)
    assert found.labels.tolist() == [0] * 5 + [2] * 5
    ends = found.images[[0, 5]], found.images[[4, 9]]
    for seed, end in zip((3, 8), ends, strict=True):
        np.testing.assert_allclose(model.sample([0, 2], seed=seed).images, end, atol=1e-4)
    again = sc.interpolate(model, [0, 2], 5, seed=3, to_seed=8, batch_size=3)
    np.testing.assert_allclose(again.images, found.images, atol=1e-4)


def test_ways_that_are_none(longer: Trained) -> None:
    with pytest.raises(InputError, match="images from one noise to another must be at least 2"):
        sc.interpolate(longer("small"), [0], 1)
    with pytest.raises(InputError, match="seed must be at least 0"):
        sc.interpolate(longer("small"), [0], 3, 0, -1)


@every_method
def test_the_same_noise_under_every_label(name: str, longer: Trained) -> None:
    model = longer(name)
    found = sc.same_noise(model, [0, 1, 2], seed=6, index=4)
    for label in range(3):
        alone = model.sample([label], seed=6, first=4)
        np.testing.assert_allclose(found.images[label], alone.images[0], atol=1e-4)
    if legs := model.legs:
        start = next(iter(model.trajectory([0, 1, 2], 6, indices=[4, 4, 4])))
        torch.testing.assert_close(start.x[0], start.x[2])
        assert legs[0].segment.name == start.segment


def test_indices_are_one_each(longer: Trained) -> None:
    with pytest.raises(InputError, match="2 labels and 1 indices"):
        longer("small").sample([0, 1], indices=[3])


# What is told, and what is refused


def test_a_redrawing_tells_the_calls_that_it_took(longer: Trained) -> None:
    model, images = longer("cascaded"), np.zeros((2, 12, 12))
    made: list[Any] = []
    run = lambda: made.append(sc.redraw(model, images, [0, 1], {"upscaler": 3}))  # noqa: E731
    calls = network_calls(model, run)
    assert made[0].meta["calls"] == calls == 3
    assert made[0].meta["steps"] == {"upscaler": [3, 2, 1]}
    few = model.stepped({"small": [6, 4, 2], "upscaler": 1})
    calls = network_calls(few, lambda: made.append(sc.redraw(few, images, [0, 1], 5)))
    assert made[1].meta["calls"] == calls == 4
    assert made[1].meta["steps"] == {"small": [5, 4, 2], "upscaler": [6]}


def test_same_noise_tells_its_indices(longer: Trained) -> None:
    meta = sc.same_noise(longer("small"), [0, 1, 2], seed=1, index=7).meta
    assert meta["indices"] == [7, 7, 7]
    assert "first" not in meta


def test_guidance_tells_its_interval(guided: Model) -> None:
    meta = guided.guided(1.0, (2, 4)).sample(LABELS).meta
    assert meta["guidance_states"] == {"small": [2, 4]}
    assert "guidance_states" not in guided.guided(1.0).sample(LABELS).meta
    assert guided.guided(0.0).guidance == {}


def test_no_guidance_asks_nothing_of_a_model(longer: Trained) -> None:
    model = longer("cascaded")
    assert model.guided(0.0) is model


def test_guidance_in_states_that_are_not_visited(guided: Model) -> None:
    with pytest.raises(InputError, match=r"guidance_states hold none of the states .* 6, 3"):
        guided.stepped(2).guided(1.0, (4, 5))


def test_one_image_of_a_batch_can_be_made_again_alone(longer: Trained, splits: DataSplits) -> None:
    model = longer("cascaded")
    images, labels = splits.train.unit()[:3, 0].numpy(), [0, 1, 2]
    keep = np.zeros((12, 12), dtype=bool)
    keep[:4] = True
    for make in (
        lambda rows, **first: sc.redraw(model, images[rows], labels[rows], 4, **first),
        lambda rows, **first: sc.fill(model, images[rows], keep, labels[rows], **first),
    ):
        whole, alone = make(slice(None)), make(slice(2, 3), first=2)
        np.testing.assert_allclose(alone.images[0], whole.images[2], atol=1e-4)


def test_a_truncated_cascade_is_not_redrawn_below_its_hand_over(longer: Trained) -> None:
    config = replace(
        LONG,
        process=replace(LONG.process, states=None),
        condition=replace(LONG.condition, augment="gaussian", most=6, level=2, truncate=True),
    )
    model = longer("cascaded")
    info = model.data
    from scalespace.settings import make_trainings

    trainings = make_trainings(config, model.method, 0, info)
    stages = {
        t.stage.name: replace(model.stages[t.stage.name], training=t, ema=t.build().state_dict())
        for t in trainings
    }
    truncated = Model(model.method, stages)
    assert truncated.steps["small"][-1] == 3
    images = np.zeros((1, 12, 12))
    with pytest.raises(InputError, match="'small' has states 3 to 19 to begin from, got 2"):
        sc.redraw(truncated, images, [0], 2)
    assert sc.redraw(truncated, images, [0], 3).meta["steps"]["small"] == [3]


@pytest.mark.parametrize("size", [0, -1])
def test_batches_of_nothing(size: int, longer: Trained) -> None:
    images = np.zeros((1, 12, 12))
    for make in (
        lambda: sc.redraw(longer("small"), images, [0], 1, batch_size=size),
        lambda: sc.fill(longer("small"), images, images[0] > 0, [0], batch_size=size),
        lambda: sc.interpolate(longer("small"), [0], 3, batch_size=size),
        lambda: sc.same_noise(longer("small"), [0], batch_size=size),
    ):
        with pytest.raises(InputError, match="batch_size must be at least 1"):
            make()


@pytest.mark.parametrize(
    "make",
    [
        lambda model, x: model.sample([0], indices=[-1]),
        lambda model, x: model.sample([0], indices=[1.5]),
        lambda model, x: sc.same_noise(model, [0], index=-1),
        lambda model, x: sc.redraw(model, x, ["a"], 1),
        lambda model, x: sc.redraw(model, x, [1.7], 1),
        lambda model, x: sc.redraw(model, x, [0], "a"),
        lambda model, x: sc.redraw(model, x, [0], {"small": "3"}),
        lambda model, x: sc.redraw(model, x, [0], 2.5),
        lambda model, x: sc.redraw(model, x, [0], 1, first=-1),
        lambda model, x: sc.fill(model, x, [[True]] * 5, [0]),
        lambda model, x: sc.fill(model, x, np.ones((12, 12), bool), [0], seed=-1),
        lambda model, x: sc.fill(model, x, np.ones((12, 12), bool), [0], seed=1.5),
        lambda model, x: sc.interpolate(model, [0], 2.5),
        lambda model, x: sc.interpolate(model, 3, 3),
        lambda model, x: sc.same_noise(model, 3),
        lambda model, x: sc.interpolate(model, [0], 3, "a"),
        lambda model, x: model.stepped([float("inf"), 3]),
        lambda model, x: model.stepped([float("nan")]),
        lambda model, x: model.stepped("some"),
        lambda model, x: model.stepped("5"),
        lambda model, x: model.stepped(2.5),
        lambda model, x: model.stepped(True),
        lambda model, x: model.stepped([6, "2"]),
        lambda model, x: list(
            model.trajectory([0], start=Start(torch.zeros(2, 1, 12, 12), "s", 1))
        ),
        lambda model, x: list(
            model.trajectory([0], start=Start(torch.zeros(1, 1, 12, 12), "s", 1))
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(make: Callable[..., Any], longer: Trained) -> None:
    with pytest.raises(InputError) as refused:
        make(longer("small"), np.zeros((1, 12, 12)))
    assert "\n" not in str(refused.value)


def test_numbers_of_other_kinds(longer: Trained) -> None:
    model = longer("small")
    assert model.stepped(np.int64(2)).steps == model.stepped(2).steps
    assert model.stepped(np.array([6, 2])).steps == {"small": [6, 2]}
    assert model.stepped((6, 2)).steps == {"small": [6, 2]}
    one, x = np.int64(1), np.zeros((1, 12, 12))
    for made in (
        model.sample([one], seed=one, first=one),
        sc.redraw(model, x, [one], at=one, seed=one, first=one),
        sc.fill(model, x, x[0] == 0, [one], seed=one, first=one),
        sc.interpolate(model, [one], 1 + one, seed=one, to_seed=1 + one),
    ):
        json.dumps(made.meta)
    four = np.zeros((1, 1, 12, 12))
    assert sc.fill(model, four, np.zeros((12, 12), bool), [0]).images.shape == (1, 12, 12)
    assert sc.interpolate(model, iter([0, 1]), 2).labels.tolist() == [0, 0, 1, 1]  # type: ignore[arg-type]


def test_a_model_keeps_few_others(longer: Trained) -> None:
    model = longer("baseline")
    for calls in range(1, 7):
        model.stepped(calls)
    assert len(model._stepped) <= 4
