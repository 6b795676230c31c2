"""What hangs below the start page. A page of docs/ that no part names is put with the guides."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

REST = "docs/*"
"""Stands in a part for all pages of docs/ that no part names."""


def resolved(parts: dict[str, list[str]], pages: set[str]) -> dict[str, list[str]]:
    """The parts with `REST` spelt out."""
    named = {name for names in parts.values() for name in names}
    rest = sorted(p for p in pages - named if p.startswith("docs/") and p.count("/") == 1)
    return {
        part: [page for name in names for page in (rest if name == REST else [name])]
        for part, names in parts.items()
    }


def add(app: Sphinx, page: str, source: list[str]) -> None:
    """Adds the parts to the start page, as tables of contents that only the side bar shows."""
    if page != app.config.root_doc:
        return
    for part, names in resolved(app.config.navigation, app.env.found_docs).items():
        lines = "\n".join(f"/{name}" for name in names)
        source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n:caption: {part}\n\n{lines}\n```\n"


def name_the_start(app: Sphinx, failure: Exception | None) -> None:
    """Copies the start page to the name that servers look for."""
    if failure is None and app.builder.format == "html":
        start = Path(app.outdir) / f"{app.config.root_doc}.html"
        shutil.copyfile(start, start.with_name("index.html"))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("navigation", {}, "env", dict)
    app.connect("source-read", add)
    app.connect("build-finished", name_the_start)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
