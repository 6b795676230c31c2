"""Every method of diffusion in one network call a scale: `NAME-fast`, made of its stages' students.

How they learn: `scalespace.stages.student`.
"""

from __future__ import annotations

from typing import TypeVar

from scalespace.methods.base import Method, register
from scalespace.stages.shared_student import student_of

M = TypeVar("M", bound=type[Method])


def distilled(method: M) -> M:
    """Class decorator: registers the method in one call a scale, too.

    Its stages are the method's, with a student in the place of each process.
    """
    fields = {
        "name": f"{method.name}-fast",
        "title": f"{method.title}, distilled",
        "stages": tuple(student_of(stage) or stage for stage in method.stages),
        "__doc__": f"`{method.name}` in one network call a scale.",
        "__module__": method.__module__,
    }
    register(type(f"{method.__name__}Fast", (method,), fields))
    return method
