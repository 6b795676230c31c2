"""Methods: what is sampled, each in one file, and the registry that every command reads.

Importing this package imports every module in it, so a new file is all that a new method needs.
"""

from __future__ import annotations

import importlib
import pkgutil

from scalespace.methods.base import METHODS, Method, Stage, StageModel, get_method

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["METHODS", "Method", "Stage", "StageModel", "get_method"]
