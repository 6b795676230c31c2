"""Methods: what is sampled, each in one file, and the registry that every command reads.

Importing this package imports every module in it, so a new file is all that a new method needs.
"""

from __future__ import annotations

import importlib
import pkgutil

from scalespace.methods.base import METHODS, Method, get_method
from scalespace.stages.base import Stage
from scalespace.stages.judge import JUDGE

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def stages() -> dict[str, Stage]:
    """Everything that can be trained, by name: the methods' stages, and the judge."""
    found = {stage.name: stage for method in METHODS.values() for stage in method.stages}
    return {**found, JUDGE.name: JUDGE}


__all__ = ["METHODS", "Method", "get_method", "stages"]
