"""Writes the pages of the reference that the code itself says all about: packages and commands.

A package has a page with all its modules, so that a new module is there at once. What
`import scalespace` offers is told on one page (`docs/reference/index.rst`) and left out of these.
"""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.python import PyXRefRole

import scalespace
from scalespace import cli, options

PUBLIC = [getattr(scalespace, name) for name in scalespace.__all__]
LINK = PyXRefRole()
FOLDER = Path("docs/reference/made")


def title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n\n"


def packages(of: ModuleType = scalespace) -> list[str]:
    """The names of all packages within a package, itself first."""
    found = [of.__name__]
    for module in pkgutil.iter_modules(of.__path__, f"{of.__name__}."):
        if module.ispkg:
            found += packages(import_module(module.name))
    return found


def package_page(name: str) -> str:
    """A package and its modules, each in a section of its own."""
    page = title(name, "=") + f".. automodule:: {name}\n   :ignore-module-all:\n\n"
    if name == "scalespace":
        page = title(name, "=") + "The modules that stand beside the packages.\n\n"
    for module in pkgutil.iter_modules(import_module(name).__path__):
        if not module.ispkg and module.name != "__main__":
            page += title(module.name, "-")
            page += f".. automodule:: {name}.{module.name}\n   :ignore-module-all:\n\n"
    return page


def commands_page() -> str:
    """The command line's own help."""
    page = title("Commands", "=") + "What ``scalespace COMMAND --help`` says.\n\n"
    for verb, does in cli.VERBS.items():
        parser = options.parser(verb, f"{does[0].upper()}{does[1:]}.")
        import_module(f"scalespace.verbs.{verb}").add_options(parser)
        page += title(verb, "-") + ".. code-block:: text\n\n"
        page += "".join(f"   {line}\n" for line in parser.format_help().splitlines()) + "\n"
    return page


def write(app: Sphinx) -> None:
    """Writes the pages; those that have not changed stay, so that they are not built again."""
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    pages = {f"{name}.rst": package_page(name) for name in packages()}
    pages["commands.rst"] = commands_page()
    for path in folder.iterdir():
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def skip(app: Sphinx, what: str, name: str, obj: Any, told: bool, options: Any) -> bool | None:
    """Leaves what the first page tells out of the packages' pages."""
    if what == "module" and any(obj is one for one in PUBLIC):
        return True
    return None


def plain(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are read in editors and terminals: in them |x| and eps* are no markup.

    Nor is what stands before a colon in an attribute's its type, which napoleon believes of a first
    line: an empty comment is put there.
    """
    for k, line in enumerate(lines):
        apart = re.split(r"(`[^`]*`)", line)
        lines[k] = "".join(
            part if part.startswith("`") else re.sub(r"(?<!\\)([|*])", r"\\\1", part)
            for part in apart
        )
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]


def name(role: str, raw: str, text: str, *rest: Any) -> tuple[list[nodes.Node], list[Any]]:
    """What stands in backticks in a docstring: a link if it can be one, else code."""
    if re.fullmatch(r"(\w+\.)*[A-Z]\w+|scalespace(\.\w+)+", text):
        return LINK("py:obj", raw, text, *rest)
    return [nodes.literal(raw, text)], []


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_role("name", name)
    app.connect("builder-inited", write)
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-docstring", plain, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
