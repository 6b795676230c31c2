"""The public names, and the types that they promise."""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import scalespace as sc
from scalespace.bench import benchmark
from scalespace.config import BenchConfig, CASConfig
from scalespace.data import DataSplits, Samples
from scalespace.data.pixels import pictures
from scalespace.evaluation.evaluate import METRICS, Real, evaluate
from scalespace.evaluation.judge import Judge
from scalespace.evaluation.scores import Classifier, Distance, Scores

PROGRAM = Path(__file__).with_name("typed_use.py")
TYPED = Path(sc.__file__).with_name("py.typed")


def test_the_public_names_are_there_and_listed() -> None:
    assert dir(sc) == sorted(sc.__all__)
    for name in sc.__all__:
        assert getattr(sc, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'smaple'"):
        sc.smaple  # noqa: B018
    assert sc.run_study is sc.study  # its earlier name


def test_no_public_name_is_that_of_a_package() -> None:
    """An import below a package puts it into the place of what has the same name."""
    assert set(sc.__all__).isdisjoint(module.name for module in pkgutil.iter_modules(sc.__path__))


@pytest.mark.parametrize(
    "lines",
    [
        "import scalespace as sc; import scalespace.studies.runner",
        pytest.param(
            "import scalespace.studies.runner; import scalespace as sc",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "import scalespace as sc; sc.study; import scalespace.report.study",
            marks=pytest.mark.slow,
        ),
        "from scalespace import study; import scalespace.report.study, scalespace as sc",
    ],
)
def test_a_study_is_a_function_whatever_was_imported_before(lines: str) -> None:
    check = "from inspect import isfunction; assert isfunction(sc.study) and sc.study.__name__"
    subprocess.run([sys.executable, "-c", f"{lines}; {check} == 'study'"], check=True)


def test_the_typed_program_uses_every_public_name() -> None:
    used = set(re.findall(r"\bsc\.(\w+)", PROGRAM.read_text()))
    assert used == set(sc.__all__)
    assert TYPED.exists()


@pytest.mark.slow
def test_the_typed_program_is_strictly_typed(tmp_path: Path) -> None:
    options = ["--strict", "--follow-imports=silent", f"--cache-dir={tmp_path}"]
    environment = os.environ | {"MYPYPATH": str(TYPED.parents[1])}
    command = [sys.executable, "-m", "mypy", *options, str(PROGRAM)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_scores_hold_what_their_types_say(splits: DataSplits, judge: Judge) -> None:
    part = splits.val
    samples = Samples(pictures(part.unit()), part.labels.numpy())
    real = Real(splits, CASConfig(classifiers=1, epochs=1), judge)
    found: Any = evaluate(samples, real, list(METRICS), floor=True)
    types = get_type_hints(Scores)
    assert found.keys() == types.keys()
    for name, score in found.items():
        hints = get_type_hints(types[name])
        assert score.keys() == hints.keys(), name
        for inner in [score, *([score["floor"]] if "floor" in score else [])]:
            for field, kind in hints.items():
                if kind in (int, float, str):
                    assert isinstance(inner[field], kind), (name, field)
    assert found["fd"]["before_relu"].keys() == get_type_hints(Distance).keys()
    assert found["cas"]["classifiers"][0].keys() == get_type_hints(Classifier).keys()


def test_costs_hold_what_their_type_says(trained: Any) -> None:
    config = BenchConfig(productions=2, warmup=1, batch_sizes=(2,), batches=1)
    (cost,) = benchmark([trained("small")], config).values()
    assert cost.keys() == get_type_hints(sc.Cost).keys()
