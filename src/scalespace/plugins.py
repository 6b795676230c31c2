"""Modules of one's own, which bring methods, networks, samplers and metrics.

Nothing that is read may run code: a model folder or a study may name a method or a network of
somebody's own, but not have it imported. A user does that. Who sets
`SCALESPACE_PLUGINS=my_methods,my_nets` has every command import these modules first, also from the
working directory. A package that is installed may name a module of its own as an entry point of the
group `scalespace.plugins`. In Python it is enough to import them.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

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
    names = (name.strip() for name in os.environ.get(VARIABLE, "").split(","))
    return [name for name in names if name]


def trust(module: str) -> None:
    """Names a module for this process and for those that it starts.

    For what a user has named, never for what a file says that somebody else has written. The
    program itself is here already, and would be another one there.
    """
    if module not in (MAIN, *named()):
        os.environ[VARIABLE] = ",".join([*named(), module])


def load() -> list[str]:
    """Imports the modules of installed packages, and every module that the environment names.

    Nobody has asked this command for what is installed: without one that fails it can still do all
    that does not need it.

    Returns:
        a line on each module of an installed package that cannot be imported.

    Raises:
        InputError: one that the environment names cannot be imported; why.
    """
    told = []
    for point in entry_points(group=GROUP):
        try:
            _attempt(point.module)
        except InputError as error:
            told.append(f"{_whose(point)}: {error} (going on without it: mend or uninstall that)")
    for name in named():
        if name.startswith(".") or name.endswith(".py") or "/" in name or "\\" in name:
            raise InputError(
                f"{VARIABLE}: '{name}' is no module's name: give that, as in my_methods, "
                "not the path of its file"
            )
        try:
            imported(name)
        except InputError as error:
            raise InputError(f"{VARIABLE}: {error}") from error
    return told


def imported(module: str) -> ModuleType:
    """Imports a module that a user has named, also from the working directory.

    Programs do not look there. It stays on the path, after all else, for the module may import the
    files beside it at any time.

    Raises:
        InputError: it cannot be imported; why.
    """
    if module not in sys.modules:
        with suppress(OSError):  # the directory is gone
            if (here := os.getcwd()) not in sys.path:
                sys.path.append(here)
    return _attempt(module)


def _attempt(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except SystemExit as error:
        raise InputError(f"{module} cannot be imported: it calls sys.exit({error})") from error
    except Exception as error:  # whatever the module does
        raise InputError(f"{module} cannot be imported: {one_line(error)}") from error


def _whose(point: EntryPoint) -> str:
    """An entry point in words; several packages may give theirs the same name."""
    package = f" of the package {point.dist.name}" if point.dist else ""
    return f"entry point '{point.name}'{package}"


def outside(things: Iterable[object]) -> list[str]:
    """The modules outside this package that classes, functions, or objects of classes are from."""
    modules = {getattr(_bare(thing), "__module__", None) or PACKAGE for thing in things}
    return sorted(name for name in modules if name.partition(".")[0] not in (PACKAGE, "builtins"))


def _bare(thing: Any) -> Any:
    """What `partial`, or a decorator that keeps what it wraps, holds."""
    while isinstance(thing, partial) or hasattr(thing, "__wrapped__"):
        thing = thing.func if isinstance(thing, partial) else thing.__wrapped__
    return thing


def digests(modules: Iterable[str]) -> dict[str, str]:
    """A hash of each module's file, by name. It changes when the file is edited."""
    found = {}
    for name in modules:
        file = getattr(sys.modules.get(name), "__file__", None)
        with suppress(OSError):
            if file:
                found[name] = hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]
    return found
