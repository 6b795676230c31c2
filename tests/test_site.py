"""The site: its side bar and reference leave nothing out; built, it needs no network."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

import pytest

import scalespace
from test_tutorials import extension

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NAVIGATION = runpy.run_path(str(DOCS / "conf.py"))["navigation"]
PAGES = {
    re.sub(r"(\.nb)?\.(md|rst)$", "", path.relative_to(ROOT).as_posix())
    for path in [*ROOT.glob("*.md"), *DOCS.glob("**/*.md"), *DOCS.glob("reference/*.rst")]
}


def test_every_page_is_in_the_side_bar() -> None:
    resolved = extension("navigation").resolved(NAVIGATION, PAGES)
    listed = [name for names in resolved.values() for name in names]
    missing = {page for page in PAGES if not any(fnmatch(page, name) for name in listed)}
    assert missing == {"README"}  # the start page
    made = {name for name in listed if name.startswith("docs/reference/made/")}
    assert {name for name in listed if "*" not in name} - made <= PAGES


def test_a_new_page_is_put_where_the_rest_goes() -> None:
    resolve = extension("navigation").resolved
    parts = {"Start": ["docs/guide", "docs/*"], "Rest": ["docs/b"]}
    pages = {"README", "docs/guide", "docs/b", "docs/new", "docs/results/table"}
    assert resolve(parts, pages) == {"Start": ["docs/guide", "docs/new"], "Rest": ["docs/b"]}


def test_the_reference_tells_all_that_the_package_offers() -> None:
    text = (DOCS / "reference/index.rst").read_text(encoding="utf-8")
    told = re.findall(r"^\.\. (?:auto\w+|py:data):: (\w+)$", text, re.MULTILINE)
    assert sorted(told) == sorted(set(scalespace.__all__) - {"__version__"})


def build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """The site without running its notebooks, which have a test of their own."""
    command = [sys.executable, "-m", "sphinx", "-c", str(source / "docs"), "-W", "--keep-going"]
    command += ["-q", "-D", "nb_execution_mode=off", str(source), str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=1500)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("furo") is None, reason="needs the extra docs")
def test_the_site(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "site"
    shutil.copytree(DOCS, source / "docs")
    shutil.copytree(ROOT / "examples", source / "examples")
    for path in ROOT.glob("*.md"):
        shutil.copy(path, source)

    done = build(source, out)
    assert done.returncode == 0, done.stderr
    for page in [*(out / f"{name}.html" for name in PAGES), out / "index.html"]:
        text = page.read_text(encoding="utf-8")
        assert not re.search(
            r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=\"(?:https?:)?//", text
        )
    formulas = (out / "docs/mathematics.html").read_text(encoding="utf-8")
    assert formulas.count("<math") > 100
    assert "merror" not in formulas

    with (source / "docs/guide.md").open("a", encoding="utf-8") as guide:
        guide.write("\n[nowhere](results.md#no-such-heading) and $\\nosuchcommand$\n")
    failed = build(source, out)
    assert failed.returncode == 1
    assert "no-such-heading" in failed.stderr
    assert "nosuchcommand" in failed.stderr
