"""Reports of studies with metrics that the package does not have."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from fake import edit_rows, make_series
from fake_variants import make_variant_study

from scalespace.evaluation.evaluate import METRICS, Metric
from scalespace.report.figures.frontier import levels
from scalespace.report.figures.overall import overall
from scalespace.report.index import build_index
from scalespace.report.markdown import markdown
from scalespace.report.metrics import MetricInfo, foremost, metrics_of
from scalespace.report.narrative import OfMethods, OfVariants
from scalespace.report.results import Results
from scalespace.report.tables import quality_table

VARIANTS = {"as it is": {}, "better": {"train.epochs": 9}}
CAS = {"as it is": (0.90, 0.91), "better": (0.95, 0.96)}
FD = {"as it is": (4.0, 5.0), "better": (2.0, 3.0)}


def own(name: str = "ink", **facts: Any) -> Metric:
    return Metric(lambda *_: {}, {name: name.title()}, **{"judged": False, **facts})


def with_rows(folder: Path, metric: str, of: str, change: Any) -> Path:
    """The study with one more metric: a row for each of another one's, its value changed."""
    about = json.loads((folder / "study.json").read_text())
    about["config"]["study"]["metrics"] += [metric]
    (folder / "study.json").write_text(json.dumps(about))
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    more = [
        {**row, "metric": metric, "value": change(row["value"])}
        for row in rows
        if row["metric"] == of
    ]
    assert more
    with (folder / "results.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in more)
    return folder


def test_fd_decides_before_any_other() -> None:
    order = foremost([MetricInfo("own"), MetricInfo("cas"), MetricInfo("other"), MetricInfo("fd")])
    assert [metric.name for metric in order] == ["fd", "cas", "own", "other"]


def test_a_metric_of_ones_own_does_not_take_over_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_variant_study(tmp_path / "s", CAS, fd=FD, variants=VARIANTS)
    before = OfVariants(Results(folder)).headline
    monkeypatch.setitem(METRICS, "ink", own(better=-1))
    with_rows(folder, "ink", "fd", lambda value: 100 - value)
    assert OfVariants(Results(folder)).headline == before
    page = tmp_path / "index.html"
    build_index([folder], page)
    told = " ".join(page.read_text().split())
    assert "each method's best one by FD, or else by CAS, or else by Ink is shown" in told


def test_its_line_of_real_images_is_its_own_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not CAS, which has the same controls."""
    folder = make_series(tmp_path / "s", pictures=False)
    monkeypatch.setitem(METRICS, "ink", own(floor=False, better=-1))
    with_rows(folder, "ink", "fd", lambda value: 7 + value)
    edit_rows(folder, "ink", "real-test", method="real")
    results = Results(folder)
    fd = results.known("fd", "real-down-up")
    assert fd is not None
    found = {label: score for label, _, score in levels(results, results.study.metrics["ink"])}
    assert found == {"Real": pytest.approx(7.3), "Real, down and up": pytest.approx(7 + fd)}
    table = quality_table(results)
    assert table is not None
    assert table.cells.loc["Real", "Ink"] == "7.300"
    assert table.cells.loc["Real test images", "Ink"] == "–"
    assert "Real" in (table.kinds or {})


def test_a_floor_below_0_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_series(tmp_path / "s", pictures=False)
    monkeypatch.setitem(METRICS, "ink", own(better=1))
    with_rows(folder, "ink", "fd", lambda value: -value)
    results = Results(folder)
    [(_, _, floor)] = levels(results, results.study.metrics["ink"])
    assert floor == pytest.approx(-0.3)


def test_what_is_not_a_number_is_not_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_series(tmp_path / "s", metrics=("fd",), pictures=False)
    monkeypatch.setitem(METRICS, "ink", own(better=-1))
    with_rows(folder, "ink", "fd", lambda value: value)
    for name in ("latent-flow", "vae"):
        edit_rows(folder, "ink", name, value=math.nan)
    told = [one for one in OfMethods(Results(folder)).by_others if "Ink" in one]
    assert told
    assert "Latent diffusion" in told[0]
    assert "nan" not in told[0]


def test_a_study_is_read_without_its_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_series(tmp_path / "s", metrics=("fd",), pictures=False)
    for file in ("study.json", "results.jsonl"):
        text = (folder / file).read_text()
        (folder / file).write_text(text.replace('"fd"', '"ink"'))
    ink = own(better=-1)
    about = json.loads((folder / "study.json").read_text())
    about["metrics"] = {"ink": ink.facts}
    (folder / "study.json").write_text(json.dumps(about))
    without = markdown(Results(folder))
    assert "By Ink “Latent flow” is best: 0.900." in without
    monkeypatch.setitem(METRICS, "ink", ink)
    assert markdown(Results(folder)) == without


def test_a_metric_that_is_not_told_is_shown_all_the_same(tmp_path: Path) -> None:
    """As in a study of an earlier version."""
    folder = with_rows(
        make_series(tmp_path / "s", pictures=False), "ink", "fd", lambda value: value
    )
    table = quality_table(Results(folder))
    assert table is not None
    assert table.cells.loc["Latent flow", "ink"] == "0.900"
    assert metrics_of(["ink"], {})["ink"].better == 0


def test_metrics_that_no_judge_sees_are_compared_whatever_the_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METRICS, "ink", own(better=-1))
    first = with_rows(make_series(tmp_path / "a", pictures=False), "ink", "fd", lambda value: value)
    second = shutil.copytree(first, tmp_path / "b")
    rows = (second / "results.jsonl").read_text()
    (second / "results.jsonl").write_text(rows.replace("0123456789ab", "ba9876543210"))
    pictures = overall({"a": Results(first), "b": Results(second)}, "mnist")
    names = [picture.name for picture in pictures]
    assert [name for name in names if "ink" in name] == ["overall-ink-0-mnist"]
    assert [name for name in names if "fd" in name] == ["overall-fd-0-mnist", "overall-fd-1-mnist"]
