"""Differences, tables and findings of variants, by figures computed by hand or by scipy."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake import make_study
from fake_variants import OF_VARIANTS, make_variant_study
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from scalespace.errors import InputError
from scalespace.evaluation.evaluate import METRICS, Metric
from scalespace.figures.picture import DARK
from scalespace.report import batch_leaks
from scalespace.report import page as report
from scalespace.report.differences import Paired, paired
from scalespace.report.figures import FIGURES
from scalespace.report.index import build_index
from scalespace.report.markdown import markdown
from scalespace.report.metrics import MetricInfo
from scalespace.report.narrative import OfVariants
from scalespace.report.results import Results
from scalespace.report.tables.variants import switch_table, variant_table
from undrawn import undrawn

CAS_INFO = MetricInfo("cas", {"cas": "CAS"}, better=1, share=True)
VARIANTS = {"as it is": {}, "better": {"train.epochs": 9}, "noisy": {"train.lr": 0.1}}
CAS = {
    "as it is": (0.90, 0.91, 0.92),
    "better": (0.93, 0.94, 0.96),
    "noisy": (0.95, 0.90, 0.91),
}
FD = {"as it is": (4.0, 5.0, 6.0), "better": (2.0, 3.0, 4.0), "noisy": (9.0, 9.5, 10.0)}
SWITCHES = {"p": {"process.x0": "clip"}, "q": {"train.lr": 0.1}, "r": {"net.norm": "group"}}
TWO_SIDED = {
    "all wrong": (0.70, 0.72, 0.74),
    "only p right": (0.80, 0.81, 0.84),  # +0.10, +0.09, +0.10
    "only q right": (0.70, 0.73, 0.73),  # chance
    "only r right": (0.60, 0.63, 0.64),  # worse, certainly: -0.10, -0.09, -0.10
    "all right": (0.90, 0.91, 0.92),
    "only p wrong": (0.88, 0.92, 0.93),  # chance
    "only q wrong": (0.90, 0.92, 0.91),  # chance
    "only r wrong": (0.50, 0.52, 0.52),  # -0.40, -0.39, -0.40
}
LEAKS = {
    ("mixed", "batch"): (0.05, 0.03),
    ("single", "batch"): (0.30, 0.10),
    ("mixed", "running"): (0.05, 0.04),
    ("single", "running"): (4e7, 0.0),
}


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_variant_study(
        tmp_path_factory.mktemp("variants") / "s", CAS, fd=FD, leaks=LEAKS, variants=VARIANTS
    )


@pytest.fixture(scope="module")
def switches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("switches") / "s"
    return make_variant_study(folder, TWO_SIDED, switches=SWITCHES)


def method(results: Results) -> Any:
    return results.study.methods[0]


# The statistics


@given(st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=2, max_size=10))
def test_an_interval_without_0_is_a_paired_t_test(values: list[float]) -> None:
    gap = Paired(CAS_INFO, np.array(values))
    if gap.sd < 1e-9:
        assert gap.certain == (abs(gap.mean) > 1e-9) or gap.mean == 0
        return
    p = float(stats.ttest_1samp(values, 0).pvalue)
    if abs(p - 0.05) > 1e-3:
        assert gap.certain == (p < 0.05)
    assert gap.sd == pytest.approx(np.std(values, ddof=1))


def test_one_seed_is_never_certain() -> None:
    gap = Paired(CAS_INFO, np.array([0.5]))
    assert math.isnan(gap.sd)
    assert not gap.certain


def test_differences_are_paired_by_seed(variants: Path) -> None:
    results = Results(variants)
    gap = paired(results, CAS_INFO, "small", "better", "as it is")
    assert gap is not None
    np.testing.assert_allclose(gap.values, [0.03, 0.03, 0.04])
    assert dict(results.by_seed("fd", "small", "noisy")) == {0: 9.0, 1: 9.5, 2: 10.0}
    assert paired(results, MetricInfo("kid"), "small", "better", "as it is") is None


@pytest.mark.usefixtures("quick_pictures")
def test_only_seeds_that_both_have(variants: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (variants / "results.jsonl").read_text().splitlines()]
    lost = [r for r in rows if not (r.get("variant") == "better" and r.get("seed") == 1)]
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "study.json").write_bytes((variants / "study.json").read_bytes())
    lost = [row for row in lost if row["metric"] != "artefact"]
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lost))
    results = Results(folder)
    gap = paired(results, CAS_INFO, "small", "better", "as it is")
    assert gap is not None
    np.testing.assert_allclose(gap.values, [0.03, 0.04])
    assert "cas small-seed1 (better)" in results.missing
    assert "fd small-seed1 (better)" in results.missing
    assert not [
        task for task in results.missing if task.startswith(("cas", "fd")) and "noisy" in task
    ]
    report.build(folder)


# Tables and sentences


def test_the_table_of_variants_is_exact(variants: Path) -> None:
    results = Results(variants)
    table = variant_table(results, method(results))
    assert table.title == "Small, upscaled: 3 variants"
    assert tuple(table.cells.columns) == (
        *("CAS", "CAS of seeds 0, 1, 2", "CAS, difference"),
        *("FD", "FD of seeds 0, 1, 2", "FD, difference", "pixels outside"),
    )
    cells = {label: tuple(row) for label, _, row in table.rows}
    assert cells["as it is"][:3] == ("0.9100 ± 0.0100", "0.9000, 0.9100, 0.9200", "–")
    # 0.03, 0.03, 0.04: mean 0.0333, sd 0.0058
    assert cells["better"][2] == "+0.0333 ± 0.0058"
    assert cells["better"][3:] == ("3.00 ± 1.0", "2.00, 3.00, 4.00", "−2.00 ± 0", "25.00%")
    # 0.05, -0.01, -0.01
    assert cells["noisy"][2] == "+0.0100 ± 0.0346"
    assert [note.partition(" ")[0] for note in table.notes] == [
        *("Each", "CAS", "Differences", "Outside:")
    ]
    assert "to “as it is”, paired over the seeds (n = 3)" in table.notes[2]


def test_a_table_of_variants_tells_of_what_was_measured_alone(tmp_path: Path) -> None:
    folder = make_variant_study(tmp_path / "s", CAS, fd=FD, variants=VARIANTS)
    rows = (folder / "results.jsonl").read_text().splitlines(keepends=True)
    (folder / "results.jsonl").write_text("".join(r for r in rows if "outside_" not in r))
    about = json.loads((folder / "study.json").read_text())
    about["config"]["study"]["metrics"] = ["fd"]
    (folder / "study.json").write_text(json.dumps(about))
    results = Results(folder)
    table = variant_table(results, method(results))
    assert tuple(table.cells.columns) == ("FD", "FD of seeds 0, 1, 2", "FD, difference")
    assert [note.partition(" ")[0] for note in table.notes] == ["Each", "Differences"]


def test_further_figures_are_told_of_each_variant_where_they_were_measured(tmp_path: Path) -> None:
    folder = make_variant_study(tmp_path / "s", CAS, variants=VARIANTS)
    rows = [
        {"metric": metric, "method": "small", "variant": name, "seed": seed, "n": 100, "value": v}
        for metric, name, v in (("variety", "better", 0.875), ("told", "better", 0.75))
        for seed in (0, 1, 2)
    ]
    with (folder / "results.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    about = json.loads((folder / "study.json").read_text())
    about["config"]["study"]["metrics"] += ["variety", "c2st"]
    (folder / "study.json").write_text(json.dumps(about))
    results = Results(folder)
    table = variant_table(results, method(results))
    found = {title: tuple(column) for title, column in table.cells.items()}
    assert found["Variety"] == ("–", "0.875 ± 0", "–")
    assert found["Told from real"] == ("–", "0.750 ± 0", "–")
    assert "Detail" not in found


def test_the_table_of_switches_is_exact(switches: Path) -> None:
    results = Results(switches)
    table = switch_table(results, method(results))
    assert table is not None
    assert tuple(table.cells.columns) == ("CAS, right alone", "CAS, wrong alone")
    assert [(label, *cells) for label, _, cells in table.rows] == [
        ("p", "+0.0967 ± 0.0058", "+0.0000 ± 0.0173"),
        ("q", "+0.0000 ± 0.0100", "+0.0000 ± 0.0100"),
        ("r", "−0.0967 ± 0.0058", "−0.3967 ± 0.0058"),
        ("all of them", "+0.1900 ± 0.0100", "−0.1900 ± 0.0100"),
    ]
    own = variant_table(results, method(results))
    bases = list(own.cells.iloc[:, 0])
    assert bases == ["–", *["all wrong"] * 4, *["all right"] * 3]
    assert own.cells.columns[0] == "compared with"


def test_switches_that_a_method_does_not_try_have_no_row(tmp_path: Path) -> None:
    ends = {"all wrong": (0.7, 0.72), "all right": (0.9, 0.91)}
    only = {"small": ["all right"]}
    folder = make_variant_study(tmp_path / "ends", ends, switches=SWITCHES, only=only)
    results = Results(folder)
    assert switch_table(results, method(results)) is None
    assert len(variant_table(results, method(results)).rows) == 2
    some = {name: TWO_SIDED[name] for name in ("all wrong", "only q right", "all right")}
    only = {"small": ["only q right", "all right"]}
    results = Results(make_variant_study(tmp_path / "q", some, switches=SWITCHES, only=only))
    table = switch_table(results, method(results))
    assert table is not None
    assert list(table.cells.index) == ["q", "all of them"]


def test_the_best_variant_and_whether_chance_explains_it(variants: Path, tmp_path: Path) -> None:
    results = Results(variants)
    # “noisy” is 0.05 above to 0.02 below it
    tie = "“Small, upscaled”: “better” and “noisy” are too close to call."
    assert OfVariants(results).headline == tie
    assert OfVariants(results).lead == (
        "Small, upscaled, CAS: “better” is best of 3 variants, 0.9433 ± 0.0153, "
        "+0.0333 ± 0.0058 beside “as it is” (not corrected for choosing the best)."
    )
    # FD: lower is better
    assert "FD: “better” is best of 3 variants, 3.00 ± 1.0, −2.00" in OfVariants(results).remarks[0]
    chance = {"a": (0.9, 0.9), "b": (0.91, 0.90)}
    folder = make_variant_study(tmp_path / "c", chance, variants={"a": {}, "b": {"train.lr": 1}})
    assert OfVariants(Results(folder)).lead.endswith("beside “a”, which chance may explain.")
    tie = "“Small, upscaled”: “b” and “a” are too close to call."
    assert OfVariants(Results(folder)).headline == tie
    sure = {"a": (0.9, 0.91), "b": (0.95, 0.961)}
    folder = make_variant_study(tmp_path / "d", sure, variants={"a": {}, "b": {"train.lr": 1}})
    assert OfVariants(Results(folder)).headline == "“Small, upscaled” does best with “b”."
    best = {"a": (0.9, 0.9), "b": (0.8, 0.8)}
    folder = make_variant_study(tmp_path / "b", best, variants={"a": {}, "b": {"train.lr": 1}})
    assert OfVariants(Results(folder)).lead.endswith("no change helps.")
    assert OfVariants(Results(folder)).headline == "No change helps “Small, upscaled”."


def test_one_seed_tells_variants_apart_by_their_own_deviations(tmp_path: Path) -> None:
    variants = {name: {"train.lr": 0.1 * k} for k, name in enumerate("abcde")}

    def headline(fd: dict[str, float], se: float | None = 1.0) -> str:
        one = {name: (value,) for name, value in fd.items()}
        some = {name: variants[name] for name in fd}
        folder = make_variant_study(
            tmp_path / "s", dict.fromkeys(fd, (0.9,)), fd=one, variants=some
        )
        about = json.loads((folder / "study.json").read_text())
        about["config"]["study"]["metrics"] = ["fd"]
        (folder / "study.json").write_text(json.dumps(about))
        rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
        rows = [dict(row, se=se) if row["metric"] == "fd" else row for row in rows]
        (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return OfVariants(Results(folder)).headline

    start = "“Small, upscaled”"
    assert headline({"a": 10.007, "b": 10.0}) == f"{start}: “b” and “a” are too close to call."
    assert headline({"a": 12.9, "b": 10.0}) == f"{start} does best with “b” (one seed)."
    assert headline({"a": 12.8, "b": 10.0}).endswith("too close to call.")  # 2 x sqrt(2) = 2.83
    near = {name: 10.0 - 0.1 * k for k, name in enumerate("abcde")}
    assert headline(near) == f"{start}: 5 variants are too close to call, with “e” first."
    chance = f"{start} does best with “b” (one seed: it may be chance)."
    assert headline({"a": 12.9, "b": 10.0}, se=None) == chance
    assert headline({"a": 9.0, "b": 10.0}) == f"No change helps {start}."


def two_methods(folder: Path, fd: dict[str, dict[str, tuple[float, ...]]], se: float | None) -> Any:
    """What is told of methods in variants, all of which were timed: FD by method, variant, seed."""
    methods, variants = tuple(fd), list(next(iter(fd.values())))
    seeds = range(len(fd[methods[0]][variants[0]]))
    shape: dict[str, Any] = {"methods": methods, "seeds": tuple(seeds), "metrics": ("fd",)}
    distances = dict.fromkeys(methods, 1.0)
    make_study(folder, pictures=False, distances=distances, **shape)
    about = json.loads((folder / "study.json").read_text())
    changes = {name: {"process.steps": k} for k, name in enumerate(variants, start=1)}
    about["config"]["study"]["variants"] = changes
    (folder / "study.json").write_text(json.dumps(about))
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row.get("method") not in methods]
    for name, found in fd.items():
        for variant, values in found.items():
            own = {"method": name, "variant": variant, "n": 100}
            rows.append({**own, "metric": "macs", "seed": None, "value": 1e6})
            for seed, value in enumerate(values):
                one = {**own, "metric": "fd", "se": se, "judge": "x", "reference_n": 100}
                rows.append({**one, "seed": seed if len(values) > 1 else None, "value": value})
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return OfVariants(Results(folder))


def test_methods_that_their_spread_does_not_tell_apart_are_too_close(tmp_path: Path) -> None:
    def told(small: tuple[float, ...], se: float | None = 0.1) -> Any:
        far = tuple(value + 20 for value in small)
        baseline = {"all": (90.0,) * len(small), "three": (59.8, 60.6)[: len(small)]}
        fd = {"baseline": baseline, "small": {"all": far, "three": small}}
        return two_methods(tmp_path / "s", fd, se)

    first = "By FD “Baseline” with “three”"
    close = told((62.0, 71.2))  # 66.6 ± 6.5
    assert close.headline == (f"{first} and “Small, upscaled” with “three” are too close to call.")
    assert close.lead == (
        f"{first} is first of 2 methods (60.2 ± 0.57 for 1 M multiply-adds); then comes “Small, "
        "upscaled” with “three” (66.6 ± 6.5 for 1 M multiply-adds). “Baseline” and “Small, "
        "upscaled” are too close to call."
    )
    best = "By FD “Baseline” is best, with “three”"
    sure = told((66.0, 67.2))
    assert sure.headline == f"{best}."
    assert sure.lead.startswith(f"{first} is best of 2 methods (")
    assert sure.lead.endswith("multiply-adds).")
    assert told((66.0,)).headline == f"{best} (one seed)."
    assert "are too close to call" in told((60.0,)).headline
    unknown = told((66.0,), se=None)
    assert unknown.headline == f"{first} is first, its spread not known."
    assert unknown.lead.endswith("multiply-adds). Their spread is not known.")
    names = ("baseline", "small", "cascaded", "vae")
    near = {name: {"all": (90.0, 91.0), "three": (60.0 + k, 65.0)} for k, name in enumerate(names)}
    many = two_methods(tmp_path / "s", near, 0.1)
    assert many.headline == f"By FD 4 methods are too close to call, with {first[6:]} first."
    assert many.lead.endswith(" 4 are too close to call.")


def test_a_metric_of_ones_own_decides_where_it_says_what_is_better(
    variants: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(variants, tmp_path / "s")
    for file in ("study.json", "results.jsonl"):
        text = (folder / file).read_text()
        (folder / file).write_text(text.replace('"fd"', '"haze"'))
    for better in (-1, 1, 0):
        own = Metric(lambda *_: {}, {"haze": "Haze"}, better=better)
        monkeypatch.setitem(METRICS, "haze", own)
        results = Results(folder)
        assert [one.name for one in results.study.decides] == ["cas", *["haze"] * bool(better)]
        table = variant_table(results, method(results))
        assert ("Haze, difference" in table.cells.columns) == bool(better)
        told = [OfVariants(results).lead, *OfVariants(results).remarks]
        best = [sentence.partition(", Haze: ")[2].split(" ")[0] for sentence in told]
        assert [name for name in best if name] == {-1: ["“better”"], 1: ["“noisy”"], 0: []}[better]


def test_a_metric_of_ones_own_bears_its_own_title(
    variants: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(variants, tmp_path / "s")
    for file in ("study.json", "results.jsonl"):
        text = (folder / file).read_text()
        (folder / file).write_text(text.replace('"fd"', '"ink"'))
    own = Metric(lambda *_: {}, {"ink": "Ink a pixel"}, floor=False, better=-1)
    monkeypatch.setitem(METRICS, "ink", own)
    results = Results(folder)
    (_, picture) = FIGURES["variants"](results)
    assert picture.title == "Small, upscaled: Ink a pixel"
    frontier = {picture.name: picture for picture in FIGURES["frontier"](results)}
    assert frontier["frontier-ink-macs"].title == "Ink a pixel against multiply-adds"
    with undrawn():
        text = " ".join(report.build(folder).read_text().split())
    assert "and if CAS and Ink a pixel agree which variant is better." in text
    build_index([folder], tmp_path / "index.html")
    index = " ".join((tmp_path / "index.html").read_text().split())
    assert "CAS: higher is better. Ink a pixel: lower is better." in index
    assert "each method's best one by CAS, or else by Ink a pixel is shown" in index
    for told in (text, index, markdown(results)):
        assert "Ink a pixel" in told
        assert not re.search(r"\bINK[ ,:<]", told)  # a picture's bytes may hold the letters


@pytest.mark.usefixtures("quick_pictures")
def test_scores_agree_where_there_are_several(tmp_path: Path) -> None:
    for name, fd, end in (("one", None, "."), ("two", FD, ", and if CAS and FD agree which")):
        folder = make_variant_study(tmp_path / name, CAS, fd=fd, variants=VARIANTS)
        text = " ".join(report.build(folder).read_text().split())
        assert f"if it is large compared with its spread{end}" in text


def test_which_switches_carry_the_loss(switches: Path) -> None:
    told = OfVariants(Results(switches))
    assert [told.lead, *told.remarks] == [
        "Small, upscaled: turning all 3 switches right takes CAS from 0.7200 ± 0.0200 to "
        "0.9100 ± 0.0100 (+0.1900 ± 0.0100, n = 3).",
        "Small, upscaled: turned right alone, these switches help: “p” (+0.0967 ± 0.0058).",
        "Small, upscaled: turned right alone, these switches do harm: “r” (−0.0967 ± 0.0058).",
        "Small, upscaled: left wrong alone, these switches do harm: “r” (−0.3967 ± 0.0058).",
        "Small, upscaled: these switches have no certain effect: “q”.",
        "Small, upscaled: the single effects add up to +0.0000; all switches together bring "
        "+0.1900.",
    ]
    assert told.headline == "All switches right take CAS from 0.7200 ± 0.0200 to 0.9100 ± 0.0100."


def test_a_headline_on_switches_says_if_chance_may_explain_it(tmp_path: Path) -> None:
    def headline(name: str, right: tuple[float, ...]) -> str:
        ends = {"all wrong": (0.7, 0.72)[: len(right)], "all right": right}
        only = {"small": ["all right"]}
        folder = make_variant_study(tmp_path / name, ends, switches=SWITCHES, only=only)
        return OfVariants(Results(folder)).headline

    assert headline("sure", (0.9, 0.921)).endswith("to 0.9105 ± 0.0148.")
    assert headline("chance", (0.9, 0.72)).endswith("± 0.1273, which chance may explain.")
    assert (
        headline("one", (0.9,)) == "All switches right take CAS from 0.7000 to 0.9000 (one seed)."
    )


def test_one_seed_ranks_switches_with_a_caution(tmp_path: Path) -> None:
    one = {name: values[:1] for name, values in TWO_SIDED.items()}
    folder = make_variant_study(tmp_path / "s", one, switches=SWITCHES)
    results = Results(folder)
    text = [OfVariants(results).lead, *OfVariants(results).remarks]
    assert "(+0.2000, n = 1)" in text[0]
    caution = "(one seed: it may be chance)"
    assert text[1:4] == [
        f"Small, upscaled: turned right alone, these switches help {caution}: “p” (+0.1000).",
        f"Small, upscaled: turned right alone, these switches do harm {caution}: “r” (−0.1000).",
        f"Small, upscaled: left wrong alone, these switches do harm {caution}: “r” (−0.4000) and "
        "“p” (−0.0200).",
    ]
    assert "no certain effect" not in " ".join(text)
    table = switch_table(results, method(results))
    assert table is not None
    assert tuple(table.cells.iloc[0]) == ("+0.1000", "−0.0200")


def test_leaks_in_words(variants: Path) -> None:
    """Means over the states: 0.04, 0.2 (5 times), 0.045 (not worth a word), 2e7."""
    results = Results(variants)
    [leak] = batch_leaks.leaks(results)
    assert (leak.stage, leak.variants, leak.seeds) == ("small", ("as it is",), (0, 1, 2))
    [sentence] = batch_leaks.leak_findings(results)
    assert "a loss of 0.0400 on batches as in training" in sentence
    assert "0.200 on batches of one state by batch statistics (5.0 times)" in sentence
    assert "20,000,000 on batches of one state by running statistics" in sentence
    assert "mixed batches by running" not in sentence


def test_trainings_that_are_alike_are_one_leak(tmp_path: Path) -> None:
    folder = make_variant_study(tmp_path / "s", CAS, leaks=LEAKS, variants=VARIANTS)
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    more = [dict(row, variant="noisy") for row in rows if row["metric"] == "state_loss"]
    more += [dict(row, variant="better", config="b") for row in more]
    with open(folder / "results.jsonl", "a") as file:
        file.writelines(json.dumps(row) + "\n" for row in more)
    found = batch_leaks.leaks(Results(folder))
    assert [leak.variants for leak in found] == [("as it is", "noisy"), ("better",)]
    assert [leak.title for leak in found] == ["small, as it is and 1 more", "small, better"]


# The page


@pytest.mark.parametrize("folder", ["variants", "switches"])
@pytest.mark.usefixtures("quick_pictures")
def test_the_page_is_whole(folder: str, request: pytest.FixtureRequest) -> None:
    html = report.build(request.getfixturevalue(folder)).read_text()
    text = " ".join(html.split())
    assert '<section id="variants">' in text
    assert "not finished" not in text
    assert "The rest of the page is about this variant alone" in text
    first, change = {
        "variants": ("as it is", '<th scope="row">better</th><td>train.epochs: 9</td>'),
        "switches": ("all wrong", '<th scope="row">only p right</th><td>process.x0: clip</td>'),
    }[folder]
    assert change in text
    assert f'<th scope="row">{first}</th><td>nothing</td>' in text


def test_the_table_in_markdown(variants: Path) -> None:
    lines = markdown(Results(variants)).splitlines()
    assert lines[0].startswith(
        "**“Small, upscaled”: “better” and “noisy” are too close to call.** Small, upscaled, CAS:"
    )
    assert "The rest is about the variant “as it is”." in lines


@pytest.mark.usefixtures("quick_pictures")
def test_a_study_without_variants_speaks_of_none(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "s", methods=("small",), pictures=False)
    text = report.build(folder).read_text()
    assert 'id="variants"' not in text
    assert "variant" not in markdown(Results(folder)).lower()


@pytest.mark.parametrize("name", OF_VARIANTS)
def test_pictures_have_words_and_fit_their_place(name: str, variants: Path) -> None:
    pictures = FIGURES[name](Results(variants))
    assert len({picture.name for picture in pictures}) == len(pictures) > 0
    for picture in pictures:
        assert picture.caption.endswith(".")
        assert picture.alt.endswith(".")
        assert "nan" not in picture.caption + picture.alt
        with Image.open(io.BytesIO(picture.png(DARK))) as image:
            assert abs(image.width - picture.css_width * 1.5) <= 2


def test_figures_of_switches(switches: Path) -> None:
    pictures = FIGURES["variants"](Results(switches))
    assert [picture.name for picture in pictures] == ["variant-cas-small"]
    assert "r −0.0967, −0.397" in pictures[0].alt.replace("-", "−")
    assert Image.open(io.BytesIO(pictures[0].png())).width > 300


@pytest.mark.parametrize(
    "fields",
    [{"per_t": "x"}, {"per_t": [[1.0]]}, {"stage": None}, {"seed": None}, {"batches": 3}],
    ids=str,
)
def test_a_damaged_loss_by_state(fields: dict[str, Any], tmp_path: Path) -> None:
    folder = make_variant_study(tmp_path / "s", CAS, leaks=LEAKS, variants=VARIANTS)
    lines = (folder / "results.jsonl").read_text().splitlines()
    lines[-1] = json.dumps({**json.loads(lines[-1]), **fields})
    (folder / "results.jsonl").write_text("\n".join(lines))
    with pytest.raises(InputError, match=f"line {len(lines)} is damaged"):
        Results(folder)


def test_damaged_variants(tmp_path: Path) -> None:
    folder = make_variant_study(tmp_path / "s", CAS, variants=VARIANTS)
    about = json.loads((folder / "study.json").read_text())
    about["config"]["study"]["variants"]["x"] = {"like": "nobody"}
    (folder / "study.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match=r"study\.json cannot be used: unknown variant"):
        Results(folder)
