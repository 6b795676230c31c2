"""A model in the hands of diffusers: its networks here, the steps by diffusers' schedulers.

What maps exactly is a segment's schedule and its solver. What does not are the networks, which are
no classes of diffusers, the x_0 rules, whose range is not symmetric, and the jumps between scales:
these stay here. `docs/words.md` has the words of both side by side.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from scalespace.core.denoiser import Condition
from scalespace.core.noise import Noise, Seeded
from scalespace.core.sampling import Leg, Step, ways
from scalespace.core.scale import up
from scalespace.core.segment import Handed
from scalespace.data import Samples
from scalespace.errors import InputError
from scalespace.methods.base import ProcessMethod
from scalespace.model.model import Model
from scalespace.model.resampling import Steps
from scalespace.model.whole import whole, whole_list


def to_diffusers(model: Model, steps: Steps | None = None) -> Pipeline:
    """The same sampling with a scheduler of diffusers for each segment.

    Args:
        model: of a method that is a process over images.
        steps: as for `Model.stepped`; each scheduler has just the states that are visited.

    Raises:
        InputError: diffusers is not there, or the model's process or sampler is none that its
            schedulers know.
    """
    model = model.stepped(steps)
    name = model.method.name
    if not isinstance(model.method, ProcessMethod):
        raise InputError(f"to_diffusers: method '{name}' is no process over images")
    schedulers, etas = {}, {}
    for leg, way in ways(model.legs):
        segment = leg.segment
        if not segment.plain or len(segment.schedules) > 1 or way[-1] != 0:
            raise InputError(
                f"to_diffusers: '{segment.name}' of method '{name}' is no plain diffusion from "
                "noise to an image, and diffusers' schedulers know no other"
            )
        kind, fields, etas[segment.name] = _scheduler(leg)
        alpha_bar = [segment.schedule.alpha_bar_at(t) for t in reversed(way)]
        betas = [1 - there / here for here, there in pairwise(alpha_bar)]
        schedulers[segment.name] = kind(
            num_train_timesteps=len(betas),
            trained_betas=betas,
            prediction_type="sample",  # what `Leg.denoise` gives: guided, and within its domain
            timestep_spacing="trailing",
            **fields,
        )
    return Pipeline(model, schedulers, etas)


def _scheduler(leg: Leg) -> tuple[Any, dict[str, Any], float]:
    """The class of a leg's scheduler, its fields, and the eta of its steps."""
    try:
        from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
    except ImportError as error:
        raise InputError(
            "to_diffusers needs the package diffusers: pip install diffusers"
        ) from error
    name, eta = leg.solver.name, leg.solver.eta
    if name == "ancestral":  # which is ddim with as much new noise
        name, eta = "ddim", 1.0
    if name == "ddim" and eta is not None and eta <= 1:
        return DDIMScheduler, {"clip_sample": False}, eta
    if name == "dpm2m" and leg.segment.schedule.alpha_bar_at(leg.segment.schedule.last) == 0:
        raise InputError(
            f"to_diffusers: '{leg.segment.name}' begins in pure noise, which diffusers' scheduler "
            f'for dpm2m divides by: take model.resampled({{"process.sampler": "ddim"}})'
        )
    if name == "dpm2m" and eta in (0, 1):
        algorithm = "sde-dpmsolver++" if eta else "dpmsolver++"
        return DPMSolverMultistepScheduler, {"algorithm_type": algorithm}, eta
    raise InputError(
        f"to_diffusers: no scheduler of diffusers samples '{leg.segment.name}' as this model does: "
        'take another sampler, say model.resampled({"process.sampler": "ddim", "process.eta": 0})'
    )


@dataclass(eq=False)
class Pipeline:
    """Samples as the model does, each step by a scheduler of diffusers.

    Args:
        model: whose networks, jumps and x_0 rules it uses.
        schedulers: one a segment, by name; timestep k is state k+1 of those visited, counted from
            the image. Each may be replaced by another scheduler in variance-preserving units, as
            by `DDPMScheduler.from_config(pipeline.schedulers["small"].config)`.
        etas: share of new noise of each segment, for schedulers that take it.
    """

    model: Model
    schedulers: dict[str, Any]
    etas: dict[str, float]

    @torch.no_grad()
    def __call__(
        self,
        labels: Sequence[int],
        seed: int = 0,
        generator: torch.Generator | None = None,
    ) -> Samples:
        """Images for `labels`, from the same noise as `Model.sample`.

        Args:
            labels: classes, int [n].
            seed: of the noise, at least 0.
            generator: draws the noise of a scheduler's steps instead; one that takes no noise from
                outside (DDPM) draws without it from torch's own generator.

        Raises:
            InputError: an unknown label, or a bad seed.
        """
        wanted, seed = whole_list("labels", labels), whole("seed", seed)
        self.model.check_labels(wanted)

        def part(rows: slice) -> list[Step]:
            noise = Seeded(seed, range(len(wanted))[rows], self.model.device)
            return [self._end(torch.tensor(wanted[rows]), noise, generator)]

        return self.model.collect(wanted, part, seed=seed, stepped_by="diffusers")

    def _end(self, labels: Tensor, noise: Noise, generator: torch.Generator | None) -> Step:
        """The images, standardised, as the last step of the reverse process."""
        condition = Condition(labels.to(self.model.device))
        handed: Handed | None = None
        for leg, way in ways(self.model.legs):
            segment = leg.segment
            begun = segment.jump.begin(segment, handed, condition, noise, leg.temperature)
            condition = begun.condition
            x = self._run(leg, way, begun.x, condition, noise, generator)
            handed = Handed(segment, x)
        return Step(0, up(x, segment.factor), None)

    def _run(
        self,
        leg: Leg,
        way: Sequence[float],
        x: Tensor,
        condition: Condition,
        noise: Noise,
        generator: torch.Generator | None,
    ) -> Tensor:
        """One segment, from its first state to the image."""
        scheduler, eta = self.schedulers[leg.segment.name], self.etas[leg.segment.name]
        scheduler.set_timesteps(len(way) - 1, device=self.model.device)
        takes = inspect.signature(scheduler.step).parameters
        stream, before = noise.stream(leg.segment.stream), None
        for timestep, t in zip(scheduler.timesteps, way[:-1], strict=True):
            x0_hat = leg.denoise(x, t, condition.after(before))
            own: dict[str, Any] = {"eta": eta} if "eta" in takes else {}
            if generator is not None or "variance_noise" not in takes:
                own["generator"] = generator
            elif eta and t != way[-2]:  # no noise in the step into the image
                own["variance_noise"] = stream.normal(x.shape[1:])
            elif eta:
                own["variance_noise"] = torch.zeros_like(x)
            x = scheduler.step(x0_hat, timestep, x, **own).prev_sample
            before = x0_hat
        return x
