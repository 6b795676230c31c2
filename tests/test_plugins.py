"""Modules of one's own: every command and every process of a study knows what they bring."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from scalespace import plugins
from scalespace.cli import main
from scalespace.core.solvers import SOLVERS, Solver, ancestral
from scalespace.data import DataSplits
from scalespace.errors import InputError
from scalespace.evaluation.evaluate import METRICS, Metric
from scalespace.methods import METHODS, base, get_method
from scalespace.nets.unet import UNet
from scalespace.plugins import VARIABLE
from scalespace.report.results import Results
from scalespace.report.study import study
from scalespace.settings import load_config, vary
from scalespace.studies.brought import plug_ins
from scalespace.studies.plan import make_plan
from scalespace.studies.runner import run_tasks
from scalespace.studies.tasks import Context

OWN = (
    tiny.OWN_NET
    + '''
from scalespace.core.solvers import SOLVERS, Solver, ddim
from scalespace.evaluation.evaluate import METRICS, Metric
from scalespace.methods.base import ProcessMethod, register
from scalespace.stages.diffusion import DiffusionStage
from scalespace.stages.onward import FadingStage


@register
class Hopper(ProcessMethod):
    """Half size, and on by an exact jump."""

    name = "hopper"
    title = "Hopper"
    half = DiffusionStage("hop-half", states=4, scale=2)
    stages = (half, FadingStage("hop", states=5, coarser=2))


def ink(samples, real):
    return {"ink": float(samples.images.mean()), "n": len(samples)}


METRICS["ink"] = Metric(ink, {"ink": "Ink"}, floor=False, judged=False)
SOLVERS["mine"] = Solver("mine", ddim, eta=0.0)
'''
)
SCRIPT = """
import my_methods
import scalespace as sc

if __name__ == "__main__":
    config = sc.load_config({preset!r}, {changes})
    sc.study({out!r}, config, jobs=2, data_dir={data!r})
"""
CHANGES = {
    "study.methods": ["hopper"],
    "study.seeds": [0],
    "study.metrics": ["ink"],
    "study.images": 30,
    "process.sampler": "mine",
    "stages.hop-half.net.kind": "my_methods:Mine",
    "train.epochs": 1,
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module of the user's, which nobody has imported."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "my_methods.py").write_text(OWN)
    monkeypatch.chdir(folder)
    monkeypatch.setenv(VARIABLE, "")
    registries: tuple[dict[str, Any], ...] = (METRICS, SOLVERS)
    before = [dict(registry) for registry in registries]
    yield folder
    for registry, kept in zip(registries, before, strict=True):
        registry.clear()
        registry.update(kept)
    for name in {path.stem for path in folder.rglob("*.py")}:
        sys.modules.pop(name, None)


def command(*words: str, allowed: str = "my_methods") -> subprocess.CompletedProcess[str]:
    env = {"PATH": "", VARIABLE: allowed, "SCALESPACE_ENGINE": "torch"}
    words = (sys.executable, "-m", "scalespace", *words)
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False)


def test_a_study_of_a_program_in_several_processes(
    own: Path, data_dir: Path, preset: Path, tmp_path: Path
) -> None:
    """The program imports the module, and its processes do: from beside the program, too."""
    out, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    elsewhere.mkdir()
    names = {"preset": str(preset), "out": str(out), "data": str(data_dir), "changes": CHANGES}
    (own / "program.py").write_text(SCRIPT.format(**names))
    words = [sys.executable, str(own / "program.py")]
    done = subprocess.run(words, cwd=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert {row["metric"] for row in rows} >= {"ink", "calls"}
    # whoever has not got the module can still read what was measured, and draw the report
    assert "hopper" not in METHODS
    assert Results(out).value("ink", method="hopper") > 0
    (out / "report.html").unlink()
    main(["report", str(out)])
    assert "Hopper" in (out / "report.html").read_text()


def test_commands(
    own: Path,
    data_dir: Path,
    preset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = tmp_path / "model"
    words = ["train", "hopper", "--preset", str(preset), "--data", "mnist", "--train.epochs=1"]
    made = command(*words, "--data-dir", str(data_dir), "--out", str(model))
    assert made.returncode == 0, made.stderr
    sample = ["sample", str(model), "--labels", "1", "--out", str(tmp_path / "x.npz")]
    assert command(*sample, "--process.sampler=mine").returncode == 0
    measure = ["evaluate", str(tmp_path / "x.npz"), "--metrics", "ink", "--json"]
    assert json.loads(command(*measure, "--data-dir", str(data_dir)).stdout)["ink"]
    show = "import my_methods, scalespace as sc; print(sc.Model.load('{}').card('x'))"
    card = subprocess.run(
        [sys.executable, "-c", show.format(model)], capture_output=True, text=True, check=True
    )
    assert "\nimport my_methods  # not part of scalespace" in card.stdout
    for refused in (sample, [*words, "--dry-run"]):  # here, where nobody has named the module
        with pytest.raises(SystemExit) as stopped:
            main(refused)
        assert stopped.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"set {VARIABLE} to the module that brings it" in line


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / 0", "division by zero"),
        ("import nowhere", "No module named"),
        ("import sys; sys.exit(3)", "it calls sys.exit(3)"),
    ],
)
def test_a_module_that_cannot_be_imported(own: Path, text: str, reason: str) -> None:
    (own / "broken.py").write_text(text)
    done = command("models", allowed="broken")
    assert done.returncode == 2
    assert f"{VARIABLE}: broken cannot be imported: {reason}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("path", ["fine.py", "./fine", "folder/fine", ".fine"])
def test_a_path_is_no_module(own: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv(VARIABLE, path)
    with pytest.raises(InputError, match=f"'{path}' is no module's name: give that, as in my_"):
        plugins.load()


def test_what_a_module_does_to_the_path_lasts(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may import what lies beside it, or in a folder that it names, when it is first used."""
    (own / "sub").mkdir()
    (own / "sub" / "of_the_folder.py").touch()
    (own / "beside.py").touch()
    (own / "lazy.py").write_text(
        "import sys\n"
        f"sys.path.append({str(own / 'sub')!r})\n"
        "def use():\n    import beside, of_the_folder\n"
    )
    (own / "other.py").touch()
    monkeypatch.setenv(VARIABLE, " lazy, other ,, lazy")
    plugins.load()
    sys.modules["lazy"].use()
    assert sys.path.count(str(own)) == 1


def test_installed_packages_name_their_own(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two may use one name. One that fails is told of, and does not stop the others."""
    monkeypatch.syspath_prepend(own)
    (own / "whole.py").touch()
    for name in ("named", "too"):
        (own / f"{name}.py").write_text("1 / 0")
        (own / f"{name}.dist-info").mkdir()
        (own / f"{name}.dist-info" / "METADATA").write_text(f"Name: their-{name}\nVersion: 1\n")
        (own / f"{name}.dist-info" / "entry_points.txt").write_text(
            f"[{plugins.GROUP}]\ntheirs = {name}\nwhole = whole\n"
        )
    assert sorted(plugins.load()) == [
        f"entry point 'theirs' of the package their-{name}: {name} cannot be imported: division "
        "by zero (going on without it: mend or uninstall that)"
        for name in ("named", "too")
    ]
    assert "whole" in sys.modules
    main(["models"])


def test_an_installed_package_that_fails_stops_no_command(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    point = EntryPoint("theirs", "nowhere", plugins.GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point])
    with pytest.raises(SystemExit) as stopped:
        main(["sample", "--help"])
    assert stopped.value.code == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("scalespace: entry point 'theirs': nowhere cannot be imported: No mod")


def test_a_module_that_is_mended(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has registered before it failed is not in its way."""
    monkeypatch.setattr(base, "METHODS", {})
    file = own / "my_methods.py"
    for text, reason in ((OWN + "1 / 0", "division by zero"), (OWN + "0 / 0.0", "float division")):
        file.write_text(text)
        importlib.invalidate_caches()
        with pytest.raises(InputError, match=f"my_methods cannot be imported: {reason}"):
            plugins.imported("my_methods")
    shutil.copy(file, own / "again.py")
    reason = (
        "a method named 'hopper' is registered already, by my_methods.Hopper: give again.Hopper"
    )
    with pytest.raises(InputError, match=reason):
        plugins.imported("again")


def context(splits: DataSplits, folder: Path, **changes: Any) -> Context:
    """A study that does nothing yet."""
    config = load_config("default", {"study.methods": ["small"], "study.metrics": ["variety"]})
    config = vary(config, changes)
    return Context(folder, config, splits, make_plan(config, splits.info), tiny.CPU)


def elsewhere(module: str) -> Callable[..., Any]:
    """A sampler, or anything that is called, of that module."""

    def own(*_: object) -> None: ...

    own.__module__ = module
    return own


def test_what_other_processes_import(
    splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "my_nets")
    monkeypatch.setitem(SOLVERS, "theirs", Solver("theirs", partial(elsewhere("samplers"), 1)))
    assert plug_ins(context(splits, tmp_path)) == ["my_nets"]
    used = {"stages.small.process.sampler": "theirs"}
    assert plug_ins(context(splits, tmp_path, **used)) == ["my_nets", "samplers"]
    one = {"study.variants": {"a": {}, "b": {"process": {"sampler": "theirs"}}}}
    assert plug_ins(context(splits, tmp_path, **one)) == ["my_nets", "samplers"]


def test_outside() -> None:
    @lru_cache
    def wrapped() -> None: ...

    assert plugins.outside([get_method("small"), ancestral, len, partial(ancestral)]) == []
    assert plugins.outside([test_outside]) == [__name__]
    assert plugins.outside([partial(partial(wrapped)), torch.add]) == [__name__, "torch"]
    wrapped.__module__ = "another"  # as of a decorator that tells only what it wraps
    assert plugins.outside([wrapped]) == [__name__]


def test_what_is_of_the_program_itself(
    splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what a study uses matters to it."""
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setitem(SOLVERS, "mine", Solver("mine", partial(elsewhere("__main__"))))
    monkeypatch.setitem(METRICS, "mine", Metric(elsewhere("__main__"), {"mine": "Mine"}))
    monkeypatch.setattr("__main__.Mine", UNet, raising=False)
    assert plug_ins(context(splits, tmp_path)) == []
    for field, value, what in (
        ("stages.small.process.sampler", "mine", "sampler 'mine'"),
        ("study.metrics", ["variety", "mine"], "metric 'mine'"),
        ("net.kind", "__main__:Mine", "network '__main__:Mine'"),
    ):
        with pytest.raises(InputError, match=f"{what} is written in the program itself"):
            plug_ins(context(splits, tmp_path, **{field: value}))
    assert plugins.named() == []


def test_an_edited_module_is_told_of(
    own: Path, splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own / "counting.py").write_text("def count(samples, real): return {'n': len(samples)}")
    metric = Metric(plugins.imported("counting").count, {"n": "N"}, floor=False, judged=False)
    monkeypatch.setitem(METRICS, "count", metric)
    config = replace(
        tiny.CONFIG, study=replace(tiny.CONFIG.study, methods=("small",), metrics=("count",))
    )
    told = []
    for text in ("# a comment\n", "# a comment\n", "# another\n"):
        said = list[str]()
        (own / "counting.py").write_text(text)
        run_tasks(tmp_path / "study", config, splits, tiny.CPU, say=said.append)
        told.append([line for line in said if "counting" in line])
    assert told == [
        [],
        [],
        [
            "counting has been edited since some of them were done: to do all with it as it is "
            "now, give another --out"
        ],
    ]


def test_a_method_of_the_program_itself(
    tmp_path: Path, data_dir: Path, preset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other process can import it; this one has it."""
    monkeypatch.setattr(type(get_method("small")), "__module__", "__main__")
    config = load_config(preset, {"study.methods": ["small"], "study.metrics": ["variety"]})
    with pytest.raises(InputError, match=r"method 'small' is written in .* \(jobs=1\)"):
        study(tmp_path, config, jobs=2, data_dir=data_dir, runtime=tiny.CPU, say=lambda _: None)
