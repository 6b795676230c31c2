"""Judges, the metrics that see with one, and other data than a model's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from scalespace.cli import main
from scalespace.data import read_samples, write_samples
from scalespace.data.samples import Samples
from scalespace.errors import InputError
from scalespace.evaluation.judge import load_judge

Capture = pytest.CaptureFixture[str]
Refused = Callable[..., str]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


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

    model = tmp_path / "model"  # something else that is there stays
    model.mkdir()
    (model / "config.json").write_text('{"format": 1, "method": "small", "hash": "0"}')
    before = tree(model)
    with pytest.raises(SystemExit):
        main([*train[:5], str(model), *common])
    assert "has a config.json and is no judge: choose another folder" in capsys.readouterr().err
    with pytest.raises(InputError, match="is no judge: choose another folder"):
        judge.save(model)
    assert tree(model) == before

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
    assert message.endswith("mnist); a folder of images is folder:PATH, a samples file npz:FILE")


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
