"""A finished study of two seeds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from studies import Row, run

from scalespace.data import DataSplits


@pytest.fixture(scope="session")
def finished(splits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of two seeds, to be read only."""
    folder = tmp_path_factory.mktemp("study")
    run(folder, splits)
    return folder


@pytest.fixture(scope="session")
def rows(finished: Path) -> list[Row]:
    return [json.loads(line) for line in (finished / "results.jsonl").read_text().splitlines()]
