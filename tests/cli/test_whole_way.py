"""Every verb as a user types it: train, sample, evaluate, reconstruct, bench."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import scalespace as sc
from scalespace.cli import main
from scalespace.data import read_samples
from scalespace.methods import METHODS
from scalespace.model import Model

Capture = pytest.CaptureFixture[str]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_train_sample_evaluate_bench(
    data_dir: Path, preset: Path, tmp_path: Path, capsys: Capture
) -> None:
    out, file = tmp_path / "model", tmp_path / "new" / "x.npz"
    common = ["--data-dir", str(data_dir), "--quiet", "--device", "cpu"]
    train = ["train", "cascaded", "--preset", str(preset), "--out", str(out), *common]
    own = ["--stages.small.train.epochs=3", "--stages.small.train.lr", "0.002"]
    main([*train, "--seed", "3", *own, "--train.batch_size", "33"])
    told = capsys.readouterr()
    assert f"model: {out}" in told.out
    assert "small learns for" in told.err  # the data are tiny
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


@pytest.mark.parametrize(
    "method", ["vae", pytest.param("latent", marks=pytest.mark.slow), "latent-flow"]
)
def test_methods_with_latents(
    method: str, data_dir: Path, preset: Path, tmp_path: Path, capsys: Capture
) -> None:
    out, file, gif = tmp_path / "model", tmp_path / "x.npz", tmp_path / "x.gif"
    train = ["train", method, "--preset", str(preset), "--data-dir", str(data_dir), "--quiet"]
    main([*train, "--device", "cpu", "--out", str(out)])
    captured = capsys.readouterr()
    stages = [stage.name for stage in METHODS[method].stages]
    trained = [line for line in captured.err.splitlines() if " s of training" in line]
    assert [line.split(":")[0] for line in trained] == stages
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


def test_training_for_longer_starts_anew_and_says_so(
    preset: Path, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "small", "--preset", preset, "--data-dir", data_dir, "--quiet", "--out"]
    command = [str(word) for word in [*words, tmp_path / "model"]]
    said = []
    for epochs in (1, 1, 2):
        main([*command, f"--train.epochs={epochs}"])
        said.append("trained from the start" in capsys.readouterr().err)
    assert said == [False, False, True]
    assert len(list((tmp_path / "model" / "trainings").iterdir())) == 2
    (stage,) = Model.load(tmp_path / "model").stages.values()
    assert stage.training.recipe.train.epochs == 2
