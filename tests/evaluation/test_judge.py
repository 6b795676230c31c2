from __future__ import annotations

import json
import random
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from string import ascii_uppercase

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from scalespace.config import TrainConfig
from scalespace.data import DataSplits, load
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.evaluation import judge as module
from scalespace.evaluation.judge import (
    SEES,
    SHIPPED,
    Judge,
    find_judge,
    load_judge,
    named_judge,
    shipped_judge,
)
from scalespace.evaluation.normality import accuracy
from scalespace.settings import load_config, make_training, stage_recipe
from scalespace.stages.judge import JUDGE

CONFIG, WEIGHTS = "config.json", "model.safetensors"


@pytest.fixture
def copied(judge_dir: Path, tmp_path: Path) -> Path:
    """A judge's folder, for a test to damage."""
    return Path(shutil.copytree(judge_dir, tmp_path / "judge"))


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_judge(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


# The folder


def test_save_and_load(judge: Judge, judge_dir: Path, splits: DataSplits) -> None:
    assert sorted(path.name for path in judge_dir.iterdir()) == [CONFIG, WEIGHTS]
    again = load_judge(judge_dir)
    assert (again.hash, again.data) == (judge.hash, judge.data)
    assert again.record == json.loads(json.dumps(judge.record))
    config = json.loads((judge_dir / CONFIG).read_text())
    assert (config["format"], config["judge"]) == (1, judge.hash)
    assert config["accuracy"] == judge.record["accuracy"]
    x = splits.val.unit()
    for ours, theirs in zip(judge.features(x), again.features(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_weights_load_in_plain_torch(judge: Judge, judge_dir: Path, splits: DataSplits) -> None:
    """Under the names of the seed series' own class, whose network is an attribute `layers`."""

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                *[nn.Conv2d(1, 8, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2, 2)],
                *[nn.Conv2d(8, 16, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2, 2)],
                *[nn.Conv2d(16, 32, 3, padding="same"), nn.ReLU(), nn.AvgPool2d(4, 4)],
                *[nn.Flatten(), nn.Dropout(), nn.Linear(32, 3)],
            )

    weights = load_file(judge_dir / WEIGHTS)
    assert set(weights) == {
        f"layers.{k}.{part}" for k in (0, 3, 6, 11) for part in ("weight", "bias")
    }
    net = Classifier().eval()
    net.load_state_dict(weights)
    x = nn.functional.pad(splits.val.unit(), (2, 2, 2, 2))
    with torch.no_grad():
        torch.testing.assert_close(net.layers(x), judge.net(x))


def test_the_hash_names_the_weights_alone(judge: Judge) -> None:
    same = Judge({k: v.clone() for k, v in reversed(judge.weights.items())}, judge.data, {"x": 1})
    assert same.hash == judge.hash
    assert len(judge.hash) == 12
    for name in judge.weights:
        changed = {k: v.clone() for k, v in judge.weights.items()}
        changed[name].view(-1)[0] += 1e-3
        assert Judge(changed, judge.data, {}).hash != judge.hash
    renamed = {f"x{name}": value for name, value in judge.weights.items()}
    assert Judge(renamed, judge.data, {}).hash != judge.hash


def test_saving_replaces_a_judge(judge: Judge, tmp_path: Path) -> None:
    other = Judge({k: 2 * v for k, v in judge.weights.items()}, judge.data, {"note": "other"})
    judge.save(tmp_path)
    other.save(tmp_path)
    assert load_judge(tmp_path).hash == other.hash
    assert load_judge(tmp_path).record == {"note": "other"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONFIG, WEIGHTS]


@pytest.mark.parametrize("limit", [100, 3000])
def test_a_full_disk(limit: int, judge: Judge, tmp_path: Path) -> None:
    """The first stops the config, the second the weights: the judge that was there stays."""
    judge.save(tmp_path)
    other = Judge({k: 2 * v for k, v in judge.weights.items()}, judge.data, {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(InputError, match=r"cannot write .*[Tt]oo large"):
            other.save(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONFIG, WEIGHTS]
    assert load_judge(tmp_path).hash == judge.hash


# Damage


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_files_cut_short_or_absent(name: str, copied: Path) -> None:
    content = (copied / name).read_bytes()
    for size in (0, 1, 8, 100, len(content) // 2, len(content) - 2):
        (copied / name).write_bytes(content[:size])
        refused(copied)
    (copied / name).unlink()
    refused(copied)


def test_random_damage_is_refused_or_harmless(copied: Path, judge: Judge) -> None:
    rng = random.Random(0)
    originals = {name: (copied / name).read_bytes() for name in (CONFIG, WEIGHTS)}
    refusals = 0
    for _ in range(150):
        name = rng.choice([CONFIG, WEIGHTS])
        content = bytearray(originals[name])
        for _ in range(rng.choice([1, 1, 4])):
            content[rng.randrange(len(content))] = rng.randrange(32, 127)
        (copied / name).write_bytes(content)
        message = None
        try:
            found = load_judge(copied)
        except InputError as error:
            refusals += 1
            message = str(error)
        # what is left unnoticed does not change a figure
        assert found.hash == judge.hash if message is None else "\n" not in message
        (copied / name).write_bytes(originals[name])
    assert refusals > 70


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2, this version reads 1"),
        ({"format": None}, "format None"),
        ({"judge": "0123456789ab"}, "not those of judge 0123456789ab"),
        ({"data": 3}, "damaged"),
        ({"data": {"name": "x"}}, "damaged"),
        ({"data": {}}, "damaged"),
    ],
)
def test_a_config_that_does_not_fit(change: dict, message: str, copied: Path) -> None:
    config = json.loads((copied / CONFIG).read_text())
    (copied / CONFIG).write_text(json.dumps({**config, **change}))
    assert message in refused(copied)


@pytest.mark.parametrize(
    "fields",
    [
        {"height": 28},
        {"height": 0},
        {"height": 10**9},
        {"width": "12"},
        {"width": 12.5},
        {"classes": ["a", "b"]},
        {"classes": 3},
        {"std": 0},
        {"side": 12},
    ],
)
def test_facts_of_the_data_that_do_not_fit(fields: dict, copied: Path) -> None:
    config = json.loads((copied / CONFIG).read_text())
    config["data"] |= fields
    (copied / CONFIG).write_text(json.dumps(config))
    refused(copied)


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"', "{}"])
def test_a_config_that_is_none(content: str, copied: Path) -> None:
    (copied / CONFIG).write_text(content)
    refused(copied)


def test_weights_of_something_else(copied: Path, model_dir: Path) -> None:
    shutil.copy(model_dir / WEIGHTS, copied)
    assert "damaged" in refused(copied)
    save_file({"layers.0.weight": torch.zeros(8, 1, 3, 3)}, copied / WEIGHTS)
    assert "damaged" in refused(copied)
    (copied / WEIGHTS).write_bytes(b"\x80\x04K\x01.")  # a pickle is not read
    assert "damaged" in refused(copied)


def test_weights_of_another_judge(copied: Path, judge: Judge, tmp_path: Path) -> None:
    other = Judge({k: v + 1e-3 for k, v in judge.weights.items()}, judge.data, {})
    shutil.copy(other.save(tmp_path / "other") / WEIGHTS, copied)
    assert f"not those of judge {judge.hash}" in refused(copied)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_judge_that_sees_nothing(value: float, judge: Judge, tmp_path: Path) -> None:
    """All its features are alike: by FD, noise would be as good as real images."""
    weights = {name: torch.full_like(tensor, value) for name, tensor in judge.weights.items()}
    if value:
        weights["layers.0.weight"] = torch.zeros_like(weights["layers.0.weight"])
    Judge(weights, judge.data, judge.record).save(tmp_path)
    with pytest.raises(InputError, match="this judge sees nothing: its features are the same"):
        load_judge(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"history": 3},
        {"history": [3]},
        {"history": [{"epoch": 1}]},
        {"history": [{"epoch": 1, "loss": "x"}]},
        {"accuracy": {"test": "x"}},
        {"accuracy": []},
    ],
)
def test_a_record_that_makes_no_figures(change: dict, copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(InputError, match="is no judge, or a damaged one"):
        load_judge(copied)


def test_a_shipped_judge_by_its_name(splits: DataSplits, tmp_path: Path) -> None:
    """As for own files in MNIST's form, which no judge sees unasked."""
    assert named_judge("mnist").data.name == "mnist"
    with pytest.raises(InputError, match=r"not found: mnits; did you mean 'mnist'\? \(shipped: "):
        named_judge("mnits")
    with pytest.raises(InputError, match="judge folder not found"):
        named_judge(tmp_path / "mnist")


def test_what_is_no_judge_folder(tmp_path: Path, model_dir: Path) -> None:
    assert "judge folder not found" in refused(tmp_path / "none")
    (tmp_path / "file").write_text("here")
    assert "is a file, not a folder: name a judge folder" in refused(tmp_path / "file")
    assert "judge config not found" in refused(tmp_path)
    for text, said in (("[]", "is no JSON object"), ("{}", "it lacks 'format'")):
        (tmp_path / "config.json").write_text(text)
        assert said in refused(tmp_path)
    refused(model_dir)  # a model's folder has files of the same names


# Features


def test_features_of_a_batch_are_those_of_its_parts(
    judge: Judge, splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = splits.val.unit()
    whole = judge.features(x)
    net = judge.net
    with torch.no_grad():
        direct = net.embed(nn.functional.pad(x, (2, 2, 2, 2)))
    for one, other in zip(whole, direct, strict=True):
        assert one.shape == (len(x), 32)
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other)
    monkeypatch.setattr(module, "PART", 4)
    for given in (x, x[:, 0], x.numpy(), x[:, 0].numpy(), x.double().numpy()):
        for one, other in zip(whole, judge.features(given), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_probabilities(judge: Judge, splits: DataSplits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of its logits, in whatever parts; they find the class as often as `accuracy` says."""
    images = splits.val.unit()
    expected = judge.net(judge.net.pad(images)).softmax(dim=1)
    monkeypatch.setattr(module, "PART", 7)
    found = judge.probabilities(images[:, 0].numpy())
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(len(images)))
    right = (found.argmax(dim=1) == splits.val.labels).float().mean()
    told = accuracy(judge.net, images, splits.val.labels)
    assert float(right) == pytest.approx(told, abs=1e-6)
    with pytest.raises(InputError, match="the judge sees 12x12 images, these are 28x28"):
        judge.probabilities(np.zeros((1, 28, 28)))


@pytest.mark.parametrize("shape", [(2, 28, 28), (2, 1, 12, 13), (2, 11, 12)])
def test_images_of_another_size(shape: tuple[int, ...], judge: Judge) -> None:
    with pytest.raises(InputError, match="the judge sees 12x12 images, these are"):
        judge.features(np.zeros(shape, dtype=np.float32))


# Which judge sees


def test_the_judge_in_a_folder_or_the_shipped_one(
    judge: Judge, judge_dir: Path, splits: DataSplits
) -> None:
    assert find_judge(splits.info, judge_dir).hash == judge.hash
    assert shipped_judge(splits.info) is None  # for it is of 12x12 pixels and three classes
    with pytest.raises(InputError, match=r"mnist \(own files\) ships.*train judge.*--judge FOLDER"):
        find_judge(splits.info)
    other = replace(splits.info, height=28, width=28)
    with pytest.raises(InputError, match="the judge sees 12x12 images, those of mnist are 28x28"):
        find_judge(other, judge_dir)


MNIST = DataInfo("mnist", tuple("0123456789"), 28, 28, 0.13, 0.31, "whatever")


@pytest.mark.parametrize(
    ("fields", "sees"),
    [
        ({}, True),
        ({"name": "digits"}, True),
        ({"name": "fashion"}, False),
        ({"name": "kmnist"}, False),
        ({"name": ""}, False),
        ({"name": ".."}, False),
        ({"height": 32}, False),
        ({"classes": ("a", "b", "c")}, False),
    ],
)
def test_one_ships_for_handwritten_digits(fields: dict, sees: bool) -> None:
    assert (shipped_judge(replace(MNIST, **fields)) is not None) == sees


def test_none_ships_where_the_package_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "SHIPPED", tmp_path)
    assert shipped_judge(MNIST) is None
    with pytest.raises(InputError, match="no judge for mnist ships"):
        find_judge(MNIST)


def test_the_shipped_judge_is_the_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its recipe is the stage's own, it names its training, and it reads digits."""
    judge = shipped_judge(MNIST)
    assert judge is not None
    recipe = stage_recipe(load_config("default"), JUDGE)
    assert TrainConfig(**judge.record["recipe"]["train"]) == recipe.train
    training = make_training(load_config("default"), JUDGE, judge.record["seed"], judge.data)
    assert judge.record["identity"] == training.identity
    assert sum(weight.numel() for weight in judge.weights.values()) == 7178
    assert judge.record["accuracy"]["test"] > 0.985
    assert len(judge.record["history"]) == 100
    digits = load("digits").test()
    assert accuracy(judge.net, digits.unit(), digits.labels) > 0.98
    assert SHIPPED.is_dir()


@pytest.mark.parametrize("name", sorted({*SEES.values()}))
def test_every_shipped_judge(name: str) -> None:
    """It goes by its name, says what it has learnt, and is small."""
    judge = named_judge(name)
    assert SEES[judge.data.name] == name
    assert sum(weight.numel() for weight in judge.weights.values()) < 7500
    assert judge.record["accuracy"]["test"] > 0.89
    assert judge.net(torch.zeros(2, 1, 32, 32)).shape == (2, len(judge.data.classes))
    training = make_training(load_config("default"), JUDGE, judge.record["seed"], judge.data)
    assert judge.record["identity"] == training.identity


def test_all_letters_are_told_of_the_judge_of_some() -> None:
    letters = DataInfo("emnist-letters", tuple(ascii_uppercase), 28, 28, 0.17, 0.33, "")
    assert shipped_judge(letters) is None
    with pytest.raises(InputError, match="or pass --judge letters-a-l to see with that of"):
        find_judge(letters)
    assert find_judge(letters, "letters-a-l").data.classes == tuple("ABCDEFGHIJKL")


def test_no_judge_is_run_with_dropout(judge: Judge, splits: DataSplits) -> None:
    first, again = (judge.features(splits.val.unit()).pooled for _ in "ab")
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not judge.net.training
    assert not any(p.requires_grad for p in judge.net.parameters())
