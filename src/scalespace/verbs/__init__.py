"""The verbs of the command line: options in, one call, a few lines out.

The module of a verb has `add_options`, which adds its options to a parser, and `act`, which gets
all options and, nested, those that were given.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from scalespace import options as opt


def run(verb: str, about: str, arguments: Sequence[str]) -> None:
    """Parses the options of a verb, whose help begins with `about`, and acts.

    Raises:
        InputError: see the functions that the verbs call.
    """
    module = import_module(f"scalespace.verbs.{verb}")
    parser = opt.parser(verb, about)
    module.add_options(parser)
    module.act(*opt.parse(parser, arguments))
