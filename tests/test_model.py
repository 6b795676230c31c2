from __future__ import annotations

import errno
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import scalespace as sc
import tiny
from scalespace import files
from scalespace.data import DataSplits, Samples
from scalespace.errors import InputError
from scalespace.model import Model, train
from scalespace.training.checkpoint import load_tensors, save_tensors
from scalespace.training.runtime import DEVICES, Runtime

Trained = Callable[[str], Model]
shared_folder = settings(
    max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def copied(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a model folder, for tests to damage; each puts back what it needs."""
    return Path(shutil.copytree(model_dir, tmp_path_factory.mktemp("damage") / "model"))


def restore(copied: Path, model_dir: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copy(model_dir / name, copied / name)


def use(folder: Path) -> str | None:
    """Loads and samples; the message if that was refused."""
    try:
        model = Model.load(folder)
        images = model.sample([0, 1]).images
        json.dumps(model.config)
    except InputError as error:
        return str(error)
    assert np.isfinite(images).all()
    return None


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_files_cut_short(name: str, copied: Path, model_dir: Path) -> None:
    restore(copied, model_dir)
    content = (copied / name).read_bytes()
    for size in [0, 1, 7, 8, 9, 100, len(content) // 2, len(content) - 2]:
        (copied / name).write_bytes(content[:size])
        message = use(copied)
        assert message is not None
        assert name in message


@shared_folder
@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_random_damage(name: str, seed: int, copied: Path, model_dir: Path) -> None:
    """Bytes replaced, lost or added anywhere: a clear message, or a model that works."""
    restore(copied, model_dir)
    rng = random.Random(seed)
    content = bytearray((copied / name).read_bytes())
    end = len(content) if rng.random() < 0.5 else min(len(content), 8000)
    for _ in range(rng.choice([1, 1, 5])):
        at = rng.randrange(end - 5)
        match rng.choice(["replace", "lose", "add"]):
            case "replace":
                content[at] = rng.choice([rng.randrange(256), rng.randrange(32, 127)])
            case "lose":
                del content[at]
            case "add":
                content.insert(at, rng.randrange(32, 127))
    (copied / name).write_bytes(content)
    use(copied)


def leaves(value: Any, path: tuple = ()) -> list[tuple]:
    if isinstance(value, dict):
        return [path] * bool(path) + [
            leaf for key, inner in value.items() for leaf in leaves(inner, (*path, key))
        ]
    return [path]


STRANGE = [
    None,
    True,
    -1,
    0,
    1,
    7,
    2.5,
    1e300,
    "",
    "x",
    [],
    [1],
    {},
    {"a": 1},
    10**30,
    float("nan"),
]


@shared_folder
@given(data=st.data())
@example(data=None)
def test_a_config_with_one_strange_value(
    data: st.DataObject | None, copied: Path, model_dir: Path
) -> None:
    """Valid JSON with a value, or a key, that does not belong there."""
    restore(copied, model_dir)
    config = json.loads((copied / "config.json").read_text())
    del config["checksum"]  # as a model from before there was one: each value is on its own
    paths = leaves(config)
    path = data.draw(st.sampled_from(paths)) if data else ("data",)
    value = data.draw(st.sampled_from(["lose it", *STRANGE])) if data else "lose it"
    inner = config
    for key in path[:-1]:
        inner = inner[key]
    if value == "lose it":
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    (copied / "config.json").write_text(json.dumps(config))
    message = use(copied)
    assert message is None or "config.json" in message or "stage" in message


@pytest.mark.parametrize(
    ("part", "value"),
    [("process", {"predict": "noise"}), ("process", {"x0": "none"}), ("net", {"norm": "batch"})],
)
def test_an_edited_config_is_refused(
    part: str, value: dict[str, str], copied: Path, model_dir: Path
) -> None:
    """It would be another model under the figures of the one that was measured."""
    restore(copied, model_dir)
    config = json.loads((copied / "config.json").read_text())
    recipe = next(iter(config["stages"].values()))["recipe"]
    assert recipe[part] != {**recipe[part], **value}
    recipe[part] |= value
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"was edited or damaged .* copy or download the model"):
        Model.load(copied)


def test_a_flipped_bit_of_a_weight_is_seen(copied: Path, model_dir: Path) -> None:
    restore(copied, model_dir)
    content = bytearray((copied / "model.safetensors").read_bytes())
    content[-3] ^= 1
    (copied / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="is damaged: it is not what was written there"):
        Model.load(copied)


def test_a_model_keeps_its_name(copied: Path, model_dir: Path, tmp_path: Path) -> None:
    """Though a later version would name it otherwise: samples files tell of it by that name."""
    restore(copied, model_dir)
    model = Model.load(copied)
    model._name = "0123456789ab"
    again = Model.load(model.save(tmp_path / "renamed"))
    assert again.hash == again.config["hash"] == "0123456789ab"
    assert again.sample([0]).meta["model"] == "0123456789ab"
    assert "0123456789ab" in repr(again)


# Sampling otherwise


def test_resampled(trained: Trained) -> None:
    model = trained("cascaded")
    plain = model.sample([0, 1, 2], seed=3)
    same = model.resampled({"process.x0": model.stages["small"].training.recipe.process.x0})
    np.testing.assert_array_equal(same.sample([0, 1, 2], seed=3).images, plain.images)
    other = model.resampled({"process.temperature": 2, "stages.upscaler.process.sampler": "ddim"})
    recipes = {name: stage.training.recipe.process for name, stage in other.stages.items()}
    assert [recipes[name].temperature for name in ("small", "upscaler")] == [2, 2]
    assert recipes["upscaler"].sampler == "ddim" != recipes["small"].sampler
    found = other.sample([0, 1, 2], seed=3)
    assert np.abs(found.images - plain.images).max() > 1e-3
    assert len({model.hash, other.hash, found.meta["model"]}) == 2
    assert other.figures is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"process.predict": "noise"}, "would have to be trained anew"),
        ({"net.channels": [4, 4]}, "would have to be trained anew"),
        ({"process.sampler": "heun"}, "sampler"),
        ({"process.smapler": "ddim"}, "did you mean 'sampler'"),
        ({"proces.sampler": "ddim"}, "did you mean 'process'"),
        ({"stages.smal.process.eta": 1}, "did you mean 'small'"),
    ],
)
def test_resampled_refuses(changes: dict[str, Any], message: str, trained: Trained) -> None:
    with pytest.raises(InputError, match=message):
        trained("cascaded").resampled(changes)


@pytest.mark.parametrize("value", [[], 3, "text", None])
def test_a_config_that_is_no_object(value: object, copied: Path, model_dir: Path) -> None:
    restore(copied, model_dir)
    (copied / "config.json").write_text(json.dumps(value))
    with pytest.raises(InputError, match=r"config\.json is no JSON object"):
        Model.load(copied)


def test_an_empty_config(copied: Path, model_dir: Path) -> None:
    restore(copied, model_dir)
    (copied / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"config\.json is no model config: it lacks 'format'"):
        Model.load(copied)


def test_another_format(copied: Path, model_dir: Path) -> None:
    restore(copied, model_dir)
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "format": 2}))
    with pytest.raises(InputError, match="has format 2, this version reads format 1"):
        Model.load(copied)


def test_absent_parts(copied: Path, model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model folder not found"):
        Model.load(tmp_path / "none")
    with pytest.raises(InputError, match="is a file, not a folder: name a model folder"):
        Model.load(model_dir / "config.json")
    for name, what in [("config.json", "config"), ("model.safetensors", "weights")]:
        restore(copied, model_dir)
        (copied / name).unlink()
        with pytest.raises(InputError, match=f"model {what} not found"):
            Model.load(copied)


def test_weights_of_another_model(trained: Trained, model_dir: Path, copied: Path) -> None:
    restore(copied, model_dir)
    other = trained("small").save(copied.parent / "small")
    shutil.copy(other / "model.safetensors", copied)
    with pytest.raises(InputError, match="different models"):
        Model.load(copied)


@pytest.mark.parametrize("failing", [1, 2])
def test_a_save_that_fails(
    failing: int, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old model stays; should the very last step fail, the mixture is refused."""
    folder, count = trained("small").save(tmp_path / "model"), 0
    replace = os.replace

    def fail(source: Path, target: Path) -> None:
        nonlocal count
        count += Path(target).parent == folder and not Path(target).name.startswith(".")
        if count == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", fail)
        with pytest.raises(InputError, match="No space left"):
            trained("baseline").save(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    if failing == 1:
        assert Model.load(folder).hash == trained("small").hash
    else:
        with pytest.raises(InputError, match="different models"):
            Model.load(folder)
    trained("baseline").save(folder)
    assert Model.load(folder).hash == trained("baseline").hash


def test_training_again_loads_what_is_there(
    splits: DataSplits, trained: Trained, trainings: Path, tmp_path: Path
) -> None:
    first = trained("small")
    before = {path: path.stat().st_mtime_ns for path in trainings.rglob("*.safetensors")}
    again = train("small", splits, tiny.CONFIG, trainings, 0, tiny.CPU)
    assert again.hash == first.hash
    assert before == {path: path.stat().st_mtime_ns for path in trainings.rglob("*.safetensors")}
    other = train("small", splits, tiny.CONFIG, tmp_path, 1, tiny.CPU)
    assert other.hash != first.hash


def test_training_refuses(splits: DataSplits, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown method 'smal'; did you mean 'small'"):
        train("smal", splits, tiny.CONFIG, tmp_path)
    for seed in (-1, 1.5):
        with pytest.raises(InputError, match="--seed must be at least 0 and whole"):
            train("small", splits, tiny.CONFIG, tmp_path, seed)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("batch_size", [0, -3])
def test_sampling_refuses(batch_size: int, trained: Trained) -> None:
    model = trained("small")
    with pytest.raises(InputError, match="batch_size must be at least 1, got"):
        model.sample([0], batch_size=batch_size)
    with pytest.raises(InputError, match="seed must be at least 0, got -1"):
        model.sample([0], seed=-1)
    with pytest.raises(InputError, match="first must be at least 0, got -1"):
        model.sample([0], first=-1)
    with pytest.raises(InputError, match="2 labels and 3 indices: one each"):
        model.trajectory([0, 1], indices=[0, 1, 2])  # at once, not with the first step
    with pytest.raises(InputError, match="labels must be a list of whole numbers"):
        model.trajectory([1.7])  # type: ignore[list-item]
    with pytest.raises(InputError, match="seed must be at least 0, got -1"):
        model.trajectory([1], seed=-1)
    with pytest.raises(InputError, match="nothing to sample"):
        model.sample([])
    for labels in (3, None, [1.5], "12", [[0, 1]]):
        with pytest.raises(InputError, match="labels must be a list of whole numbers"):
            model.sample(labels)  # type: ignore[arg-type]


# Through an autoencoder and back


@pytest.mark.parametrize("name", ["vae", "latent", "latent-flow"])
def test_reconstructing(name: str, trained: Trained, splits: DataSplits) -> None:
    """Every method with an autoencoder does it with the same one."""
    model, part = trained(name), splits.test()
    given = Samples(part.unit()[:, 0].numpy(), part.labels.numpy(), {"method": "real-test"})
    found = sc.reconstruct(model, given)
    np.testing.assert_array_equal(found.labels, given.labels)
    assert found.images.shape == given.images.shape
    assert found.images.dtype == np.float32
    assert found.meta["method"] == "vae-reconstruction"
    assert (found.meta["model"], found.meta["of"]) == (model.hash, given.meta)
    alike = np.abs(given.images - splits.train.unit().mean(dim=0).numpy()).mean()
    assert np.abs(found.images - given.images).mean() < 0.6 * alike
    same = sc.reconstruct(trained("vae"), given)
    np.testing.assert_array_equal(found.images, same.images)
    assert given.meta == {"method": "real-test"}


def test_reconstructing_refuses(trained: Trained) -> None:
    given = Samples(np.zeros((2, 12, 12), np.float32), np.array([0, 1]))
    for name in ("small", "cascaded", "baseline"):
        with pytest.raises(InputError, match=f"method '{name}' has no autoencoder"):
            sc.reconstruct(trained(name), given)
    large = Samples(np.zeros((2, 28, 28), np.float32), np.array([0, 1]))
    with pytest.raises(InputError, match="12 x 12 are needed"):
        sc.reconstruct(trained("vae"), large)
    bright = Samples(given.images + 2, given.labels)
    with pytest.raises(InputError, match=r"must lie in \[0, 1\]"):
        sc.reconstruct(trained("vae"), bright)


@pytest.mark.parametrize("own", [{"stages": 3}, {"stages": {"small": 3}}, {"stages.small": None}])
def test_no_mapping_where_fields_of_a_stage_should_be(own: Any, trained: Trained) -> None:
    with pytest.raises(InputError, match="must be a mapping of fields"):
        trained("small").resampled(own)


@pytest.mark.parametrize("name", ["config.json", "README.md"])
def test_another_projects_files_are_not_replaced(
    name: str, trained: Trained, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=f"has a {name} and is no scalespace model"):
        trained("small").save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "{}"
    (tmp_path / name).unlink()
    for _ in range(2):  # one's own are
        trained("small").save_pretrained(tmp_path)


def test_weights_of_another_kind_of_number(trained: Trained, tmp_path: Path) -> None:
    trained("small").save(tmp_path)
    tensors, record = load_tensors(tmp_path / "model.safetensors")
    half = {name: tensor.bfloat16() for name, tensor in tensors.items()}
    save_tensors(tmp_path / "model.safetensors", half, record)
    with pytest.raises(InputError, match="is of type bfloat16, where scalespace writes float32"):
        Model.load(tmp_path)


def test_devices_by_name(trained: Trained, tmp_path: Path) -> None:
    trained("small").save(tmp_path)
    assert Model.from_pretrained(tmp_path, device="auto").device.type in DEVICES
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        Model.from_pretrained(tmp_path, device="gpu")
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        Runtime(device="gpu")  # type: ignore[arg-type]


def test_what_is_printed_is_short(splits: DataSplits, model_dir: Path) -> None:
    """No tensors in a notebook's output."""
    model = Model.load(model_dir)
    samples = model.sample([0, 1])
    (first, *_) = model.trajectory([0, 1])
    assert repr(samples) == "<2 samples of 12 x 12 pixels by cascaded>"
    assert repr(first) == "<step t=2 of small: x [2, 1, 6, 6]>"
    assert repr(splits.train) == "<99 images of mnist, 12 x 12 pixels, 3 classes>"
    assert repr(splits) == (
        "<data mnist (own files): 99 to train on, 21 to validate with, 12 x 12 pixels>"
    )


def test_to_another_device(trained: Callable[[str], Model]) -> None:
    model = trained("cascaded")
    again = model.to("cpu")
    assert again is not model
    assert again.hash == model.hash
    np.testing.assert_array_equal(again.sample([0, 1]).images, model.sample([0, 1]).images)
    with pytest.raises(InputError, match="device"):
        model.to("nowhere")
