"""Values and files that do not fit: code 2, and one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tiny
from scalespace.cli import main
from scalespace.data import read_samples, write_samples
from scalespace.data.samples import Samples


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "words",
    [
        "train",
        "train small",
        "train small --out",
        "train small extra --out OUT",
        "train small --out OUT --seed x",
        "train small --out OUT --seed -1",
        "train small --out OUT --device tpu",
        "train small --out OUT --devices 0",
        "train small --out OUT --precision 8",
        "train small --out OUT --train.epochs=0",
        "train small --out OUT --train.epochs=1.5",
        "train small --out OUT --train.epochs=",
        "train small --out OUT --train.lr=-1",
        "train small --out OUT --train.lr=nan",
        "train small --out OUT --net.norm=layer",
        "train small --out OUT --net.channels=4,x",
        "train small --out OUT --net.channels=[]",
        "train small --out OUT --net.channels=4,4,4,4,4,4",
        "train small --out OUT --net.patch=5",
        "train small --out OUT --process.states=1",
        "train small --out OUT --process.power=0",
        "train small --out OUT --process.power=1e-300",
        "train small --out OUT --process.power=1e300",
        "train small --out OUT --process.predict=null",
        "train small --out OUT --stages.small.train.epochs=0",
        "train small --out OUT --stages.small=3",
        "train small --out OUT --stages=3",
        "train judge",
        "train judge --out OUT --seed -1",
        "train judge --out OUT --reuse small",
        "train small --out OUT --reuse nowhere",
        "train small --out OUT --reuse small,JUDGE",
        "train judge --out OUT --train.epochs=0",
        "train judge --out OUT --stages.judge.train.lr=0",
        "train judge --out OUT --stages.judge=3",
        "train vae --out OUT --autoencoder.channels=",
        "train vae --out OUT --autoencoder.channels=0",
        "train vae --out OUT --autoencoder.latent=0",
        "train vae --out OUT --autoencoder.beta=-1",
        "train vae --out OUT --autoencoder.beta=nan",
        "train vae --out OUT --autoencoder.prior=flat",
        "train vae --out OUT --autoencoder.channels=4 --autoencoder.latent=256",
        "train latent --out OUT --autoencoder.channels=4,4,4,4,4",
        "train latent --out OUT --net.channels=4,4,4",
        "train latent --out OUT --net.patch=3",
        "train small --out OUT --process.schedule=quadratic",
        "train small --out OUT --process.predict=velocity",
        "train small --out OUT --process.labels=perhaps",
        "study --study.metrics=",
        "study --jobs 0",
        "study --devices 2",
        "study --study.seeds=0,0",
        "study --study.seeds=-1",
        "study --study.seeds=",
        "study --study.seeds=a",
        "study --study.images=0",
        "sample MODEL --out OUT.npz",
        "sample MODEL --labels 1 --per-class 1 --out OUT.npz",
        "sample MODEL --labels 1",
        "sample MODEL --labels , --out OUT.npz",
        "sample MODEL --labels 1,x --out OUT.npz",
        "sample MODEL --labels 1_0 --out OUT.npz",
        "sample MODEL --labels 0,3 --out OUT.npz",
        "sample MODEL --labels=-1 --out OUT.npz",
        "sample MODEL --labels 99999999999999999999999 --out OUT.npz",
        "sample MODEL --per-class 0 --out OUT.npz",
        "sample MODEL --per-class -3 --out OUT.npz",
        "sample MODEL --per-class 1 --batch-size 0 --out OUT.npz",
        "sample MODEL --per-class 1 --seed -1 --out OUT.npz",
        "sample MODEL --per-class 1 --out OUT.zip",
        "sample MODEL --per-class 1 --out MODEL",
        "sample MODEL --per-class 1 --out OUT.npz --grid OUT.npz",
        "sample MODEL --per-class 1 --out OUT.npz --gif OUT.png",
        "sample NONE --per-class 1 --out OUT.npz",
        "sample FILE --per-class 1 --out OUT.npz",
        "reconstruct",
        "reconstruct MODEL --out OUT.npz",
        "reconstruct NONE --out OUT.npz",
        "reconstruct MODEL",
        "reconstruct MODEL --out OUT",
        "reconstruct MODEL --out OUT.npz --grid OUT.npz",
        "reconstruct MODEL --out OUT.npz --samples NONE",
        "evaluate NONE",
        "evaluate MODEL",
        "evaluate FILE --classifiers 0",
        "evaluate FILE --classifiers x",
        "evaluate FILE --cas.epochs=0",
        "evaluate FILE --metrics=",
        "evaluate FILE --data digits",
        "evaluate FILE --metrics cas,",
        "evaluate FILE --judge",
        "evaluate FILE --metrics fd --judge OUT",
        "evaluate FEW --metrics fd --judge JUDGE",
        "evaluate FEW --metrics kid --judge JUDGE",
        "evaluate FEW --metrics prdc --judge JUDGE",
        "bench",
        "bench NONE",
        "bench MODEL NONE",
        "bench MODEL --bench.productions=0",
        "bench MODEL --bench.batch_sizes=0",
        "models NONE",
        "models FILE",
        "data",
        "data mnist --grid OUT.txt",
        "plot cas NONE --out OUT.png",
        "plot cas",
    ],
)
def test_bad_values(
    words: str,
    refused: Callable[..., str],
    samples: Path,
    data_dir: Path,
    preset: Path,
    model_dir: Path,
    judge_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCALESPACE_DATA", str(data_dir))
    monkeypatch.chdir(tmp_path)
    few = read_samples(samples)
    write_samples(tmp_path / "few.npz", Samples(few.images[:1], few.labels[:1], few.meta))
    before = tree(tmp_path)
    places = {"OUT": tmp_path / "out", "OUT.npz": tmp_path / "out.npz", "FILE": samples}
    places |= {"OUT.png": tmp_path / "out.png", "OUT.txt": tmp_path / "out.txt"}
    places |= {"MODEL": model_dir, "NONE": tmp_path / "none", "JUDGE": judge_dir}
    places |= {"FEW": tmp_path / "few.npz"}
    extra = ["--preset", preset] if words.startswith(("train", "study")) else []
    refused(*(places.get(word, word) for word in words.split()), *extra)
    after = tree(tmp_path)
    # a training that could not begin may have left its config, and nothing else
    assert {
        name for name in after.keys() - before.keys() if not name.endswith("config.json")
    } == set()


def test_data_that_are_not_there(
    refused: Callable[..., str], preset: Path, samples: Path, tmp_path: Path
) -> None:
    where = tmp_path / "mistyped" / "root"
    for words in (
        ["train", "small", "--preset", preset, "--out", tmp_path / "out"],
        ["evaluate", samples],
        ["study", "--preset", preset, "--out", tmp_path / "study"],
    ):
        message = refused(*words, "--data-dir", where)
        assert "mnist is not in" in message
        assert "no network in tests" in message
    assert "kmnist is not in" in refused("data", "kmnist", "--data-dir", where)
    assert sorted(tree(tmp_path)) == ["real.npz"]


def test_a_file_that_names_no_data(refused: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, images=np.zeros((2, 12, 12), np.float32), labels=np.array([0, 1]))
    assert "--data NAME" in refused("evaluate", path)
    write_samples(
        path, Samples(np.zeros((2, 12, 12), np.float32), np.array([0, 1]), {"data": "my"})
    )
    assert "is of 'my', which does not come by name: say where it lies" in refused("evaluate", path)


def test_samples_of_another_size(
    refused: Callable[..., str], data_dir: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, images=np.zeros((2, 28, 28), np.float32), labels=np.array([0, 1]))
    message = refused("evaluate", path, "--data", "mnist", "--data-dir", data_dir)
    assert "12 x 12 are needed" in message


def test_images_too_small_to_score(refused: Callable[..., str], tmp_path: Path) -> None:
    root = tiny.write_data(tmp_path / "data", side=6)
    images, labels = tiny.pictures(6, 6)
    np.savez(tmp_path / "x.npz", images=(images / 255).astype(np.float32), labels=labels)
    words = ["evaluate", tmp_path / "x.npz", "--data", "mnist", "--data-dir", root, "--quiet"]
    message = refused(*words)
    assert "at least 8x8" in message


def test_images_of_odd_size(refused: Callable[..., str], preset: Path, tmp_path: Path) -> None:
    root = tiny.write_data(tmp_path / "data", side=13)
    common = ["--preset", preset, "--data-dir", root, "--out", tmp_path / "out"]
    for words in (["train", "small"], ["train", "cascaded"], ["study"]):
        assert "13x13" in refused(*words, *common)
    main([str(word) for word in ["train", "baseline", *common, "--quiet"]])


def test_a_training_that_diverges(
    refused: Callable[..., str], preset: Path, data_dir: Path, tmp_path: Path
) -> None:
    words = ["train", "small", "--preset", preset, "--data-dir", data_dir, "--quiet"]
    message = refused(*words, "--out", tmp_path / "out", "--train.lr=1e30")
    assert "diverged" in message
    assert not (tmp_path / "out" / "config.json").exists()
