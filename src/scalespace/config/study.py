"""What a study compares, and how it scores and times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from scalespace.config.checks import between
from scalespace.config.kinds import AutoencoderConfig
from scalespace.config.recipe import (
    AblationConfig,
    ConditionConfig,
    NetConfig,
    ObjectiveConfig,
    ProcessConfig,
    TrainConfig,
)
from scalespace.errors import InputError


@dataclass(frozen=True)
class CASConfig:
    """The protocol of the Classification Accuracy Score, the same for real and generated images.

    Args:
        classifiers: number m of classifiers trained on each set of images.
        epochs: passes over the images.
        batch_size: images a step.
        lr: AdamW's learning rate.
        standardize: standardise the pixels with the real training part's mean and deviation.
        shuffle: draw a new order every epoch.
    """

    classifiers: int = 5
    epochs: int = 5
    batch_size: int = 128
    lr: float = 1e-3
    standardize: bool = True
    shuffle: bool = True

    def __post_init__(self) -> None:
        between(1, 10_000, **{"cas.classifiers": self.classifiers})
        between(1, 100_000, **{"cas.epochs": self.epochs})
        between(1, 1_000_000, **{"cas.batch_size": self.batch_size})
        if not self.lr > 0:
            raise ValueError(f"cas.lr must be positive, got {self.lr}")


@dataclass(frozen=True)
class SelectionConfig:
    """Which of the images that a method makes are kept.

    Args:
        candidates: images made for each one that is kept; 1 keeps all, and asks no judge. A judge
            reads the others: those that it reads as another class are dropped.
        hard: share of the kept ones that are the hardest to read, 0 to 1.
        others: which the others are: any, or spread evenly over all there are (even).
    """

    candidates: int = 1
    hard: float = 1.0
    others: Literal["any", "even"] = "any"

    def __post_init__(self) -> None:
        between(1, 1000, **{"selection.candidates": self.candidates})
        between(0, 1, **{"selection.hard": self.hard})
        if self.others == "even" and self.hard == 1:
            raise InputError(
                "selection.others is even, and no others are kept beside the hardest: give "
                "selection.hard a share below 1, as in 0"
            )


@dataclass(frozen=True)
class BenchConfig:
    """How sampling cost is measured.

    Args:
        productions: images made one at a time for the latency; the paper's number is 1,000.
        warmup: productions before the clock starts.
        batch_sizes: batch sizes tried for the throughput.
        batches: batches timed at each size.
        variants: time every variant of a study instead of the first alone.
    """

    productions: int = 1000
    warmup: int = 20
    batch_sizes: tuple[int, ...] = (16, 64, 256)
    batches: int = 3
    variants: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "batch_sizes", tuple(self.batch_sizes))
        between(1, 10**7, **{"bench.productions": self.productions, "bench.batches": self.batches})
        between(0, 10**7, **{"bench.warmup": self.warmup})
        if not self.batch_sizes:
            raise ValueError("bench.batch_sizes must name at least one size")
        for size in self.batch_sizes:
            between(1, 100_000, **{"bench.batch_sizes": size})


@dataclass(frozen=True)
class StudyConfig:
    """What a study compares.

    Args:
        methods: their names; empty for all that are registered.
        seeds: training seeds; every stage is trained once with each.
        images: images scored for each method, over all seeds together and balanced by class.
        metrics: what is measured of them: cas, fd, kid, prdc, copies, variety, c2st.
        judge: folder of the judge for fd, kid and prdc, or the name of a shipped one (mnist);
            empty for the one that ships for this data or, if none does, one trained in the study.
        part: the held-out real images that scores use: test, or validation for a search that must
            not see the test part. Then FD, KID and PRDC compare with the training part alone.
        variants: changed recipes to compare, as {name: {process.x0: clip}}; each overrides fields
            of this config. `like: NAME` starts from another variant, and is compared with it; the
            others are compared with the first. Empty: this config alone.
        switches: choices that this config has wrong, as {name: fields that turn it right}; their
            variants are each one turned right alone, all of them, and each left wrong alone.
        only: the variants that a method runs in besides the first, as {method: [name, ...]}; a
            method that is not named runs in all.
    """

    methods: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    images: int = 10_000
    metrics: tuple[str, ...] = ("cas",)
    judge: str = ""
    part: Literal["test", "validation"] = "test"
    variants: dict[str, Any] = field(default_factory=dict)
    switches: dict[str, Any] = field(default_factory=dict)
    only: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", tuple(self.methods))
        object.__setattr__(self, "metrics", tuple(self.metrics))
        if not self.metrics:
            raise ValueError("study.metrics must name at least one metric")
        for name, given in {"methods": self.methods, "metrics": self.metrics}.items():
            if len(set(given)) != len(given):
                raise ValueError(f"study.{name} must be different names, got {', '.join(given)}")
        object.__setattr__(self, "seeds", tuple(self.seeds))
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"study.seeds must be different numbers >= 0, got {self.seeds}")
        between(1, 1_000_000, **{"study.images": self.images})


@dataclass(frozen=True)
class Config:
    """All choices of a study.

    Args:
        data: name of the data set, folder:PATH for a folder of images, or npz:FILE for a samples
            file.
        size: side in pixels that a folder's images are brought to; None: they are all of one size.
        stages: what differs for one stage, as in {small: {train: {epochs: 20}}}; on the command
            line --stages.small.train.epochs=20.
    """

    data: str = "mnist"
    size: int | None = None
    net: NetConfig = field(default_factory=NetConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    condition: ConditionConfig = field(default_factory=ConditionConfig)
    ablation: AblationConfig = field(default_factory=AblationConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    stages: dict[str, Any] = field(default_factory=dict)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    cas: CASConfig = field(default_factory=CASConfig)
    bench: BenchConfig = field(default_factory=BenchConfig)
    study: StudyConfig = field(default_factory=StudyConfig)
