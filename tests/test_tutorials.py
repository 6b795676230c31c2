"""The tutorials run as notebooks, from an empty folder, with trainings of an epoch.

`make docs` installs what they need, and runs them as they are. These tests are for a quick look
after a change.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from loaded import ROOT, script

DOCS = ROOT / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.nb.md"))


def extension(name: str) -> ModuleType:
    """A module of docs/_ext, which is no package."""
    return script(f"docs/_ext/{name}.py")


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.name)
def test_a_tutorial(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="the extra docs, which make docs installs")
    # its shell cells call the command of the environment that runs the tests
    beside = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join([beside, os.environ["PATH"]]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = extension("notebooks").read(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        cell.source = re.sub(r'(epochs": )\d+', r"\g<1>1", cell.source)
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output.get("name") == "stderr" for output in outputs), outputs
