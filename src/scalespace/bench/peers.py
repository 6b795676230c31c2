"""The same work by other libraries: networks as deep and as wide, untrained, called as often.

How long a call takes does not depend on the weights.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

Sampler = Callable[[int], object]
"""Makes so many images."""

WIDTHS, SIDE, CLASSES = (16, 32, 56), 28, 10
"""Of the baseline's network; the peers' have the same."""


def diffusers_net() -> Any:
    """diffusers' UNet2DModel, as deep and as wide as the baseline's network."""
    from diffusers import UNet2DModel

    n = len(WIDTHS)
    return UNet2DModel(
        sample_size=SIDE,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=WIDTHS,
        down_block_types=("DownBlock2D",) * n,
        up_block_types=("UpBlock2D",) * n,
        norm_num_groups=4,
        num_class_embeds=CLASSES,
        add_attention=False,
    )


def diffusers(calls: int, solver: bool = False) -> Sampler:
    """diffusers' UNet2DModel under its DDPM, or its DPM-Solver++.

    Args:
        calls: of the network, an image.
        solver: DPM-Solver++(2M) in place of DDPM.
    """
    from diffusers import DDPMScheduler, DPMSolverMultistepScheduler

    net = diffusers_net().eval()
    scheduler: Any = DPMSolverMultistepScheduler() if solver else DDPMScheduler()
    scheduler.set_timesteps(calls)

    @torch.no_grad()
    def sample(images: int) -> object:
        x, labels = torch.randn(images, 1, SIDE, SIDE), torch.arange(images) % CLASSES
        if solver:
            scheduler.set_timesteps(calls)  # it counts its steps
        for t in scheduler.timesteps:
            x = scheduler.step(net(x, t, class_labels=labels).sample, t, x).prev_sample
        return x

    return sample


def lucidrains(calls: int) -> Sampler:
    """denoising-diffusion-pytorch's Unet under its DDIM; it knows no classes."""
    library: Any = import_module("denoising_diffusion_pytorch")
    net = library.Unet(dim=16, dim_mults=(1, 2, 4), channels=1, flash_attn=False)
    process = library.GaussianDiffusion(
        net, image_size=SIDE, timesteps=1000, sampling_timesteps=calls
    )
    process.eval()

    @torch.no_grad()
    def sample(images: int) -> object:
        with redirect_stderr(io.StringIO()):  # its progress bars
            return process.sample(batch_size=images)

    return sample


PEERS: dict[str, tuple[str, Callable[[], Sampler]]] = {
    "diffusers UNet2DModel, DDPM, 29 calls": ("diffusers", lambda: diffusers(29)),
    "diffusers UNet2DModel, DPM-Solver++, 6 calls": ("diffusers", lambda: diffusers(6, True)),
    "denoising-diffusion-pytorch Unet, 29 calls": (
        "denoising_diffusion_pytorch",
        lambda: lucidrains(29),
    ),
}
"""The package that each needs, and how its sampler is made."""


def peers() -> dict[str, Sampler]:
    """Those that are installed."""
    return {name: make() for name, (module, make) in PEERS.items() if find_spec(module)}
