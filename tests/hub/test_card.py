from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import mean, stdev
from typing import Any

import pytest
import yaml
from test_hub_figures import FIGURES

from scalespace.hub.card import About, card, header, number
from scalespace.hub.figures import Measure
from scalespace.model import Model

Trained = Callable[[str], Model]


def about(model: Model, data: str = "mnist", own: bool = False, **changes: Any) -> About:
    config = {**model.config, "data": {**model.config["data"], "name": data, "own": own}}
    parameters = dict.fromkeys(model.stages, 1234)
    return replace(About(model.method.title, "A method.", config, parameters), **changes)


def rows(text: str, first: str) -> list[list[str]]:
    """The cells of a table's rows that begin with a word."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_figures_stand_beside_their_controls(trained: Trained) -> None:
    text = card(about(trained("cascaded"), figures=FIGURES), "user/repo")
    [names] = rows(text, "figure")
    assert names[:4] == ["figure", "this model", "training seeds 0, 1, 2", "Real"]
    [cas] = rows(text, "CAS")
    seeds = FIGURES.measures[0].seeds
    spread = f"{mean(seeds):.4f} ± {stdev(seeds):.4f}"
    assert cas[1:] == ["0.9600 ± 0.0010", spread, "0.9800", "10,000", "–", "–"]
    [fd] = rows(text, "FD")
    assert fd[1:] == ["0.7000 (0.6000–0.8000)", "–", "–", "10,000", "60,000", "0123456789ab"]
    assert "223.1 million multiply-adds and, alone, 33.4 ms" in text
    assert "a processor" in text
    assert "no figure chose it" in text
    assert "no figure chose it" not in card(
        about(trained("cascaded"), figures=replace(FIGURES, seed=1)), "user/repo"
    )


def test_a_study_without_a_preset_names_none(trained: Trained) -> None:
    model = trained("small")
    assert "From a study with the preset `default` on a" in card(about(model, figures=FIGURES), "x")
    text = card(about(model, figures=replace(FIGURES, preset="")), "x")
    assert "From a study on a processor" in text


def test_the_header(trained: Trained) -> None:
    found = header(about(trained("small"), figures=FIGURES))
    assert found["metrics"] == ["classification-accuracy-score", "frechet-distance"]
    assert found["datasets"] == ["mnist"]
    for data, name in {"digits": ["mnist"], "fashion-mnist": ["fashion_mnist"]}.items():
        assert header(about(trained("small"), data))["datasets"] == name
    bare = header(about(trained("small"), "my-own"))
    assert "datasets" not in bare
    assert "metrics" not in bare
    text = card(about(trained("small"), "a: [b]"), "x")  # a name cannot break the header
    assert yaml.safe_load(text.split("---\n")[1])["tags"][-1] == "a: [b]"


def test_what_was_not_measured_is_not_told(trained: Trained) -> None:
    text = card(about(trained("baseline")), "./folder")
    assert "None were measured of this model." in text
    assert "copies of training images" in text  # among what was not checked
    assert 'from_pretrained("./folder")' in text
    copies = Measure("copies", "Copies", 0.0, 100)
    text = card(about(trained("baseline"), figures=replace(FIGURES, measures=(copies,))), "x")
    assert "copies of training images" not in text
    assert rows(text, "Copies")[0][1] == "0.0000"
    assert rows(text, "CAS") == []


@pytest.mark.parametrize("name", ["baseline", "small", "cascaded", "vae", "latent", "latent-flow"])
def test_every_method_has_a_card(name: str, trained: Trained) -> None:
    model = trained(name)
    text = model.card("user/repo")
    for stage, part in model.stages.items():
        [row] = rows(text, stage)
        recipe = part.training.recipe.train
        assert row[2:4] == [str(recipe.epochs), str(recipe.batch_size)]
        assert row[6] == f"{part.record['images']:,}"
    assert ("they are blurred" in text) == (name == "small")
    assert "\n\n\n\n" not in text


def test_what_was_written_in_a_program_is_not_imported(trained: Trained) -> None:
    text = card(about(trained("small"), modules=["__main__", "my_stages"]), "x")
    assert "import __main__" not in text
    assert "\nimport my_stages  # not part" in text
    assert "\n# its method or network was written in the program that trained it" in text
    assert "in the program that" not in card(about(trained("small"), modules=["my_stages"]), "x")


def test_names_make_no_markup_and_no_columns(trained: Trained) -> None:
    text = card(about(trained("small"), "<script>alert(1)</script> | x"), "x")
    body = text.split("---\n", 2)[2]
    assert "<script>" not in body
    assert "trained on &lt;script>alert(1)&lt;/script> \\| x" in body


def test_own_files_do_not_pass_for_published_ones(trained: Trained) -> None:
    own = about(trained("small"), own=True)
    assert "datasets" not in header(own)
    text = card(own, "x")
    assert "trained on own files in the form of MNIST" in text
    assert "Attribution-ShareAlike" not in text


def test_licence_of_the_data(trained: Trained) -> None:
    for data in ("mnist", "digits"):
        assert "Attribution-ShareAlike 3.0" in card(about(trained("small"), data), "x")
    other = card(about(trained("small"), "kmnist"), "x")
    assert "Attribution-ShareAlike" not in other
    assert "`kmnist` has a licence of its own" in other


def test_numbers() -> None:
    values = (None, 3, 12345, 0.00049, 9.99996, 26.04, -0.5)
    assert [number(value) for value in values] == [
        *("–", "3", "12,345", "0.0005", "10.0000", "26.0", "-0.5000"),
    ]
