"""Table 2 and what is said of it, by figures computed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake import edit_rows, make_series, make_study

from scalespace.evaluation.evaluate import METRICS, Metric
from scalespace.report.figures.frontier import levels
from scalespace.report.markdown import markdown
from scalespace.report.narrative import OfMethods, warnings
from scalespace.report.results import Results
from scalespace.report.tables import quality_table
from scalespace.report.words import compared, digits, times


@pytest.fixture
def series(tmp_path: Path) -> Path:
    return make_series(tmp_path / "series", pictures=False, unconditional=("vae",))


def test_rows_are_exact(series: Path) -> None:
    # FD 0.9 of latent flow: 0.9 / 0.3 = 3.0 floors; seeds 0.9 and 0.99, so 0.945 ± 0.0636
    lines = markdown(Results(series)).splitlines()
    start = lines.index("**Quality beside the real floor**") + 2
    assert lines[start : start + 9] == [
        "|  | FD (95% interval) | × floor | FD, 2 seeds each alone | FD before the ReLU "
        "| FD, published (× own floor) | KID × 1,000 | Precision | Recall | Density | Coverage "
        "| Copies | Distance to the nearest training image |",
        "| --- |" + " ---: |" * 12,
        "| Real test images | 0.300 (0.271–0.329) | 1.0 | – | 0.600 | 0.30 (1.0 ×) "
        "| −0.10 ± 0.20 | 0.971 | 0.971 | 0.971 | 0.971 | 0.10% | 5.00 |",
        "| Real, down and up | 4.50 (4.06–4.94) | 15 | – | 9.00 | – | 4.10 ± 0.20 | 0.690 "
        "| 0.690 | 0.690 | 0.690 | 0.10% | 5.04 |",
        "| Noise of each pixel | 48.0 (43.3–52.7) | 160 | – | 96.0 | 48.43 (161 ×) "
        "| 47.60 ± 0.20 | 0.172 | 0.172 | 0.172 | 0.172 | 0.10% | 5.48 |",
        "| Small, upscaled | 6.00 (5.41–6.59) | 20 | 6.30 ± 0.42 | 12.0 | – | 5.60 ± 0.20 "
        "| 0.625 | 0.625 | 0.625 | 0.625 | 0.10% | 5.06 |",
        "| VAE | 60.0 (54.1–65.9) | 200 | 63.0 ± 4.2 | 120 | 63.49 (212 ×) | 59.60 ± 0.20 "
        "| 0.143 | 0.143 | 0.143 | 0.143 | 0.10% | 5.60 |",
        "| Latent diffusion | 2.40 (2.16–2.64) | 8.0 | 2.52 ± 0.17 | 4.80 | 6.02 (20 ×) "
        "| 2.00 ± 0.20 | 0.806 | 0.806 | 0.806 | 0.806 | 0.10% | 5.02 |",
        "| Latent flow | 0.900 (0.812–0.988) | 3.0 | 0.945 ± 0.064 | 1.80 | about 3 (10 ×) "
        "| 0.50 ± 0.20 | 0.917 | 0.917 | 0.917 | 0.917 | 0.10% | 5.01 |",
    ]


def test_only_what_was_measured_has_a_column(tmp_path: Path) -> None:
    def titles(*metrics: str, **more: object) -> tuple[str, ...]:
        folder = make_series(tmp_path / "s", pictures=False, metrics=metrics, **more)
        table = quality_table(Results(folder))
        assert table is not None
        return tuple(table.cells.columns)

    assert titles("kid") == ("KID × 1,000",)
    assert titles("copies", "cas") == ("Copies", "Distance to the nearest training image")
    assert titles("variety") == ("Variety", "Detail")
    assert titles("c2st") == ("Told from real", "Told from real in noise")
    # one seed has no spread over seeds, other data than MNIST no published figures
    found = titles("fd", data="kmnist", seeds=(0,))
    assert found == ("FD (95% interval)", "× floor", "FD before the ReLU")


def test_a_metric_that_is_added_has_its_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METRICS, "sharp", Metric(lambda *_: {}, {"edges": "Edges"}))
    folder = make_series(tmp_path / "s", pictures=False, metrics=("kid",))
    about = json.loads((folder / "study.json").read_text())
    about["config"]["study"]["metrics"].append("sharp")
    (folder / "study.json").write_text(json.dumps(about))
    row = {"metric": "edges", "method": "vae", "seed": None, "value": 0.25, "n": 100}
    with (folder / "results.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    table = quality_table(Results(folder))
    assert table is not None
    assert tuple(table.cells.columns) == ("KID × 1,000", "Edges")
    assert table.cells.loc["VAE", "Edges"] == "0.250"


def test_a_study_of_cas_alone_has_no_second_table(tmp_path: Path) -> None:
    results = Results(make_study(tmp_path / "s", pictures=False))
    assert quality_table(results) is None
    assert "FD" not in markdown(results)


def test_notes_say_what_the_numbers_are(tmp_path: Path) -> None:
    text = markdown(Results(make_series(tmp_path / "s")))
    for words in (
        "n = 10,000 images a set, generated ones pooled from 2 training seeds",
        "Judge 0123456789ab: the network whose features",
        "trained on mnist; it reads 99.00% of training and 98.00% of test images",
        "of all 60,000 training images. The interval is ± 1.96 standard errors",
        "FD is biased upwards, more so for fewer images",
        "their squared Wasserstein distance is at least",
        "the FD of real test images, 0.300",
        "less than a third as far from the nearest training image",
        "by the paper's author for MNIST, with a judge",
    ):
        assert words in text
    digits_text = markdown(Results(make_series(tmp_path / "d", data="digits", pictures=False)))
    assert "by the paper's author for MNIST (for orientation), with a judge" in digits_text


def test_sets_of_different_sizes_are_flagged(series: Path) -> None:
    assert warnings(Results(series)) == []
    assert len(levels(Results(series), Results(series).study.metrics["fd"])) == 1
    edit_rows(series, "fd", "real-test", n=1000)
    assert levels(Results(series), Results(series).study.metrics["fd"]) == []
    (warning,) = warnings(Results(series))
    assert "1,000 (Real test images); 10,000 (Real, down and up, Noise of each pixel" in warning
    assert "n = 1,000 and 10,000 images a set" in markdown(Results(series))
    assert OfMethods(Results(series)).by_others[0].endswith("real images: FD 0.900.")  # of no floor


def test_the_nearest_method_or_a_tie(tmp_path: Path) -> None:
    def near(**distances: float) -> str:
        where = make_series(tmp_path / "s", pictures=False, distances=distances)
        return OfMethods(Results(where)).by_others[0]

    # seeds 0.9 and 0.99 have a deviation of 0.0636, of 1.0 and 1.1 of 0.0707: 2 sd are 0.19
    one = "“Latent flow” is nearest to the real images: FD 0.900, 3.0 times the floor."
    assert near() == near(latent=1.2) == one
    assert near(latent=1.0) == (
        "By FD “Latent flow” and “Latent diffusion” are too close to call: "
        "0.900 (3.0 times the floor) and 1.00 (3.3 times the floor)."
    )
    assert near(**{"real-test": 0.0}).endswith("real images: FD 0.900.")


def test_numbers_are_written_in_three_figures() -> None:
    written = [digits(x) for x in (0, 0.00511, 0.3, 9.996, 48.43, 12345.6, -0.5)]
    assert written == ["0", "0.00511", "0.300", "10.00", "48.4", "12,346", "−0.500"]
    assert [times(x) for x in (1, 3.14, 20.1, 1234.5)] == ["1.0", "3.1", "20", "1,234"]
    assert [compared(x, 2.0) for x in (9, 1, 0.001)] == ["4.5 times", "50% of", "less than 1% of"]
