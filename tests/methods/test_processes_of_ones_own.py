"""Processes that a single file adds: three scales in a row, and mathematics of its own.

Nothing in samplers, stages, studies or figures knows of either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from scalespace.config import ObjectiveConfig, Recipe
from scalespace.core.bands import Fading, fading, onward
from scalespace.core.denoiser import Condition
from scalespace.core.jumps import Exact, FromCoarser, alpha_bar_after
from scalespace.core.noise import Noise
from scalespace.core.scale import down, enlarge
from scalespace.core.schedule import cosine
from scalespace.core.segment import Begun, FromNoise, Handed, Segment
from scalespace.data import DataSplits
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.methods import METHODS, get_method
from scalespace.methods.base import ProcessMethod, register
from scalespace.methods.fast import distilled
from scalespace.model import Model, train
from scalespace.model.export import export_stage, level_of
from scalespace.report.figures import FIGURES
from scalespace.report.results import Results
from scalespace.report.study import study
from scalespace.settings import load_config
from scalespace.stages.denoising import Diffusion
from scalespace.stages.diffusion import DiffusionStage
from scalespace.stages.student import Student

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


@pytest.mark.usefixtures("quick_pictures")
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
    study(tmp_path, config, data_dir=data_dir, runtime=tiny.CPU, say=lambda line: None)
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


def test_the_stage_of_contributing(registry: None, splits: DataSplits, tmp_path: Path) -> None:
    """It begins with the enlarged image, in the last of the states that it learns."""
    text = CONTRIBUTING.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n([^`]*class Enlarged.*?)```", text, re.DOTALL)
    given: dict[str, Any] = {}
    exec(compile(code, "the stage in CONTRIBUTING.md", "exec"), given)

    @register
    class Twice(ProcessMethod):
        """Small, and then enlarged."""

        name = "twice"
        title = "Twice"
        stages = (DiffusionStage("twice-small", states=5, scale=2), given["Enlarged"]("twice", 4))

    model = train("twice", splits, tiny.CONFIG, tmp_path, 0, tiny.CPU)
    segment = model.legs[-1].segment
    assert segment.first == segment.schedule.last
    assert segment.schedule.alpha_bar_at(segment.first) == pytest.approx(0.3)
    assert np.isfinite(model.sample([0, 1, 2], seed=4).images).all()
    halved = replace(splits.info, height=13, width=13)
    with pytest.raises(InputError, match="by a factor of 2"):
        given["Enlarged"]("twice", 4).build(tiny.RECIPE, halved)


# A process with mathematics of its own: the Haar detail fades in after the jump


def haar(alpha_bar: float, states: int, name: str = "haar", side: int = 4, **more: Any) -> Fading:
    """From `alpha_bar` at the jump to 1, and a detail that rises from (nearly) none."""
    schedule = onward(alpha_bar, states)
    detail = torch.linspace(1, 1e-3, states, dtype=torch.float64).tolist()
    return Fading(name, schedule, (1, side, side), fade=fading(schedule, detail), **more)


@dataclass(frozen=True)
class HaarStage(DiffusionStage):
    """The finer scale of a process with an exact jump."""

    def segment(self, recipe: Recipe, data: DataInfo) -> Segment:
        plain = super().segment(recipe, data)
        a, _ = cosine(recipe.process.states or 6, recipe.process.power).scales(2)
        jump = Exact(2)
        return haar(alpha_bar_after(a**2, 2), 4, self.name, plain.shape[-1], jump=jump)


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

    for fields in ({"target": "mean"}, {"unroll": 2}, {"weighting": "min-snr"}):
        recipe = replace(tiny.RECIPE, objective=ObjectiveConfig(**fields))
        with pytest.raises(InputError, match=r"'haar-fine': its states are not a x_0 \+ b eps"):
            fine.build(recipe, splits.info)
    config = replace(tiny.CONFIG, process=replace(tiny.PROCESS, states=6, predict="v"))
    model = train("haar", splits, config, tmp_path, 0, tiny.CPU)
    steps = list(model.trajectory([0, 1, 2]))
    assert [(side, count) for side, count in sizes(steps)] == [(6, 4), (12, 4)]
    assert [step.t for step in steps] == [5, 4, 3, 2, 3, 2, 1, 0]
    assert model.calls == 3 + 3
    assert bool(torch.isfinite(steps[-1].x).all())
    # the jump kept the coarse image as the block means, but for the unit
    size = steps[4].x.std() / enlarge(steps[3].x, 2).std()
    assert 0.5 < float(size) < 2


@dataclass(frozen=True, eq=False)
class Tiles(FromCoarser, FromNoise):
    """A cascade's jump by somebody else: shows the coarser image as blocks, and tells a level."""

    shows = tells = True

    def told(self, segment: Segment, before: Segment) -> float:
        return 0.5

    def inputs(self, x0: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (down(x0, self.coarser),)

    def training_condition(
        self, inputs: tuple[torch.Tensor, ...], condition: Condition, rng: Any
    ) -> Condition:
        (low,) = inputs
        level = low.new_full(low.shape[:1], 0.5)
        return replace(condition, given=enlarge(low, self.coarser), level=level)

    def real_condition(
        self, inputs: tuple[torch.Tensor, ...], condition: Condition, noise: Noise, name: str
    ) -> Condition:
        return self.training_condition(inputs, condition, None)

    def begin(
        self,
        segment: Segment,
        before: Handed | None,
        condition: Condition,
        noise: Noise,
        temperature: float = 1.0,
    ) -> Begun:
        assert before is not None
        condition = self.training_condition((before.x,), condition, None)
        return super().begin(segment, None, condition, noise, temperature)


class TiledStage(DiffusionStage):
    """An upscaler that sees blocks."""

    def segment(self, recipe: Recipe, data: DataInfo) -> Segment:
        return replace(super().segment(recipe, data), jump=Tiles(2))


@pytest.fixture
def tiled(registry: None) -> str:
    """A cascade with that jump, and its students."""

    @distilled
    @register
    class Tiled(ProcessMethod):
        """Blocks shown to an upscaler."""

        name = "tiled"
        title = "Tiled"
        stages = (DiffusionStage("tiled-small", states=5, scale=2), TiledStage("tiled", states=4))

    return Tiled.name


def test_a_jump_that_shows_an_image_of_its_own(
    tiled: str, splits: DataSplits, tmp_path: Path
) -> None:
    """Network, sampling and students see it, as they see the coarser image of a cascade."""
    model = train(tiled, splits, tiny.CONFIG, tmp_path, 0, tiny.CPU)
    first = model.models["tiled"].net(torch.zeros(1, 2, 12, 12), torch.zeros(1, 3 + 2))
    assert first.shape == (1, 1, 12, 12)  # x_t and the blocks; state, three classes and level
    seen = []
    inner = model.models["tiled"].inputs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            model.models["tiled"], "inputs", lambda x, told: seen.append(told) or inner(x, told)
        )
        steps = list(model.trajectory([0, 1, 2], seed=4))
    small = next(step.x for step in steps if step.x.shape[-1] == 6 and step.t == 0)
    torch.testing.assert_close(seen[0].given, enlarge(small, 2))
    assert seen[0].level.tolist() == [0.5] * 3
    student = train(f"{tiled}-fast", splits, tiny.CONFIG, tmp_path, 0, tiny.CPU)
    assert student.calls == 2
    assert np.isfinite(student.sample([0, 1, 2], seed=4).images).all()


@pytest.mark.slow
def test_an_engine_and_a_file_know_that_jump(
    tiled: str, splits: DataSplits, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = train(tiled, splits, tiny.CONFIG, tmp_path, 0, tiny.CPU)
    plain = model.sample([0, 1, 2], seed=4).images
    fast = model.with_engine("onnx").sample([0, 1, 2], seed=4).images
    np.testing.assert_allclose(fast, plain, atol=1e-4)
    about = export_stage(model, "tiled", tmp_path / "tiled.onnx")  # checked against `denoise` there
    assert about["stage"] == "tiled"


@dataclass(frozen=True, eq=False)
class Told(FromNoise):
    """Tells its network a level, and shows it no image."""

    tells = True

    def told(self, segment: Segment, before: Segment) -> float:
        assert before is segment  # the first of a process
        return 0.5

    def training_condition(
        self, inputs: tuple[torch.Tensor, ...], condition: Condition, rng: Any
    ) -> Condition:
        assert condition.labels is not None
        return replace(condition, level=torch.full(condition.labels.shape, 0.5))

    def real_condition(
        self, inputs: tuple[torch.Tensor, ...], condition: Condition, noise: Noise, name: str
    ) -> Condition:
        return self.training_condition(inputs, condition, None)

    def begin(
        self,
        segment: Segment,
        before: Handed | None,
        condition: Condition,
        noise: Noise,
        temperature: float = 1.0,
    ) -> Begun:
        condition = self.training_condition((), condition, None)
        return super().begin(segment, before, condition, noise, temperature)


class ToldStage(DiffusionStage):
    """A process of one scale that begins so."""

    def segment(self, recipe: Recipe, data: DataInfo) -> Segment:
        return replace(super().segment(recipe, data), jump=Told())


class Untold(Told):
    """The same, and forgets to say which level it tells."""

    def told(self, segment: Segment, before: Segment) -> None:  # type: ignore[override]
        return None


def test_a_jump_that_tells_a_level_and_shows_nothing(
    registry: None, splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its student is told the level, too, and so is a file of its network."""

    @distilled
    @register
    class Leveled(ProcessMethod):
        """A level told to a network of one scale."""

        name = "leveled"
        title = "Leveled"
        stages = (ToldStage("leveled", states=4, scale=2),)

    levels: list[torch.Tensor | None] = []
    context = Student.context

    def spied(self: Student, u: torch.Tensor, condition: Condition) -> torch.Tensor:
        levels.append(condition.level)
        return context(self, u, condition)

    monkeypatch.setattr(Student, "context", spied)
    train("leveled-fast", splits, tiny.CONFIG, tmp_path, 0, tiny.CPU)
    assert levels
    assert all(level is not None and bool((level == 0.5).all()) for level in levels)

    model = train("leveled", splits, tiny.CONFIG, tmp_path, 0, tiny.CPU)
    stage = model.models["leveled"]
    assert isinstance(stage, Diffusion)
    assert level_of(model, stage) == 0.5
    stage.segment = replace(stage.segment, jump=Untold())
    del model.legs
    with pytest.raises(InputError, match=r"'leveled': its Untold tells .* override `told` too"):
        level_of(model, stage)
