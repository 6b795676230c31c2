"""The examples run as they are, from an empty folder, and make what they say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from PIL import Image

from scalespace.evaluation.frechet import Frechet
from scalespace.methods import METHODS

EXAMPLES = Path(__file__).parents[1] / "examples"
MADE = {
    "sample_and_watch": ["digits.png", "digits.gif"],
    "your_own_data": ["bars.png"],
    "your_own_network": ["plain.png"],
    "compare_two_methods": [],
}


def test_all_are_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(MADE)


SLOW = ("compare_two_methods", "your_own_network")  # their parts are tested one by one


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in MADE],
)
def test_an_example(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # without the bootstrap, which is most of the time of scoring
    monkeypatch.setattr(Frechet, "standard_error", lambda *_: 0.0)
    before = dict(METHODS)
    try:
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    finally:
        METHODS.clear()
        METHODS.update(before)
    for picture in MADE[name]:
        with Image.open(tmp_path / picture) as image:
            assert image.width > 100
    assert capsys.readouterr().out
