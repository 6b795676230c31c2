from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from fake import make_series, make_study
from PIL import Image

from scalespace.core.domain import X0_RULES
from scalespace.errors import InputError
from scalespace.evaluation.evaluate import METRICS, Metric
from scalespace.figures.picture import save
from scalespace.figures.sheets import in_domain_colors
from scalespace.report import page as report
from scalespace.report.figures import FIGURES, pictures_of
from scalespace.report.index import build_index
from scalespace.report.markdown import markdown
from scalespace.report.narrative import OfMethods, warnings
from scalespace.report.results import Results

SECTIONS = [
    *("result", "classes", "samples", "reverse", "forward"),
    *("training", "confusion", "frontier", "protocol", "config"),
]
VOID = {"meta", "img", "source", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Collects what a test asks of a page, and refuses one whose elements do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.resources: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.text = ""
        self.scripts = 0
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        self.resources += [str(values[name]) for name in ("src", "srcset") if name in values]
        if "href" in values:
            self.links.append(str(values["href"]))
        if tag == "img":
            self.images.append(values)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["script"]:
            self.text += data


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("study"), seeds=(0, 1))


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_series(tmp_path_factory.mktemp("series"))


@pytest.fixture(scope="module")
def built(study: Path) -> Path:
    return report.build(study)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A study whose pictures are still to come: quick to report on."""
    return make_study(tmp_path / "bare", methods=("small",), pictures=False, latency=False)


def rewrite(path: Path, change: Callable[[dict], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def rewrite_rows(folder: Path, keep: Callable[[dict], bool]) -> None:
    path = folder / "results.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows if keep(row)))


def test_page_is_whole_and_needs_no_other_file(built: Path) -> None:
    page = Page(built.read_text())
    assert len(page.ids) == len(set(page.ids))
    assert set(SECTIONS) <= set(page.ids)
    assert {f"#{name}" for name in SECTIONS} <= set(page.links) <= {f"#{id}" for id in page.ids}
    assert page.resources
    assert all(source.startswith("data:image/png;base64,") for source in page.resources)
    assert all(image["alt"] for image in page.images)
    assert "url(" not in built.read_text()
    assert built.stat().st_size < 6_000_000


def test_page_shows_the_papers_figures_and_the_numbers(built: Path) -> None:
    text = " ".join(Page(built.read_text()).text.split()).replace(
        "\u2060", ""
    )  # keeps dashes in line
    for number in (1, 2, 5, 6, 7, 8, 9, 10):
        assert f"Figure {number} of the paper" in text
    for value in ("0.9532 ± 0.0020", "0.8188 ± 0.0323", "0.9591 ± 0.0014", "39.0 [38.0–41.0]"):
        assert value in text
    assert "scalespace study --preset default --data mnist" in text
    assert "An Example CPU" in text
    assert "linear 2,304→128" in text
    assert "not finished" not in text


def test_table_is_exact(built: Path) -> None:
    lines = (built.parent / "table.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert table == [
        "|  | Real | Real, down and up | Baseline | Small, upscaled | Cascaded |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| CAS, 3 classifiers | 0.9784 ± 0.0020 | 0.9471 ± 0.0020 | 0.9532 ± 0.0020 "
        "| 0.9384 ± 0.0020 | 0.9601 ± 0.0020 |",
        "| CAS, paper (MNIST, 10,000 images) | 0.9764 ± 0.0043 | – | 0.7300 ± 0.0401 "
        "| 0.8188 ± 0.0323 | 0.5997 ± 0.0477 |",
        "| CAS, 2 seeds each alone | – | – | 0.9522 ± 0.0014 | 0.9374 ± 0.0014 | 0.9591 ± 0.0014 |",
        "| CAS above or below its control | – | – | −0.0252 (Real) | −0.0087 (Real, down and up) "
        "| −0.0183 (Real) |",
        "| Latency, mean (ms) | – | – | 40.0 | 50.0 | 60.0 |",
        "| Latency, median [quartiles] (ms) | – | – | 39.0 [38.0–41.0] | 49.0 [48.0–51.0] "
        "| 59.0 [58.0–61.0] |",
        "| Latency, mean (ms), paper (T4 GPU) | – | – | 60.7 | 41.2 | 67.1 |",
        "| Network calls a sample | – | – | 29 | 19 | 28 |",
        "| Multiply-adds a sample (millions) | – | – | 373.4 | 61.2 | 177.1 |",
        "| Parameters | – | – | 122,097 | 122,097 | 244,194 |",
        "| Images/s at the best batch size | – | – | 123 (batch 64) | 123 (batch 64) "
        "| 123 (batch 64) |",
        "| Training, all stages, a seed (s) | – | – | 300 | 300 | 601 |",
    ]


@pytest.mark.usefixtures("quick_pictures")
def test_page_of_a_study_with_stages_of_every_kind(series: Path) -> None:
    html = report.build(series).read_text()
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    assert {*SECTIONS, "judge", "autoencoder"} <= set(page.ids)
    assert {f"#{name}" for name in (*SECTIONS, "judge", "autoencoder")} <= set(page.links)
    assert all(image["alt"] for image in page.images)
    text = " ".join(page.text.split())
    for words in (
        "Table 2. Quality beside the real floor.",
        "“Latent flow” is nearest to the real images: FD 0.900, 3.0 times the floor.",
        "FD 0.900, 3.0 × floor",
        "Variational autoencoder with latents of 2×4×4 numbers",
        "squared error of an image + 0.5 × KL divergence",
        "14 states in the latents of vae",
        "linear schedule, predicts noise",
        "flow schedule, predicts flow",
        "The judge: 122,097 parameters; cross-entropy with dropout",
        "an image mixed with noise by its schedule.",
        "judge 0123456789ab, trained on mnist; it reads 99.00% of training and 98.00% of test",
    ):
        assert words in text
    assert "not finished" not in text


@pytest.mark.parametrize("rule", X0_RULES)
@pytest.mark.usefixtures("quick_pictures")
def test_a_recipe_in_words(rule: str, tmp_path: Path) -> None:
    """Whatever keeps an estimate in the domain; the kernels' own optimiser is named."""
    folder = make_study(tmp_path / "s", methods=("small",), pictures=False, latency=False)
    rewrite(
        folder / "study.json",
        lambda about: (
            about["recipes"]["small"]["process"].update(x0=rule),
            about["recipes"]["small"]["train"].update(muon=0.02),
        ),
    )
    text = " ".join(Page(report.build(folder).read_text()).text.split())
    assert "of Muon (kernels) and Adam at" in text


@pytest.mark.usefixtures("quick_pictures")
def test_a_method_without_classes_has_no_cas(tmp_path: Path) -> None:
    folder = make_series(tmp_path / "s", unconditional=("latent", "vae"))
    results = Results(folder)
    assert "no classes" in markdown(results)
    assert results.missing == []
    text = " ".join(Page(report.build(folder).read_text()).text.split())
    assert "40 images, not selected, of no class in particular; a block each" in text
    assert "its images are of no class in particular" in text


@pytest.mark.usefixtures("quick_pictures")
def test_a_study_without_cas_speaks_of_fd(tmp_path: Path) -> None:
    folder = make_series(tmp_path / "s", metrics=("fd",), seeds=(0,))
    page = Page(report.build(folder).read_text())
    text = " ".join(page.text.split())
    assert set(page.ids).isdisjoint({"classes", "confusion"})
    assert OfMethods(Results(folder)).headline.startswith("“Latent flow” is nearest to the real")
    assert "FD 0.900 3.0 × floor" in text
    assert "Table 1. What the methods cost." in text
    assert "Classification Accuracy Score" not in text
    assert "not finished" not in text
    assert "CAS" not in (folder / "table.md").read_text()
    for metric, word in (("copies", "copies: share of"), ("variety", "principal components")):
        folder = make_series(tmp_path / metric, metrics=(metric,), pictures=False)
        assert (
            "Nothing that this study measured says what is best"
            in OfMethods(Results(folder)).headline
        )
        page = Page(report.build(folder).read_text())
        assert word in " ".join(page.text.split()).lower()


def test_methods_are_ranked_by_a_metric_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_series(tmp_path / "s", metrics=("fd",), pictures=False)
    for file in ("study.json", "results.jsonl"):
        text = (folder / file).read_text()
        (folder / file).write_text(text.replace('"fd"', '"haze"'))
    for better, first in ((-1, "“Latent flow” is best: 0.900."), (1, "“VAE” is best")):
        own = Metric(lambda *_: {}, {"haze": "Haze"}, better=better)
        monkeypatch.setitem(METRICS, "haze", own)
        told = OfMethods(Results(folder))
        assert told.headline.startswith(f"By Haze {first}")
        assert told.remarks == []
        assert markdown(Results(folder)).count("By Haze") == 1


@pytest.mark.usefixtures("quick_pictures")
def test_headline_names_the_winner_or_a_tie(bare: Path, tmp_path: Path) -> None:
    def headline(**means: float) -> str:
        where = make_study(tmp_path / "h", pictures=False, latency=False, means=means)
        return OfMethods(Results(where)).headline

    assert headline() == "“Cascaded” makes the most useful images."
    lead = OfMethods(Results(tmp_path / "h")).lead
    assert "trained on 10,000 images of “Cascaded” reads 96.0% of real test images" in lead
    assert headline(baseline=0.959) == "“Cascaded” and “Baseline” are too close to call."
    assert OfMethods(Results(bare)).headline == "“Small, upscaled” stands alone in this study."


@pytest.mark.usefixtures("quick_pictures")
def test_one_number_alone_decides_nothing(tmp_path: Path) -> None:
    """One classifier and one seed have no spread, and so no difference is certain."""
    scores = {"cascaded": 0.99, "baseline": 0.95, "small": 0.8, "real": 0.9}
    where = make_study(tmp_path / "h", classifiers=1, pictures=False, means=scores)
    told, own = OfMethods(Results(where)), Results(where)
    assert told.headline == (
        "“Cascaded” has the highest CAS, perhaps by chance: its spread is not known."
    )
    assert told.remarks[0].endswith("one classifier and one seed do not tell whether by chance.")
    (above, *_) = warnings(own)
    assert "above its control Real. If not by chance, it needs an explanation" in above


@pytest.mark.usefixtures("quick_pictures")
def test_a_score_above_its_control_is_flagged(tmp_path: Path) -> None:
    def warned(mean: float) -> list[str]:
        where = make_study(tmp_path / "w", pictures=False, latency=False, means={"small": mean})
        return warnings(Results(where))

    assert warned(0.9500) == []
    (warning,) = warned(0.9571)
    assert "scores 0.0100 above its control Real, down and up" in warning
    assert "needs an explanation" in warning


def test_a_judge_that_reads_little_is_told(series: Path, tmp_path: Path) -> None:
    where = shutil.copytree(series, tmp_path / "s")
    assert not any("judge" in warning for warning in warnings(Results(where)))
    text = (where / "results.jsonl").read_text()
    (where / "results.jsonl").write_text(text.replace('"test": 0.98}', '"test": 0.3}'))
    (warning,) = (one for one in warnings(Results(where)) if "judge" in one)
    assert warning.startswith("The judge reads only 30.0% of the images that it has not learnt")


@pytest.mark.usefixtures("quick_pictures")
def test_the_papers_numbers_stand_beside_mnist_alone(tmp_path: Path) -> None:
    def table(data: str) -> str:
        return markdown(Results(make_study(tmp_path / data, data=data, pictures=False)))

    assert "0.8188" in table("mnist")
    assert "0.8188" not in table("fashion-mnist")
    assert "paper (MNIST, 10,000 images, for orientation)" in table("digits")
    assert "they are not MNIST's" in table("digits")


def test_the_papers_latency_stands_beside_its_scores(tmp_path: Path) -> None:
    def table(*metrics: str, data: str = "mnist") -> str:
        folder = tmp_path / "-".join((data, *metrics))
        study = make_study(folder, methods=("small",), data=data, metrics=metrics, pictures=False)
        return markdown(Results(study))

    for shown in (table("cas"), table("cas", data="digits"), table("cas", "fd")):
        assert "| CAS, paper" in shown
        assert "paper (T4 GPU)" in shown
    for left_out in (table("fd"), table("cas", data="kmnist")):
        assert "| CAS, paper" not in left_out
        assert "paper (T4 GPU)" not in left_out
        assert "| Latency, mean (ms) |" in left_out


@pytest.mark.usefixtures("quick_pictures")
def test_a_study_without_a_preset_names_none(bare: Path, tmp_path: Path) -> None:
    assert "· preset default ·" in " ".join(Page(report.build(bare).read_text()).text.split())
    assert "Data `mnist`, preset `default`, training" in (bare / "table.md").read_text()
    rewrite(bare / "study.json", lambda about: about.update(preset=""))
    head = " ".join(Page(report.build(bare).read_text()).text.split())
    assert "Scale-space diffusion · mnist · 1 training seed" in head
    assert "Data `mnist`, training seeds 0." in (bare / "table.md").read_text()
    build_index([bare], tmp_path / "index.html")
    index = (tmp_path / "index.html").read_text()
    assert '<td role="cell" data-of="preset" class="none">–</td>' in index


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    # a study with every kind of picture, and the same in another place
    first = make_study(tmp_path / "a", methods=("small",), classifiers=1)
    second = Path(shutil.copytree(first, tmp_path / "b"))
    one, two = report.build(first), report.build(second)
    assert one.read_bytes() == two.read_bytes()
    assert (first / "table.md").read_bytes() == (second / "table.md").read_bytes()
    assert str(tmp_path) not in one.read_text()
    assert "0.9384 |" in (first / "table.md").read_text()  # one classifier has no spread


@pytest.mark.usefixtures("quick_pictures")
def test_unfinished_study_says_what_is_missing(bare: Path) -> None:
    rewrite_rows(bare, lambda row: row.get("method") != "small")
    text = " ".join(Page(report.build(bare).read_text()).text.split())
    assert "No method of this study has been scored yet." in text
    assert "This study is not finished." in text
    assert "Missing: cas small; fd" not in text
    assert "Missing: cas small." in text
    (bare / "results.jsonl").write_text("")
    Page(report.build(bare).read_text())


@pytest.mark.usefixtures("quick_pictures")
def test_unfinished_series_says_what_is_missing(tmp_path: Path) -> None:
    folder = make_series(tmp_path / "s", pictures=False)
    lost = {"fd": "vae", "kid": "real-test", "copies": "small"}
    rewrite_rows(
        folder,
        lambda row: (
            lost.get(row["metric"]) != row.get("method")
            and not (row["metric"] == "recall" and row.get("seed") == 1)
        ),
    )
    lacking = Results(folder).missing
    for words in ("fd vae", "fd vae-seed0", "fd vae-seed1", "kid real-test", "copies small"):
        assert words in lacking
    assert not [words for words in lacking if words.startswith("cas")]
    Page(report.build(folder).read_text())
    (folder / "results.jsonl").write_text("")
    Page(report.build(folder).read_text())


def test_many_classes_and_one_classifier(tmp_path: Path) -> None:
    where = make_study(
        tmp_path / "letters", data="letters", classes=26, methods=("small",), classifiers=1
    )
    results = Results(where)
    for name in ("cas", "samples", "forward", "confusion"):
        for picture in FIGURES[name](results):
            with Image.open(io.BytesIO(picture.png())) as image:
                assert abs(image.width - picture.css_width * 1.5) <= 2
    assert "mean ± sample" not in markdown(results)


def test_figures_in_each_format(study: Path, tmp_path: Path) -> None:
    pictures = pictures_of(study, "training")
    assert len(pictures) > 2
    for suffix, start in {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}.items():
        save(tmp_path / f"a{suffix}", pictures)
        assert (tmp_path / f"a{suffix}").read_bytes().startswith(start)
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(InputError, match=r"ends in \.png, \.svg or \.pdf"):
        save(tmp_path / "a.txt", pictures)


def test_figures_that_are_refused(bare: Path) -> None:
    with pytest.raises(InputError, match="unknown figure 'sample'; did you mean 'samples'"):
        pictures_of(bare, "sample")
    with pytest.raises(InputError, match="holds nothing to show as 'reverse' yet"):
        pictures_of(bare, "reverse")


def test_values_outside_the_domain_have_a_colour() -> None:
    colors = in_domain_colors(np.array([0.0, 0.5, 1.0, -3.0, 4.0]), 0.0, 1.0)
    assert colors[0].tolist() == [0, 0, 0]
    assert colors[1].tolist() == [0.5, 0.5, 0.5]
    assert colors[2].tolist() == [1, 1, 1]
    assert colors[3, 2] > 2 * colors[3, 0]
    assert colors[4, 0] > 2 * colors[4, 2]
    assert colors.min() >= 0
    assert colors.max() <= 1


def break_study(folder: Path) -> None:
    (folder / "study.json").write_text('{"format": 1,')


def break_format(folder: Path) -> None:
    rewrite(folder / "study.json", lambda study: study.update(format=2))


def break_stage(folder: Path) -> None:
    rewrite(folder / "study.json", lambda study: study["stages"][0].update(states="many"))


def break_results(folder: Path) -> None:
    path = folder / "results.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:40], *lines[2:]]))


def break_score(folder: Path) -> None:
    row = json.loads((folder / "results.jsonl").read_text().splitlines()[0])
    (folder / "results.jsonl").write_text(json.dumps({**row, "confusion": [[1, 2], [3, 4]]}))


def edit_score(folder: Path) -> None:
    row = json.loads((folder / "results.jsonl").read_text().splitlines()[0])
    (folder / "results.jsonl").write_text(json.dumps({**row, "value": 0.5}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "study folder not found"),
        (lambda folder: (folder / "study.json").unlink(), "study not found: .*study.json"),
        (lambda folder: (folder / "results.jsonl").unlink(), "results not found"),
        (break_study, "study.json is not valid JSON"),
        (break_format, "it has format 2, this version reads 1"),
        (break_stage, "states"),
        (break_results, r"results.jsonl, line 2 is damaged: .* \(run the study again: it writes"),
        (lambda folder: (folder / "study.json").write_text("null"), "study.json is no JSON object"),
        (lambda folder: (folder / "study.json").write_text("{}"), "be used: it lacks 'format'"),
        (break_score, "line 1 is damaged: confusion must be 10 x 10 counts"),
        (edit_score, "line 1 is damaged: its score, 0.5, is not what its counts give"),
    ],
)
def test_damaged_study_is_one_clear_line(
    bare: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(bare)
    with pytest.raises(InputError, match=message) as caught:
        report.build(bare)
    assert "\n" not in str(caught.value)
    assert not (bare / "report.html").exists()


@pytest.mark.parametrize(
    ("figure", "kind", "content"),
    [
        ("samples", "samples", b"no zip"),
        ("reverse", "trajectory", b"no zip"),
        ("training", "metrics", b"no JSON\n"),
        ("training", "metrics", b'{"epoch": "one", "loss": [2]}\n'),
        ("forward", "real_samples", None),
    ],
)
def test_damaged_file_is_one_clear_line(
    tmp_path: Path, figure: str, kind: str, content: bytes | None
) -> None:
    folder = make_study(tmp_path / "study", methods=("small",))
    (row, *_) = Results(folder).find("artefact", kind=kind)
    path = folder / row["path"]
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(path))) as caught:
        pictures_of(folder, figure)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["../other.npz", "/etc/hostname"])
def test_files_outside_the_study_are_not_read(tmp_path: Path, path: str) -> None:
    folder = make_study(tmp_path / "study", methods=("small",))
    results = folder / "results.jsonl"
    results.write_text(
        re.sub(r'"units/small-0/samples.npz"', json.dumps(path), results.read_text())
    )
    with pytest.raises(InputError, match="is not inside the study"):
        pictures_of(folder, "samples")
