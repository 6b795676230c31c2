"""The verbs of the command line: options in, one call, a few lines out.

The module of a verb has `add_options`, which adds its options to a parser, and `act`, which gets
all options and, nested, those that were given.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from scalespace import options as opt
from scalespace.files import at_home


def run(verb: str, about: str, arguments: Sequence[str]) -> None:
    """Parses the options of a verb, whose help begins with `about`, and acts.

    Raises:
        InputError: see the functions that the verbs call.
    """
    module = import_module(f"scalespace.verbs.{verb}")
    parser = opt.parser(verb, about)
    module.add_options(parser)
    options, given = opt.parse(parser, arguments)
    for name in PATHS:
        if options.get(name) is not None:
            options[name] = _at_home(options[name])
    module.act(options, given)


PATHS = (
    *("out", "grid", "gif", "strip", "file", "folder", "folders", "preset"),
    *("model", "models", "judge", "samples", "redraw", "fill", "trainings"),
)
"""Options and arguments that name a file or a folder; a shell does not expand --out=~/x."""


def _at_home(path: Any) -> Any:
    """A path, or each of a list, with ~ as the home folder; what is no text stays as it is."""
    if isinstance(path, list):
        return [_at_home(one) for one in path]
    return at_home(path) if isinstance(path, str) else path
