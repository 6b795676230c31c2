"""The variance that few steps keep, against a product worked out by hand and against chance."""

import math

import pytest
import torch

from scalespace.core.contraction import kept_variance
from scalespace.core.denoiser import Condition
from scalespace.core.sampling import run
from scalespace.core.schedule import Schedule, cosine
from scalespace.core.segment import Segment
from scalespace.core.solvers import SOLVERS, Solve, Table, ancestral, ddim, dpm2m, make_solver
from scalespace.core.steps import by_state


def whole(solver: Solve, schedule: Schedule, calls: int | None = None) -> Table:
    """A solver's table for all states, or for so many at equal distances."""
    return solver(schedule, (*by_state(schedule, calls or schedule.last), 0))


@pytest.mark.parametrize("variance", [0.05, 1.0, 20.0])
def test_ddim_is_a_product_of_cosines(variance: float) -> None:
    """Between Gaussian states DDIM turns (sqrt(v) a, b) by the angle between two of them."""
    schedule = cosine(20, power=2.0)
    ab = schedule.alpha_bar.double()
    a, b = (ab * variance).sqrt(), (1 - ab).sqrt()
    length = (a**2 + b**2).sqrt()
    turns = (a[1:] * a[:-1] + b[1:] * b[:-1]) / (length[1:] * length[:-1])
    expected = float(turns.prod() / length[-1]) ** 2
    found = kept_variance(whole(ddim, schedule), schedule, torch.tensor([variance]))
    assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("calls", [1, 2, 5, 11])
@pytest.mark.parametrize("temperature", [1.0, 1.2])
@pytest.mark.parametrize("name", [*SOLVERS, "ddim-0.5", "dpm2m-1"])
def test_the_sampler_itself_driven_by_each_noise_alone(
    name: str, calls: int, temperature: float
) -> None:
    """A linear chain's variance is the sum of squares of its answers to each noise drawn alone."""
    kind, _, eta = name.partition("-")
    schedule, solver = cosine(12), make_solver(kind, float(eta or 0))
    table, v = whole(solver, schedule, calls), torch.tensor([0.3, 4.0], dtype=torch.float64)

    class Each:
        """The draws one after the other, each 1 in a row of its own and 0 elsewhere."""

        drawn = 0

        def normal(self, shape: object) -> torch.Tensor:
            alone = torch.zeros(schedule.states, len(v), dtype=torch.float64)
            alone[self.drawn] = 1
            self.drawn += 1
            return alone

    def denoise(x: torch.Tensor, t: float, condition: Condition) -> torch.Tensor:
        a, b = schedule.scales(t)
        return a * v / (a**2 * v + b**2) * x

    each, segment = Each(), Segment("segment", schedule, (2,))
    x = temperature * each.normal((2,))
    *_, last = run(denoise, segment, [table], x, Condition(), each)
    found = kept_variance(table, schedule, v, temperature)
    torch.testing.assert_close(found, last.x.square().sum(dim=0) / v, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("solver", [ancestral, ddim, dpm2m])
def test_many_states_keep_everything(solver: Solve) -> None:
    schedule = cosine(2000, power=3.0)
    kept = kept_variance(whole(solver, schedule), schedule, torch.tensor([0.3, 1.0, 30.0]))
    torch.testing.assert_close(kept, torch.ones_like(kept), rtol=0.02, atol=0)


def test_the_papers_schedule_loses_what_varies_most_and_a_steeper_one_does_not() -> None:
    leading = torch.tensor([70.0])  # of MNIST's classes at 28x28, mean over them
    second = make_solver("dpm2m", 1.0)

    def kept(solver: Solve, schedule: Schedule) -> float:
        return float(kept_variance(whole(solver, schedule), schedule, leading))

    assert kept(ancestral, cosine(30)) < 0.6
    assert kept(second, cosine(30)) < 0.7
    assert kept(ancestral, cosine(30, power=3.0)) < 0.8
    assert kept(second, cosine(30, power=3.0)) > 0.95


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_variances_are_positive_numbers(bad: float) -> None:
    schedule = Schedule(torch.tensor([1.0, 0.5, 0.1]))
    with pytest.raises(ValueError, match="positive"):
        kept_variance(whole(ddim, schedule), schedule, torch.tensor([1.0, bad]))
