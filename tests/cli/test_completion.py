"""A shell completes words: bash itself runs the script, as it does when a tab is pressed."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scalespace import presets, pretrained
from scalespace.cli import VERBS, main
from scalespace.methods import METHODS
from scalespace.report.figures import FIGURES
from scalespace.verbs import completion

Offers = Callable[..., list[str]]
BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None, reason="no bash on this machine")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "scalespace"
    path.write_text(completion.script("bash"))
    return path


@pytest.fixture
def offers(script: Path, tmp_path: Path) -> Offers:
    """What bash offers for the last of the words that readline would make of a line."""

    def run(*words: str) -> list[str]:
        listed = " ".join(map(shlex.quote, ("scalespace", *words)))
        lines = [
            f"source {shlex.quote(str(script))}",
            "complete -p scalespace | grep -q _scalespace_without_equals || exit 3",
            f"COMP_WORDS=({listed}); COMP_CWORD={len(words)}",
            "_scalespace_without_equals",
            'for one in "${COMPREPLY[@]}"; do echo "$one"; done',
        ]
        assert BASH is not None
        command = [BASH, "--norc", "-c", "\n".join(lines)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.split("\n")[:-1]

    return run


def test_commands_methods_presets_models_and_figures(offers: Offers) -> None:
    assert offers("") == list(VERBS)
    assert offers("tr") == ["train"]
    assert offers("train", "") == [*METHODS, "judge"]
    assert offers("train", "latent-fl") == ["latent-flow", "latent-flow-fast"]
    assert offers("train", "small", "--preset", "") == presets.names()
    assert offers("sample", "") == pretrained.names()
    assert offers("bench", "small", "gui") == ["guided"]
    assert offers("plot", "") == list(FIGURES)
    assert offers("completion", "") == list(completion.SHELLS)


def test_options_and_their_choices(offers: Offers) -> None:
    assert offers("train", "small", "--net.norm") == ["--net.norm", "--net.norm_first"]
    assert offers("train", "small", "--net.norm", "") == ["batch", "group"]
    assert offers("train", "small", "--process.clip_none") == []
    assert offers("train", "small", "--process.labels", "t") == ["true"]
    assert offers("sample", "small", "--engine", "o") == ["onnx"]
    assert offers("study", "--study.methods", "casc")[0] == "cascaded"
    assert "--train.epochs" in offers("study", "--train.")
    assert "--train.epochs" not in offers("sample", "small", "--")


def test_values_behind_an_equals_sign(offers: Offers) -> None:
    """Which bash makes a word of its own."""
    assert offers("train", "small", "--net.norm", "=") == ["batch", "group"]
    assert offers("train", "small", "--net.norm", "=", "g") == ["group"]
    assert offers("train", "small", "--train.lr", "=", "0.1", "--dry") == ["--dry-run"]


def test_files_and_folders(offers: Offers, tmp_path: Path) -> None:
    (tmp_path / "qmine.yaml").touch()
    (tmp_path / "qother.txt").touch()
    (tmp_path / "runs").mkdir()
    assert offers("study", "--preset", "q") == ["quick", "qmine.yaml"]
    assert offers("sample", "r") == ["runs"]
    assert offers("train", "small", "--data-dir", "") == ["runs"]
    assert sorted(offers("evaluate", "q")) == ["qmine.yaml", "qother.txt"]


def test_the_command_prints_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", "zsh"])
    printed = capsys.readouterr().out
    assert printed.startswith("#compdef scalespace\n")
    for word in ("cascaded-fast", "--net.norm_first", "fashion-mnist"):
        assert word in printed


def test_completing_starts_no_python(script: Path) -> None:
    assert sys.executable not in script.read_text()
    assert "python" not in script.read_text().lower()


def test_without_shtab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        main(["completion", "bash"])
    assert stop.value.code == 2
    assert "pip install shtab" in capsys.readouterr().err
