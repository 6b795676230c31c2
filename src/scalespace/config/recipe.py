"""How a stage is built, trained and sampled."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from scalespace.config.checks import at_least, between

Decay = Literal["none", "linear", "cosine"]
"""How a learning rate falls to 0: see `scalespace.training.loop.decayed`."""


@dataclass(frozen=True)
class NetConfig:
    """Which network, and its shape.

    Args:
        kind: unet; coordinates, which is told where each pixel lies; nested, whose inner levels
            alone work on smaller images; depthwise (Guocheng's; reads channels, norm, groups and
            embedding alone); or a class of your own as `package.module:Name` (see
            `scalespace.nets.registry`).
        channels: features of each encoder, from the finest scale to the coarsest.
        activation: the non-linearity after each convolution.
        norm: batch (the paper's) or group.
        groups: number of groups of a group norm.
        norm_first: normalise before the activation; the paper does so after it.
        film: where the context enters: at the input of each encoder, through a two-layer network
            of its own (encoders, the paper's), or after the first normalisation of every block,
            from one shared embedding (blocks).
        embedding: width of that shared embedding.
        residual: add each block's input to its output.
        patch: side of the pixel blocks that become channels at the input (1: none).
        overview: width of a small dense network beside the convolutions that sees the whole image
            at once (0: none).
    """

    channels: tuple[int, ...] = (16, 32, 64)
    activation: Literal["gelu", "silu", "relu"] = "gelu"
    norm: Literal["batch", "group"] = "batch"
    groups: int = 4
    norm_first: bool = False
    film: Literal["encoders", "blocks"] = "encoders"
    embedding: int = 64
    residual: bool = False
    patch: int = 1
    overview: int = 0
    kind: str = "unet"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z-]+|[A-Za-z_][\w.]*:[A-Za-z_]\w*", self.kind):
            raise ValueError(
                f"net.kind must be a name or package.module:Name, got {self.kind!r:.100}"
            )
        # a config read from JSON brings a list
        object.__setattr__(self, "channels", tuple(self.channels))
        if not self.channels:
            raise ValueError("net.channels must name the features of at least one encoder")
        for features in self.channels:
            between(1, 1024, **{"net.channels": features})
        between(1, 8, **{"net.patch": self.patch})
        between(0, 4096, **{"net.overview": self.overview})
        between(1, 1024, **{"net.groups": self.groups})
        between(1, 4096, **{"net.embedding": self.embedding})
        if self.norm == "group" and any(c % self.groups for c in self.channels):
            raise ValueError(
                f"net.channels {self.channels} must be multiples of net.groups {self.groups}"
            )


@dataclass(frozen=True)
class ProcessConfig:
    """The diffusion process and its sampler.

    Args:
        states: number of states S, the data included; S-1 network calls a sample unless `steps`
            says otherwise. None: the stage's own, as in the paper (30, 20 and 10).
        schedule: cosine (the paper's), linear betas (Ho et al.), or flow: flow matching's straight
            path from data to noise.
        power: exponent of the cosine schedule; the paper's is 1.5.
        stop_short: end the cosine schedule one state early, as the published code does.
        continuous: train at times between the states as well, so that sampling may take any number
            of calls.
        zero_terminal: stretch the schedule so that its last state is pure noise; not with noise
            prediction, which cannot tell an image from such a state.
        predict: what the network predicts: the noise, the image (x0), the velocity of a
            variance-preserving process (v), or that of the straight path (flow).
        labels: tell the network the class; otherwise its images are of no class in particular.
        x0: what to do with an estimate of x0 outside the images' range: none, clip, dynamic
            thresholding, or barrier (a step of an interior-point method).
        sampler: ancestral (Algorithm 2 of Ho et al.), ddim, dpm2m (DPM-Solver++ of second order),
            euler (along the velocity of the straight path), or renoise (fresh noise on each
            estimate, as in the published code and in consistency models).
        eta: how much new noise a step of ddim or dpm2m draws: 0 for none, 1 for as much as
            ancestral.
        temperature: deviation of the noise that sampling starts from, relative to the process's
            own; above 1, images are more varied, and fewer are close to real ones.
        steps: in how many states the network is called, or in which, falling from the last; None:
            in all of them. A stage of several scales takes one of these by scale.
        spacing: how a number of calls is spread: evenly in the correlation of the noisy image with
            the image (correlation, the default), in the number of the state (state), or in the
            logarithm of the signal-to-noise ratio (snr). More calls than states are spread by
            state instead of correlation.
        guidance: strength w of classifier-free guidance; 0 is none, and elsewhere 1 + w is called
            the scale. Needs objective.unlabelled in training; takes two calls a state.
        guidance_states: the lowest and highest state that guidance acts in; None: all.
    """

    states: int | None = None
    schedule: Literal["cosine", "linear", "flow"] = "cosine"
    power: float = 1.5
    stop_short: bool = False
    continuous: bool = False
    zero_terminal: bool = False
    predict: Literal["noise", "x0", "v", "flow"] = "noise"
    labels: bool = True
    x0: Literal["none", "clip", "dynamic", "barrier"] = "none"
    sampler: str = "ancestral"
    eta: float = 0.0
    temperature: float = 1.0
    steps: int | tuple[float, ...] | dict[str, int | tuple[float, ...] | None] | None = None
    spacing: Literal["correlation", "state", "snr"] = "correlation"
    guidance: float = 0.0
    guidance_states: tuple[float, float] | None = None

    SAMPLING: ClassVar[tuple[str, ...]] = (
        *("x0", "sampler", "eta", "temperature"),
        *("steps", "spacing", "guidance", "guidance_states"),
    )
    """The fields that matter in sampling only: a trained network takes any value of them."""

    def __post_init__(self) -> None:
        if isinstance(self.steps, dict):
            by_scale = {
                name: _steps(own, f"process.steps.{name}") for name, own in self.steps.items()
            }
            object.__setattr__(self, "steps", by_scale)
        else:
            object.__setattr__(self, "steps", _steps(self.steps, "process.steps"))
        between(0, 100, **{"process.guidance": self.guidance})
        if self.guidance_states is not None:
            low, high = self.guidance_states
            object.__setattr__(self, "guidance_states", (low, high))
            if not 0 <= low <= high:
                raise ValueError(
                    "process.guidance_states must be the lowest and the highest state, got "
                    f"{low:g}, {high:g}"
                )
        if self.states is not None:
            between(2, 10_000, **{"process.states": self.states})
        if not 0 < self.power <= 100:
            raise ValueError(f"process.power must be positive and at most 100, got {self.power}")
        between(0, 100, **{"process.eta": self.eta})
        if not 0 < self.temperature <= 10:
            raise ValueError(
                f"process.temperature must be positive and at most 10, got {self.temperature}"
            )
        if self.zero_terminal and self.predict == "noise":
            raise ValueError(
                "process.zero_terminal needs another process.predict than noise: "
                "in a state of pure noise, the noise tells nothing of the image"
            )


def _steps(given: Any, name: str) -> int | tuple[float, ...] | None:
    """A number of calls, or states as whole numbers where they are."""
    if given is None:
        return None
    if isinstance(given, int):
        between(1, 10_000, **{name: given})
        return given
    if not all(map(math.isfinite, given)):
        raise ValueError(f"{name} must be finite states, got {list(given)}")
    return tuple(int(t) if t == int(t) else float(t) for t in given)


@dataclass(frozen=True)
class ObjectiveConfig:
    """What a training step minimises: Algorithm 1 unless a field says otherwise.

    Args:
        weighting: weights of the states' errors: none, or min-snr.
        perturb: deviation of the noise added to the network's input, relative to the process's own
            (input perturbation); 0.1 in the literature. Only target=mean accounts for it.
        unroll: n of n-step training: the input is what n-1 steps of the ancestral sampler
            make; 1 is the standard.
        self_condition: also show the network its last estimate of x0.
        guide: strength of the guidance that is trained into the network; 0 for none.
        unlabelled: share of training images whose label is withheld, which guidance needs.
        target: what the network aims at: sample, the image that x_t was made of; or mean, of all
            training images of its class, each weighted by the probability that x_t was made of it.
    """

    weighting: Literal["none", "min-snr"] = "none"
    perturb: float = 0.0
    unroll: int = 1
    self_condition: bool = False
    guide: float = 0.0
    unlabelled: float = 0.0
    target: Literal["sample", "mean"] = "sample"

    def __post_init__(self) -> None:
        at_least(0, **{"objective.perturb": self.perturb})
        between(1, 100, **{"objective.unroll": self.unroll})
        between(0, 1, **{"objective.unlabelled": self.unlabelled})
        if not 0 <= self.guide < 1:
            raise ValueError(f"objective.guide must lie in [0, 1), got {self.guide}")
        if self.guide and not self.unlabelled:
            raise ValueError(
                "objective.guide needs objective.unlabelled, a share of images without labels "
                "(0.1, say) to learn what the labels change"
            )


@dataclass(frozen=True)
class ConditionConfig:
    """Conditioning augmentation of a stage that sees a coarser image (Ho et al. 2022).

    Args:
        augment: how the coarser image is degraded in training: none, gaussian (noise, as in a
            process) or blur. The degree is drawn for each image and told to the network.
        most: the largest degree drawn: a state of a process like the upscaler's with as many states
            as the small stage has by default, or tenths of a pixel of blur.
        level: the degree that sampling uses, chosen on the validation part.
        truncate: with gaussian, stop the small process in the state `level`, instead of finishing
            it and adding noise.
    """

    augment: Literal["none", "gaussian", "blur"] = "none"
    most: int = 6
    level: int = 0
    truncate: bool = False

    SAMPLING: ClassVar[tuple[str, ...]] = ("level", "truncate")
    """The fields that matter in sampling only."""

    def __post_init__(self) -> None:
        between(1, 1000, **{"condition.most": self.most})
        if not 0 <= self.level <= self.most:
            raise ValueError(f"condition.level must lie in 0 .. {self.most}, got {self.level}")
        if self.level and self.augment == "none":
            raise ValueError("condition.level needs condition.augment")
        if self.truncate and self.augment != "gaussian":
            raise ValueError("condition.truncate needs condition.augment=gaussian")


@dataclass(frozen=True)
class AblationConfig:
    """Mistakes of the code published with the seed paper, one by one, for the autopsy.

    Args:
        alpha: estimate x0 with 1/sqrt(alpha_t) where 1/sqrt(alpha_bar_t) is right.
        renoise: put fresh noise on the estimate of x0 for the next state, instead of drawing it
            from the posterior.
        batch_mode: let batch norms normalise by the batch that is sampled, instead of by what they
            remember of training. Images then depend on which others share their batch.
        unit_range: train on pixels in [0, 1] instead of standardised ones.
    """

    alpha: bool = False
    renoise: bool = False
    batch_mode: bool = False
    unit_range: bool = False

    SAMPLING: ClassVar[tuple[str, ...]] = ("alpha", "renoise", "batch_mode")
    """The fields that matter in sampling only."""

    @property
    def in_sampling(self) -> bool:
        """Whether any field in `SAMPLING` is set."""
        return any(getattr(self, name) for name in self.SAMPLING)


@dataclass(frozen=True)
class TrainConfig:
    """How a stage is trained.

    Args:
        epochs: passes over the training part.
        batch_size: images a step (over all devices together).
        lr: Adam's learning rate.
        muon: Muon's learning rate, for the kernels inside the network (0.02 is usual); 0: Adam
            everywhere.
        warmup: steps over which the learning rates rise to these.
        decay: how the learning rates fall to 0 afterwards: none, linear or cosine.
        ema: decay of the weights' moving average, which sampling uses; it warms up, and 0 turns
            it off.
        validate_every: epochs between validations; the last epoch always has one.
        validate_images: images of the validation part that a validation uses.
        grid_every: epochs between sample grids, 0 for none.
    """

    epochs: int = 10
    batch_size: int = 128
    lr: float = 1e-3
    muon: float = 0.0
    warmup: int = 0
    decay: Decay = "none"
    ema: float = 0.0
    validate_every: int = 1
    validate_images: int = 256
    grid_every: int = 0

    WATCHING: ClassVar[tuple[str, ...]] = ("validate_every", "grid_every")
    """The fields that only watch training: they do not change its outcome."""

    def __post_init__(self) -> None:
        at_least(1, **{"train.epochs": self.epochs, "train.batch_size": self.batch_size})
        at_least(1, **{"train.validate_every": self.validate_every})
        at_least(1, **{"train.validate_images": self.validate_images})
        at_least(0, **{"train.warmup": self.warmup, "train.grid_every": self.grid_every})
        at_least(0, **{"train.muon": self.muon})
        if not self.lr > 0:
            raise ValueError(f"train.lr must be positive, got {self.lr}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"train.ema must lie in [0, 1), got {self.ema}")


@dataclass(frozen=True)
class TrainRecipe:
    """The recipe of a stage with a fixed network: what decides its outcome but data and seed."""

    train: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class Recipe:
    """The recipe of a diffusion stage."""

    net: NetConfig = field(default_factory=NetConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    condition: ConditionConfig = field(default_factory=ConditionConfig)
    ablation: AblationConfig = field(default_factory=AblationConfig)
