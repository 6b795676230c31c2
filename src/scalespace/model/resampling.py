"""The same networks, sampled otherwise: other fields of the recipe, fewer calls, guidance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import cached_property
from typing import Any, Literal, Self

import torch

from scalespace.config.build import build
from scalespace.engine import Torch, find_engine
from scalespace.errors import InputError, unknown
from scalespace.fields import digest, mapping, merge, nested
from scalespace.model.trained_method import TrainedMethod
from scalespace.training.runtime import find_device

StageSteps = int | Sequence[float] | Literal["all"]
"""In how many of a stage's states its network is called, in which, or in all."""
Steps = StageSteps | Mapping[str, StageSteps]
"""The same for every stage of a model, or by stage."""

KEPT = 4
"""How many variants with other steps a model caches."""


class Resampling(TrainedMethod):
    """A trained method that makes variants of itself with the same networks."""

    def resampled(self, changes: Mapping[str, Any]) -> Self:
        """The same networks, sampled otherwise; the measured figures are dropped.

        Args:
            changes: fields of a recipe that matter in sampling alone, for all stages that have them
                or for one: `{"process.sampler": "ddim", "stages.upscaler.process.eta": 0}`.

        Raises:
            InputError: an unknown field or stage, a bad value, or a field that decides a training.
        """
        common = nested(changes)
        own = mapping(common.pop("stages", {}), "stages")
        if unheard := sorted(set(own) - set(self.stages)):
            raise unknown("stage", unheard[0], self.stages)
        parts = {part.name for stage in self.method.stages for part in fields(stage.recipe)}
        if unheard := sorted(set(common) - parts):
            raise unknown("part of a recipe", unheard[0], parts)
        stages = {}
        for name, stage in self.stages.items():
            before = asdict(stage.training.recipe)
            mine = mapping(own.get(name, {}), f"stages.{name}")
            after = merge(before, {k: v for k, v in common.items() if k in before})
            recipe = build(type(stage.training.recipe), merge(after, mine), f"stages.{name}: ")
            training = replace(stage.training, recipe=recipe)
            if training.identity != stage.training.identity:
                free = "; ".join(
                    f"{part}.{', '.join(own)}" for part, own in training.resampling.items()
                )
                raise InputError(
                    f"stage '{name}' would have to be trained anew for that: once trained it can "
                    f"change only {free}"
                )
            stages[name] = replace(stage, training=training)
        model = type(self)(self.method, stages, self.device, engine=self.engine)
        self.method.check(model.models)
        return model

    def stepped(self, steps: Steps | None) -> Self:
        """The same networks with that many calls, or called in those states; None changes nothing.

        Args:
            steps: for every stage that has states, a number of calls, the states, falling from the
                last, or "all" of them; or by stage: {"small": 6, "upscaler": [9]}, or by scale
                where a stage has several. Those that are not named stay as they are.

        Raises:
            InputError: a method that is no process, an unknown stage, more calls than states where
                the network knows no times between them, or states that do not fall from the last.
        """
        if steps is None:
            return self
        if not self.legs:
            raise InputError(
                f"method '{self.method.name}' is no process: there are no steps to choose"
            )
        plain = _plain(steps)
        key = digest(plain)
        if key not in self._stepped:
            changes: dict[str, Any] = {"process.steps": plain}
            if isinstance(plain, dict):
                changes = self._by_stage(plain)
            if len(self._stepped) == KEPT:
                del self._stepped[next(iter(self._stepped))]  # the oldest
            self._stepped[key] = self.resampled(changes)
        return self._stepped[key]

    def _by_stage(self, steps: Mapping[str, Any]) -> dict[str, Any]:
        """The changes of a recipe that steps by stage, or by scale of a stage, stand for."""
        changes: dict[str, Any] = {}
        for name, own in steps.items():
            stage = name if name in self.stages else self.scales.get(name, name)
            field = f"stages.{stage}.process.steps"
            if stage == name:
                changes[field] = own
                continue
            if field not in changes:  # its other scales stay as they are
                before = self.stages[stage].training.recipe.process.steps
                scales = [scale for scale, of in self.scales.items() if of == stage]
                kept = before if isinstance(before, dict) else dict.fromkeys(scales, before)
                changes[field] = dict(kept)
            changes[field][name] = own
        return changes

    @property
    def guidable(self) -> list[str]:
        """The stages that can be guided: they have learnt what an image is without its label."""
        return [name for name, model in self.models.items() if model.guidable]

    def guided(
        self, strength: float | Mapping[str, float], states: tuple[float, float] | None = None
    ) -> Self:
        """The same networks under guidance (Ho & Salimans 2022).

        Args:
            strength: w, how much further the label pulls than in training; 0 is none. For every
                stage that can be guided, or by stage: {"small": 1.5}.
            states: the lowest and the highest state that guidance acts in; None for all.

        Raises:
            InputError: no stage, or one that is named, has learnt what an image is without its
                label.
        """
        if not isinstance(strength, Mapping):
            able = self.guidable
            if not able and not strength:
                return self
            if not able:
                raise InputError(
                    f"this model of '{self.method.name}' cannot be guided: no stage of it was "
                    "trained with objective.unlabelled, a share of images without labels (0.1, say)"
                )
            strength = dict.fromkeys(able, strength)
        changes: dict[str, Any] = {}
        for name, own in strength.items():
            changes[f"stages.{name}.process.guidance"] = own
            if states is not None:
                changes[f"stages.{name}.process.guidance_states"] = list(states)
        return self.resampled(changes)

    def with_engine(self, name: str = "auto", images: int | None = None) -> Self:
        """The same model with its networks run by an engine: the same images to 1e-4.

        Args:
            name: torch, onnx or compile, or auto: the fastest that there is for its device.
            images: how many are to be made; where they are too few to pay for the preparation of
                an engine, auto is torch.

        Raises:
            InputError: there is no such engine, or it cannot run here.
        """
        engine = find_engine(name, self.device)
        few = images is not None and images * self.calls < engine.worth(self.device)
        if name == "auto" and few:
            engine = Torch()
        return type(self)(
            self.method, self.stages, self.device, self.figures, self._name, engine=engine
        )

    def to(self, device: torch.device | str) -> Self:
        """The same model on another device, with the fastest engine there is for it.

        Raises:
            InputError: there is no such device.
        """
        engine = find_engine(
            "auto" if self.engine.name != "torch" else "torch", find_device(device)
        )
        return type(self)(self.method, self.stages, device, self.figures, self._name, engine=engine)

    @cached_property
    def _stepped(self) -> dict[str, Self]:
        return {}


def _plain(steps: Any, what: str = "steps") -> Any:
    """Steps as a config has them, of plain numbers: None for all of them."""
    if isinstance(steps, Mapping):
        return {str(name): _plain(own, f"steps of '{name}'") for name, own in steps.items()}
    if steps is None or (isinstance(steps, str) and steps == "all"):
        return None
    found = getattr(steps, "tolist", lambda: steps)()  # numpy's and torch's
    if isinstance(found, Sequence) and not isinstance(found, str):
        found = [getattr(t, "item", lambda t=t: t)() for t in found]
        good = all(isinstance(t, int | float) and not isinstance(t, bool) for t in found)
    else:
        good = isinstance(found, int) and not isinstance(found, bool)
    if not good:
        raise InputError(
            f"{what} must be a number of calls, states that fall from the last, or 'all', got "
            f"{steps!r}"
        )
    return found
