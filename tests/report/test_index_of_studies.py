"""An index that compares several studies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake import make_series, make_study
from fake_variants import make_variant_study
from test_report import Page, rewrite, rewrite_rows

from scalespace.cli import main
from scalespace.errors import InputError
from scalespace.report.index import build_index, groups, read_studies
from scalespace.report.page import build


def text_of(path: Path) -> str:
    return " ".join(Page(path.read_text()).text.split())


@pytest.fixture
def studies(tmp_path: Path) -> list[Path]:
    """Two studies of MNIST, one of them half done, and one of other data."""
    first = make_study(tmp_path / "first", seeds=(0, 1), pictures=False)
    second = make_series(tmp_path / "second", pictures=False)
    rewrite_rows(second, lambda row: row["metric"] != "kid")
    other = make_study(tmp_path / "other", data="kmnist", methods=("small",), pictures=False)
    return [first, second, other]


@pytest.mark.usefixtures("quick_pictures")
def test_studies_are_compared_by_their_data(studies: list[Path], tmp_path: Path) -> None:
    (studies[0] / "report.html").write_text("a report")
    page = tmp_path / "studies.html"
    assert build_index(studies, page) == (3, [])
    mnist, kmnist = groups(read_studies(studies)[0])
    assert (mnist.title, kmnist.title) == ("mnist", "kmnist")
    fd, cas, macs, latency = mnist.tables
    assert list(cas.cells.columns) == ["first", "second"]
    assert cas.cells.loc["Small, upscaled"].tolist() == ["0.9374 ± 0.0014"] * 2
    assert cas.cells.loc["Baseline", "second"] == "–"
    assert list(fd.cells.columns) == ["second"]  # the other did not measure it
    assert fd.cells.loc["Latent flow", "second"] == "0.945 ± 0.064"
    assert macs.cells.loc["Baseline", "first"] == "373.4"
    assert latency.cells.loc["Baseline", "first"] == "39.0"
    assert mnist.studies.cells.loc["first", "state"] == "finished"
    state = mnist.studies.cells.loc["second", "state"]
    total = len(json.loads((studies[1] / "study.json").read_text())["tasks"])
    assert state.endswith(f"of {total} tasks done")
    assert not state.startswith(f"{total} ")
    html = Page(page.read_text())
    assert "first/report.html" in html.links  # and none to a report that is not there
    assert not [link for link in html.links if "second" in link]
    assert len(html.ids) == len(set(html.ids))
    assert all(source.startswith("data:image/png;base64,") for source in html.resources)


@pytest.mark.usefixtures("quick_pictures")
def test_each_picture_is_of_one_data_set_and_one_way_of_scoring(studies: list[Path]) -> None:
    rewrite(studies[1] / "study.json", lambda about: about["config"]["cas"].update(epochs=99))
    mnist, kmnist = groups(read_studies(studies)[0])
    captions = {picture.name: picture.caption for picture in mnist.pictures}
    assert list(captions) == ["overall-fd-0-mnist", "overall-cas-0-mnist", "overall-cas-1-mnist"]
    assert "over first. " in captions["overall-cas-0-mnist"]
    assert "over second. " in captions["overall-cas-1-mnist"]
    assert [picture.name for picture in kmnist.pictures] == ["overall-cas-0-kmnist"]
    (note,) = mnist.notes
    assert note.startswith("CAS classifiers differ: ")
    assert "99 epochs" in note


def test_the_best_variant_stands_for_a_method(tmp_path: Path) -> None:
    scores = {"plain": (0.90, 0.91), "better": (0.95, 0.96)}
    folder = make_variant_study(
        tmp_path / "v", scores, variants={"plain": {}, "better": {"train.lr": 1}}
    )
    (group,) = groups(read_studies([folder])[0])
    cas = group.tables[0].cells
    assert cas.loc["Small, upscaled", "v"] == "0.9550 ± 0.0071 “better”"


def test_folders_that_are_no_study_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = make_study(tmp_path / "all" / "whole", methods=("small",), pictures=False)
    again = make_study(tmp_path / "all" / "again", methods=("small",), pictures=False)
    (tmp_path / "empty").mkdir()
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "study.json").write_text((whole / "study.json").read_text())
    bad = make_study(tmp_path / "bad", methods=("small",), pictures=False)
    (bad / "study.json").write_text("{")
    entries, refused = read_studies(
        [tmp_path / "all", whole, *(tmp_path / name for name in ("empty", "begun", "bad", "gone"))]
    )
    assert [entry.name for entry in entries] == ["again", "whole"]  # once each
    assert [line.partition(": ")[2] for line in refused[:2] + refused[3:]] == [
        "no study (no study.json in it or right below it)",
        "nothing is measured yet (no results.jsonl)",
        "there is no such folder",
    ]
    assert "is not valid JSON" in refused[2]
    assert again.exists()
    with pytest.raises(InputError, match="no study"):
        build_index([tmp_path / "empty"], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(tmp_path / "empty"), str(tmp_path / "gone")])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no such folder" in line


@pytest.mark.usefixtures("quick_pictures")
def test_the_command_writes_one_report_or_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_study(tmp_path / "a" / "same", methods=("small",), pictures=False)
    make_study(tmp_path / "b" / "same", methods=("small",), pictures=False)
    main(["report", "a/same"])
    assert capsys.readouterr().out == f"report: {Path('a/same/report.html')}\n"
    main(["report", "a/same", "b/same", "nothing"])
    out, err = capsys.readouterr()
    assert out == "index of 2 studies: studies.html\n"
    assert err == "nothing: there is no such folder\n"
    page = Page((tmp_path / "studies.html").read_text())
    assert "a/same/report.html" in page.links
    assert "b/same" in page.text  # a name that tells it from the other
    assert "nothing: there is no such folder" in page.text
    main(["report", "a/same", "--out", "pages/one.html"])
    assert "../a/same/report.html" in Page((tmp_path / "pages/one.html").read_text()).links
    with pytest.raises(SystemExit) as stopped:
        main(["report", "a/same", "--out", "one.pdf"])
    assert stopped.value.code == 2
    assert build("a/same").exists()
