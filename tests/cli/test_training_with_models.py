"""`scalespace train --reuse`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scalespace.cli import main
from scalespace.model import Model

Capture = pytest.CaptureFixture[str]


def test_it_says_what_it_takes_and_why_not(
    trained: Callable[[str], Model],
    preset: Path,
    data_dir: Path,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    small, other = tmp_path / "small", tmp_path / "other"
    trained("small").save(small)
    trained("latent").save(other)
    words = ["train", "cascaded", "--preset", preset, "--data-dir", data_dir, "--quiet"]
    words += ["--device=cpu", "--reuse", f"{small}, {other}", "--logs=tensorboard"]
    words += ["--stages.upscaler.train.epochs=1", "--out"]
    main([str(word) for word in [*words, tmp_path / "model"]])
    said = capsys.readouterr().err
    assert f"{small}: small is taken\n" in said
    assert "small learns for" not in said
    assert "upscaler learns for" in said
    assert f"{other}: vae is not taken: no such stage is needed\n" in said
    assert Model.load(tmp_path / "model").stages["small"].ema.keys()
    slow = tmp_path / "slow"
    main([str(word) for word in [*words, slow, "--stages.small.train.epochs=1"]])
    said = capsys.readouterr().err
    assert f"{small}: small is not taken: it has train.epochs = 2, and 1 is wanted" in said
    names = {path.name.rpartition("-")[0] for path in (slow / "trainings").iterdir()}
    assert names == {"small", "upscaler"}
