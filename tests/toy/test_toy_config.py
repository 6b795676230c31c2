from __future__ import annotations

from typing import Any

import pytest

from scalespace.errors import InputError
from scalespace.toy.config import CURES, PAPER, ToyConfig, arms, braces


def test_every_arm_changes_what_it_says_and_nothing_else() -> None:
    base = ToyConfig(epochs=7)
    rows = arms(base)
    assert rows[PAPER][1] == base
    assert len({config for _, config in rows.values()}) == len(rows)
    for name, (arm, config) in rows.items():
        assert (config == base) == (name == PAPER)
        assert config.epochs == 7 * arm.times
        back: dict[str, Any] = {}
        for key in arm.changes:
            part, _, field = key.rpartition(".")
            back[key] = getattr(getattr(base, part), field) if part else getattr(base, key)
            now = getattr(getattr(config, part), field) if part else getattr(config, key)
            assert now == arm.changes[key]
        assert config.changed({**back, "epochs": 7}) == base
    assert arms(base, cures=False).keys() == rows.keys() - CURES.keys()


def test_data_are_moved_by_one_deviation() -> None:
    assert arms(ToyConfig())["moved"][1].points == (0.0, 2.0)
    arm, config = arms(ToyConfig((3, 7)))["moved"]
    assert config.points == (5.0, 9.0)
    assert "{5, 9}" in arm.title


def test_networks_of_the_first_edition_are_found_again() -> None:
    assert ToyConfig().identity == "0603bc6e8c43"
    mean = {"objective.target": "mean", "process.predict": "x0"}
    assert ToyConfig().changed(mean).identity == "69758ffb2b22"


def test_identity_knows_what_training_depends_on() -> None:
    base = ToyConfig()
    for same in ({"process.x0": "barrier"}, {"process.sampler": "ddim"}):
        assert base.changed(same).identity == base.identity
    for other in ({"points": (0, 2)}, {"objective.unroll": 2}, {"process.predict": "v"}):
        assert base.changed(other).identity != base.identity
    assert ToyConfig((1, -1)).identity == base.identity


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"points": (1.0,)}, "at least two different points"),
        ({"epochs": 0}, "epochs must be at least 1"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        ToyConfig().changed(changes)


def test_braces() -> None:
    assert braces((-1.0, 0.5)) == "{−1, 0.5}"
