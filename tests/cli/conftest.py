"""What tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tiny
from scalespace.cli import main
from scalespace.data import write_samples
from scalespace.data.samples import Samples

Capture = pytest.CaptureFixture[str]


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
        notes = ("downloading http", " learns for ")  # which may come before it
        assert all(any(note in one for note in notes) for one in before), err
        assert line.startswith("scalespace: "), err
        assert out == ""
        return line

    return run


@pytest.fixture
def samples(data_dir: Path, tmp_path: Path) -> Path:
    images, labels = tiny.pictures(30)
    path = tmp_path / "real.npz"
    write_samples(path, Samples((images / 255).astype(np.float32), labels, {"data": "mnist"}))
    return path
