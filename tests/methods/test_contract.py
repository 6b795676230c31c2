"""What every method promises, of every method that is registered."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import tiny
from scalespace.cli import main
from scalespace.config import Recipe
from scalespace.core.noise import Noise
from scalespace.core.sampling import Step
from scalespace.data import DataSplits
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.methods import METHODS, Method, get_method, stages
from scalespace.methods.base import register
from scalespace.methods.cascaded import UPSCALER
from scalespace.methods.small import SMALL
from scalespace.model import Model
from scalespace.nets.autoencoder import Decoder
from scalespace.nets.unet import UNet
from scalespace.settings import make_training, stage_recipe
from scalespace.stages.base import Models, StageModel
from scalespace.stages.student import Taught
from scalespace.studies.plan import make_plan

Trained = Callable[[str], Model]
LABELS = [2, 0, 1, 1]

every_method = pytest.mark.parametrize("name", METHODS)
every_stage = pytest.mark.parametrize("stage", stages())


def untrained(stage: str, splits: DataSplits) -> StageModel:
    """A stage as its training begins, with what it builds on as that begins."""
    return make_training(tiny.CONFIG, stages()[stage], 0, splits.info).build()


@every_method
def test_trajectory(name: str, trained: Trained) -> None:
    steps = list(trained(name).trajectory(LABELS))
    assert steps[-1].t == 0
    assert steps[-1].x.shape == (4, 1, tiny.SIDE, tiny.SIDE)
    assert steps[0].x0_hat is None
    for step in steps:
        assert step.x.dtype == torch.float32
        assert bool(torch.isfinite(step.x).all())
        assert step.x.shape[:2] == (4, 1)
    # within a segment the states count down, to 0 or to where the next segment takes over
    for before, after in itertools.pairwise(steps):
        if after.segment == before.segment:
            assert 0 < before.t - after.t <= 1


@every_method
def test_network_calls(name: str, trained: Trained) -> None:
    model, calls = trained(name), 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    nets = [m for stage in model.models.values() for m in networks(stage)]
    hooks = [net.register_forward_hook(count) for net in nets]
    list(model.trajectory(LABELS))
    for hook in hooks:
        hook.remove()
    assert calls == model.calls == model.method.calls(model.models) > 0


def networks(stage: StageModel) -> list[torch.nn.Module]:
    """What is called to make an image: a process's network, or what decodes its result."""
    return [m for m in stage.modules() if isinstance(m, UNet | Decoder)]


@every_method
def test_an_image_takes_all_its_stages(name: str, trained: Trained) -> None:
    """Nothing is trained that its images do not depend on."""
    model = trained(name)
    before = model.sample(LABELS).images
    for stage in model.models.values():
        net = networks(stage)[-1]
        weights = [p.clone() for p in net.parameters()]
        with torch.no_grad():
            for p in net.parameters():
                p.add_(0.1 * torch.ones_like(p))
        assert np.abs(model.sample(LABELS).images - before).max() > 1e-4
        with torch.no_grad():
            for p, weight in zip(net.parameters(), weights, strict=True):
                p.copy_(weight)
    np.testing.assert_array_equal(model.sample(LABELS).images, before)


@every_method
@pytest.mark.parametrize("batch_size", [1, 3])
def test_same_images_in_batches_of_any_size(name: str, batch_size: int, trained: Trained) -> None:
    model, labels = trained(name), [0, 1, 2, 2, 1, 0, 1]
    whole = model.sample(labels, seed=5)
    parts = model.sample(labels, seed=5, batch_size=batch_size)
    np.testing.assert_allclose(parts.images, whole.images, atol=1e-4)
    np.testing.assert_array_equal(parts.labels, whole.labels)
    tail = model.sample(labels[4:], seed=5, first=4)
    np.testing.assert_allclose(tail.images, whole.images[4:], atol=1e-4)


@every_method
def test_seed_index_and_label_make_the_image(name: str, trained: Trained) -> None:
    model = trained(name)
    images = model.sample([1, 1, 1], seed=0).images
    another_seed = model.sample([1, 1, 1], seed=1).images
    another_label = model.sample([2, 2, 2], seed=0).images
    assert np.abs(images[0] - images[1]).max() > 1e-2
    assert np.abs(images - another_seed).max(axis=(1, 2)).min() > 1e-2
    by_label = np.abs(images - another_label).max(axis=(1, 2))
    assert by_label.min() > 1e-4 if model.conditional else by_label.max() == 0
    np.testing.assert_array_equal(images, model.sample([1, 1, 1], seed=0).images)


@every_method
def test_samples_say_where_they_come_from(name: str, trained: Trained) -> None:
    model = trained(name)
    samples = model.sample(LABELS, seed=3)
    assert samples.images.dtype == np.float32
    assert samples.images.shape == (4, tiny.SIDE, tiny.SIDE)
    assert samples.images.min() >= 0
    assert samples.images.max() <= 1
    assert samples.labels.tolist() == LABELS
    expected = {"method": name, "model": model.hash, "seed": 3, "calls": model.calls}
    expected |= {"data": "mnist", "classes": ["0", "1", "2"]}
    expected |= {"conditional": model.conditional}
    assert expected.items() <= samples.meta.items()


@every_method
def test_save_and_load(name: str, trained: Trained, tmp_path: Path) -> None:
    model = trained(name)
    folder = model.save(tmp_path / "model")
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]
    again = Model.load(folder)
    assert again.method is model.method
    assert (again.hash, again.calls, again.parameters) == (
        model.hash,
        model.calls,
        model.parameters,
    )
    assert again.config == model.config
    np.testing.assert_array_equal(again.sample(LABELS).images, model.sample(LABELS).images)
    for stage, trained_stage in model.stages.items():
        assert again.stages[stage].ema.keys() == trained_stage.ema.keys()
        for kept in ("ema", "raw"):
            pairs = zip(
                getattr(again.stages[stage], kept).items(),
                getattr(trained_stage, kept).items(),
                strict=True,
            )
            assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)
        assert any(
            not torch.equal(trained_stage.ema[key], trained_stage.raw[key])
            for key in trained_stage.raw
        )


@every_method
def test_sampling_uses_the_averaged_weights(name: str, trained: Trained) -> None:
    for stage, model in trained(name).models.items():
        kept = trained(name).stages[stage].ema
        assert not model.training
        assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())


@every_method
@pytest.mark.parametrize("labels", [[3], [-1], [0, 1, 7]])
def test_labels_that_the_model_does_not_know(
    name: str, labels: list[int], trained: Trained
) -> None:
    with pytest.raises(InputError, match="none of this model's classes 0 to 2"):
        trained(name).sample(labels)
    with pytest.raises(InputError, match="none of this model's classes"):
        next(trained(name).trajectory(labels))


STUDENTS = [stage for stage in stages().values() if isinstance(stage, Taught)]


@every_stage
def test_a_stage_is_trainable(stage: str, splits: DataSplits) -> None:
    """The loss is of each image, it has a gradient, and validation splits it by level."""
    x = splits.info.standardize(splits.train.unit()[:6])
    labels = splits.train.labels[:6]
    model = untrained(stage, splits)
    batch = model.prepare(x, labels)
    model.begin(batch, labels)
    assert all(len(part) == 6 for part in batch)
    loss = model(batch, labels, torch.Generator().manual_seed(0))
    assert loss.shape == (6,)
    assert bool((loss > 0).all())
    loss.mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    levels = model.validate(batch, labels, torch.Generator().manual_seed(0))
    assert levels.shape[0] == 6
    assert levels.ndim == 2
    model.finish(batch, labels)
    preview = model.eval().preview(batch, labels, seed=0)
    if preview is not None:
        assert preview.shape[:2] == (6, 1)
        assert bool(torch.isfinite(preview).all())


@every_stage
def test_a_stages_loss_is_decided_by_its_generator(stage: str, splits: DataSplits) -> None:
    """Else a training that was killed and goes on would not take the same steps."""
    x = splits.info.standardize(splits.train.unit()[:6])
    labels = splits.train.labels[:6]
    model = untrained(stage, splits)
    batch = model.prepare(x, labels)
    model.begin(batch, labels)
    first, again, other = (
        model(batch, labels, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    # a student of one call draws nothing: the noise that its teacher was asked about is data
    assert bool((first != other).all()) or isinstance(stages()[stage], Taught)
    torch.manual_seed(1)
    torch.testing.assert_close(
        model(batch, labels, torch.Generator().manual_seed(0)), first, rtol=0, atol=0
    )


@every_stage
def test_each_image_of_a_batch_has_its_own_loss(stage: str, splits: DataSplits) -> None:
    """Validation without batch statistics: an image's loss is the same in any company."""
    x = splits.info.standardize(splits.train.unit()[:6])
    labels = splits.train.labels[:6]
    model = untrained(stage, splits).eval()
    batch, rng = model.prepare(x, labels), torch.Generator().manual_seed(0)
    model.begin(batch, labels)
    losses = model(batch, labels, rng)
    swapped = [part.clone() for part in batch]
    for part in swapped:
        part[3] = part[0] + 1
    changed = model(swapped, labels, torch.Generator().manual_seed(0))
    others = [0, 1, 2, 4, 5]
    torch.testing.assert_close(changed[others], losses[others])
    assert float((changed[3] - losses[3]).detach().abs()) > 1e-4


@every_stage
def test_a_stage_tells_of_itself(stage: str, splits: DataSplits) -> None:
    model = untrained(stage, splits)
    facts = model.facts()
    assert facts["kind"] in ("diffusion", "vae", "judge")
    assert facts.get("states", 2) - 1 == model.calls
    assert facts.get("conditional", True) is model.conditional is True
    building = {"latent", "latent-flow", "upscaler-own"} | {one.name for one in STUDENTS}
    assert (stage in building) == bool(stages()[stage].needs)


@every_stage
def test_what_a_stage_shows_of_itself_can_be_stored(stage: str, splits: DataSplits) -> None:
    model = untrained(stage, splits).eval()
    arrays = model.inspect(splits.val.unit(), splits.val.labels)
    assert bool(arrays) == (model.facts()["kind"] == "vae")
    for name, array in arrays.items():
        assert isinstance(array, np.ndarray), name
        assert array.dtype.kind in "iuf", name


@every_stage
def test_a_stages_recipe(stage: str) -> None:
    """Of the stage's own type; those of the package are written out."""
    recipe = stage_recipe(tiny.CONFIG, stages()[stage])
    assert type(recipe) is stages()[stage].recipe
    assert recipe == tiny.RECIPES.get(stage, recipe)


def test_needs_come_before_what_builds_on_them() -> None:
    for method in METHODS.values():
        names = [stage.name for stage in method.stages]
        for stage in method.stages:
            for need in set(stage.needs) & set(method.stages):
                assert names.index(need.name) < names.index(stage.name)
        assert len(set(names)) == len(names)


def test_the_papers_network_calls(splits: DataSplits) -> None:
    def calls(name: str) -> int:
        found = {stage.name: stage.build(Recipe(), splits.info) for stage in METHODS[name].stages}
        return get_method(name).calls(Models(found))

    assert (calls("baseline"), calls("small"), calls("cascaded")) == (29, 19, 19 + 9)


def test_network_calls_of_the_series(splits: DataSplits) -> None:
    """49 steps in the latents, and one decoding."""
    config = replace(tiny.CONFIG, process=replace(tiny.PROCESS, states=None))

    def calls(name: str) -> int:
        method = get_method(name)
        trainings = [make_training(config, stage, 0, splits.info) for stage in method.stages]
        return method.calls(Models({t.stage.name: t.build() for t in trainings}))

    assert [calls(name) for name in ("vae", "latent", "latent-flow")] == [1, 49 + 1, 49 + 1]


# Methods without classes


def conditional(names: list[str], changes: dict, splits: DataSplits) -> list[bool]:
    """What methods say of themselves under a config with changes."""
    config = replace(tiny.CONFIG, **changes)
    found = []
    for name in names:
        method = get_method(name)
        trainings = [make_training(config, stage, 0, splits.info) for stage in method.stages]
        models = Models({t.stage.name: t.build() for t in trainings})
        found.append(method.conditional(models))
    return found


def test_which_methods_heed_the_classes(splits: DataSplits) -> None:
    every = list(METHODS)
    blind = {"process": replace(tiny.PROCESS, labels=False)}
    normal = {"autoencoder": replace(tiny.AUTOENCODER, prior="normal")}
    assert all(conditional(every, {}, splits))
    decoders = [name == "vae" for name in every]
    assert conditional(every, blind, splits) == decoders
    # the autoencoder's own prior has no part in what is made in its latents
    assert conditional(every, normal, splits) == [not one for one in decoders]
    assert not any(conditional(every, {**blind, **normal}, splits))
    # what a cascade draws is settled at half size, whatever its upscaler is told
    for stage, heeded in (("small", False), ("upscaler", True)):
        one_blind = {"stages": {stage: {"process": {"labels": False}}}}
        assert conditional(["cascaded"], one_blind, splits) == [heeded]


@every_method
def test_without_labels_the_images_do_not_depend_on_them(
    name: str, trained: Trained, splits: DataSplits
) -> None:
    """Weights trained with labels, used without: they must reach the images nowhere."""
    config = replace(
        tiny.CONFIG,
        process=replace(tiny.PROCESS, labels=False),
        autoencoder=replace(tiny.AUTOENCODER, prior="normal"),
    )
    blind = {}
    for stage, kept in trained(name).stages.items():
        recipe = make_training(config, stages()[stage], 0, splits.info)
        blind[stage] = replace(kept, training=recipe)
    model = Model(get_method(name), blind)
    assert model.conditional is False
    made = [model.sample([label] * 3, seed=1) for label in (0, 2)]
    np.testing.assert_array_equal(made[0].images, made[1].images)
    assert made[0].meta["conditional"] is False
    assert trained(name).conditional is True


def test_small_and_cascaded_share_their_first_stage(trained: Trained) -> None:
    assert METHODS["cascaded"].stages == (SMALL, UPSCALER)
    assert METHODS["small"].stages == (SMALL,)
    small, cascaded = (list(trained(name).trajectory(LABELS)) for name in ("small", "cascaded"))
    for a, b in zip(small[:3], cascaded[:3], strict=True):
        torch.testing.assert_close(a.x, b.x, rtol=0, atol=0)
    assert small[2].x.shape == (4, 1, tiny.SIDE // 2, tiny.SIDE // 2)


def seen(net: UNet, run: Callable[[], object]) -> list[tuple[Tensor, Tensor]]:
    """The inputs of a network, images and context, while something runs."""
    found: list[tuple[Tensor, Tensor]] = []
    hook = net.register_forward_pre_hook(lambda _, inputs: found.append(inputs))
    run()
    hook.remove()
    return found


def test_the_upscaler_sees_the_small_image(trained: Trained) -> None:
    model, steps = trained("cascaded"), []
    net = model.models["upscaler"].net
    inputs = seen(net, lambda: steps.extend(model.trajectory(LABELS)))
    small = steps[2].x
    expected = torch.nn.functional.interpolate(small, scale_factor=2, mode="bilinear")
    assert len(inputs) == 2
    for (x, _), step in zip(inputs, steps[3:], strict=False):
        torch.testing.assert_close(x[:, 1:], expected)
        torch.testing.assert_close(x[:, :1], step.x)
    # and it matters to what comes out
    upscaler, labels = model.models.of(UPSCALER), torch.zeros(2, dtype=torch.int64)
    lows = [torch.full((2, 1, tiny.SIDE // 2, tiny.SIDE // 2), value) for value in (-1.0, 1.0)]
    found = [tiny.alone(upscaler, labels, low=low)[-1].x for low in lows]
    assert float((found[0] - found[1]).abs().max()) > 1e-3


def test_the_context_is_time_and_label_in_training_and_sampling(
    trained: Trained, splits: DataSplits
) -> None:
    """(t/T, one-hot label), T the last state: appendix 3.6.1."""
    model = trained("baseline").models["baseline"]
    one_hot = torch.eye(3)[LABELS]
    sampled = seen(model.net, lambda: list(trained("baseline").trajectory(LABELS)))
    for (_, context), time in zip(sampled, [1.0, 0.5], strict=True):
        torch.testing.assert_close(context, torch.cat([torch.full((4, 1), time), one_hot], dim=1))
    batch = model.prepare(splits.info.standardize(splits.train.unit()[:99]))
    labels = splits.train.labels[:99]
    [(_, context)] = seen(model.net, lambda: model(batch, labels, torch.Generator().manual_seed(0)))
    assert set(context[:, 0].tolist()) == {0.5, 1.0}
    torch.testing.assert_close(context[:, 1:], torch.eye(3)[labels])
    validated = seen(model.net, lambda: model.validate(batch, labels, torch.Generator()))
    assert [set(context[:, 0].tolist()) for _, context in validated] == [{0.5}, {1.0}]


@pytest.mark.parametrize("rule", ["none", "clip", "dynamic"])
def test_estimates_are_kept_in_the_images_domain(rule: str, splits: DataSplits) -> None:
    recipe = replace(tiny.RECIPE, process=replace(tiny.PROCESS, x0=rule))
    torch.manual_seed(0)
    model = SMALL.build(recipe, splits.info).eval()
    with torch.no_grad():
        for parameter in model.net.final.parameters():
            parameter.mul_(1000)
    last = tiny.alone(model, torch.tensor(LABELS))[-1]
    task = last.x * splits.std + splits.mean
    if rule == "none":
        assert float(task.min()) < -1
        assert float(task.max()) > 2
    else:
        # at least one end is reached: the clip fills the domain, and does not shrink it
        assert float((2 * task - 1).abs().max()) == pytest.approx(1, abs=1e-5)


def test_bilinear_upscaling_is_all_that_small_adds(trained: Trained) -> None:
    steps = list(trained("small").trajectory(LABELS))
    expected = torch.nn.functional.interpolate(steps[-2].x, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(steps[-1].x, expected)


# A method of one's own, in one file


@pytest.fixture
def toy() -> Iterator[type[Method]]:
    @register
    class Toy(Method):
        """Paints every image grey."""

        name = "toy"
        title = "Toy"
        stages = (SMALL,)

        def sample(
            self,
            models: Models,
            labels: Tensor,
            noise: Noise,
            start: object = None,
            edit: object = None,
        ) -> Iterator[Step]:
            yield Step(0, torch.zeros(len(labels), 1, tiny.SIDE, tiny.SIDE), None)

    yield Toy
    del METHODS["toy"]


def test_a_new_method_is_known_everywhere(
    toy: type[Method], splits: DataSplits, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["models"])
    listed = capsys.readouterr().out
    assert "toy" in listed
    assert "Paints every image grey." in listed
    every = replace(tiny.CONFIG.study, methods=())
    plan = make_plan(replace(tiny.CONFIG, study=every), splits.info)
    names = [task.name for task in plan.tasks]
    assert {"toy-seed0", "toy-seed1", "cas-toy", "cas-toy-seed1"} <= set(names)
    # it names the small stage, which is not trained again for it
    methods_stages = {stage.name for method in METHODS.values() for stage in method.stages}
    assert sum(task.kind == "train" for task in plan.tasks) == 2 * len(methods_stages)
    assert "toy" not in methods_stages
    assert get_method("toy").name == "toy"
    toy.__doc__ = None
    main(["models"])
    assert "toy" in capsys.readouterr().out


def test_a_name_is_taken_once(toy: type[Method]) -> None:
    """A class that is made anew, as by a cell of a notebook, takes its own place."""
    register(toy)
    other = type("Other", (toy,), {})
    reason = r"'toy' is registered already, by .*\.Toy: give .*\.Other another name"
    with pytest.raises(ValueError, match=reason):
        register(other)
    assert type(METHODS["toy"]) is toy


def test_unknown_method() -> None:
    with pytest.raises(InputError, match="did you mean 'cascaded'"):
        get_method("cascade")


# Sizes and networks that do not fit together


@pytest.mark.parametrize("stage", [SMALL, UPSCALER])
def test_a_stage_refuses_images_that_it_cannot_halve(stage: object) -> None:
    odd = DataInfo("odd", ("a", "b"), 11, 12, 0.5, 0.5)
    with pytest.raises(InputError, match="11"):
        stage.build(tiny.RECIPE, odd)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "net", [{"channels": (4, 4, 4, 4)}, {"patch": 5}, {"patch": 2, "channels": (4, 4, 4)}]
)
def test_a_stage_refuses_a_network_too_deep_for_its_images(net: dict) -> None:
    info = DataInfo("tiny", ("a", "b"), 12, 12, 0.5, 0.5)
    fields = {"norm": "group", "groups": 2, "channels": (4, 4), **net}
    with pytest.raises(InputError, match="6x6"):
        SMALL.build(Recipe(net=tiny.NetConfig(**fields)), info)
