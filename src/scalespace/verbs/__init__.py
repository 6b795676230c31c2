"""What each verb of the command line does: options in, one call, a few lines out.

Each has a module of its name, with `add_options`, which tells a parser what the verb takes, and
`act`, which is called with the options, and with those that were given, nested.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from scalespace import options as opt


def run(verb: str, about: str, arguments: Sequence[str]) -> None:
    """Reads the options of a verb, which its help describes by `about`, and acts.

    Raises:
        InputError: see the functions that the verbs call.
    """
    module = import_module(f"scalespace.verbs.{verb}")
    parser = opt.parser(verb, about)
    module.add_options(parser)
    module.act(*opt.parse(parser, arguments))
