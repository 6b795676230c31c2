"""The wheel and the source archive: what is in them, and the wheel alone in a new environment."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import urllib.request
import venv
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import scalespace as sc

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "scalespace"
LONG = 300.0
"""Seconds after which a test gives up; none takes anything near it."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel and the source archive, made from a copy of what belongs to the project."""
    folder = tmp_path_factory.mktemp("built")
    tree, out = folder / "tree", folder / "out"
    tree.mkdir()
    out.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tree)
    junk = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", tree / "src", ignore=junk)
    # the project's own builder, called as pip and build call it, but for an environment of its own
    for kind in ("wheel", "sdist"):
        call = f"from setuptools import build_meta as b; b.build_{kind}({str(out)!r})"
        done = subprocess.run(
            [sys.executable, "-c", call], cwd=tree, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    (wheel,), (archive,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": archive}


def files(folder: Path) -> set[str]:
    """Paths of files, but for what Python leaves behind."""
    found = {path for path in folder.rglob("*") if path.is_file()}
    return {p.relative_to(folder).as_posix() for p in found if "__pycache__" not in p.parts}


def test_the_wheel_holds_the_package_and_nothing_else(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = [name for name in wheel.namelist() if not name.endswith("/")]
        about = {name for name in names if ".dist-info/" in name}
        assert set(names) - about == {f"scalespace/{name}" for name in files(PACKAGE)}
        for name in ("pretrained/cascaded/model.safetensors", "web/page/main.js", "py.typed"):
            assert wheel.read(f"scalespace/{name}") == (PACKAGE / name).read_bytes()
        licenses = {Path(name).name for name in about if "/licenses/" in name}
        assert licenses == {"LICENSE", "NOTICE"}
        (metadata,) = (name for name in about if name.endswith("/METADATA"))
        assert f"Version: {sc.__version__}\n" in wheel.read(metadata).decode()
    assert built["wheel"].stat().st_size < 16e6


def test_the_source_archive_holds_the_package(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/scalespace/{name}" for name in files(PACKAGE)} <= names
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names


@pytest.fixture(scope="module")
def installed(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment that has the wheel, and borrows what it depends on."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    install = ["install", "--quiet", "--no-deps", "--no-index", str(built["wheel"])]
    done = subprocess.run([*pip, *install], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (packages,) = folder.glob("lib/python*/site-packages")
    # of what is there, .pth files are not read: an editable scalespace is not found
    others = {str(Path(module.__file__ or "").parents[1]) for module in (np, torch)}
    (packages / "borrowed.pth").write_text("\n".join(others) + "\n")
    return folder / "bin"


class Away:
    """Runs the installed programs in an empty folder, without a cache, data or network."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.work = programs, folder / "work"
        self.work.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        lost = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
        home = {"HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "home" / "cache")}
        self.environment = {**kept, **lost, **home}

    def begin(self, name: str, *words: str) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [str(self.programs / name), *words]
        return subprocess.Popen(command, cwd=self.work, env=self.environment, **pipes)

    def run(self, name: str, *words: str) -> str:
        """What it prints."""
        with self.begin(name, *words) as going:
            out, errors = going.communicate(timeout=LONG)
        assert going.returncode == 0, errors
        return out


@pytest.fixture
def away(installed: Path, tmp_path: Path) -> Away:
    return Away(installed, tmp_path)


def test_it_samples_in_an_empty_environment(away: Away) -> None:
    command = ["scalespace", "sample", "cascaded", "--per-class", "1", "--grid", "x.png"]
    away.run(*command, "--out", "x.npz", "--device", "cpu", "--engine", "torch")
    assert {path.name for path in away.work.iterdir()} == {"x.png", "x.npz"}
    found = sc.read_samples(away.work / "x.npz")
    expected = sc.Model.from_pretrained("cascaded").sample(list(range(10)))
    np.testing.assert_allclose(found.images, expected.images, atol=1e-4)


PARTS = """
import importlib, json, pkgutil
import scalespace as sc
from scalespace import pretrained
from scalespace.evaluation.judge import shipped_judge
names = [one.name for one in pkgutil.walk_packages(sc.__path__, "scalespace.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
judge = shipped_judge(sc.Model.from_pretrained("cascaded").data).hash
print(json.dumps([sc.__file__, len(names), list(pretrained.names()), judge]))
"""


@pytest.mark.slow
def test_every_part_of_it_is_there(away: Away) -> None:
    """The package is the installed one; modules, models, the judge and the digits are found."""
    place, modules, models, judge = json.loads(away.run("python", "-c", PARTS))
    assert Path(place).is_relative_to(away.programs.parent)
    assert modules + 1 == len([name for name in files(PACKAGE) if name.endswith(".py")])
    assert set(models) == {path.parent.name for path in PACKAGE.glob("pretrained/*/config.json")}
    assert judge
    assert "cascaded-fast" in away.run("scalespace", "models")
    assert "digits" in away.run("scalespace", "data", "digits")


@pytest.mark.slow
def test_a_study_begins(away: Away) -> None:
    """With the embedded digits and a preset; it is interrupted once its first training goes on."""
    command = ["scalespace", "study", "--preset", "quick", "--out", "study", "--device", "cpu"]
    with away.begin(*command) as run:
        until = time.monotonic() + LONG
        while not list((away.work / "study").glob("trainings/*/metrics.jsonl")):
            assert run.poll() is None, run.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.2)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=LONG)
    assert run.returncode == 130
    assert "Traceback" not in errors


@pytest.mark.slow
def test_the_page_is_served(away: Away) -> None:
    pytest.importorskip("starlette", reason="the page needs the extra 'web'")
    with away.begin("scalespace", "serve", "small", "--port", "0", "--no-browser") as run:
        assert run.stdout is not None
        place = run.stdout.readline().strip().partition(": ")[2]
        for name in ("", "main.js", "style.css", "api/models"):
            with urllib.request.urlopen(place + name, timeout=LONG) as answer:
                assert answer.read()
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=LONG)
    assert run.returncode == 0
