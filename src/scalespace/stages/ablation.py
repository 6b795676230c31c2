"""The published code's mistakes in sampling, one by one.

Elsewhere the samplers know nothing of them: `DiffusionStage.build` makes an `Ablated` where a
recipe's `ablation` asks for one, and stages that have none refuse. The other deviations of that
code are ordinary fields of a recipe (`process.stop_short`, `process.x0`, `net.channels`) or another
unit of the data (`ablation.unit_range`).
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from scalespace.config import Recipe
from scalespace.core.denoiser import Condition
from scalespace.core.segment import Segment
from scalespace.core.solvers import make_solver
from scalespace.data.info import DataInfo
from scalespace.nets.norms import batch_norms, batch_statistics
from scalespace.stages.base import Networks, Stage
from scalespace.stages.denoising import Diffusion


class Ablated(Diffusion):
    """A `Diffusion` that is trained as any other and sampled wrongly, as `recipe.ablation` says."""

    def __init__(self, stage: Stage[Any], recipe: Recipe, data: DataInfo, segment: Segment) -> None:
        super().__init__(stage, recipe, data, segment)
        self.wrong = recipe.ablation
        if self.wrong.renoise:
            self.solver = make_solver("renoise")

    def estimate(self, prediction: Tensor, x: Tensor, t: float) -> Tensor:
        """With `alpha`, sqrt(alpha_t) stands where sqrt(alpha_bar_t) belongs: shaped as x.

        For noise prediction x0_hat = (x_t - sqrt(1 - alpha_bar_t) eps_hat) / sqrt(alpha_t), with
        alpha_t = alpha_bar_t / alpha_bar_{t-1}: too small by a factor of sqrt(alpha_bar_{t-1}), so
        correct in the last step and nearly 0 in the first.
        """
        x0_hat = super().estimate(prediction, x, t)
        if not self.wrong.alpha:
            return x0_hat
        kept, _ = self.segment.schedule.scales(max(t - 1, 0))
        return x0_hat * kept

    def denoise(self, x: Tensor, t: float, condition: Condition) -> Tensor:
        """With `batch_mode`, batch norms normalise by the batch that is sampled."""
        with batch_statistics(self.net) if self.wrong.batch_mode else nullcontext():
            return super().denoise(x, t, condition)

    def networks(self) -> Networks:
        """None where batch norm goes by the batch: engines know only the running statistics."""
        return {} if self.wrong.batch_mode else super().networks()

    def predict(self, x: Tensor, u: Tensor, condition: Condition) -> Tensor:
        """As a `Diffusion`; an image alone is made a batch of two, with the same statistics.

        At the coarsest scale, one image may leave a single number a channel, which torch refuses to
        normalise by itself. The published code was timed on batches of two.
        """
        if len(x) > 1 or not any(norm.training for norm in batch_norms(self.net)):
            return super().predict(x, u, condition)
        twice = condition.and_also(condition)
        return super().predict(torch.cat([x, x]), torch.cat([u, u]), twice)[:1]
