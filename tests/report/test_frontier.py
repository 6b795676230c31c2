"""The study of quality against cost: variants that call the same networks in other states."""

from __future__ import annotations

import io
import json
import math
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import tiny
from scalespace.data import DataSplits
from scalespace.figures.frontier import Trail, frontier
from scalespace.figures.picture import LIGHT, Picture
from scalespace.report import paper
from scalespace.report.figures import FIGURES
from scalespace.report.narrative import narrative
from scalespace.report.results import Results
from scalespace.report.study import study
from scalespace.settings import load_config
from scalespace.studies.plan import make_plan
from undrawn import undrawn

CHANGES: dict[str, Any] = {
    "process.states": 5,
    "study.methods": ["small", "cascaded", "latent"],
    "study.seeds": [0, 1],
    "bench.variants": True,
    "study.variants": {
        "every state": {},
        "1 call": {"process.steps": 1},
        "2 calls": {"process.steps": 2, "stages.upscaler.process.steps": 1},
    },
    "study.only": {"small": ["2 calls"], "latent": ["1 call", "2 calls"]},
}
CALLS = {
    "small": {"every state": 4, "2 calls": 2},
    "cascaded": {"every state": 8, "1 call": 2, "2 calls": 3},
    "latent": {"every state": 5, "1 call": 2, "2 calls": 3},
}


@pytest.fixture(scope="module")
def results(data_dir: Path, preset: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("frontier")
    config = load_config(preset, CHANGES)
    with undrawn():
        study(folder, config, data_dir=data_dir, runtime=tiny.CPU, say=lambda line: None)
    about = json.loads((folder / "study.json").read_text())
    about["data"]["own"] = False  # as MNIST's own files would be, beside which the paper stands
    (folder / "study.json").write_text(json.dumps(about))
    return Results(folder)


def test_every_variant_has_its_cost(results: Results) -> None:
    for method, variants in CALLS.items():
        for variant, calls in variants.items():
            view = results.of(variant)
            assert view.value("calls", method=method) == calls
            assert len(view.find("latency_median", method=method)) == 1
            assert view.value("macs", method=method) > 0  # type: ignore[operator]
    every, two = (results.of(v).value("macs", method="small") for v in ("every state", "2 calls"))
    assert every == 2 * two  # type: ignore[operator]


def test_networks_are_trained_once(results: Results, splits: DataSplits, preset: Path) -> None:
    plan = make_plan(load_config(preset, CHANGES), splits.info)
    trained = [task.name for task in plan.tasks if task.kind == "train"]
    expected = [f"{stage}-seed{seed}" for seed in (0, 1)
                for stage in ("small", "upscaler", "vae", "latent")]  # fmt: skip
    assert sorted(trained) == sorted(expected)
    (bench,) = [task for task in plan.tasks if task.kind == "bench"]
    assert bench.alone
    assert len(bench.inputs["methods"]) == 8


def test_without_it_a_studys_units_keep_their_names(splits: DataSplits, preset: Path) -> None:
    plain = {**CHANGES, "bench.variants": False}
    (bench,) = [
        task
        for task in make_plan(load_config(preset, plain), splits.info).tasks
        if task.kind == "bench"
    ]
    assert "variants" not in bench.inputs["bench"]
    assert bench.inputs["methods"] == ["small", "cascaded", "latent"]


def test_the_units_name_tells_which_variant_is_which(splits: DataSplits, preset: Path) -> None:
    """Its rows do, so that after a swap of two names they would belong to the other ones."""

    def named(variants: dict[str, Any], every: bool = True) -> str:
        changes = {**CHANGES, "bench.variants": every, "study.only": {}}
        config = load_config(preset, changes | {"study.variants": variants})
        made = make_plan(config, splits.info)
        (bench,) = [task for task in made.tasks if task.kind == "bench"]
        return bench.id

    few: dict[str, Any] = {"process.steps": 2}
    ids = [named(one) for one in ({"a": few, "b": {}}, {"b": few, "a": {}}, {"a": {}, "b": few})]
    assert len(set(ids)) == 3
    # only the first is timed, whatever it is called
    assert named({"a": {}, "b": few}, every=False) == named({"b": {}, "c": few}, every=False)


def test_the_picture(results: Results) -> None:
    pictures = {picture.name: picture for picture in FIGURES["frontier"](results)}
    assert list(pictures) == ["frontier-cas-macs", "frontier-cas-latency_median"]
    picture = pictures["frontier-cas-macs"]
    assert picture.title == "CAS against multiply-adds"
    assert "2 trainings" in picture.caption
    assert "the paper's three" in picture.caption
    assert "a line joins a method's points that are better" in picture.caption
    assert "Cascaded" in picture.alt
    assert len(picture.png()) > 5000


def test_the_curves_are_the_rows(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    from scalespace.report.figures import frontier as module

    seen: list[Any] = []
    monkeypatch.setattr(
        module, "frontier", lambda trails, *rest, **more: seen.append((trails, rest, more))
    )
    monkeypatch.setattr(module, "Picture", lambda *parts: parts)
    module.frontiers(results)
    (trails, (levels, marks, *_), more), _ = seen
    assert more == {"better": 1, "share": True}
    assert [label for label, _, _ in levels] == ["Real", "Real, down and up"]
    assert {mark.x for mark in marks} == {paper.MACS["small"], paper.MACS["cascaded"]}
    by_title = {trail.label: trail for trail in trails}
    cascaded = by_title["Cascaded"]
    assert list(cascaded.x) == sorted(cascaded.x)
    assert list(cascaded.words) == ["2", "3", "8"]
    for words, x, y in zip(cascaded.words, cascaded.x, cascaded.y, strict=True):
        variant = next(v for v, calls in CALLS["cascaded"].items() if str(calls) == words)
        view = results.of(variant)
        assert x == pytest.approx(view.value("macs", method="cascaded") / 1e6)  # type: ignore[operator]
        scores = [view.score("cascaded", seed).mean for seed in (0, 1)]  # type: ignore[union-attr]
        assert y == pytest.approx(np.mean(scores))


def test_the_report_begins_with_it(results: Results) -> None:
    page = (results.folder / "report.html").read_text(encoding="utf-8")
    assert page.index('id="frontier"') < page.index('id="variants"') < page.index('id="result"')
    assert "What quality costs" in page


def test_it_tells_which_method_is_best_of_all(results: Results) -> None:
    """Or which are within two standard deviations of the best one's lead."""
    told = narrative(results)
    assert [one.name for one in results.study.decides] == ["cas"]
    found: list[tuple[float, float, str]] = []
    for about in results.study.methods:
        means = {v: results.by_seed("cas", about.name, v).mean() for v in CALLS[about.name]}
        variant = max(means, key=means.__getitem__)
        pooled = results.of(variant).score(about.name)
        sd = float(results.by_seed("cas", about.name, variant).std())
        if pooled is not None and pooled.sd > sd:  # of the first variant alone
            sd = pooled.sd
        found.append((means[variant], sd, f"“{about.title}” with “{variant}”"))
    found.sort(reverse=True)
    (top, noise, first), *_ = found
    tied = [name for mean, sd, name in found if top - mean <= 2 * math.hypot(noise, sd)]
    if len(tied) > 1:
        listed = " and ".join([", ".join(tied[:-1]), tied[-1]])
        assert told.headline == f"By CAS {listed} are too close to call."
        assert told.lead.endswith("” are too close to call.")
    else:
        best = first.replace(" with ", " is best, with ")
        assert told.headline == f"By CAS {best}."
    place = "first" if len(tied) > 1 else "best"
    assert told.lead.startswith(f"By CAS {first} is {place} of 3 methods (")
    assert told.lead.count(" multiply-adds)") == 3
    assert "one seed" not in told.lead


def test_a_study_that_times_one_variant_has_a_point_a_method(results: Results) -> None:
    plain = Results(results.folder)
    timed = [
        row for row in plain.every if row.get("variant") != "2 calls" or row["metric"] != "macs"
    ]
    plain.every = [
        row for row in timed if row.get("variant") != "1 call" or row["metric"] != "macs"
    ]
    plain._see(plain.variant)
    picture = FIGURES["frontier"](plain)[0]
    assert all(at.count(",") == 0 for at in re.findall(r" at ([^;]*)[;.]$", picture.alt))


def test_the_preset(splits: DataSplits) -> None:
    """It trains what `series` trains, and nothing else."""
    frontier, series = load_config("frontier"), load_config("series")
    plans = [
        make_plan(config, replace(splits.info, height=28, width=28))
        for config in (frontier, series)
    ]
    trained = [
        {task.inputs["training"] for task in plan.tasks if task.kind == "train"} for plan in plans
    ]
    assert trained[0] <= trained[1]
    pixels, latents = {"baseline", "small", "upscaler"}, {"vae", "latent", "latent-flow"}
    found = {task.inputs["stage"] for task in plans[0].tasks if task.kind == "train"}
    assert found - {"judge"} == pixels | latents
    assert frontier.bench.variants


@pytest.mark.parametrize("x", [(60.0,), (60.0, 60.0 * (1 + 1e-12)), (1e-3, 1e3)])
@pytest.mark.parametrize("y", [0.0, 1 / 3, 1.0])
def test_a_picture_of_next_to_nothing(x: tuple[float, ...], y: float) -> None:
    """One point, two that are as good as one, the best and the worst score that there is."""
    trail = Trail(
        "a", 0, x, [y * (1 - 1e-13 * k) for k in range(len(x))], [0.0] * len(x), ["6"] * len(x)
    )
    levels: list[tuple[str, Any, float]] = [("real", "control0", y)]
    drawing = frontier([trail], levels, [], "cost", "CAS", (5.6, 4.2), share=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = Picture("a", "a", "a.", "a.", drawing).png()
    with Image.open(io.BytesIO(picture)) as image:
        assert np.asarray(image.convert("L")).std() > 5


@pytest.mark.parametrize("better", [-1, 1])
@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("below", [False, True], ids=["positive", "negative"])
def test_up_is_better_whatever_the_metric(better: int, share: bool, below: bool) -> None:
    if share and below:
        pytest.skip("no share is negative")
    y = [0.2, 0.4, 0.3] if better > 0 else [0.4, 0.2, 0.3]  # the third is no better than the second
    y = [value - 0.9 for value in y] if below else y
    trail = Trail("a", 0, [1.0, 2.0, 3.0], y, [0.0] * 3, ["1", "2", "3"])
    drawing = frontier([trail], [], [], "cost", "own", (5.4, 4.1), better=better, share=share)
    with LIGHT.context():
        figure = Figure(figsize=drawing.size)
        drawing.draw(figure, LIGHT)
        figure.canvas.draw()
        (ax,) = figure.axes
        joined, points = ax.lines[:2]
    assert list(joined.get_xdata()) == [1, 2]
    heights = ax.transData.transform(points.get_xydata())[:, 1]
    assert heights[0] < heights[2] < heights[1]
    assert ax.get_yscale() == ("linear" if below else "log")


@pytest.mark.parametrize(
    "names",
    [
        [f"a method with a name of length {k}" for k in range(11)],
        ["Baseline", "Cascaded", "Small, upscaled", "Scale space"],
    ],
    ids=len,
)
def test_curves_have_a_legend_within_the_picture_and_looks_of_their_own(names: list[str]) -> None:
    trails = [
        Trail(name, k, [1.0, 2.0], [0.5 + k, 0.4 + k], [0.0, 0.0], ["1", "2"])
        for k, name in enumerate(names)
    ]
    drawing = frontier(trails, [], [], "cost", "FD", (5.4, 4.1))
    with LIGHT.context():
        figure = Figure(figsize=drawing.size)
        drawing.draw(figure, LIGHT)
        figure.canvas.draw()
        (ax,) = figure.axes
        legend = ax.get_legend().get_window_extent()
    assert figure.bbox.y0 <= legend.y0 < legend.y1 <= figure.bbox.y1
    assert figure.bbox.x0 <= legend.x0 < legend.x1 <= figure.bbox.x1
    lines = [one for one in ax.lines if len(one.get_xdata()) == 2]
    looks = {(str(one.get_color()), str(one.get_linestyle())) for one in lines}
    assert len(looks - {(c, "None") for c, _ in looks}) == len(names)
