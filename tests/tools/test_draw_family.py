"""The tool that draws the frontiers of a page from its tables."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from loaded import ROOT, script
from scalespace import InputError

PAGE = ROOT / "docs" / "results" / "family.md"
TABLE = """
| | trainings | every state | 9 (+ 3) | 6 (+ 2) | 3 (+ 1) |
| --- | ---: | ---: | ---: | ---: | ---: |
| `baseline` | 3 | 1.5 ± 0.1 · 0.8 ± 0.02 · 490 | **0.7** · 0.8 · 152 | 1 · 0.8 · 101 | 6 · 1 · 51 |

| paired by training | every state | 9 (+ 3) | 6 (+ 2) | 3 (+ 1) |
| --- | ---: | ---: | ---: | ---: |
| … CAS | 0.1 | 0.1 | 0.1 | 0.1 |

![What it costs](family-three.png)
"""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return script("tools/draw_family.py")


def test_every_picture_of_the_page_has_a_table(tool: ModuleType) -> None:
    found = dict(tool.tables(PAGE.read_text(encoding="utf-8")))
    assert set(found) == set(tool.PICTURES)
    for name, table in found.items():
        assert len(table) == (3 if "three" in name else len(tool.COLORS))
        assert {len(cells) for cells in table.values()} == {len(tool.COLUMNS)}


def test_every_method_of_the_preset_has_a_colour_of_its_own(tool: ModuleType) -> None:
    methods = tool.known_methods()
    assert set(methods) == set(tool.COLORS)
    assert len(set(tool.COLORS.values())) == len(methods)
    assert methods["baseline"].calls == [29, 9, 6, 3]
    assert methods["scale-space"].calls == [28, 12, 8, 4]


def test_a_cell(tool: ModuleType) -> None:
    ((name, table),) = tool.tables(TABLE)
    assert name == "family-three.png"
    first, second, *_ = table["baseline"]
    assert (first.fd, first.cas, first.macs) == ((1.5, 0.1), (0.8, 0.02), 490)
    assert second.fd == (0.7, 0)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (" · 490", "", "a cell must read FD · CAS · multiply-adds, got '1.5 ± 0.1 · 0.8 ± 0.02'"),
        ("1.5", "none", "got 'none ± 0.1"),
        ("`baseline`", "baselines", "there is no table above family-three.png"),
    ],
)
def test_a_table_that_reads_otherwise(tool: ModuleType, old: str, new: str, line: str) -> None:
    with pytest.raises(InputError, match=re.escape(line)):
        list(tool.tables(TABLE.replace(old, new)))


def test_the_pictures(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(TABLE, encoding="utf-8")
    tool.main([str(tmp_path / "page.md")])
    with Image.open(tmp_path / "family-three.png") as picture:
        assert picture.height > picture.width / 2  # FD above CAS


def test_a_page_that_is_not_there(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        tool.main([str(tmp_path / "none.md")])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("draw_family: page not found: ")
