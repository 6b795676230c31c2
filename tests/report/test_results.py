"""A study as a data frame."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from fake import make_series, make_study
from fake_variants import make_variant_study

import scalespace as sc
from scalespace.report.figures.frontier import points
from scalespace.report.results import KEYS, Results
from scalespace.studies.costs import COST_METRICS


def test_a_row_a_measurement(tmp_path: Path) -> None:
    folder = make_series(tmp_path / "s", pictures=False)
    table = sc.results(folder)
    assert tuple(table.columns[: len(KEYS)]) == KEYS
    assert len(table) == len(Results(folder).every)
    cas = table[(table.metric == "cas") & (table.method == "small") & table.seed.eq(1)]
    score = Results(folder).score("small", 1)
    assert score is not None
    assert cas.value.mean() == pytest.approx(score.mean)
    assert cas.value.std() == pytest.approx(score.sd)
    fd = table[table.metric == "fd"].set_index(["method", "seed"])
    assert {"low", "high", "se", "judge"} <= set(fd.columns)
    assert fd.loc[("latent-flow", 1), "value"].item() == pytest.approx(0.99)
    assert not table.map(lambda cell: isinstance(cell, list | dict)).to_numpy().any()


def test_files_are_no_measurements_and_an_empty_study_has_none(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "s", methods=("small",))
    table = sc.results(folder)
    assert "artefact" not in set(table.metric)
    (folder / "results.jsonl").write_text("")
    empty = sc.results(folder)
    assert isinstance(empty, pd.DataFrame)
    assert tuple(empty.columns) == KEYS
    assert empty.empty


def test_the_one_seed_of_a_study_is_its_own(tmp_path: Path) -> None:
    one = Results(make_series(tmp_path / "one", seeds=(3,), pictures=False))
    assert dict(one.by_seed("fd", "latent")) == {3: pytest.approx(2.4)}
    two = Results(make_series(tmp_path / "two", seeds=(3, 4), pictures=False))
    assert list(two.by_seed("fd", "latent").index) == [3, 4]
    assert two.by_seed("fd", "real-test").empty


def test_costs_that_name_no_variant_are_the_firsts(tmp_path: Path) -> None:
    scores = {"plain": [0.9, 0.9], "fewer calls": [0.95, 0.95]}
    variants = {"plain": {}, "fewer calls": {"process.steps": 2}}
    study = Results(make_variant_study(tmp_path / "s", scores, variants=variants))
    assert study.value("macs", method="small") is not None
    other = study.of("fewer calls")
    for metric in COST_METRICS:
        assert other.find(metric) == []
    assert set(study.table[study.table.metric == "macs"].variant) == {"plain"}
    assert len(points(study, study.study.methods[0], "macs", "cas")) == 1


def test_what_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(sc.InputError, match="study folder not found"):
        sc.results(tmp_path / "none")
