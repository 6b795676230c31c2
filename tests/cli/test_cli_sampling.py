"""`scalespace sample` and `bench`: steps, guidance, and what else a process can do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tiny
from scalespace import options
from scalespace.cli import main
from scalespace.config import Config, ProcessConfig
from scalespace.config.build import build
from scalespace.data import DataSplits, read_idx, read_samples, write_idx
from scalespace.data.pixels import pictures
from scalespace.errors import InputError
from scalespace.figures.grids import save_strip
from scalespace.model import Model, train
from scalespace.verbs.labels import read_labels


@pytest.fixture(scope="module")
def folder(splits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cascade of six calls a stage, whose small stage can be guided."""
    root = tmp_path_factory.mktemp("sampling")
    config = replace(
        tiny.CONFIG,
        process=replace(tiny.PROCESS, states=7),
        stages={**tiny.STAGES, "small": {"objective": {"unlabelled": 0.3}}},
    )
    model = train("cascaded", splits, config, root / "trainings", 0, tiny.CPU)
    return model.save(root / "model")


@pytest.fixture(scope="module")
def source(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images of it, to be redrawn."""
    path = tmp_path_factory.mktemp("source") / "source.npz"
    sample(folder, path, "--labels", "0,1,2")
    return path


def sample(folder: Path, out: Path, *more: str) -> Any:
    main(["sample", str(folder), "--out", str(out), "--quiet", *more])
    return read_samples(out)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("0,2", [0, 2]),
        ("moon, star", [2, 3]),
        ("2,star,0", [2, 3, 0]),
        ("1", [1]),  # a number is a label, whatever classes are called
        ("x-ray, 0", [1, 0]),
    ],
)
def test_labels_by_name(text: str, labels: list[int]) -> None:
    assert read_labels(text, ("1", "x-ray", "moon", "star")) == labels


@pytest.mark.parametrize("text", ["sun", "0,", "star moon", "1.5"])
def test_labels_of_no_class(text: str) -> None:
    with pytest.raises(InputError, match="--labels takes whole numbers"):
        read_labels(text, ("1", "moon", "star"))


@pytest.mark.parametrize(
    ("text", "small", "upscaler"),
    [
        ("2", [6, 3], [6, 1]),
        ("[6,2]", [6, 2], [6, 2]),
        ("small=3,upscaler=1", [6, 5, 3], [6]),
        ("small=[6,5,1], upscaler=[6]", [6, 5, 1], [6]),
        ("{small: 1, upscaler: [6, 5]}", [6], [6, 5]),
        ("upscaler=1", [6, 5, 4, 3, 2, 1], [6]),
        ("all", [6, 5, 4, 3, 2, 1], [6, 5, 4, 3, 2, 1]),
        ("small=all,upscaler=2", [6, 5, 4, 3, 2, 1], [6, 1]),
    ],
)
def test_steps(folder: Path, tmp_path: Path, text: str, small: list, upscaler: list) -> None:
    found = sample(folder, tmp_path / "a.npz", "--labels", "0,1,2", "--steps", text)
    assert found.meta["steps"] == {"small": small, "upscaler": upscaler}
    assert found.meta["calls"] == len(small) + len(upscaler)
    expected = Model.load(folder).sample([0, 1, 2], steps={"small": small, "upscaler": upscaler})
    np.testing.assert_array_equal(found.images, expected.images)


def test_steps_as_a_field(folder: Path, tmp_path: Path) -> None:
    """Like any other that matters in sampling alone: a number, or states."""
    for text, small, upscaler in (
        ("3", [6, 5, 3], [6, 3, 1]),
        ("[6,1]", [6, 1], [6, 1]),
        ("6,1", [6, 1], [6, 1]),
    ):
        out = tmp_path / "a.npz"
        found = sample(folder, out, "--labels", "0", f"--process.steps={text}")
        assert found.meta["steps"] == {"small": small, "upscaler": upscaler}
    found = sample(folder, tmp_path / "b.npz", "--labels", "0", "--stages.small.process.steps=2")
    assert found.meta["steps"]["small"] == [6, 3]
    assert len(found.meta["steps"]["upscaler"]) == 6


def test_a_stages_own_steps_win_over_those_of_all(folder: Path, tmp_path: Path) -> None:
    own = ["--steps", "[6,2]", "--stages.upscaler.process.steps=1"]
    found = sample(folder, tmp_path / "a.npz", "--labels", "0", *own)
    assert found.meta["steps"] == {"small": [6, 2], "upscaler": [6]}


def test_steps_of_a_preset() -> None:
    assert build(ProcessConfig, {"steps": 6}).steps == 6
    assert build(ProcessConfig, {"steps": [19, 10, 2.5]}).steps == (19, 10, 2.5)
    assert build(ProcessConfig, {"steps": None}).steps is None
    assert all(isinstance(t, int) for t in build(ProcessConfig, {"steps": [19.0, 10]}).steps)
    stages = {"small": {"process": {"steps": [19, 5]}}}
    assert build(Config, {"stages": stages}).stages == stages


def test_guidance(folder: Path, tmp_path: Path) -> None:
    plain = sample(folder, tmp_path / "a.npz", "--labels", "0,1")
    for more in (["--guidance", "1.5"], ["--guidance", "small=1.5"]):
        found = sample(folder, tmp_path / "b.npz", "--labels", "0,1", *more)
        assert found.meta["guidance"] == {"small": 1.5}
        assert found.meta["calls"] == plain.meta["calls"] + 6
        assert np.abs(found.images - plain.images).max() > 1e-3
    interval = ["--guidance", "1.5", "--guidance-states", "3,5", "--steps", "small=3"]
    found = sample(folder, tmp_path / "c.npz", "--labels", "0", *interval)
    assert found.meta["calls"] == 3 + 2 + 6  # states 6, 5 and 3: guided in two of them
    field = sample(folder, tmp_path / "d.npz", "--labels", "0", "--stages.small.process.guidance=2")
    assert field.meta["guidance"] == {"small": 2.0}


def test_redraw_and_fill(folder: Path, tmp_path: Path) -> None:
    first = sample(folder, tmp_path / "a.npz", "--labels", "0,1,2", "--seed", "3")
    source = str(tmp_path / "a.npz")
    near = sample(folder, tmp_path / "b.npz", "--redraw", source, "--from-state", "1")
    assert near.labels.tolist() == [0, 1, 2]
    assert near.meta["redrawn_from"] == {"small": 1}
    other = sample(
        folder, tmp_path / "c.npz", *["--redraw", source, "--from-state", "upscaler=2"],
        *["--labels", "1"],
    )  # fmt: skip
    assert other.labels.tolist() == [1, 1, 1]
    kept = sample(folder, tmp_path / "d.npz", "--fill", source, "--keep", "left")
    np.testing.assert_allclose(kept.images[:, :, :6], first.images[:, :, :6], atol=1e-6)
    box = sample(folder, tmp_path / "e.npz", "--fill", source, "--keep", "2:9,0:5")
    np.testing.assert_allclose(box.images[:, 2:9, :5], first.images[:, 2:9, :5], atol=1e-6)


def test_redraw_and_fill_a_folder_of_images(folder: Path, tmp_path: Path) -> None:
    """Also one that `sample` has written, with its classes; and one without classes."""
    pictures = tmp_path / "pictures"
    main(["sample", str(folder), "--out", str(pictures), "--labels", "0,1,2", "--quiet"])
    near = sample(folder, tmp_path / "a.npz", "--redraw", str(pictures), "--from-state", "1")
    assert near.labels.tolist() == [0, 1, 2]
    kept = sample(folder, tmp_path / "b.npz", "--fill", str(pictures), "--keep", "top")
    first = sample(folder, tmp_path / "c.npz", "--labels", "0,1,2")
    np.testing.assert_allclose(kept.images[:, :6], first.images[:, :6], atol=0.5 / 255 + 1e-6)
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in sorted(pictures.rglob("*.png")):
        path.rename(flat / path.name)
    with pytest.raises(SystemExit):
        sample(folder, tmp_path / "d.npz", "--redraw", str(flat), "--from-state", "1")
    found = sample(
        folder, tmp_path / "d.npz", *["--redraw", str(flat), "--from-state", "1"],
        *["--labels", "2"],
    )  # fmt: skip
    assert found.labels.tolist() == [2, 2, 2]


def test_noises(folder: Path, tmp_path: Path) -> None:
    way = sample(folder, tmp_path / "a.npz", "--labels", "0,2", "--interpolate", "4", "--seed", "5")
    assert way.labels.tolist() == [0] * 4 + [2] * 4
    ends = [sample(folder, tmp_path / "b.npz", "--labels", "0,2", "--seed", s) for s in "56"]
    np.testing.assert_allclose(way.images[[0, 4]], ends[0].images, atol=1e-4)
    np.testing.assert_allclose(way.images[[3, 7]], ends[1].images, atol=1e-4)
    picture = tmp_path / "same.gif"
    same = sample(
        folder, tmp_path / "c.npz", "--labels", "0,1,2", "--same-noise", "--gif", str(picture)
    )
    alone = sample(folder, tmp_path / "d.npz", "--labels", "0")
    np.testing.assert_allclose(same.images[0], alone.images[0], atol=1e-4)
    assert picture.exists()


def test_the_chosen_of_candidates(
    folder: Path,
    judge_dir: Path,
    data_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--labels", "0,2,2", "--seed", "3", "--candidates", "4", "--judge", str(judge_dir)]
    strip = tmp_path / "way.png"
    found = sample(folder, tmp_path / "a.npz", *words, "--strip", str(strip))
    assert found.labels.tolist() == [0, 2, 2]
    assert found.meta["selection"]["candidates"] == 4
    model, indices = Model.load(folder), found.meta["indices"]
    again = model.sample(found.labels.tolist(), seed=3, indices=indices)
    np.testing.assert_allclose(found.images, again.images, atol=1e-4)
    shown = np.asarray(Image.open(strip).convert("L"))
    save_strip(
        tmp_path / "again.png",
        [
            pictures(model.data.to_unit(step.x))
            for step in model.trajectory(found.labels.tolist(), 3, indices)
        ],
    )
    np.testing.assert_array_equal(
        shown, np.asarray(Image.open(tmp_path / "again.png").convert("L"))
    )
    capsys.readouterr()
    root = str(data_dir)
    main(["evaluate", str(tmp_path / "a.npz"), "--metrics", "copies", "--data-dir", root])
    assert "upscaler 6, 5, 4, 3, 2, 1), chosen from 4 times as many" in capsys.readouterr().out
    easy = sample(folder, tmp_path / "b.npz", *words, "--hard", "0")
    assert easy.meta["selection"]["hard"] == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--labels", "0", "--candidates", "2"], "pass --judge FOLDER"),
        (["--labels", "0", "--candidates", "0", "--judge", "mnist"], "between 1 and 1000"),
        (["--labels", "0", "--candidates", "2", "--judge", "mnist"], "the judge sees 28x28"),
        (["--labels", "0,1", "--interpolate", "600000"], "makes 1200000 images"),
        (["--labels", "0", "--hard", "0.5"], "--hard is for --candidates"),
        (["--labels", "0", "--judge", "mnist"], "--judge is for --candidates"),
        (["--labels", "0", "--candidates", "2", "--same-noise"], "not with --same-noise"),
        (["--labels", "0", "--steps", "7"], "'small' has 6 states to call its network in"),
        (["--labels", "0", "--steps", "six"], "--steps takes a number of calls (6)"),
        (["--labels", "0", "--steps", "2.5"], "--steps takes a number of calls"),
        (["--labels", "0", "--steps", "smal=2"], "did you mean 'small'"),
        (["--labels", "0", "--steps", "[5,2]"], "must fall from its last state, 6"),
        (["--labels", "0", "--guidance", "upscaler=1"], "stage 'upscaler' never learnt"),
        (["--labels", "0", "--guidance", "strong"], "--guidance takes a number (1.5), or one"),
        (["--labels", "0", "--guidance", "1", "--guidance-states", "3"], "takes two numbers"),
        (["--labels", "0", "--guidance", "1", "--guidance-states", "5,1"], "the lower first"),
        (["--labels", "0", "--guidance-states", "1,3"], "--guidance-states needs --guidance"),
        (["--labels", "0", "--process.guidance_states=[1,3]"], "nothing is guided"),
        (
            ["--labels", "0", "--process.sampler=ancestral", "--process.eta=0.5"],
            "process.eta changes nothing",
        ),
        (
            ["--labels", "0", "--steps", "all", "--stages.small.process.spacing=snr"],
            "stages.small.process.spacing changes nothing",
        ),
        (  # which another stage would heed
            ["--labels", "0", "--stages.small.process.sampler=ancestral",
             "--stages.small.process.eta=0.5", "--stages.upscaler.process.sampler=ddim"],
            "stages.small.process.eta changes nothing: no sampler here draws",
        ),
        (["--redraw", "{}", "--from-state", "small=5,small=6"], "names small twice"),
        (["--redraw", "{}", "--from-state", "9"], "has states 1 to 6 to begin from"),
        (["--redraw", "{}"], "--redraw needs --from-state"),
        (["--labels", "0", "--from-state", "3"], "--from-state is for --redraw"),
        (["--fill", "{}"], "--fill needs --keep"),
        (["--fill", "{}", "--keep", "middle"], "--keep takes top, bottom, left, right, or rows"),
        (["--fill", "{}", "--keep", "0:99,0:3"], "the images have rows 0:12 and columns 0:12"),
        (["--fill", "{}", "--keep", "left", "--labels", "0,1"], "3 images, and 2 labels"),
        (["--fill", "{}", "--keep", "left", "--redraw", "{}", "--from-state", "2"],
         "--redraw and --fill are different things"),
        (["--labels", "0", "--interpolate", "1"], "to another must be at least 2"),
        (["--labels", "0", "--to-seed", "1"], "--to-seed is for --interpolate"),
        (["--fill", "nothing.npz", "--keep", "left"], "nothing.npz"),
        (["--interpolate", "3"], "say what to sample"),
        (["--labels", "0", "--interpolate", "0"], "to another must be at least 2"),
        (["--labels", "0", "--steps", "[.inf,3]"], "process.steps must be a finite number"),
        (["--labels", "0", "--steps", "2", "--process.steps=3"], "--steps is short for"),
        (["--labels", "0", "--same-noise", "--batch-size", "0"], "at least 1"),
    ],
)  # fmt: skip
def test_refusals(
    folder: Path,
    source: Path,
    tmp_path: Path,
    more: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line, exit code 2, and nothing written."""
    out = tmp_path / "out.npz"
    words = [word.format(source) if word == "{}" else word for word in more]
    with pytest.raises(SystemExit) as stopped:
        main(["sample", str(folder), "--out", str(out), "--quiet", *words])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_bench_in_few_calls(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = [
        "--bench.productions=2",
        "--bench.warmup=0",
        "--bench.batch_sizes=2",
        "--bench.batches=1",
    ]
    costs = []
    for more in ([], ["--steps", "small=2,upscaler=1"], ["--steps", "2", "--guidance", "1"]):
        main(["bench", str(folder), "--json", *few, *more])
        costs.append(json.loads(capsys.readouterr().out)["models"]["cascaded"])
    assert [cost["calls"] for cost in costs] == [12, 3, 2 * 2 + 2]
    assert costs[1]["steps"] == {"small": [6, 3], "upscaler": [6]}
    small, upscaler = 0.0, costs[0]["macs"]
    # multiply-adds follow the calls: a small call costs s, an upscaler's u, a guided one two s
    matrix = np.array([[6, 6], [2, 1], [4, 2]])
    (small, upscaler), *_ = np.linalg.lstsq(matrix, [c["macs"] for c in costs], rcond=None)
    np.testing.assert_allclose(matrix @ [small, upscaler], [c["macs"] for c in costs], rtol=1e-6)


def test_bench_gives_each_model_the_steps_of_its_stages(
    folder: Path, trained: Callable[[str], Model], tmp_path: Path, capsys: Any
) -> None:
    other = trained("baseline").save(tmp_path / "baseline")
    few = ["--bench.productions=1", "--bench.batch_sizes=2", "--bench.batches=1", "--json"]
    shared = trained("pyramid").save(tmp_path / "pyramid")
    main(["bench", str(shared), str(other), *few, "--steps", "pyramid-full=1,baseline=1"])
    steps = json.loads(capsys.readouterr().out)["models"]["pyramid"]["steps"]
    assert [len(steps[scale]) for scale in ("pyramid-half", "pyramid-full")] == [2, 1]
    main(["bench", str(folder), str(other), *few, "--steps", "small=2,baseline=1"])
    models = json.loads(capsys.readouterr().out)["models"]
    assert models["cascaded"]["steps"]["small"] == [6, 3]
    assert models["baseline"]["steps"] == {"baseline": [2]}
    with pytest.raises(SystemExit):
        main(["bench", str(folder), str(other), *few, "--steps", "smal=2"])
    assert "did you mean 'small'" in capsys.readouterr().err


def test_bench_of_two_models_of_one_method(
    folder: Path, trained: Callable[[str], Model], tmp_path: Path, capsys: Any
) -> None:
    """They are told apart by the names they were given."""
    other, short = trained("cascaded").save(tmp_path / "other"), ["--bench.productions=1", "--json"]
    words = [*short, "--bench.warmup=0", "--bench.batch_sizes=[2]", "--bench.batches=1"]
    main(["bench", str(folder), str(other), *words])
    assert list(json.loads(capsys.readouterr().out)["models"]) == [str(folder), str(other)]
    with pytest.raises(SystemExit):
        main(["bench", str(folder), str(folder), *words])
    assert f"'{folder}' is named twice" in capsys.readouterr().err


def test_guidance_states_can_be_none(folder: Path, tmp_path: Path) -> None:
    more = ["--stages.small.process.guidance=1", "--process.guidance_states=null"]
    assert sample(folder, tmp_path / "a.npz", "--labels", "0", *more).meta["calls"] == 18


def test_evaluate_tells_how_the_images_were_made(
    folder: Path, tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample(folder, tmp_path / "a.npz", "--per-class", "4", "--steps", "2", "--guidance", "1")
    capsys.readouterr()
    few = ["--cas.classifiers=1", "--cas.epochs=1", "--data-dir", str(data_dir)]
    main(["evaluate", str(tmp_path / "a.npz"), "--json", *few])
    made = json.loads(capsys.readouterr().out)["made"]
    assert made["steps"] == {"small": [6, 3], "upscaler": [6, 1]}
    assert made["calls"] == 2 * 2 + 2
    assert made["guidance"] == {"small": 1.0}
    main(["evaluate", str(tmp_path / "a.npz"), *few])
    assert "made by cascaded in 6 network calls (small 6, 3; upscaler 6, 1)" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [("6", 6), ("[19, 3]", [19, 3]), ("small=6", {"small": 6}), ("a-b=[2]", {"a-b": [2]})],
)
def test_reading_steps(text: str, value: object) -> None:
    assert options.steps(text, "--steps") == value


@pytest.mark.parametrize("text", ["", "x", "1.5", "[]", "small=", "small=x", "true", "[a]", "{}"])
def test_steps_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="--steps"):
        options.steps(text, "--steps")


@pytest.mark.usefixtures("quick_pictures")
def test_labels_with_gaps(tmp_path: Path, preset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What no image teaches is neither sampled nor scored, by command or by study."""
    root = tmp_path / "data"
    tiny.write_data(root)
    for path in root.rglob("*labels*"):
        labels = read_idx(path)
        labels[labels == 1] = 2
        write_idx(path, labels * 2)
    common = ["--preset", str(preset), "--data-dir", str(root), "--device", "cpu", "--quiet"]
    main(["train", "small", *common, "--out", str(tmp_path / "model")])
    made = sample(tmp_path / "model", tmp_path / "a.npz", "--per-class", "2")
    assert made.labels.tolist() == [0, 4, 0, 4]
    with pytest.raises(SystemExit):
        sample(tmp_path / "model", tmp_path / "b.npz", "--labels", "1")
    assert "label 1: no training image of this model was of class '1'" in capsys.readouterr().err
    study = ["study", *common, "--out", str(tmp_path / "study"), "--study.methods=small"]
    main([*study, "--study.seeds=0"])
    path = next((tmp_path / "study" / "units").glob("sample-small-*")) / "samples.npz"
    assert set(read_samples(path).labels.tolist()) == {0, 4}
    assert (tmp_path / "study" / "report.html").is_file()


def test_a_model_without_labels_says_that_they_mean_nothing(
    splits: DataSplits, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(tiny.CONFIG, process=replace(tiny.PROCESS, labels=False))
    model = train("small", splits, config, tmp_path, 0, tiny.CPU).save(tmp_path / "model")
    sample(model, tmp_path / "a.npz", "--labels", "0,1")
    assert "was trained without labels: those of its images mean nothing" in capsys.readouterr().err
    sample(folder, tmp_path / "a.npz", "--labels", "0,1")
    assert "trained without labels" not in capsys.readouterr().err
