"""What an arm of the one-dimensional experiment is: the paper's settings and one change to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from scalespace.config import Decay, ObjectiveConfig, ProcessConfig
from scalespace.errors import InputError
from scalespace.fields import digest, merge, nested
from scalespace.toy.mixture import Mixture

STATES = 20  # T = 19 transitions (paper, appendix 3.8)


@dataclass(frozen=True)
class ToyConfig:
    """One training and its sampling; the defaults are those of the paper's appendix 3.8.

    Args:
        points: the data, each equally likely.
        process: schedule, parametrisation, sampler, and what is done to estimates of x0 outside
            the convex hull of the points.
        objective: what a training step minimises.
        hidden: features of the network's hidden layers.
        epochs: of `batches` batches of `batch_size` fresh points.
        lr: Adam's learning rate.
        decay: its way down to 0: none, linear or cosine.
    """

    points: tuple[float, ...] = (-1.0, 1.0)
    process: ProcessConfig = field(default_factory=lambda: ProcessConfig(states=STATES))
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    hidden: int = 64
    epochs: int = 200
    batches: int = 100
    batch_size: int = 128
    lr: float = 1e-4
    decay: Decay = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", Mixture(tuple(self.points)).points)
        if self.epochs < 1:
            raise InputError(f"epochs must be at least 1, got {self.epochs}")

    @property
    def mixture(self) -> Mixture:
        """The distribution of the data."""
        return Mixture(self.points)

    @property
    def identity(self) -> str:
        """Hash of what decides the trained network, without the seed and the sampling fields."""
        fields = asdict(self)
        for name in (*ProcessConfig.SAMPLING, "continuous"):  # which points have no use for
            del fields["process"][name]
        return digest(fields)

    def changed(self, dotted: Mapping[str, Any]) -> ToyConfig:
        """This config with other values for some fields, as in {"process.x0": "clip"}."""
        fields = merge(asdict(self), nested(dotted))
        process = ProcessConfig(**fields.pop("process"))
        objective = ObjectiveConfig(**fields.pop("objective"))
        return ToyConfig(process=process, objective=objective, **fields)


@dataclass(frozen=True)
class Arm:
    """A row of the ablation: what it is called, and what it changes."""

    title: str
    changes: Mapping[str, Any]
    times: int = 1
    """A factor on the epochs."""

    def over(self, base: ToyConfig) -> ToyConfig:
        """The config with this change."""
        return base.changed({"epochs": self.times * base.epochs, **self.changes})


PAPER = "paper"
FALLING = {"lr": 1e-2, "decay": "linear"}
LONGER = {**FALLING, "batch_size": 1024}
MEAN_LONGER = {"process.predict": "x0", "objective.target": "mean", **LONGER}
PERTURBED = {"objective.perturb": 3.0, **MEAN_LONGER}
CURES: dict[str, Arm] = {
    "clip": Arm("x0 clipped", {"process.x0": "clip"}),
    "dynamic": Arm("dynamic thresholding", {"process.x0": "dynamic"}),
    "barrier": Arm("barrier (interior point)", {"process.x0": "barrier"}),
    "ddim": Arm("DDIM sampler", {"process.sampler": "ddim"}),
    "stop-short": Arm("stopping short (published code)", {"process.stop_short": True}),
    "unroll-2": Arm("2-step training", {"objective.unroll": 2}),
    "unroll-4": Arm("4-step training", {"objective.unroll": 4}),
    "perturb": Arm("input perturbation 0.1", {"objective.perturb": 0.1}),
    "mean": Arm("the mean as the target", {"objective.target": "mean"}),
    "unroll-4-mean": Arm(
        "4-step training, the mean as the target",
        {"objective.unroll": 4, "objective.target": "mean"},
    ),
    "perturb-mean": Arm(
        "input perturbation 3, the mean as the target",
        {"objective.perturb": 3.0, "objective.target": "mean"},
    ),
    "min-snr": Arm("min-SNR weighting", {"objective.weighting": "min-snr"}),
    "self-condition": Arm("self-conditioning", {"objective.self_condition": True}),
    "x0": Arm("x0-prediction", {"process.predict": "x0"}),
    "v": Arm("v-prediction", {"process.predict": "v"}),
    "zero-terminal": Arm(
        "v-prediction, zero terminal SNR",
        {"process.predict": "v", "process.zero_terminal": True},
    ),
    "lr": Arm("learning rate 1e-3", {"lr": 1e-3}),
    "decay": Arm("learning rate 1e-2, falling to 0", FALLING),
    "v-clip": Arm("v-prediction, x0 clipped", {"process.predict": "v", "process.x0": "clip"}),
    "together": Arm(
        "v, x0 clipped, 1e-2 falling, batches of 1,024",
        {"process.predict": "v", "process.x0": "clip", **LONGER},
    ),
    "together-mean": Arm("x0, the mean, 1e-2 falling, batches of 1,024", MEAN_LONGER),
    "together-perturb": Arm("the same, and input perturbation 3", PERTURBED),
    "together-twice": Arm("the same, twice as long", PERTURBED, times=2),
}
"""Cures from the paper and the literature, each applied to the paper's settings.

The learning rates are not from the literature: they show what longer training would do. The last
four rows combine what helped: without the mean as the target, with it, with input perturbation as
well, and the last in twice as many steps.
"""


def arms(base: ToyConfig, cures: bool = True) -> dict[str, tuple[Arm, ToyConfig]]:
    """The rows of a run: the paper's settings, the data moved, and the cures.

    The data are moved by one standard deviation, {-1, 1} to {0, 2}: once with the schedule's last
    state visited, and once without, when a start from N(0, 1) is further off.
    """
    _, std = base.mixture.moments
    moved = tuple(point + std for point in base.points)
    rows = {
        PAPER: Arm("the paper's settings", {}),
        "moved": Arm(f"data moved to {braces(moved)}", {"points": moved}),
        "moved-stop-short": Arm(
            f"data moved to {braces(moved)}, stopping short",
            {"points": moved, "process.stop_short": True},
        ),
        **(CURES if cures else {}),
    }
    return {name: (arm, arm.over(base)) for name, arm in rows.items()}


def braces(points: tuple[float, ...]) -> str:
    """(-1.0, 1.0) as {−1, 1}."""
    return "{" + ", ".join(f"{point:g}".replace("-", "−") for point in points) + "}"
