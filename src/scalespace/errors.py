"""The one exception that the command line turns into a single line and exit code 2."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class InputError(ValueError):
    """Invalid user input; the message says what is wrong, where, and what to do, in one line."""


def one_line(error: BaseException) -> str:
    """An exception's message in one line, in no words of Python's own; its type if it has none."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text)
    return text.replace("typing.", "").replace("Parser key ", "")


def listed(values: Iterable[float]) -> str:
    """Numbers in a message."""
    return ", ".join(f"{value:g}" for value in values) or "none"


def unknown(kind: str, name: object, known: Iterable[str], hint: str = "") -> InputError:
    """The error for a name that is not in a registry.

    It suggests the nearest known one. If none is near, it ends with `hint`.
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    nearest = f"; did you mean '{near[0]}'?" if near else ""
    end = f": {hint}" if hint and not near else ""
    return InputError(f"unknown {kind} '{name}'{nearest} (known: {', '.join(names)}){end}")
