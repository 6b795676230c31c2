"""What only some kinds of stage read: autoencoders, students, and processes through scales."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from scalespace.config.checks import at_least, between
from scalespace.config.recipe import Recipe, TrainConfig


@dataclass(frozen=True)
class AutoencoderConfig:
    """The shape and the loss of a variational autoencoder.

    Args:
        channels: features of each level, from the finest scale to the coarsest; each level halves
            the image.
        latent: channels of the latent.
        beta: weight of the Kullback-Leibler term against the summed squared error; published: 1.
        prior: what is decoded to make images: normal (the standard normal that training aims at),
            or class (a Gaussian fitted to each class's latents after training, which makes the
            samples class-conditional).
    """

    channels: tuple[int, ...] = (8, 16, 32)
    latent: int = 4
    beta: float = 1.0
    prior: Literal["normal", "class"] = "class"

    SAMPLING: ClassVar[tuple[str, ...]] = ("prior",)
    """The fields that matter in sampling only."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if not self.channels:
            raise ValueError("autoencoder.channels must name the features of at least one level")
        for features in self.channels:
            between(1, 1024, **{"autoencoder.channels": features})
        between(1, 256, **{"autoencoder.latent": self.latent})
        at_least(0, **{"autoencoder.beta": self.beta})


@dataclass(frozen=True)
class AutoencoderRecipe:
    """The recipe of an autoencoder."""

    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class DistilConfig:
    """What a student learns of its teacher.

    Args:
        calls: in how many network calls the student makes an image.
        noises: how many noises the teacher is asked about for each training image. More of them
            keep the student from learning answers by heart.
        adversary: weight of a critic's verdict beside the squared error; 0 for no critic. The
            critic learns to tell the student's images from real ones of the class. It makes sharp
            what the squared error alone leaves blurred.
    """

    calls: int = 1
    noises: int = 1
    adversary: float = 0.0

    def __post_init__(self) -> None:
        between(1, 1000, **{"distil.calls": self.calls, "distil.noises": self.noises})
        between(0, 1000, **{"distil.adversary": self.adversary})


@dataclass(frozen=True)
class StudentRecipe(Recipe):
    """The recipe of a student: a diffusion stage's, whose objective it does not read."""

    distil: DistilConfig = field(default_factory=DistilConfig)


@dataclass(frozen=True)
class JumpConfig:
    """Where a finer scale takes over from a coarser one, in a process that goes on through both.

    Args:
        begin: alpha_bar in the finer scale's last state, which it begins in. The larger it is, the
            more of the image the coarser scale has made by then.
        fresh: share of the noise in that state's block means that is drawn anew, from 0 to 1. The
            coarser scale goes on past the state that fits, and its image is noised back to it: with
            1 the image is finished first. Fresh noise hides what the coarser network did wrong.
    """

    begin: float = 0.5
    fresh: float = 0.0

    SAMPLING: ClassVar[tuple[str, ...]] = ("fresh",)
    """The fields that matter in sampling only."""

    def __post_init__(self) -> None:
        if not 0 < self.begin < 1:
            raise ValueError(f"jump.begin must lie between 0 and 1, got {self.begin}")
        if not 0 <= self.fresh <= 1:
            raise ValueError(f"jump.fresh must lie in 0 .. 1, got {self.fresh}")


@dataclass(frozen=True)
class JumpRecipe(Recipe):
    """The recipe of a finer scale that goes on from a coarser image.

    Of `process` it does not read the schedule, which is its own.
    """

    jump: JumpConfig = field(default_factory=JumpConfig)


@dataclass(frozen=True)
class FadeConfig:
    """How the detail within blocks of pixels fades as noise grows.

    Its share is d = 1 - (1 - left) u ** power, where u runs from 0 in the image to 1 at the jump.

    Args:
        power: 1 is a straight line; the larger it is, the sooner after the jump the detail comes.
        left: the share that is left at the jump, which the coarser scale does not have. Up to 0.01
            the jump counts as exact.
        whole: alpha_bar from which on no detail is missing, so that u is 0. A still finer scale can
            take over from there.
    """

    power: float = 1.0
    left: float = 0.001
    whole: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.power <= 100:
            raise ValueError(f"fade.power must be positive and at most 100, got {self.power}")
        if not 0 < self.left <= 1:
            raise ValueError(f"fade.left must lie in (0, 1], got {self.left}")
        if not 0 < self.whole <= 1:
            raise ValueError(f"fade.whole must lie in (0, 1], got {self.whole}")


@dataclass(frozen=True)
class FadingRecipe(JumpRecipe):
    """The recipe of a finer scale whose detail fades."""

    fade: FadeConfig = field(default_factory=FadeConfig)


@dataclass(frozen=True)
class BlurConfig:
    """How images blur in a process of blur and noise.

    Args:
        most: the blur in the last state: the deviation of a Gaussian in pixels. The paper's 20 is
            for a thousand states; of some thirty it leaves the finest detail two.
        bands: rings of frequencies that fade together; the constant part is the first.
    """

    most: float = field(default=2.0, metadata={"unnamed": 20.0})
    bands: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.most <= 1000:
            raise ValueError(f"blur.most must be positive and at most 1000, got {self.most}")
        between(2, 64, **{"blur.bands": self.bands})


@dataclass(frozen=True)
class BlurringRecipe(Recipe):
    """The recipe of a process of blur and noise."""

    blur: BlurConfig = field(default_factory=BlurConfig)
