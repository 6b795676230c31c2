"""A data set and recipes that are small enough for a test to train with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from scalespace.config import (
    AutoencoderConfig,
    AutoencoderRecipe,
    BenchConfig,
    BlurringRecipe,
    CASConfig,
    Config,
    FadeConfig,
    FadingRecipe,
    JumpConfig,
    NetConfig,
    ProcessConfig,
    Recipe,
    StudentRecipe,
    StudyConfig,
    TrainConfig,
    TrainRecipe,
)
from scalespace.core.denoiser import Condition
from scalespace.core.jumps import Conditioned
from scalespace.core.noise import Seeded
from scalespace.core.sampling import Step
from scalespace.data import write_idx
from scalespace.data.catalog import DATASETS
from scalespace.methods import Method, stages
from scalespace.settings import stage_defaults
from scalespace.stages.base import Models, StageModel
from scalespace.stages.denoising import Diffusion
from scalespace.training.runtime import Runtime

SIDE, CLASSES = 12, 3

NET = NetConfig(channels=(4, 8), norm="group", groups=2)
PROCESS = ProcessConfig(states=3, predict="v", x0="clip")
FLOW_PROCESS = ProcessConfig(3, "flow", predict="flow", x0="clip", sampler="ddim")
AUTOENCODER = AutoencoderConfig(channels=(4, 8, 8), beta=0.1)  # pads 12x12 to 16x16
TRAIN = TrainConfig(epochs=2, batch_size=19, validate_images=15, ema=0.9, lr=3e-3)
RECIPE = Recipe(NET, PROCESS, TRAIN)
JUDGE_TRAIN = TrainConfig(epochs=3, batch_size=20, validate_images=30, ema=0.9, lr=1e-2)
AUTOENCODER_TRAIN = TrainConfig(epochs=8, batch_size=19, validate_images=15, ema=0.5, lr=1e-2)
RECIPES = {
    "baseline": RECIPE,
    "small": RECIPE,
    "upscaler": RECIPE,
    "upscaler-own": RECIPE,
    "vae": AutoencoderRecipe(AUTOENCODER, AUTOENCODER_TRAIN),
    "latent": RECIPE,
    "latent-flow": Recipe(NET, FLOW_PROCESS, TRAIN),
    **{
        f"{name}-student": StudentRecipe(NET, replace(process, states=None, sampler="ddim"), TRAIN)
        for name, process in (
            *((name, PROCESS) for name in ("baseline", "small", "upscaler", "blurring", "latent")),
            *((name, PROCESS) for name in ("quarter", "half-upscaler", "half-detail")),
            *((name, PROCESS) for name in ("detail", "detail-dropped")),
            ("latent-flow", FLOW_PROCESS),
        )
    },
    **{
        f"{name}-student": StudentRecipe(
            replace(NET, kind=kind), replace(PROCESS, states=None, sampler="ddim"), TRAIN
        )
        for name, kind in (("pyramid", "coordinates"), ("scale-space-shared", "nested"))
    },
    "quarter": RECIPE,
    "half-upscaler": RECIPE,
    "blurring": BlurringRecipe(NET, PROCESS, TRAIN),
    "half-detail": FadingRecipe(
        NET, PROCESS, TRAIN, jump=JumpConfig(begin=0.3, fresh=0.95), fade=FadeConfig(whole=0.8)
    ),
    "detail": FadingRecipe(NET, PROCESS, TRAIN, jump=JumpConfig(fresh=0.95)),
    "detail-dropped": FadingRecipe(
        NET, PROCESS, TRAIN, jump=JumpConfig(fresh=0.95), fade=FadeConfig(left=0.25)
    ),
    "scale-space-shared": FadingRecipe(
        replace(NET, kind="nested"), PROCESS, TRAIN, jump=JumpConfig(fresh=0.95)
    ),
    "pyramid": FadingRecipe(
        replace(NET, kind="coordinates"), PROCESS, TRAIN, jump=JumpConfig(begin=0.08)
    ),
    "judge": TrainRecipe(JUDGE_TRAIN),
}
"""What the recipe of each stage must come to, written out."""
CPU = Runtime(device="cpu", progress=False)
OWN_NET = '''
from torch import nn


class Mine(nn.Module):
    """One convolution, and a shift by the context."""

    def __init__(self, c, inputs, outputs, context, size):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.shift = nn.Linear(context, outputs)

    def forward(self, x, context):
        return self.conv(x) + self.shift(context)[:, :, None, None]
'''
"""The source of a module with a network of somebody's own."""
STUDIED = (
    *("baseline", "cascaded", "cascaded-own", "baseline-fast", "cascaded-fast"),
    *("latent-flow-fast", "latent", "latent-flow", "small", "vae"),
)
"""What a study compares that names no methods: one of each kind."""
PRESET = """
net: {channels: [4, 8], norm: group, groups: 2}
process: {states: 3, predict: v, x0: clip}
autoencoder: {channels: [4, 8, 8], beta: 0.1}
train: {epochs: 2, batch_size: 19, validate_images: 15, ema: 0.9, lr: 0.003}
stages:
  vae: {train: {epochs: 8, batch_size: 19, lr: 0.01, ema: 0.5}}
  judge: {train: {epochs: 3, batch_size: 20, validate_images: 30, ema: 0.9, lr: 0.01}}
cas: {classifiers: 2, epochs: 2, batch_size: 20}
bench: {productions: 3, warmup: 1, batch_sizes: [2, 4], batches: 1}
study:
  seeds: [0, 1]
  images: 30
  methods:
    [baseline, cascaded, cascaded-own, baseline-fast, cascaded-fast, latent-flow-fast,
     latent, latent-flow, small, vae]
"""
"""What a user would write for data so small."""
STAGES = {
    "vae": {
        "train": {
            "epochs": 8,
            "batch_size": 19,
            "lr": 0.01,
            "muon": 0.0,
            "ema": 0.5,
            "warmup": 0,
            "decay": "none",
        }
    },
    "latent-flow": {"process": {"schedule": "flow", "predict": "flow", "sampler": "ddim"}},
    **{
        stage.name: stage_defaults(stage)
        for stage in stages().values()
        if stage_defaults(stage) and stage.name not in ("vae", "latent-flow", "judge")
    },
    "judge": {"train": asdict(JUDGE_TRAIN)},
}
"""What the preset's stages must become once the stages' own defaults stand below them."""
CONFIG = Config(
    net=NET,
    process=PROCESS,
    autoencoder=AUTOENCODER,
    train=TRAIN,
    stages=STAGES,
    cas=CASConfig(classifiers=2, epochs=2, batch_size=20),
    bench=BenchConfig(productions=3, warmup=1, batch_sizes=(2, 4), batches=1),
    study=StudyConfig(methods=STUDIED, seeds=(0, 1), images=30),
)
"""`PRESET` as it must be read."""


def alone(
    model: Diffusion,
    labels: Tensor,
    seed: int = 0,
    low: Tensor | None = None,
    start: tuple[float, Tensor] | None = None,
) -> list[Step]:
    """The reverse process of one stage by itself, on finished coarser images if it needs some."""
    noise, condition = Seeded(seed, range(len(labels))), Condition(labels)
    if low is not None:
        jump = model.segment.jump
        assert isinstance(jump, Conditioned)
        condition = jump.with_coarser(low, condition, noise, model.segment.name)
    return list(model.alone(condition, noise, start))


def sampled(
    method: Method, models: Mapping[str, StageModel], labels: Tensor, seed: int = 0
) -> list[Step]:
    """The reverse process of a method with models of its stages."""
    return list(method.sample(Models(models), labels, Seeded(seed, range(len(labels)))))


def pictures(n: int, side: int = SIDE, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, side, side] whose class is where they are bright, and labels int64 [n]."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % CLASSES
    images = rng.integers(0, 40, (n, side, side))
    half = side // 2
    bright = rng.integers(180, 256, n)[:, None, None]
    for label, where in enumerate(
        [np.s_[:, :, :half], np.s_[:, :, half:], np.s_[:, :half, :]],
    ):
        chosen = labels == label
        part = images[chosen]
        part[where] = bright[chosen]
        images[chosen] = part
    return images.astype(np.uint8), labels


def write_data(root: Path, train: int = 120, test: int = 60, side: int = SIDE) -> Path:
    """A data set in torchvision's layout, to be loaded as `mnist` from `root`."""
    folder, files = root / "MNIST" / "raw", DATASETS["mnist"].files
    for seed, (part, n) in enumerate({"train": train, "test": test}.items()):
        images, labels = pictures(n, side, seed)
        write_idx(folder / files[part, "images"], images)  # type: ignore[index]
        write_idx(folder / files[part, "labels"], labels.astype(np.uint8))  # type: ignore[index]
    return root
