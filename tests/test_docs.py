"""The documents: links lead somewhere, the command line knows the commands, README is short."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from scalespace import options
from scalespace.cli import VERBS
from scalespace.methods import METHODS

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


def test_the_methods_page_has_every_method_and_stage() -> None:
    rows = [
        re.findall(r"`([\w-]+)`", line)
        for line in (ROOT / "docs" / "methods.md").read_text(encoding="utf-8").splitlines()
    ]
    for name, method in METHODS.items():
        (own,) = (row for row in rows if row and row[0] == name)
        assert set(own) >= {stage.name for stage in method.stages}
