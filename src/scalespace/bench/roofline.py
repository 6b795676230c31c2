"""The machine's own limits: how fast it multiplies matrices, and how fast it convolves.

A network's speed as a share of them tells how much there is left to gain. The convolution is the
bulk of the baseline's work: 3 x 3 kernels on 16 and 32 channels of a batch of 28 x 28 images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from scalespace.bench.clock import Work

SIDES = {"float32": 1024, "bfloat16": 256}
"""Of the matrices. Many CPUs multiply bfloat16 without hardware for it, a hundred times slower."""
BATCH, CHANNELS, PIXELS = 64, 32, 28
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def roofs(device: torch.device) -> dict[str, tuple[Work, int]]:
    """Work of each kind with its multiply-adds, by name: `matmul` or `conv`, and the type."""
    found: dict[str, tuple[Work, int]] = {}
    for name, dtype in DTYPES.items():
        side = SIDES[name]
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        x = torch.randn(BATCH, CHANNELS, PIXELS, PIXELS, device=device, dtype=dtype)
        kernel = torch.randn(CHANNELS, CHANNELS, 3, 3, device=device, dtype=dtype)
        layout = torch.channels_last
        x, kernel = x.to(memory_format=layout), kernel.to(memory_format=layout)

        def matmul(a: torch.Tensor = a, b: torch.Tensor = b) -> None:
            a @ b
            wait(device)

        def conv(x: torch.Tensor = x, kernel: torch.Tensor = kernel) -> None:
            F.conv2d(x, kernel, padding=1)
            wait(device)

        found[f"matmul, {name}"] = matmul, side**3
        found[f"conv, {name}"] = conv, BATCH * (CHANNELS * PIXELS * 3) ** 2
    return found


def wait(device: torch.device) -> None:
    """For all work that was started on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
