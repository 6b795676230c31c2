"""`scalespace completion` prints the script by which a shell completes these commands.

The script names every command, option and choice, and so it needs no Python while one types.
"""

from __future__ import annotations

import importlib.util
from argparse import Action
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from scalespace import options as opt
from scalespace import presets, pretrained
from scalespace.cli import VERBS
from scalespace.data.catalog import DATASETS
from scalespace.errors import InputError
from scalespace.methods import METHODS

SHELLS = ("bash", "zsh", "fish")
PROGRAM = "scalespace"
FOLDERS = {"data_dir", "trainings"}
FILES = {"samples", "grid", "gif", "strip", "redraw", "fill", "out", "folder", "judge"}
"""Options and arguments, by their names in the parsers."""

BASH_FILES = """
{name}() {{
  compopt -o filenames 2>/dev/null
  compgen -W {words} -- "$1"
  compgen -{kind} -- "$1"
}}"""
ZSH_FILES = """
{name}() {{ _alternative {words} 'files:file:{kind}' }}"""
BASH_EQUALS = """
# bash makes three words of --train.epochs=3: leave out the "=" between them
_scalespace_without_equals() {
  local -a words=()
  local k at=0
  for ((k = 0; k < ${#COMP_WORDS[@]}; k++)); do
    if [[ ${COMP_WORDS[k]} != "=" ]]; then
      words+=("${COMP_WORDS[k]}")
    elif ((k == COMP_CWORD)); then
      words+=("")
    fi
    ((k == COMP_CWORD)) && at=$((${#words[@]} - 1))
  done
  local -a COMP_WORDS=("${words[@]}")
  local COMP_CWORD=$at
  _shtab_scalespace
}
complete -o bashdefault -F _scalespace_without_equals scalespace
"""


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="which shell the script is for")


def act(options: Namespace, given: dict[str, Any]) -> None:
    print(script(options.shell))


def script(shell: str) -> str:
    """The script that completes the words of every command in `shell`, one of `SHELLS`.

    Raises:
        InputError: the package shtab is not there.
    """
    if importlib.util.find_spec("shtab") is None:
        raise InputError("completion needs the package shtab: pip install shtab")
    root = ArgumentParser(prog=PROGRAM)
    verbs = root.add_subcommands(required=False)
    for verb, about in VERBS.items():
        parser = opt.parser(verb, about)
        import_module(f"scalespace.verbs.{verb}").add_options(parser)
        for action in parser._actions:
            _offer(action, verb)
        verbs.add_subcommand(verb, parser, help=about)
    text: str = root.get_completion_script(f"shtab-{shell}")
    return text + (BASH_EQUALS if shell == "bash" else "")


def _offer(action: Action, verb: str) -> None:
    """Says what the value of an option can be, where its type does not."""
    from scalespace.core.solvers import SOLVERS
    from scalespace.evaluation.evaluate import METRICS
    from scalespace.report.figures import FIGURES

    words: dict[str, Iterable[str]] = {
        "method": [*METHODS, "judge"],
        "study.methods": METHODS,
        "metrics": METRICS,
        "study.metrics": METRICS,
        "process.sampler": SOLVERS,
        "figure": FIGURES,
    }
    with_files: dict[str, Iterable[str]] = {
        "preset": presets.names(),
        "model": pretrained.names(),
        "models": pretrained.names(),
        "data": [*DATASETS, "folder:", "npz:"],
    }
    with_files["name"] = with_files["data"]
    name = action.dest
    if action.choices or action.nargs == 0:
        return
    if name in words:
        action.choices = list(words[name])
    elif name in with_files:
        _words_and_files(action, verb, with_files[name])
    elif name in FOLDERS | FILES:
        from shtab import DIRECTORY, FILE

        action.complete = DIRECTORY if name in FOLDERS else FILE  # type: ignore[attr-defined]


def _words_and_files(action: Action, verb: str, words: Iterable[str]) -> None:
    """Offers names, and beside them the files or folders that may stand in their place."""
    name = f"_scalespace_{verb}_{action.dest}_files_dirs"
    listed = " ".join(words)
    is_preset = action.dest == "preset"
    kinds = ("f -X '!*.yaml'", '_files -g "*.yaml"') if is_preset else ("d", "_files -/")
    bash = BASH_FILES.format(name=name, words=f"'{listed}'", kind=kinds[0])
    zsh = ZSH_FILES.format(name=name, words=f"'names:name:({listed})'", kind=kinds[1])
    action.complete = {  # type: ignore[attr-defined]
        "bash": name,
        "zsh": name,
        "fish": f"{listed} (__fish_complete_path (commandline -ct))",
        "preamble": {"bash": bash, "zsh": zsh},
    }
