"""Processes that a single file adds: three scales in a row, and mathematics of its own.

Nothing in samplers, stages, studies or figures knows of either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

import tiny
from scalespace.config import Recipe
from scalespace.core.denoiser import Condition
from scalespace.core.jumps import Exact, alpha_bar_after
from scalespace.core.noise import Seeded
from scalespace.core.sampling import run
from scalespace.core.scale import down, enlarge
from scalespace.core.schedule import Schedule, cosine
from scalespace.core.segment import Segment
from scalespace.core.solvers import Row, Solver, Table, make_solver
from scalespace.data import DataSplits
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.methods import METHODS, get_method
from scalespace.methods.base import ProcessMethod, register
from scalespace.model import Model, train
from scalespace.report.figures import FIGURES
from scalespace.report.results import Results
from scalespace.report.study import run_study
from scalespace.settings import load_config
from scalespace.stages.diffusion import DiffusionStage

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture
def registry() -> Iterator[None]:
    """Takes away what a test registers."""
    before = dict(METHODS)
    yield
    METHODS.clear()
    METHODS.update(before)


def example() -> str:
    """The method that CONTRIBUTING writes out, and its name."""
    text = CONTRIBUTING.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?@register.*?)```", text, re.DOTALL)
    exec(compile(code, "the example in CONTRIBUTING.md", "exec"), {})
    return re.findall(r'name = "([\w-]+)"', code)[0]


def test_the_example_of_contributing(registry: None, splits: DataSplits, tmp_path: Path) -> None:
    """28 -> 14 -> 7 (here 12 -> 6 -> 3), by somebody who has read that page alone."""
    name = example()
    model = train(name, splits, tiny.CONFIG, tmp_path, 0, tiny.CPU)
    steps = list(model.trajectory([0, 1, 2]))
    assert [side for side, _ in sizes(steps)] == [3, 6, 12]
    assert model.calls == 3 * 2
    few = list(model.trajectory([0, 1, 2], steps=1))
    assert sum(step.x0_hat is not None for step in few) == 3
    images = model.sample([0, 1, 2], seed=4).images
    assert np.isfinite(images).all()
    alone = model.sample([1], seed=4, first=1).images
    np.testing.assert_allclose(alone[0], images[1], atol=1e-4)
    again = Model.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.sample([0, 1, 2], seed=4).images, images)


def test_the_example_in_a_study(
    registry: None, data_dir: Path, preset: Path, tmp_path: Path
) -> None:
    """Tasks, tables and figures know it: the forward process of each scale, too."""
    name = example()
    changes: dict[str, Any] = {
        "study.methods": [name],
        "study.seeds": [0],
        "study.metrics": ["cas"],
    }
    config = load_config(preset, changes)
    run_study(tmp_path, config, data_dir=data_dir, runtime=tiny.CPU, say=lambda line: None)
    results = Results(tmp_path)
    assert results.value("calls", method=name) == 6
    forward = {picture.name for picture in FIGURES["forward"](results)}
    stages = [stage.name for stage in get_method(name).stages]
    assert {f"forward-{stage}" for stage in stages} <= forward
    (reverse, _) = FIGURES["reverse"](results)
    assert reverse.name == f"reverse-{name}"
    assert (tmp_path / "report.html").exists()


def sizes(steps: Sequence[Any]) -> list[tuple[int, int]]:
    """The sides of the images on the way, and how many states each has."""
    sides = [step.x.shape[-1] for step in steps]
    return [(side, sides.count(side)) for side in dict.fromkeys(sides)]


# A process with mathematics of its own: the Haar detail fades in after the jump


def rising(schedule: Schedule, detail: Tensor) -> Schedule:
    """The schedule of the detail, a band whose signal is a d: its own alpha_bar."""
    ab = (
        schedule.alpha_bar
        * detail.square()
        / (schedule.alpha_bar * detail.square() + 1 - schedule.alpha_bar)
    )
    return Schedule(ab)


@dataclass(frozen=True, eq=False)
class Haar(Segment):
    """x_t = a (P x_0 + d Q x_0) + s eps: P block means, Q detail, d from 0 at the jump to 1.

    Each band is a Gaussian process of its own. The detail's signal is a d under noise s; in unit
    variance its alpha_bar is (a d)^2 / ((a d)^2 + s^2), so any solver acts on it with a table of
    its own, between x and x / sqrt((a d)^2 + s^2).
    """

    plain: ClassVar[bool] = False
    detail: tuple[float, ...] = ()

    def q_sample(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        d = torch.tensor(self.detail, dtype=x0.dtype)[t].view(-1, 1, 1, 1)
        mean = enlarge(down(x0, 2), 2)
        return super().q_sample(mean + d * (x0 - mean), t, eps)

    def tables(self, solver: Solver, states: Sequence[float]) -> tuple[Table, ...]:
        """One for the means, one for the detail."""
        (means,) = super().tables(solver, states)
        fade = rising(self.schedule, torch.tensor(self.detail, dtype=torch.float64))
        rows = []
        for row, t, s in zip(solver(fade, states).rows, states, states[1:], strict=False):
            here, there = self._unit(int(t)), self._unit(int(s))
            rows.append(
                Row(row.x * there / here, row.x0 * there, row.before * there, row.std * there)
            )
        return means, Table(tuple(states), tuple(rows))

    def _unit(self, t: int) -> float:
        a, s = self.schedule.scales(t)
        return float(((a * self.detail[t]) ** 2 + s**2) ** 0.5)

    def step(
        self,
        rows: Sequence[Row],
        x: Tensor,
        x0_hat: Tensor,
        before: Tensor | None,
        eps: Tensor | None,
    ) -> Tensor:
        """Band by band."""
        means, detail = rows
        every = [x, x0_hat, before, eps]
        low = [None if y is None else enlarge(down(y, 2), 2) for y in every]
        high = [None if y is None else y - m for y, m in zip(every, low, strict=True)]
        return means.apply(*low) + detail.apply(*high)  # type: ignore[arg-type]


def haar_schedule(first: float, states: int) -> tuple[Schedule, tuple[float, ...]]:
    """From alpha_bar `first` at the jump to 1, and a detail that rises from (nearly) none."""
    angle = torch.linspace(0, float(torch.tensor(first).sqrt().acos()), states, dtype=torch.float64)
    alpha_bar = angle.cos().square()
    alpha_bar[0], alpha_bar[-1] = 1.0, first
    detail = torch.linspace(1, 1e-3, states, dtype=torch.float64)
    return Schedule(alpha_bar), tuple(detail.tolist())


@dataclass(frozen=True)
class HaarStage(DiffusionStage):
    """The finer scale of a process with an exact jump."""

    takes_over: int = 2

    def segment(self, recipe: Recipe, data: DataInfo) -> Segment:
        plain = super().segment(recipe, data)
        a, _ = cosine(recipe.process.states or 6, recipe.process.power).scales(self.takes_over)
        schedule, detail = haar_schedule(alpha_bar_after(a**2, 2), 4)
        jump = Exact(2, self.takes_over)
        return Haar(self.name, schedule, plain.shape, self.scale, jump, detail=detail)


def test_a_process_of_its_own_in_one_file(
    registry: None, splits: DataSplits, tmp_path: Path
) -> None:
    coarse = DiffusionStage("haar-coarse", states=6, scale=2)
    fine = HaarStage("haar-fine", states=4)

    @register
    class ScaleSpace(ProcessMethod):
        """An exact jump between two scales."""

        name = "haar"
        title = "Haar"
        stages = (coarse, fine)

    for fields in ({"predict": "v"}, {"predict": "noise"}):
        with pytest.raises(InputError, match=r"'haar-fine': its states are not a x_0 \+ b eps"):
            fine.build(replace(tiny.RECIPE, process=replace(tiny.PROCESS, **fields)), splits.info)
    config = replace(tiny.CONFIG, process=replace(tiny.PROCESS, states=6, predict="x0"))
    model = train("haar", splits, config, tmp_path, 0, tiny.CPU)
    steps = list(model.trajectory([0, 1, 2]))
    assert [(side, count) for side, count in sizes(steps)] == [(6, 4), (12, 4)]
    assert [step.t for step in steps] == [5, 4, 3, 2, 3, 2, 1, 0]
    assert model.calls == 3 + 3
    assert bool(torch.isfinite(steps[-1].x).all())
    # the jump kept the coarse image as the block means, but for the unit
    size = steps[4].x.std() / enlarge(steps[3].x, 2).std()
    assert 0.5 < float(size) < 2


@pytest.mark.parametrize("name", ["ancestral", "ddim", "dpm2m"])
def test_its_bands_are_gaussian_processes_of_their_own(name: str) -> None:
    """For data whose means and detail are normal, exact answers give both their variance."""
    n, low, high = 6000, 1.5, 0.3
    schedule, detail = haar_schedule(0.05, 300)
    segment = Haar("haar", schedule, (1, 4, 4), 1, detail=detail)

    def denoise(x: Tensor, t: float, condition: Condition) -> Tensor:
        a, s = schedule.scales(t)
        d = detail[int(t)]
        mean = enlarge(down(x, 2), 2)
        return a * low / (a**2 * low + s**2 / 4) * mean + a * d * high / (
            (a * d) ** 2 * high + s**2
        ) * (x - mean)

    noise = Seeded(0, range(n))
    a, s = schedule.scales(schedule.last)
    blocks = enlarge(noise.stream("means").normal((1, 2, 2)), 2) * low**0.5
    x = a * blocks + s * noise.stream("start").normal((1, 4, 4))
    tables = segment.tables(make_solver(name), range(schedule.last, -1, -1))
    *_, last = run(denoise, segment, tables, x, Condition(), noise.stream("haar"))
    mean = enlarge(down(last.x, 2), 2)
    rest = last.x - mean
    assert float(down(last.x, 2).var()) == pytest.approx(low, rel=0.06)
    # of the 16 pixels 12 are detail: each has 3/4 of its variance
    assert float(rest.square().mean()) == pytest.approx(0.75 * high, rel=0.06)


def test_without_fading_it_is_the_plain_process() -> None:
    schedule = cosine(9, 3.0)
    plain = Segment("s", schedule, (1, 4, 4))
    haar = Haar("s", schedule, (1, 4, 4), detail=(1.0,) * 9)
    x = Seeded(1, range(5)).stream("x").normal((1, 4, 4))
    t, eps = torch.tensor([0, 2, 4, 6, 8]), torch.randn(5, 1, 4, 4)
    torch.testing.assert_close(haar.q_sample(x, t, eps), plain.q_sample(x, t, eps))

    def denoise(x: Tensor, t: float, condition: Condition) -> Tensor:
        return torch.tanh(x + t)

    for solver in (make_solver("dpm2m", 0.5), make_solver("ancestral"), make_solver("ddim", 0.3)):
        ends = []
        for segment in (plain, haar):
            tables = segment.tables(solver, (8, 5, 4, 1, 0))
            noise = Seeded(3, range(5)).stream("s")
            *_, last = run(denoise, segment, tables, x, Condition(), noise)
            ends.append(last.x)
        torch.testing.assert_close(ends[1], ends[0], rtol=1e-4, atol=1e-5)
