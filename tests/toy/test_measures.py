from __future__ import annotations

import math

import pytest
import torch
from test_toy_model import Oracle
from torch import Tensor

from scalespace.toy.config import ToyConfig
from scalespace.toy.measures import Paths, blame, measure, paths, together, x0_errors
from scalespace.toy.model import Toy
from scalespace.toy.trajectories import draw_noise, forward


@pytest.fixture
def model() -> Toy:
    """Untrained: its errors are large."""
    return Toy(ToyConfig(), 0).double()


def made(rows: list[list[float]]) -> tuple[Tensor, Tensor]:
    """Trajectories [20, n] that end as the first row says and stay at 0 before; estimates 0."""
    n = len(rows[0])
    x = torch.zeros(20, n, dtype=torch.float64)
    x[: len(rows)] = torch.tensor(rows, dtype=torch.float64)
    return x, torch.zeros(19, n, dtype=torch.float64)


def test_counts_of_trajectories_made_by_hand(model: Toy) -> None:
    # finally: on the point, a stray between, a stray outside, near enough, on the other point
    learnt, learnt_x0 = made([[-1, 0.5, 1.4, 0.93, 1], [0.0, 0.0, 1.2, -3.0, 0.99]])
    exact, exact_x0 = made([[-1, 1.0, 1.2, 1.00, -1], [-1.0, 1.0, 1.0, 1.00, -1.0]])
    learnt_x0[4, 0], learnt_x0[18, 0], learnt_x0[7, 3] = 1.3, -55.0, -1.05
    found = measure(model, Paths(learnt, learnt_x0, exact, exact_x0), tolerance=0.1)
    assert found["n"] == 5
    ours, theirs = found["learnt"], found["exact"]
    assert (ours["strays"]["count"], theirs["strays"]["count"]) == (2, 1)
    assert found["split"] == {"both": 1, "only_learnt": 1, "only_exact": 0, "neither": 3}
    assert found["only_learnt"]["count"] == 1
    by = {limit: one["count"] for limit, one in ours["strays_by_tolerance"].items()}
    assert by == {"0.05": 3, "0.1": 2, "0.25": 2, "0.5": 0}
    assert ours["largest_distance"] == pytest.approx(0.5)
    assert [one["count"] for one in ours["landed"]] == [1, 4]
    assert [one["count"] for one in theirs["landed"]] == [2, 3]
    assert ours["left_domain"]["count"] == 1
    # trajectory 0 left twice and counts once; -1.05 is within the tolerance
    assert ours["x0_hat_left_domain"]["count"] == 1
    at = ours["x0_hat_left_domain_at"]
    assert [k for k, share in enumerate(at) if share] == [4, 18]
    assert ours["x0_hat_largest"][18] == 55
    assert ours["outside_at"][:2] == [0.2, 0.4]  # 1.4; then 1.2 and -3.0
    # state 0: between -0.9 and 0.9; state 1: between the trails of 3 b_1 = 0.24 about 0.997
    assert ours["undecided_at"][:2] == [0.2, 0.4]


def test_shares_of_the_forward_process_are_counted_in_closed_form(model: Toy) -> None:
    n = 20_000
    x, x0_hat = forward(model.mixture, model.schedule, n, 0), torch.zeros(19, n).double()
    found = measure(model, Paths(x, x0_hat, x, x0_hat), tolerance=0.1)
    for key in ("outside_at", "undecided_at"):
        for drawn, exact in zip(found["learnt"][key], found["forward"][key], strict=True):
            assert drawn == pytest.approx(exact, abs=5 * math.sqrt((exact + 1e-4) / n))
    assert max(found["forward"]["undecided_at"]) > 1e-3


def test_together_is_all_of_them(model: Toy) -> None:
    parts = [paths(model, draw_noise(seed, 40, 20)) for seed in (0, 1)]
    pooled = measure(model, together(parts), 0.1)
    each = [measure(model, part, 0.1) for part in parts]
    assert pooled["n"] == 80
    assert parts[0].learnt.shape == (20, 40)
    for kind in ("learnt", "exact"):
        counts = [one[kind]["strays"]["count"] for one in each]
        assert pooled[kind]["strays"]["count"] == sum(counts)
    for cell, count in pooled["split"].items():
        assert count == sum(one["split"][cell] for one in each)
    assert pooled["learnt"]["strays"]["count"] > 60  # untrained


def test_errors_over_the_forward_process(model: Toy) -> None:
    oracle = Oracle(model)

    class Off(torch.nn.Module):
        def forward(self, x: Tensor, u: Tensor) -> Tensor:
            return oracle(x, u) + 0.1

    model.net = oracle  # type: ignore[assignment]
    assert max(x0_errors(model, 200, 0)) < 1e-9
    model.net = Off()  # type: ignore[assignment]
    for t, error in enumerate(x0_errors(model, 200, 0), start=1):
        a, b = model.schedule.scales(t)
        assert error == pytest.approx(0.1 * b / a)


def test_blame_goes_from_exact_to_learnt_and_back(model: Toy) -> None:
    noise = draw_noise(0, 60, 20)
    found, whole = blame(model, noise, 0.1), measure(model, paths(model, noise), 0.1)
    learnt, exact = (whole[kind]["strays"]["count"] for kind in ("learnt", "exact"))
    assert learnt > exact
    late, early = ([one.count for one in found[part]] for part in ("late", "early"))
    assert len(late) == len(early) == 20
    assert (late[0], late[-1]) == (exact, learnt)
    assert (early[0], early[-1]) == (learnt, exact)


def test_blame_finds_the_one_state_at_fault(model: Toy) -> None:
    oracle = Oracle(model)

    class Wrong(torch.nn.Module):
        def forward(self, x: Tensor, u: Tensor) -> Tensor:
            return oracle(x, u) + 5.0 * (u[:, None] < 1.5 / 19)  # in state 1 alone

    model.net = Wrong()  # type: ignore[assignment]
    found = blame(model, draw_noise(0, 60, 20), 0.1)
    assert [one.count for one in found["late"]] == [0, *[60] * 19]
    assert [one.count for one in found["early"]] == [60, *[0] * 19]
