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


def in_words(error: Exception) -> str:
    """What is wrong with a value that was read, by the error of whoever took it apart."""
    return f"it lacks {error}" if isinstance(error, KeyError) else one_line(error)


def listed(values: Iterable[float]) -> str:
    """Numbers in a message."""
    return ", ".join(f"{value:g}" for value in values) or "none"


def plural(n: int, word: str) -> str:
    """'1 epoch', '1,000 epochs'."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def near(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that is nearest to another; empty if none is near."""
    found = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean '{found[0]}'?" if found else ""


def unknown(kind: str, name: object, known: Iterable[str], hint: str = "") -> InputError:
    """The error for a name that is not in a registry.

    It suggests the nearest known one. If none is near, it ends with `hint`.
    """
    names = sorted(known)
    nearest = near(str(name), names)
    end = f": {hint}" if hint and not nearest else ""
    return InputError(
        f"unknown {kind} '{name}'{nearest} (known: {', '.join(names) or 'none'}){end}"
    )
