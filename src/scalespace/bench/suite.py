"""The benchmark of the package: one run, a JSON file, a table and two pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from scalespace.bench.cases import SECTIONS, Row, Suite
from scalespace.errors import unknown
from scalespace.files import write_bytes, write_json, write_text
from scalespace.machine import machine, versions

ROOF = "conv, float32"
"""The roofline that a network's speed is a share of."""

__all__ = ["SECTIONS", "Suite", "run_suite", "table"]


def run_suite(
    suite: Suite, sections: Sequence[str] = (), out: Path | str | None = None
) -> dict[str, Any]:
    """Measures every section, or some.

    Args:
        suite: how much is measured.
        sections: names of `SECTIONS`; all of them unless given. Without `roofline` there are no
            shares of it.
        out: folder for `bench.json`, `bench.md` and the pictures, which is written anew after
            every section.

    Returns:
        `rows`, `machine`, `versions` and `threads`.

    Raises:
        InputError: an unknown section, or the files cannot be written.
    """
    for name in sections:
        if name not in SECTIONS:
            raise unknown("section", name, SECTIONS)
    found: dict[str, Any] = {
        "machine": machine(suite.device),
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "rows": [],
    }
    for name in sections or SECTIONS:
        for row in SECTIONS[name](suite):
            found["rows"].append({"section": name, **row})
        roof = next((row["median"] for row in found["rows"] if row["case"] == ROOF), None)
        for row in found["rows"]:
            if roof and "gflops" in row:
                row["share"] = row["gflops"] / roof
        if out is not None:
            write(found, Path(out))
    return found


def write(found: dict[str, Any], folder: Path) -> None:
    """`bench.json`, `bench.md`, and a picture where there is something to show."""
    from scalespace.bench.pictures import pictures

    write_json(folder / "bench.json", found)
    write_text(folder / "bench.md", table(found))
    for picture in pictures(found["rows"]):
        write_bytes(folder / f"{picture.name}.png", picture.png())


def table(found: dict[str, Any]) -> str:
    """All rows in Markdown, a table a section."""
    about = found["machine"]
    where = about["gpu"] or f"{about['cpu']}, {about['cores']} cores, {found['threads']} threads"
    made = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    parts = [f"{where}; {made}."]
    rows = pd.DataFrame(found["rows"])
    for name, part in rows.groupby("section", sort=False):
        heading = (SECTIONS[str(name)].__doc__ or "").strip().splitlines()[0]
        lines = ["| | median | quartiles | n | times | M multiply-adds | GFLOP/s | of the roof |"]
        lines.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        lines += [_line(dict(row)) for _, row in part.iterrows()]
        parts.append(f"## {str(name).capitalize()}\n\n{heading}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _line(row: Row) -> str:
    def shown(name: str, text: str, factor: float = 1) -> str:
        value = row.get(name)
        return "" if value is None or pd.isna(value) else text.format(factor * value)

    batch = shown("batch", ", batch {:.0f}") if row["section"] == "batches" else ""
    cells = [
        f"{row['case']}{batch}",
        f"{row['median']:,.4g} {row['unit']}",
        f"{row['q1']:,.4g} to {row['q3']:,.4g}",
        str(row["n"]),
        shown("ratio", "{:.3g} ×"),
        shown("macs", "{:,.1f}", 1e-6),
        shown("gflops", "{:,.3g}"),
        shown("share", "{:.0%}"),
    ]
    return "| " + " | ".join(cells) + " |"
