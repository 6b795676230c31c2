"""Every verb as a user types it; bad input ends in code 2 and one line."""

from __future__ import annotations

import io
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import scalespace as sc
import tiny
from scalespace import __version__, options, pretrained
from scalespace.cli import VERBS, main
from scalespace.data import read_samples, write_samples
from scalespace.data.samples import Samples
from scalespace.errors import InputError
from scalespace.evaluation.judge import load_judge
from scalespace.methods import METHODS
from scalespace.model import Model

Capture = pytest.CaptureFixture[str]
Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: Capture) -> Callable[..., str]:
    """Runs a command that must be refused; gives its one line."""

    def run(*words: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert stop.value.code == 2, err
        *before, line = err.splitlines()
        assert all(one.startswith("downloading http") for one in before), err
        assert line.startswith("scalespace: "), err
        assert out == ""
        return line

    return run


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def samples(data_dir: Path, tmp_path: Path) -> Path:
    images, labels = tiny.pictures(30)
    path = tmp_path / "real.npz"
    write_samples(path, Samples((images / 255).astype(np.float32), labels, {"data": "mnist"}))
    return path


# What the program says of itself


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["help"]])
def test_overview(words: list[str], capsys: Capture) -> None:
    main(words)
    out = capsys.readouterr().out
    for verb, about in VERBS.items():
        assert verb in out
        assert about in out


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_version(word: str, capsys: Capture) -> None:
    main([word])
    assert capsys.readouterr().out == f"scalespace {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb(verb: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert f"usage: scalespace {verb}" in out
    assert VERBS[verb][1:] in " ".join(out.split())


def test_help_explains_the_fields(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "--process.predict" in out
    assert "exponent of the cosine schedule" in out


def test_models_lists_the_methods(capsys: Capture) -> None:
    main(["models"])
    *methods, _, shipped = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in methods] == list(METHODS)
    assert all(name in shipped for name in pretrained.names())
    main(["models", "--json"])
    about = json.loads(capsys.readouterr().out)
    assert [one["method"] for one in about] == list(METHODS)
    assert sorted(name for one in about for name in one["shipped"]) == pretrained.names()


def given(*words: str) -> dict[str, Any]:
    using = options.parser("train", "")
    options.add_config(using)
    return options.config_fields(options.parse(using, words)[1])


def test_options_for_a_stage_add_up_and_the_later_wins() -> None:
    fields = given(
        "--stages={small: {train: {epochs: 1, lr: 0.5}}, upscaler: {net: {overview: 0}}}",
        "--stages.small.train.epochs=2",
        "--train.epochs=7",
        "--stages.small.objective.unlabelled",
        "0.1",
        "--stages.small.train.epochs=3",
    )
    small = {"train": {"epochs": 3, "lr": 0.5}, "objective": {"unlabelled": 0.1}}
    assert fields["stages"] == {"small": small, "upscaler": {"net": {"overview": 0}}}
    assert fields["train"] == {"epochs": 7}


@pytest.mark.parametrize("words", [["--stages.small.train.epochs"], ["--stages=3"], ["--stages="]])
def test_options_for_a_stage_without_a_value_or_a_stage(words: list[str]) -> None:
    with pytest.raises(InputError, match=r"^--stages"):
        given(*words)


def test_a_dry_run_shows_the_recipe_of_each_stage(tmp_path: Path, capsys: Capture) -> None:
    """As a preset that gives the same."""
    words = ["--preset", "quick", "--train.epochs=7", "--stages.small.train.lr=0.5"]
    main(["train", "cascaded", *words, "--dry-run"])
    shown = capsys.readouterr().out
    stages = yaml.safe_load(shown)["stages"]
    assert list(stages) == ["small", "upscaler"]
    assert [stages[name]["train"]["epochs"] for name in stages] == [7, 7]
    assert stages["small"]["train"]["lr"] == 0.5
    (tmp_path / "mine.yaml").write_text(shown)
    main(["train", "cascaded", "--preset", str(tmp_path / "mine.yaml"), "--dry-run"])
    assert yaml.safe_load(capsys.readouterr().out)["stages"] == stages
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]
    main(["train", "judge", "--dry-run"])
    assert list(yaml.safe_load(capsys.readouterr().out)["stages"]) == ["judge"]


# The whole way


def test_train_sample_evaluate_bench(
    data_dir: Path, preset: Path, tmp_path: Path, capsys: Capture
) -> None:
    out, file = tmp_path / "model", tmp_path / "new" / "x.npz"
    common = ["--data-dir", str(data_dir), "--quiet", "--device", "cpu"]
    train = ["train", "cascaded", "--preset", str(preset), "--out", str(out), *common]
    own = ["--stages.small.train.epochs=3", "--stages.small.train.lr", "0.002"]
    main([*train, "--seed", "3", *own, "--train.batch_size", "33"])
    assert f"model: {out}" in capsys.readouterr().out
    config = json.loads((out / "config.json").read_text())
    epochs = {name: part["recipe"]["train"]["epochs"] for name, part in config["stages"].items()}
    assert epochs == {"small": 3, "upscaler": 2}
    assert config["stages"]["small"]["recipe"]["train"]["lr"] == 0.002
    assert {part["seed"] for part in config["stages"].values()} == {3}
    assert {part["recipe"]["train"]["batch_size"] for part in config["stages"].values()} == {33}

    sample = ["sample", str(out), "--quiet", "--device", "cpu", "--seed", "4"]
    grid, gif = tmp_path / "g.png", tmp_path / "g.gif"
    main([*sample, "--per-class", "4", "--out", str(file), "--grid", str(grid), "--gif", str(gif)])
    made = read_samples(file)
    assert made.labels.tolist() == [0, 1, 2] * 4
    assert made.meta["model"] == config["hash"]
    with Image.open(grid) as picture, Image.open(gif) as film:
        assert picture.width > picture.height * 0.5
        assert film.n_frames == 2 * 3  # two stages of three states
    for batch_size in (1, 7, 64):
        again = tmp_path / f"{batch_size}.npz"
        main([*sample, "--per-class", "4", "--batch-size", str(batch_size), "--out", str(again)])
        np.testing.assert_allclose(read_samples(again).images, made.images, atol=1e-4)
    main([*sample, "--labels", "2,0", "--out", str(tmp_path / "two.npz")])
    assert read_samples(tmp_path / "two.npz").labels.tolist() == [2, 0]

    capsys.readouterr()
    evaluate = ["evaluate", str(file), *common, "--cas.epochs=1", "--classifiers", "2"]
    main([*evaluate, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["data"] == "mnist"  # the file names it
    assert found["cas"]["n"] == 12
    assert np.array(found["cas"]["confusion"]).sum() == 2 * 60
    main([*evaluate, "--data", "mnist"])
    assert f"samples: CAS {found['cas']['cas']:.4f} ± " in capsys.readouterr().out

    bench = ["bench", str(out), "--quiet", "--device", "cpu", "--bench.productions=2"]
    main([*bench, "--bench.batch_sizes=2,3", "--bench.warmup=0", "--json"])
    cost = json.loads(capsys.readouterr().out)["models"]["cascaded"]
    assert (cost["calls"], cost["productions"]) == (4, 2)
    assert cost["throughput"].keys() == {"2", "3"}
    main([*bench, "--bench.batch_sizes=2"])
    assert "4 calls" in capsys.readouterr().out

    main(["models", str(out), "--json"])
    about = json.loads(capsys.readouterr().out)
    assert about["calls"] == 4
    main(["models", str(out)])
    assert "4 network calls a sample" in capsys.readouterr().out


def test_training_again_changes_nothing(data_dir: Path, preset: Path, tmp_path: Path) -> None:
    words = ["train", "small", "--preset", str(preset), "--out", str(tmp_path / "model"), "--quiet"]
    words += ["--data-dir", str(data_dir), "--trainings", str(tmp_path / "shared")]
    main(words)
    before = tree(tmp_path)
    main(words)
    assert tree(tmp_path) == before
    assert {name.split("/")[0] for name in before} == {"model", "shared"}


def test_controls_stand_beside_a_score(samples: Path, data_dir: Path, capsys: Capture) -> None:
    words = ["evaluate", str(samples), "--data-dir", str(data_dir), "--device", "cpu", "--controls"]
    main([*words, "--cas.epochs=3", "--cas.batch_size=10", "--classifiers", "1", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["cas"]["n"] == found["real"]["cas"]["n"] == found["real-down-up"]["cas"]["n"] == 30
    assert found["real"]["cas"]["cas"] > 0.8


@pytest.mark.parametrize("method", ["vae", "latent", "latent-flow"])
def test_methods_with_latents(
    method: str, data_dir: Path, preset: Path, tmp_path: Path, capsys: Capture
) -> None:
    out, file, gif = tmp_path / "model", tmp_path / "x.npz", tmp_path / "x.gif"
    train = ["train", method, "--preset", str(preset), "--data-dir", str(data_dir), "--quiet"]
    main([*train, "--device", "cpu", "--out", str(out)])
    captured = capsys.readouterr()
    stages = [stage.name for stage in METHODS[method].stages]
    assert [line.split(":")[0] for line in captured.err.splitlines()] == stages
    sample = ["sample", str(out), "--quiet", "--per-class", "2", "--gif", str(gif)]
    main([*sample, "--out", str(file)])
    assert read_samples(file).meta["conditional"] is True
    with Image.open(gif) as film:
        assert film.n_frames == (2 if method == "vae" else 3 + 1)
    capsys.readouterr()
    main(["models", str(out)])
    calls = 1 if method == "vae" else 3
    assert f"{calls} network calls a sample" in capsys.readouterr().out
    main(["bench", str(out), "--quiet", "--bench.productions=1", "--bench.batch_sizes=2", "--json"])
    assert json.loads(capsys.readouterr().out)["models"][method]["calls"] == calls


def test_reconstruct(
    data_dir: Path,
    trained: Callable[[str], Model],
    samples: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from scalespace.figures import grids

    model = trained("latent").save(tmp_path / "model")
    out, shown = tmp_path / "x.npz", []
    save_grid = grids.save_grid

    def note(path: Path, images: np.ndarray, columns: int) -> None:
        shown.append((images, columns))
        save_grid(path, images, columns)

    monkeypatch.setattr(grids, "save_grid", note)
    words = ["reconstruct", str(model), "--out", str(out), "--quiet", "--device", "cpu"]
    main([*words, "--samples", str(samples), "--grid", str(tmp_path / "x.png")])
    given, made = read_samples(samples), read_samples(out)
    np.testing.assert_array_equal(made.labels, given.labels)
    np.testing.assert_allclose(made.images, sc.reconstruct(trained("vae"), given).images, atol=1e-5)
    error = float(((made.images - given.images) ** 2).mean())
    assert capsys.readouterr().out == f"30 images, mean squared error {error:.5f}: {out}\n"
    # a row of originals, below it the same images again, and so on
    [(images, columns)] = shown
    assert columns == 10
    for row in range(3):
        above, below = (images[(2 * row + k) * 10 : (2 * row + k + 1) * 10] for k in (0, 1))
        np.testing.assert_array_equal(above, given.images[10 * row : 10 * row + 10])
        np.testing.assert_array_equal(below, made.images[10 * row : 10 * row + 10])
    assert len(images) == 60
    # of themselves, the test part's, which can be measured like any samples
    main([*words, "--data-dir", str(data_dir)])
    assert capsys.readouterr().out.startswith("60 images")
    main(["evaluate", str(out), "--data-dir", str(data_dir), "--metrics=copies", "--device=cpu"])
    assert capsys.readouterr().out.startswith("samples: Copies")


# Judges, and the metrics that see with one


def test_train_a_judge_and_evaluate_with_it(
    data_dir: Path, preset: Path, samples: Path, tmp_path: Path, capsys: Capture
) -> None:
    out, common = tmp_path / "judge", ["--data-dir", str(data_dir), "--quiet", "--device", "cpu"]
    train = ["train", "judge", "--preset", str(preset), "--out", str(out), *common]
    main([*train, "--seed", "2", "--train.epochs=4"])
    captured = capsys.readouterr()
    judge = load_judge(out)
    assert captured.out == f"judge: {out}\n"
    share = judge.record["accuracy"]
    told = f"judge {judge.hash}: reads {share['train']:.2%} of train, {share['test']:.2%} of test"
    assert told in captured.err
    assert (judge.record["seed"], judge.record["recipe"]["train"]["epochs"]) == (2, 4)
    before = tree(tmp_path)
    main([*train, "--seed", "2", "--train.epochs=4"])  # it is there
    assert tree(tmp_path) == before

    capsys.readouterr()
    words = ["evaluate", str(samples), "--judge", str(out), *common]
    main([*words, "--metrics", "fd,kid, prdc,copies", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["file", "data", "fd", "kid", "prdc", "copies"]
    for name in ("fd", "kid", "prdc"):
        assert found[name]["judge"] == judge.hash
        assert found[name]["n"] == found[name]["floor"]["n"] == 30
    assert found["fd"]["reference_n"] == 120
    assert found["fd"]["before_relu"]["fd"] >= 0
    assert found["copies"]["reference_n"] == 120

    main([*words, "--metrics", "fd,kid,prdc,copies"])
    lines = capsys.readouterr().out.splitlines()
    fd = found["fd"]
    assert lines[0].startswith(
        f"samples: FD {fd['fd']:.4f} [{fd['low']:.4f} to {fd['high']:.4f}] "
        f"(n 30, against 120 training images, judge {judge.hash}); 30 real test images: FD "
    )
    assert lines[1].startswith(f"samples: KID {found['kid']['kid']:.4f} ± {found['kid']['sd']:.4f}")
    for title in ("Precision", "Recall", "Density", "Coverage"):
        assert f"{title} {found['prdc'][title.lower()]:.4f}" in lines[2]
    near = found["copies"]
    assert lines[3].startswith(
        f"samples: Copies {near['copies']:.4f}; Distance to the nearest training image "
        f"{near['median_distance']:.4f} (n 30, against 120 training images); 30 real test images"
    )
    assert len(lines) == 4

    main([*words, "--metrics=cas,kid", "--controls", "--cas.epochs=1", "--classifiers=1", "--json"])
    found = json.loads(capsys.readouterr().out)
    measured = {name: set(found[name]) for name in found.keys() - {"file", "data", "cas", "kid"}}
    assert measured == {
        "real": {"cas"},
        "real-down-up": {"cas", "kid"},
        "pixel-noise": {"kid"},
    }
    assert found["pixel-noise"]["kid"]["kid"] > found["kid"]["kid"]
    main([*words, "--metrics=kid", "--controls"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["samples", "real-down-up", "pixel-noise"]


def test_digits_need_no_judge_of_ones_own(tmp_path: Path, capsys: Capture) -> None:
    """The shipped one sees them."""
    from scalespace.data import load

    part = load("digits").test()
    path = tmp_path / "x.npz"
    meta = {"data": "digits"}
    write_samples(path, Samples(part.unit()[:40, 0].numpy(), part.labels[:40].numpy(), meta))
    main(["evaluate", str(path), "--metrics=kid,prdc", "--device", "cpu", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["kid"]["judge"] == found["prdc"]["floor"]["judge"]
    assert abs(found["kid"]["kid"]) < 1
    assert found["prdc"]["precision"] > 0.7


def test_images_made_without_classes(
    refused: Callable[..., str],
    data_dir: Path,
    preset: Path,
    judge_dir: Path,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    out, file = tmp_path / "model", tmp_path / "x.npz"
    common = ["--data-dir", str(data_dir), "--quiet", "--device", "cpu"]
    train = ["train", "small", "--preset", str(preset), "--out", str(out), *common]
    main([*train, "--process.labels=false"])
    main(["sample", str(out), "--per-class", "4", "--quiet", "--out", str(file)])
    assert read_samples(file).meta["conditional"] is False
    for metrics in ("cas", "copies,cas"):
        message = refused("evaluate", file, "--metrics", metrics, *common)
        assert "made without classes" in message
        assert "cas does not apply" in message
    main(["evaluate", str(file), "--metrics=kid,copies", "--judge", str(judge_dir), *common])
    assert "samples: KID" in capsys.readouterr().out


def test_data(data_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    grid = tmp_path / "grid.png"
    main(["data", "mnist", "--data-dir", str(data_dir), "--json", "--grid", str(grid)])
    about = json.loads(capsys.readouterr().out)
    assert (about["train"], about["validation"], about["test"]) == (99, 21, 60)
    assert about["official files"] == "no"
    with Image.open(grid) as picture:
        assert picture.height > picture.width
    main(["data", "digits"])
    assert "official files: yes" in capsys.readouterr().out


def test_a_message_echoes_no_kilobytes(refused: Refused) -> None:
    message = refused("data", "x" * 100_000)
    assert len(message) < 1300
    assert message.startswith("scalespace: unknown data set 'xxx")
    assert message.endswith("mnist)")


def test_other_data_than_the_models_own(
    samples: Path, data_dir: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Both are allowed, and told of."""
    given = read_samples(samples)
    words = ["evaluate", "--metrics=copies", "--device=cpu", "--data-dir", str(data_dir)]
    main([*words, str(samples)])
    assert "scored against" not in capsys.readouterr().err
    write_samples(tmp_path / "a.npz", Samples(given.images, given.labels, {"data": "digits"}))
    main([*words, str(tmp_path / "a.npz"), "--data", "mnist"])
    assert "made by a model of digits, and scored against mnist" in capsys.readouterr().err
    meta = {**given.meta, "fingerprint": "0123456789ab"}
    write_samples(tmp_path / "a.npz", Samples(given.images, given.labels, meta))
    main([*words, str(tmp_path / "a.npz")])
    assert "but its model was trained on other files" in capsys.readouterr().err


# Names that are not known


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian small", "unknown command 'trian'; did you mean 'train'"),
        ("--train", "unknown command '--train'; did you mean 'train'"),
        ("train cascade --out OUT", "unknown method 'cascade'; did you mean 'cascaded'"),
        ("train small --preset qick --out OUT", "unknown preset 'qick'; did you mean 'quick'"),
        ("train small --data mnits --out OUT", "'mnits'; did you mean 'mnist'"),
        ("train small --out OUT --train.epoch=3", "--train.epoch=3; did you mean --train.epochs"),
        ("train small --out OUT --stages.smal.train.epochs=3", "'smal'; did you mean 'small'"),
        ("train small --out OUT --stages.small.train.epoch=3", "did you mean 'epochs'"),
        ("sample --lables 3 --out OUT.npz MODEL", "--lables"),
        ("train jugde --out OUT", "unknown method 'jugde'; did you mean 'judge'"),
        ("train latent-flw --out OUT", "did you mean 'latent-flow'"),
        ("train vae --out OUT --autoencoder.latents=3", "did you mean --autoencoder.latent"),
        ("train vae --out OUT --stages.vae.autoencoder.latents=3", "did you mean 'latent'"),
        ("train vae --out OUT --stages.vae.net.patch=2", "unknown field of stages.vae 'net'"),
        ("evaluate FILE --metrics fid", "unknown metric 'fid'"),
        ("evaluate FILE --metrics cas,fid", "unknown metric 'fid'"),
        ("evaluate FILE --metrics kidd --judge JUDGE", "did you mean 'kid'"),
        ("evaluate FILE --metrics fd", "no judge for mnist (own files) ships with the package"),
        ("evaluate FILE --metrics fd --judge NONE", "judge folder not found"),
        ("evaluate FILE --metrics fd --judge FILE", "judge folder not found"),
        ("evaluate FILE --metrics fd --judge MODEL", "is no judge, or a damaged one"),
        ("evaluate FILE --metrics fd --judge JUDGE --data digits", "12 x 12"),
        ("study --study.metrics=cas,fid", "unknown metric 'fid'"),
        ("study --study.metrics=kid --study.judge=nowhere", "judge folder not found: nowhere"),
        ("evaluate FILE --data mnits", "did you mean 'mnist'"),
        ("evaluate FILE --judge NONE", "--judge is for fd, kid"),
        ("evaluate FILE --classifiers 2 --cas.classifiers=3", "give one of them"),
        ("models vae", "no trained 'vae' ships with the package"),
        ("models JUDGE", "is a judge"),
        ("reconstruct MODEL --out OUT.npz", "has no autoencoder"),
        ("sample MODEL --labels 0 --out OUT.npz --process.smapler=ddim", "--process.sampler"),
        (
            "sample MODEL --labels 0 --out OUT.npz --stages.smal.process.eta=1",
            "did you mean 'small'",
        ),
        ("sample MODEL --labels 0 --out OUT.npz --process.states=7", "train a new model"),
        ("data mnits", "did you mean 'mnist'"),
        ("data digits --data-dir OUT", "digits comes with the package"),
        ("train small --preset quick --out OUT --data-dir OUT", "digits comes with the package"),
        (f"sample MODEL --labels {'9' * 5000} --out OUT.npz", "takes whole numbers"),
        ("sample MODEL --per-class 999999999999 --out OUT.npz", "a file holds 1,000,000 at most"),
        (
            "sample MODEL --labels 0 --interpolate 999999999999 --out OUT.npz",
            "a file holds 1,000,000 images at most",
        ),
        ("sample MODEL --labels 0 --out=", "--out is empty"),
        ("train small --out=", "--out is empty"),
        ("study --out=", "--out is empty"),
        ("study --study.images=999999999999", "study.images must lie between 1 and 1000000"),
        ("train small --out OUT --train.lr=.inf", "train.lr must be a finite number"),
        ("train small --out OUT --train recipe.yaml", "unknown option --train"),
        ("study --study.methods=cascade", "did you mean 'cascaded'"),
        ("study --preset defualt", "did you mean 'default'"),
        ("plot casss STUDY --out OUT.png", "unknown figure 'casss'"),
    ],
)
def test_unknown_names(
    words: str,
    message: str,
    refused: Callable[..., str],
    samples: Path,
    data_dir: Path,
    model_dir: Path,
    judge_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCALESPACE_DATA", str(data_dir))
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    places = {"OUT": tmp_path / "out", "OUT.npz": tmp_path / "out.npz", "FILE": samples}
    places |= {"OUT.png": tmp_path / "out.png", "MODEL": model_dir, "STUDY": tmp_path}
    places |= {"JUDGE": judge_dir, "NONE": tmp_path / "none"}
    assert message in refused(*(places.get(word, word) for word in words.split()))
    assert tree(tmp_path) == before


# Values that do not fit


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
        "sample MODEL --per-class 1 --out OUT",
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


# Models that are damaged


@pytest.mark.parametrize("verb", ["models", "sample", "bench"])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("keep", [0, 20, 0.5, 0.99])
def test_models_cut_short(
    verb: str, name: str, keep: float, refused: Callable[..., str], model_dir: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    content = (broken / name).read_bytes()
    (broken / name).write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    extra = ["--per-class", 1, "--out", tmp_path / "x.npz"] if verb == "sample" else []
    assert name in refused(verb, broken, *extra)
    assert not (tmp_path / "x.npz").exists()


def test_a_model_without_what_a_table_tells(
    refused: Callable[..., str], model_dir: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    config = json.loads((broken / "config.json").read_text())
    del config["stages"]["small"]["record"]["seconds"]
    (broken / "config.json").write_text(json.dumps(config))
    assert "seconds" in refused("models", broken)


# Disks that fail


def test_a_file_in_the_way(
    refused: Callable[..., str], model_dir: Path, preset: Path, data_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("here")
    train = ["--preset", preset, "--data-dir", data_dir, "--quiet"]
    for words in (
        ["train", "small", *train, "--out", tmp_path / "file"],
        ["study", *train, "--out", tmp_path / "file" / "below"],
        ["sample", model_dir, "--quiet", "--per-class", 1, "--out", tmp_path / "file" / "x.npz"],
        ["data", "mnist", "--data-dir", data_dir, "--grid", tmp_path / "file" / "x.png"],
    ):
        assert "file" in refused(*words)
    assert tree(tmp_path) == {"file": b"here"}


@pytest.mark.parametrize("limit", [10, 3000, 20_000])
def test_a_full_disk(
    limit: int,
    refused: Callable[..., str],
    model_dir: Path,
    preset: Path,
    data_dir: Path,
    tmp_path: Path,
) -> None:
    """No file may grow beyond the limit: the system refuses, whatever library writes."""
    (tmp_path / "x.npz").write_bytes(b"old")
    sample = ["sample", model_dir, "--quiet", "--per-class", 100, "--out", tmp_path / "x.npz"]
    train = ["train", "small", "--preset", preset, "--data-dir", data_dir, "--quiet"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for words in (sample, [*train, "--out", tmp_path / "model"]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            message = refused(*words)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "cannot write" in message
        assert "File too large" in message or "too large" in message
    assert (tmp_path / "x.npz").read_bytes() == b"old"
    assert not [name for name in tree(tmp_path) if ".part" in name]
    main([str(word) for word in [*train, "--out", tmp_path / "model"]])  # goes on with room again
    assert (tmp_path / "model" / "config.json").exists()


@pytest.mark.parametrize(("verb", "resumes"), [("study", True), ("train", True), ("sample", False)])
def test_interrupted(
    verb: str, resumes: bool, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    from scalespace import verbs

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "run", interrupt)
    with pytest.raises(SystemExit) as stop:
        main([verb])
    assert stop.value.code == 130
    message = capsys.readouterr().err
    assert message.startswith("scalespace: interrupted")
    assert ("run the same command again" in message) == resumes


# Before the work rather than after it


@pytest.mark.parametrize(
    ("option", "name"), [("--out", "x.npz"), ("--grid", "x.png"), ("--gif", "x.gif")]
)
def test_targets_are_checked_before_sampling(
    option: str,
    name: str,
    model_dir: Path,
    tmp_path: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Model, "sample", lambda *_, **__: pytest.fail("sampled"))
    (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("")
    common = ["sample", model_dir, "--labels", "0", "--device", "cpu", option]
    assert "is a folder: name a file" in refused(*common, tmp_path / name)
    assert "is a file, and a folder is needed" in refused(*common, tmp_path / "file" / name)


def test_the_model_folder_is_checked_before_training(
    data_dir: Path, tmp_path: Path, preset: Path, refused: Refused
) -> None:
    words = ["train", "small", "--preset", preset, "--data-dir", data_dir, "--out"]
    (tmp_path / "file").write_text("")
    assert "is a file, and a folder is needed" in refused(*words, tmp_path / "file")
    (tmp_path / "config.json").write_text("{}")
    assert "is no scalespace model: choose another folder" in refused(*words, tmp_path)
    assert not (tmp_path / "trainings").exists()


def test_a_judge_is_looked_for_before_anything_is_scored(
    samples: Path, data_dir: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scalespace.evaluation.evaluate.cas", lambda *_: pytest.fail("scored"))
    words = ["evaluate", samples, "--data-dir", data_dir, "--metrics", "cas,fd", "--judge", "no"]
    line = refused(*words)
    assert "judge folder not found: no" in line
    assert str(samples) not in line


@pytest.mark.parametrize("value", ["[1", "@x", "2020-13-45"])
def test_a_stages_field_that_is_no_yaml(
    value: str, model_dir: Path, tmp_path: Path, refused: Refused
) -> None:
    words = ["sample", model_dir, "--labels", "1", "--out", tmp_path / "x.npz"]
    line = refused(*words, f"--stages.small.process.eta={value}")
    assert "--stages.small.process.eta is not valid YAML" in line


# What happens to the process


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")],
)
def test_too_little_memory(
    error: Exception, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("scalespace.verbs.run", fail)
    assert "not enough memory" in refused("models")


def test_other_errors_of_torch_are_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("scalespace.verbs.run", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["models"])


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_an_output_that_lacks_our_letters(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr("scalespace.verbs.run", lambda *_: print("CAS −0.1 ± 0.2 日"))
    main(["models"])
    stream.flush()
    plain = {"ascii": "CAS -0.1 +/- 0.2 ?", "cp1252": "CAS -0.1 ± 0.2 ?"}
    text = raw.getvalue().decode(encoding)
    assert text == plain.get(encoding, "CAS −0.1 ± 0.2 日") + "\n"


def test_ctrl_c_among_the_imports() -> None:
    """A library that catches it there would have the command run on."""
    program = """
import os, signal, sys, types
from scalespace import cli

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores

class Slow(types.ModuleType):
    pass

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "scalespace.verbs":
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                pass  # as such a library does
            return None

sys.meta_path.insert(0, Finder())
cli.main(["models"])
print("ran on")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "scalespace: interrupted\n"
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("verb", "says"), [("train", "the preset"), ("study", "the preset"), ("sample", "the model")]
)
def test_help_names_no_defaults_that_do_not_hold(verb: str, says: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"Recipe fields that are not given come from {says}." in text
    assert "default:" not in text[text.index(" The diffusion process and its sampler: ") :]
    assert "default: null" not in text
