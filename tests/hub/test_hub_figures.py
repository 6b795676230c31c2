from __future__ import annotations

import copy
import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalespace.hub.figures import Figures, Measure

FIGURES = Figures(
    "default",
    0,
    (0, 1, 2),
    {"cpu": "a processor", "gpu": None},
    {"torch": "2.13.0"},
    (
        Measure("cas", "CAS", 0.96, 10_000, sd=0.001, seeds=(0.96, 0.97), controls={"Real": 0.98}),
        Measure("fd", "FD", 0.7, 10_000, None, 0.6, 0.8, 60_000, "0123456789ab", (0.7,)),
    ),
    latency=0.0334,
    macs=223_085_376,
)
VALUE: dict[str, Any] = json.loads(json.dumps(asdict(FIGURES)))


def test_there_and_back() -> None:
    assert Figures.from_json(VALUE) == FIGURES


def leaves(value: Any, path: tuple = ()) -> list[tuple]:
    items: list = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [path, *(leaf for key, inner in items for leaf in leaves(inner, (*path, key)))]


STRANGE = [None, True, -1, 2.5, float("nan"), float("inf"), "", "x", [], [1], {}, {"a": "b"}]


@given(path=st.sampled_from(leaves(VALUE)[1:]), strange=st.sampled_from(["lose it", *STRANGE]))
def test_one_strange_value(path: tuple, strange: Any) -> None:
    """Refused by a TypeError, which `Model.load` puts in words; or figures that JSON can hold."""
    value = copy.deepcopy(VALUE)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    if strange == "lose it":
        del inner[path[-1]]
    else:
        inner[path[-1]] = strange
    try:
        found = Figures.from_json(value)
    except TypeError:
        return
    for one in found.measures:
        json.dumps([one.value, one.n, one.sd, one.seeds, one.controls], allow_nan=False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("value", "0.9"),
        ("value", float("nan")),
        ("value", None),
        ("n", True),
        ("sd", "0.1"),
        ("seeds", ["a"]),
        ("controls", {"Real": None}),
        ("controls", [1]),
        ("title", 3),
        ("judge", None),
    ],
)
def test_a_measure_refuses(field: str, value: Any) -> None:
    fields = {**VALUE["measures"][0], field: value}
    with pytest.raises(TypeError, match="must be"):
        Measure(**fields)


@pytest.mark.parametrize("value", [None, [], "x", {}, {"measures": 3}, {"measures": [3]}])
def test_no_figures_at_all(value: Any) -> None:
    with pytest.raises(TypeError):
        Figures.from_json(value)
