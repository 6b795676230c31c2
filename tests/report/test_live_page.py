"""The page of a study that is still running, was stopped, or was killed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from test_report import Page

import tiny
from scalespace.errors import InputError
from scalespace.figures.album import Album, fingerprint
from scalespace.figures.charts import Line, curves
from scalespace.figures.picture import DARK, LIGHT, Picture
from scalespace.report import live
from scalespace.report.results import Results
from scalespace.report.status import SILENT_SECONDS
from scalespace.report.study import study
from scalespace.studies import executors
from scalespace.studies.plan import Task
from scalespace.studies.tasks import Context

BEAT_SECONDS = live.BEAT_SECONDS
REFRESH = 'http-equiv="refresh"'
STUDY = replace(tiny.CONFIG.study, methods=("small",), seeds=(0,))


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that a study in this process has written before each of its tasks."""
    monkeypatch.setattr(live, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(live, "SHARE", 1.0)
    pages: list[str] = []
    run_task = executors.run_task

    def watch(context: Context, task: Task) -> None:
        pages.append((context.folder / "report.html").read_text())
        run_task(context, task)

    monkeypatch.setattr(executors, "run_task", watch)
    return pages


def run(folder: Path, data_dir: Path, say: Callable[[str], None] = lambda _: None) -> Path:
    return study(folder, replace(tiny.CONFIG, study=STUDY), "tiny", data_dir, tiny.CPU, say=say)


@pytest.mark.usefixtures("quick_pictures")
def test_a_running_study_shows_what_it_has(
    tmp_path: Path, data_dir: Path, watched: list[str]
) -> None:
    said: list[str] = []
    path = run(tmp_path / "s", data_dir, said.append)
    assert f"the report so far: {path}" in said[:2]
    tasks = len(watched)
    for k, html in enumerate(watched):
        text = " ".join(Page(html).text.split())
        assert "This study is running." in text
        assert f"{k} of {tasks} tasks are done, as of 20" in text
        assert html.count(REFRESH) == 1
    first, last = watched[0], watched[-1]
    assert 'id="samples"' not in first
    assert 'id="samples"' in last
    assert "No method of this study has been scored yet." in first
    assert "“Small, upscaled” stands alone in this study." in last
    assert "1 bench</summary>" in last
    final = path.read_text()
    assert REFRESH not in final
    assert "running" not in Page(final).text
    assert not list(path.parent.glob(".*part*"))


@pytest.mark.usefixtures("quick_pictures", "watched")
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InputError("no more\nroom"), "This study was stopped: no more room."),
        (KeyboardInterrupt(), "This study was stopped: interrupted."),
    ],
)
def test_a_stopped_study_says_so(
    tmp_path: Path,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    words: str,
) -> None:
    run_task = executors.run_task

    def fail(context: Context, task: Task) -> None:
        if task.kind == "score":
            raise error
        run_task(context, task)

    monkeypatch.setattr(executors, "run_task", fail)
    with pytest.raises(type(error)):
        run(tmp_path / "s", data_dir)
    html = (tmp_path / "s" / "report.html").read_text()
    text = " ".join(Page(html).text.split())
    assert words in text
    assert "The same command continues it." in text
    assert REFRESH not in html
    assert 'data-silent="' not in html
    assert "score cas-small" in text  # is still to do
    # what was found since the page was last made is on it, and in the results
    rows = (tmp_path / "s" / "results.jsonl").read_text().splitlines()
    done = {json.loads(row).get("task", "") for row in rows}
    assert any(task.startswith("sample-small") for task in done)
    assert 'id="samples"' in html


def wait_for(holds: Callable[[], bool]) -> None:
    for _ in range(600):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it never came")


@pytest.mark.usefixtures("quick_pictures")
def test_a_killed_study_shows_by_its_age(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page tells the time anew although no task ends, and when it must count as killed."""
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.05)
    seen: list[datetime] = []
    run_task = executors.run_task

    def slow(context: Context, task: Task) -> None:
        page = context.folder / "report.html"
        before = page.stat().st_mtime_ns
        wait_for(lambda: bool(seen) or page.stat().st_mtime_ns != before)
        (when,) = re.findall(r'<time datetime="([^"]+)"', page.read_text())
        seen.append(datetime.fromisoformat(when))
        run_task(context, task)

    monkeypatch.setattr(executors, "run_task", slow)
    path = run(tmp_path / "s", data_dir)
    assert seen[0].tzinfo is not None
    assert SILENT_SECONDS >= 3 * BEAT_SECONDS
    assert REFRESH not in path.read_text()


@pytest.mark.usefixtures("quick_pictures")
def test_pictures_come_while_the_first_task_is_done_and_results_before_time_is_measured(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where tasks end so soon one after another that nothing is drawn in between."""
    monkeypatch.setattr(live, "EVERY_SECONDS", 1e6)
    seen: list[str] = []
    run_task = executors.run_task

    def watch(context: Context, task: Task) -> None:
        path = context.folder / "report.html"
        if not seen:
            wait_for(lambda: 'id="forward"' in path.read_text())
        seen.append(path.read_text())
        if task.alone:
            time.sleep(0.5)  # beats meanwhile
            assert made == ["no pictures", "all", "all"]
        run_task(context, task)

    made: list[str] = []
    page = live.page

    def count(*arguments: Any, pictures: bool, **more: Any) -> str:
        made.append("all" if pictures else "no pictures")
        return page(*arguments, pictures=pictures, **more)

    monkeypatch.setattr(live, "page", count)
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(executors, "run_task", watch)
    run(tmp_path / "s", data_dir)
    assert all('id="samples"' not in html for html in seen[:-1])
    assert 'id="samples"' in seen[-1]
    assert "No method of this study has been scored yet." not in seen[-1]


@pytest.mark.usefixtures("quick_pictures")
def test_a_page_that_fails_costs_no_study(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> str:
        raise KeyError("something")

    monkeypatch.setattr(live, "page", broken)
    said: list[str] = []
    run(tmp_path / "s", data_dir, said.append)
    assert any("report.html could not be made: 'something'" in line for line in said)
    assert not Results(tmp_path / "s").missing


def chart(top: float) -> Picture:
    line = Line([0, 1], [0.5, top])
    return Picture("a", "", "", "", curves([line], "x", "y", (1.0, 1.0)))


def test_an_album_draws_only_what_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    png = Picture.png
    monkeypatch.setattr(
        Picture, "png", lambda self, theme=LIGHT: drawn.append(theme) or png(self, theme)
    )
    album = Album()
    first = album.png(chart(1.0), LIGHT)
    assert album.png(chart(1.0), LIGHT) == first
    assert drawn == [LIGHT]
    assert album.png(chart(1.0), DARK) != first
    assert album.png(chart(2.0), LIGHT) != first
    assert len(drawn) == 3
    album.turn()
    assert album.png(chart(1.0), LIGHT) == first
    assert len(drawn) == 3
    album.turn()
    album.turn()  # nobody has asked for it since
    album.png(chart(1.0), LIGHT)
    assert len(drawn) == 4


def test_fingerprints_tell_all_that_is_drawn_apart() -> None:
    assert fingerprint(chart(1.0)) == fingerprint(chart(1.0))
    assert fingerprint(chart(1.0)) != fingerprint(chart(1.0 + 1e-9))
    assert fingerprint(["ab", "c"]) != fingerprint(["a", "bc"])
    assert fingerprint([1]) != fingerprint(["1"])
