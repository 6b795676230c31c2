"""What `evaluate` says beside its scores, where they mean less than they seem to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scalespace.cli import main
from scalespace.data import Samples, read_samples, write_samples
from scalespace.evaluation.judge import Judge

Capture = pytest.CaptureFixture[str]


def test_classes_without_images(
    samples: Path, data_dir: Path, tmp_path: Path, capsys: Capture
) -> None:
    every = read_samples(samples)
    chosen = every.labels == 1
    path = tmp_path / "one.npz"
    write_samples(path, Samples(every.images[chosen], every.labels[chosen], every.meta))
    words = ["--data-dir", str(data_dir), "--quiet", "--cas.epochs=1", "--classifiers", "1"]
    main(["evaluate", str(samples), *words])
    assert capsys.readouterr().err == ""
    main(["evaluate", str(path), *words])
    assert "one.npz has no images of 0, 2: the classifiers" in capsys.readouterr().err


def test_a_judge_of_other_classes(
    samples: Path, data_dir: Path, judge: Judge, tmp_path: Path, capsys: Capture
) -> None:
    other = Judge(judge.weights, replace(judge.data, classes=("cat", "dog", "owl")), {})
    words = ["evaluate", str(samples), "--data-dir", str(data_dir), "--metrics", "fd", "--quiet"]
    main([*words, "--judge", str(judge.save(tmp_path / "own"))])
    assert "has learnt to tell" not in capsys.readouterr().err
    main([*words, "--judge", str(other.save(tmp_path / "other"))])
    assert "learnt to tell cat, dog, owl apart, and the images" in capsys.readouterr().err
