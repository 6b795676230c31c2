"""What the page's server makes is what Python makes, and the code that it tells makes it too."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from answers import Events, finished, grey, parsed, pixels

import scalespace as sc
import tiny
from scalespace.cli import main
from scalespace.data import DataSplits, read_samples
from scalespace.evaluation.judge import Judge
from scalespace.methods import METHODS
from scalespace.model import Model
from scalespace.model.edits import region
from scalespace.settings import make_trainings
from scalespace.stages.base import Models
from scalespace.training.training import TrainedStage
from scalespace.web.library import Library

pytest.importorskip("starlette", reason="the page needs the extra 'web'")
pytest.importorskip("httpx2", reason="starlette's test client needs httpx2")

from starlette.testclient import TestClient

from scalespace.web.app import make_app

Ask = Callable[..., Events]
Trained = Callable[[str], Model]


@pytest.fixture
def drawn() -> np.ndarray:
    """A drawing, grey values [12, 12]."""
    images, _ = tiny.pictures(3)
    return images[1]


def unit(image: np.ndarray) -> np.ndarray:
    return (image.astype(np.float32) / np.float32(255))[None]


def test_images_are_those_of_the_model(ask: Ask, trained: Trained) -> None:
    """Of each model, whichever others take turns with it; the vae is no process."""
    names = ["cascaded", "baseline", "vae"]
    events = ask("sample", models=names, labels=[2, 0, 1], seed=5)
    for k, name in enumerate(names):
        expected = trained(name).sample([2, 0, 1], seed=5).images
        np.testing.assert_array_equal(finished(events, k), grey(expected))


def test_every_step_is_sent(ask: Ask, trained: Trained) -> None:
    events = ask("sample", models=["cascaded"], labels=[1, 2], seed=3)
    model = trained("cascaded")
    steps = [values for name, values in events if name == "step"]
    for sent, step in zip(steps, model.trajectory([1, 2], 3), strict=True):
        assert (sent["segment"], sent["state"]) == (step.segment, step.t)
        assert sent["size"] == list(step.x.shape[2:])
        shown = grey(model.data.to_unit(step.x)[:, 0].numpy())
        np.testing.assert_array_equal([pixels(url) for url in sent["images"]], shown)
    assert [values["number"] for values in steps] == list(range(1, len(steps) + 1))
    assert {tuple(values["size"]) for values in steps} == {(6, 6), (12, 12)}
    times = [values["seconds"] for values in steps]
    assert times == sorted(times)
    names = [name for name, _ in events]
    assert names == ["start", *["step"] * len(steps), "end", "done"]
    start, end = events[0][1], events[-2][1]
    assert (start["model"], start["labels"], start["classes"]) == ("cascaded", [1, 2], ["1", "2"])
    assert end["calls"] == model.calls
    assert end["seconds"] >= times[-1]


def test_processes_take_turns(ask: Ask) -> None:
    events = ask("sample", models=["cascaded", "baseline"], labels=[1], seed=0)
    turns = [values["run"] for name, values in events if name == "step"]
    assert turns[:6] == [0, 1, 0, 1, 0, 1]


def test_settings(ask: Ask, trained: Trained) -> None:
    choice = {"name": "cascaded", "steps": {"small": 1}, "temperature": 0.5}
    other = {"name": "cascaded", "steps": 2, "guidance": None}
    events = ask("sample", models=[choice, other], labels=[1, 2], seed=4)
    model = trained("cascaded")
    colder = model.stepped({"small": 1}).resampled({"process.temperature": 0.5})
    np.testing.assert_array_equal(finished(events), grey(colder.sample([1, 2], 4).images))
    np.testing.assert_array_equal(
        finished(events, 1), grey(model.sample([1, 2], 4, steps=2).images)
    )


def test_guidance(ask: Ask, library: Library) -> None:
    choice = {"name": "guided", "guidance": 2}
    events = ask("sample", models=["guided", choice], labels=[1, 2], seed=4)
    model = library.plain("guided").guided(2)
    np.testing.assert_array_equal(finished(events, 1), grey(model.sample([1, 2], 4).images))
    assert (finished(events, 0) != finished(events, 1)).any()
    calls = [values["calls"] for name, values in events if name == "end"]
    assert sorted(calls) == [library.plain("guided").calls, model.calls]


def test_redraw(ask: Ask, trained: Trained, drawn: np.ndarray) -> None:
    model = trained("cascaded")
    fields = {"model": "cascaded", "image": drawn.tolist(), "label": 1, "seed": 7}
    events = ask("redraw", **fields, state=1)
    expected = sc.redraw(model, unit(drawn), [1], 1, seed=7)
    np.testing.assert_array_equal(finished(events), grey(expected.images))
    assert events[-2][1]["calls"] == expected.meta["calls"]
    assert "given" not in events[0][1]
    events = ask("redraw", **fields, segment="upscaler", state=1)
    expected = sc.redraw(model, unit(drawn), [1], {"upscaler": 1}, seed=7)
    np.testing.assert_array_equal(finished(events), grey(expected.images))
    assert events[-2][1]["calls"] == expected.meta["calls"]


def test_enlarge(ask: Ask, trained: Trained, drawn: np.ndarray) -> None:
    model = trained("cascaded")
    events = ask("enlarge", model="cascaded", image=drawn.tolist(), label=1, seed=7)
    last = model.legs[-1].segment.schedule.last
    expected = sc.redraw(model, unit(drawn), [1], {"upscaler": last}, seed=7)
    np.testing.assert_array_equal(finished(events), grey(expected.images))
    given = events[0][1]["given"]
    means = unit(drawn).reshape(6, 2, 6, 2).mean(axis=(1, 3))
    assert given["size"] == [6, 6]
    np.testing.assert_allclose(pixels(given["image"]), 255 * means, atol=0.51)


@pytest.mark.parametrize("keep", ["top", "bottom", "left", "right", "2:7,0:12"])
def test_fill(keep: str, ask: Ask, trained: Trained, drawn: np.ndarray) -> None:
    fields = {"model": "cascaded", "image": drawn.tolist(), "label": 1, "seed": 7}
    events = ask("fill", **fields, keep=keep)
    known = region(keep, 12, 12)
    expected = sc.fill(trained("cascaded"), unit(drawn), known, [1], seed=7)
    (found,) = finished(events)
    np.testing.assert_array_equal(found, grey(expected.images)[0])
    np.testing.assert_array_equal(found[known], drawn[known])


def test_interpolate(ask: Ask, trained: Trained) -> None:
    events = ask("interpolate", model="cascaded", label=1, count=5, seed=3, to_seed=9)
    expected = sc.interpolate(trained("cascaded"), [1], 5, 3, 9)
    np.testing.assert_array_equal(finished(events), grey(expected.images))


def test_colours(splits: DataSplits) -> None:
    """Untrained models of coloured images, which a drawing then has to be."""
    info, stages = replace(splits.info, channels=3), {}
    for training in make_trainings(tiny.CONFIG, METHODS["cascaded"], 0, info):
        weights = training.build(Models()).kept()
        stages[training.stage.name] = TrainedStage(training, weights, weights, {})
    model = Model(METHODS["cascaded"], stages)
    client = TestClient(make_app(Library({"mine": model})), "http://localhost")
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3)).astype(np.uint8)

    def ask(kind: str, **fields: Any) -> np.ndarray:
        drawn = {} if kind == "sample" else {"model": "mine", "image": image.tolist()}
        answer = client.post(f"/api/{kind}", json={**fields, **drawn, "seed": 3})
        assert answer.status_code == 200, answer.text
        return finished(parsed(answer.text))

    made = ask("sample", models=["mine"], labels=[2, 1])
    np.testing.assert_array_equal(made, grey(model.sample([2, 1], seed=3).images))
    assert made.shape == (2, 12, 12, 3)
    redrawn = sc.redraw(model, unit(image), [1], 2, seed=3).images
    np.testing.assert_array_equal(ask("redraw", label=1, state=2), grey(redrawn))
    assert ask("enlarge", label=1).shape == (1, 12, 12, 3)
    known = region("left", 12, 12)
    filled = ask("fill", label=1, keep="left")
    expected = sc.fill(model, unit(image), known, [1], seed=3).images
    np.testing.assert_array_equal(filled, grey(expected))
    np.testing.assert_array_equal(filled[0][known], image[known])
    assert client.get("/api/models").json()["models"][0]["channels"] == 3
    refused = client.post(
        "/api/enlarge", json={"model": "mine", "image": [[0] * 12] * 12, "label": 1, "seed": 0}
    )
    assert refused.status_code == 400
    assert "images are grey, coloured ones are needed" in refused.json()["error"]


def test_read(client: TestClient, library: Library, judge: Judge, drawn: np.ndarray) -> None:
    before = library._judges["cascaded"]
    library._judges["cascaded"] = judge
    try:
        fields = {"model": "cascaded", "image": drawn.tolist()}
        answer = client.post("/api/judge", json=fields).json()
    finally:
        library._judges["cascaded"] = before
    assert answer["classes"] == list(judge.data.classes)
    assert answer["judge"] == judge.hash
    (logits,) = judge.net(judge.net.pad(torch.from_numpy(unit(drawn))[:, None])).numpy()
    np.testing.assert_allclose(
        answer["probabilities"], np.exp(logits) / np.exp(logits).sum(), rtol=1e-4
    )


def test_a_saved_drawing_is_a_samples_file(
    client: TestClient, drawn: np.ndarray, tmp_path: Path
) -> None:
    answer = client.post("/api/drawing", json={"image": drawn.tolist(), "label": 2})
    assert answer.status_code == 200
    assert 'filename="drawing.npz"' in answer.headers["content-disposition"]
    path = tmp_path / "drawing.npz"
    path.write_bytes(answer.content)
    found = read_samples(path, shape=(12, 12))
    np.testing.assert_array_equal(found.images, unit(drawn))
    assert found.labels.tolist() == [2]


SETTINGS = {"steps": {"small": 1}, "temperature": 0.5, "guidance": 0}
TASKS: list[tuple[str, dict[str, Any]]] = [
    ("sample", {"labels": [2, 0, 1], "seed": 5}),
    ("redraw", {"label": 1, "seed": 7, "state": 1}),
    ("enlarge", {"label": 1, "seed": 7}),
    ("fill", {"label": 1, "seed": 7, "keep": "top"}),
    ("fill", {"label": 1, "seed": 7, "keep": "right"}),
    ("fill", {"label": 1, "seed": 7, "keep": "2:7,0:12"}),
    ("interpolate", {"label": 1, "count": 3, "seed": 3, "to_seed": 9}),
]


@pytest.mark.parametrize("settings", [{}, SETTINGS, {"steps": 2}])
@pytest.mark.parametrize(("kind", "fields"), TASKS)
def test_the_code_makes_the_same_picture(
    kind: str,
    fields: dict[str, Any],
    settings: dict[str, Any],
    client: TestClient,
    trained: Trained,
    drawn: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In Python and on the command line, in a folder with the saved drawing."""
    monkeypatch.chdir(tmp_path)
    trained("cascaded").save(tmp_path / "cascaded")
    choice = {"name": "cascaded", **settings}
    body = {**fields, "models": [choice]} if kind == "sample" else {**fields, "model": choice}
    if kind in ("redraw", "enlarge", "fill"):
        body["image"] = drawn.tolist()
        saved = client.post("/api/drawing", json={"image": drawn.tolist(), "label": 1})
        Path("drawing.npz").write_bytes(saved.content)
    events = parsed(client.post(f"/api/{kind}", json=body).text)
    start = events[0][1]
    pictures: list[np.ndarray] = []

    def keep(path: str, images: np.ndarray, columns: int | None = None, **_: object) -> None:
        pictures.append(images)

    monkeypatch.setattr(sc, "save_grid", keep, raising=False)
    program = compile(start["python"], "page", "exec")
    exec(program, {})
    np.testing.assert_array_equal(grey(pictures[0]), finished(events))
    monkeypatch.setattr("scalespace.figures.grids.save_grid", keep)
    program_name, *words = shlex.split(start["shell"])
    assert program_name == "scalespace"
    main([*words, "--device", "cpu", "--quiet"])
    np.testing.assert_array_equal(grey(pictures[1]), finished(events))


def test_what_the_page_offers(client: TestClient) -> None:
    about = client.get("/api/models").json()
    models = {one["name"]: one for one in about["models"]}
    assert list(models) == ["baseline", "cascaded", "vae", "guided"]
    assert about["most"] == 64
    cascaded = models["cascaded"]
    assert [one["name"] for one in cascaded["segments"]] == ["small", "upscaler"]
    assert [one["size"] for one in cascaded["segments"]] == [[6, 6], [12, 12]]
    assert [one["last"] for one in cascaded["segments"]] == [2, 2]
    assert cascaded["enlarges"]
    assert cascaded["fills"]
    assert [one["guided"] for one in about["models"]] == [False, False, False, True]
    assert not models["baseline"]["enlarges"]
    assert models["vae"]["segments"] == []
    assert not models["vae"]["redraws"]
