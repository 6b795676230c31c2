"""Imports go down only, and nothing that is read can run code: held by reading the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import scalespace

SOURCE = Path(scalespace.__file__).parent

LAYERS = {
    part: set(allowed.split())
    for part, allowed in {
        "core": "core plugins",
        "nets": "nets core config plugins",
        "data": "data core files",
        "evaluation": "evaluation core nets data config files plugins progress",
        "engine": "engine files",
        "stages": "stages core nets data config engine",
        # nets, config and data for a method that brings a stage of its own in its one file
        "methods": "methods core nets data stages config plugins",
        "training": "training core nets data evaluation stages engine figures config fields files "
        "progress",
        "figures": "figures core nets data config files",
        "toy": "toy core nets stages training figures config fields files machine progress",
        "model": "model core nets data evaluation stages engine methods training config "
        "fields files plugins pretrained hub progress settings",
        "bench": "bench nets data evaluation stages methods training figures model config files "
        "machine pretrained progress settings",
        "studies": "studies core nets data evaluation stages methods training model bench "
        "config fields files machine plugins presets settings __version__",
        "report": "report core nets data evaluation stages methods training figures "
        "model studies config files settings",
        "web": "web core data evaluation model",
        "config": "config fields",
        "fields": "",
        "files": "",
        "errors": "",
        "plugins": "",
        "presets": "presets fields files",
        "pretrained": "files",
        "hub": "hub plugins",
        "machine": "__version__",
        "progress": "",
        "settings": "nets data stages methods training config fields plugins presets",
        "options": "config fields presets",
    }.items()
}
"""What each part may import of the package, besides `errors`, which all may.

What is not listed stands above: cli and verbs may import anything, others all but these two.
"""
TOP = {"cli", "verbs", "__main__"}


def imports(source: str, module: str) -> Iterator[str]:
    """The parts of the package that a module's source imports, wherever in it."""
    package = module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name == "scalespace":
                yield "__version__"
            elif name.startswith("scalespace."):
                yield name.split(".")[1]


def offences(source: str, module: str) -> list[str]:
    """The parts that a module imports and may not."""
    part = module.split(".")[1]
    if part in LAYERS:
        allowed = LAYERS[part] | {"errors"}
        return sorted({name for name in imports(source, module) if name not in allowed})
    if part in TOP or part == "__init__":
        return []
    return sorted({name for name in imports(source, module) if name in TOP})


def dangers(source: str) -> list[str]:
    """Ways to run what a file says: pickles, and what reads them."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [a.name for a in names if a.name.split(".")[0] in UNSAFE]
            case ast.ImportFrom(module=str(name)) if name.split(".")[0] in UNSAFE:
                found.append(name)
            case ast.Attribute(value=ast.Name(id="torch"), attr="load" | "save" as attr):
                found.append(f"torch.{attr}")
            case ast.Attribute(value=ast.Name(id="yaml"), attr="load" | "unsafe_load" as attr):
                found.append(f"yaml.{attr}")
            case ast.keyword(arg="allow_pickle", value=ast.Constant(value=True)):
                found.append("allow_pickle")
            case ast.Call(func=ast.Name(id="eval" | "exec" as name)):
                found.append(name)
    return found


UNSAFE = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}


def modules() -> list[tuple[str, Path]]:
    return [
        (".".join(path.relative_to(SOURCE.parent).with_suffix("").parts), path)
        for path in sorted(SOURCE.rglob("*.py"))
    ]


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports_go_down(module: str, path: Path) -> None:
    assert offences(path.read_text(), module) == []


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_nothing_read_can_run(module: str, path: Path) -> None:
    assert dangers(path.read_text()) == []


def test_files_are_short() -> None:
    long = {name: n for name, path in modules() if (n := len(path.read_text().splitlines())) > 400}
    assert long == {}


def test_no_circles() -> None:
    """No module needs itself, by whatever way, at whatever time."""
    known = {name.removesuffix(".__init__"): path for name, path in modules()}
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        needed = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                needed |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
                start = ".".join(filter(None, (base, node.module)))
                whole = {f"{start}.{alias.name}" for alias in node.names}
                needed |= (whole & known.keys()) or {start}
        graph[name] = (needed & known.keys()) - {"scalespace"}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_every_folder_is_in_a_layer() -> None:
    folders = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    assert folders <= LAYERS.keys() | TOP


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("scalespace.core.x", "import scalespace.nets.unet", ["nets"]),
        ("scalespace.core.x", "from scalespace.config import Config", ["config"]),
        ("scalespace.core.x", "from scalespace import files", ["files"]),
        ("scalespace.core.x", "from ..data import load", ["data"]),
        ("scalespace.core.x", "from .. import cli", ["cli"]),
        ("scalespace.core.x", "def f():\n    from scalespace.studies import plan", ["studies"]),
        ("scalespace.core.x", "from scalespace.errors import InputError", []),
        ("scalespace.core.x", "from .noise import derive_seed\nimport torch", []),
        ("scalespace.data.x", "from scalespace.methods import METHODS", ["methods"]),
        ("scalespace.evaluation.x", "from scalespace.training import fit", ["training"]),
        ("scalespace.evaluation.x", "from scalespace.stages.judge import JUDGE", ["stages"]),
        ("scalespace.nets.x", "from scalespace.stages.vae import VAE", ["stages"]),
        ("scalespace.stages.x", "from scalespace.methods import METHODS", ["methods"]),
        ("scalespace.stages.x", "from scalespace.training.fit import fit", ["training"]),
        ("scalespace.stages.x", "from scalespace.evaluation.cas import cas", ["evaluation"]),
        ("scalespace.methods.x", "from scalespace.training.fit import fit", ["training"]),
        ("scalespace.methods.x", "from scalespace.evaluation.judge import Judge", ["evaluation"]),
        ("scalespace.training.x", "from scalespace.methods import METHODS", ["methods"]),
        ("scalespace.settings", "from scalespace.model import Model", ["model"]),
        ("scalespace.training.x", "from scalespace.studies.plan import Task", ["studies"]),
        ("scalespace.studies.x", "from scalespace.cli import main", ["cli"]),
        ("scalespace.studies.x", "from scalespace.report.page import build", ["report"]),
        ("scalespace.studies.x", "import scalespace.verbs as v, os", ["verbs"]),
        ("scalespace.model", "from scalespace.verbs import run", ["verbs"]),
        ("scalespace.verbs", "from scalespace.cli import VERBS", []),
    ],
)
def test_the_checker_can_fail(module: str, source: str, found: list[str]) -> None:
    assert offences(source, module) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", ["pickle"]),
        ("def f():\n    from pickle import loads", ["pickle"]),
        ("import torch\nx = torch.load('a')", ["torch.load"]),
        ("import numpy as np\nnp.load('a', allow_pickle=True)", ["allow_pickle"]),
        ("import numpy as np\nnp.load('a', allow_pickle=False)", []),
        ("yaml.load(text)", ["yaml.load"]),
        ("yaml.safe_load(text)", []),
        ("eval(text)", ["eval"]),
        ("net.eval()", []),
    ],
)
def test_the_search_for_dangers_can_fail(source: str, found: list[str]) -> None:
    assert dangers(source) == found
