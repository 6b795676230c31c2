"""The tutorials: Markdown files that Jupyter opens as notebooks (jupytext)."""

from __future__ import annotations

import jupytext
from nbformat import NotebookNode

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def read(text: str) -> NotebookNode:
    """The notebook that a tutorial is, with the kernel that runs it."""
    notebook = jupytext.reads(text, fmt="md")
    notebook.metadata["kernelspec"] = KERNEL
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook
