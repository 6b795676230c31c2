"""Modules of one's own: every command and every process of a study knows what they bring."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import tiny
from scalespace import plugins
from scalespace.cli import main
from scalespace.core.solvers import ancestral
from scalespace.errors import InputError
from scalespace.methods import METHODS, get_method
from scalespace.plugins import VARIABLE
from scalespace.report.results import Results
from scalespace.report.study import study
from scalespace.settings import load_config
from scalespace.studies.executors import plug_ins

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
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of the user's, which nobody has imported."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "my_methods.py").write_text(OWN)
    monkeypatch.chdir(folder)
    monkeypatch.setenv(VARIABLE, "")
    return folder


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
    ("text", "reason"), [("1 / 0", "division by zero"), ("import nowhere", "No module named")]
)
def test_a_module_that_cannot_be_imported(own: Path, text: str, reason: str) -> None:
    (own / "broken.py").write_text(text)
    done = command("models", allowed="broken")
    assert done.returncode == 2
    assert f"{VARIABLE}: broken cannot be imported: {reason}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_installed_package_names_its_own(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own / "named.py").write_text("1 / 0")
    point = EntryPoint("theirs", "named", plugins.GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point])
    with pytest.raises(InputError, match=r"entry point 'theirs': named cannot be imported"):
        plugins.load()


def test_what_other_processes_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "my_nets")
    assert plug_ins(tiny.CONFIG) == ["my_nets"]
    assert plugins.outside([get_method("small"), ancestral, len]) == []
    assert plugins.outside([test_a_module_that_cannot_be_imported]) == [__name__]


def test_a_method_of_the_program_itself(
    tmp_path: Path, data_dir: Path, preset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other process can import it; this one has it."""
    monkeypatch.setattr(type(get_method("small")), "__module__", "__main__")
    config = load_config(preset, {"study.methods": ["small"], "study.metrics": ["variety"]})
    with pytest.raises(InputError, match=r"put it into a module, or .* \(jobs=1\)"):
        study(tmp_path, config, jobs=2, data_dir=data_dir, runtime=tiny.CPU, say=lambda _: None)
