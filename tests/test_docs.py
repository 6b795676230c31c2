"""The documents: links lead somewhere, the command line knows the commands, README is short."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import torch

from scalespace import options
from scalespace.bench.cases import noise
from scalespace.bench.latency import macs
from scalespace.cli import VERBS
from scalespace.core.noise import Seeded
from scalespace.core.sampling import last, with_ends
from scalespace.methods import METHODS
from scalespace.nets.unet import parameters
from scalespace.settings import load_config, make_training
from scalespace.stages.base import Models

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")]
)
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
COMMAND = re.compile(r"^(?:    )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?scalespace (.*)$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in plain}


@pytest.mark.parametrize("name", NAMES)
def test_links(name: str) -> None:
    path = ROOT / name
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def commands() -> list[str]:
    """Every command that a document writes out, its continued lines joined, up to a > or #."""
    found = []
    for name in ("README.md", "CONTRIBUTING.md", *(n for n in NAMES if n.startswith("docs/"))):
        text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
        found += [re.split(r"\s+[#>]\s", match)[0] for match in COMMAND.findall(text)]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("command", commands())
def test_commands(command: str) -> None:
    """Its verb is one, and each of its options is known and takes such a value."""
    verb, *words = shlex.split(command)
    if verb.startswith("-"):
        return
    assert verb in VERBS
    parser = options.parser(verb, "")
    import_module(f"scalespace.verbs.{verb}").add_options(parser)
    options.parse(parser, words)


def test_the_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900


METHODS_PAGE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8").splitlines()


def test_the_methods_page_has_every_method_and_stage() -> None:
    rows = [re.findall(r"`([\w-]+)`", line) for line in METHODS_PAGE]
    for name, method in METHODS.items():
        (own,) = (row for row in rows if row and row[0] == name)
        assert set(own) >= {stage.name for stage in method.stages}


COSTS = {
    cells[1].strip(" `"): [cell.strip() for cell in cells[4:7]]
    for line in METHODS_PAGE
    if len(cells := line.split("|")) == 8 and "`" in cells[1]
}
"""Of the methods across scales: calls at each scale, million multiply-adds, parameters."""


def test_the_methods_page_tells_the_cost_of_each_way_through_the_scales() -> None:
    assert {"baseline", "small", "cascaded", "scale-space", "pyramid", "blurring"} <= COSTS.keys()


@pytest.mark.parametrize("name", COSTS)
def test_the_methods_page_knows_what_each_costs(name: str) -> None:
    method, config, data = METHODS[name], load_config("default"), noise(4).info
    models = Models(
        {
            stage.name: stage.build(make_training(config, stage, 0, data).recipe, data).eval()
            for stage in method.stages
        }
    )
    for model in models.values():
        model.fix()

    def produce(indices: range) -> None:
        last(method.sample(models, torch.zeros(len(indices), dtype=int), Seeded(0, indices)))

    calls = [str(leg.calls(end)) for leg, end in with_ends(method.legs(models))]
    numbers = sum(parameters(model) for model in models.values())
    with torch.no_grad():
        million = round(macs(produce) / 1e6)
    assert COSTS[name] == [" + ".join(calls), str(million), f"{numbers:,}"]
