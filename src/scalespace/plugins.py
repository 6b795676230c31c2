"""Modules of one's own, which bring methods, networks, samplers and metrics.

Nothing that is read may run code: a model folder or a study may name a method or a network of
somebody's own, but not have it imported. A user does that. Who sets
`SCALESPACE_PLUGINS=my_methods,my_nets` has every command import these modules first, also from the
working directory. A package that is installed may name a module of its own as an entry point of the
group `scalespace.plugins`. In Python it is enough to import them.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from types import ModuleType

from scalespace.errors import InputError, one_line

VARIABLE = "SCALESPACE_PLUGINS"
"""Names the modules, with commas between them."""
GROUP = "scalespace.plugins"
PACKAGE = __name__.partition(".")[0]
MAIN = "__main__"
"""A program's own module, which no other process can import."""
HINT = f"if it is your own, set {VARIABLE} to the module that brings it, or import that first"
"""What to do about a name that is in no registry."""


def named() -> list[str]:
    """The modules that the environment names."""
    return [name for name in os.environ.get(VARIABLE, "").split(",") if name]


def trust(module: str) -> None:
    """Names a module for this process and for those that it starts.

    For what a user has named, never for what a file says that somebody else has written.
    """
    if module not in named():
        os.environ[VARIABLE] = ",".join([*named(), module])


def load() -> None:
    """Imports every module that the environment names, and those of installed packages.

    Raises:
        InputError: one cannot be imported; why.
    """
    installed = {f"entry point '{one.name}'": one.module for one in entry_points(group=GROUP)}
    for where, module in [*installed.items(), *((VARIABLE, name) for name in named())]:
        try:
            imported(module)
        except Exception as error:  # whatever the module does
            raise InputError(f"{where}: {module} cannot be imported: {one_line(error)}") from error


def imported(module: str) -> ModuleType:
    """Imports a module, also from the working directory, where programs do not look."""
    sys.path.append(os.getcwd())
    try:
        return importlib.import_module(module)
    finally:
        sys.path.pop()


def outside(things: Iterable[object]) -> list[str]:
    """The modules outside this package that classes, functions, or objects of classes are from."""
    modules = {getattr(thing, "__module__", PACKAGE) for thing in things}
    return sorted(name for name in modules if name.partition(".")[0] not in (PACKAGE, "builtins"))
