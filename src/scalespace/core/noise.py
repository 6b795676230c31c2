"""Random streams for sampling: one a sample, named by (seed, index, purpose).

The images of a sample depend on its seed and index only, never on which others share its batch, on
the device, or on how many threads run: the numbers are drawn on the CPU, each sample from a Philox
generator of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def derive_seed(seed: int, *purpose: object) -> int:
    """A seed in [0, 2**63) for one purpose of a run, e.g. `derive_seed(0, "small", "epoch", 3)`.

    Whatever happened before it does not matter, so an interrupted run needs no generator's state
    to go on as if nothing had happened.
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class NoiseStreams:
    """Standard normal noise for the samples `indices` of `seed`.

    Args:
        seed: the run's seed, >= 0.
        indices: each sample's index within the run, >= 0.
        purpose: a name that separates streams, e.g. the stage's.
        device: where the noise is wanted.
    """

    def __init__(
        self,
        seed: int,
        indices: Sequence[int],
        purpose: str,
        device: torch.device | str = "cpu",
    ) -> None:
        key = derive_seed(seed, purpose)
        self._streams = [
            np.random.Generator(np.random.Philox(np.random.SeedSequence((key, int(index)))))
            for index in indices
        ]
        self._device = torch.device(device)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """The next noise of every sample: float32 [n, *shape] on the device."""
        noise = np.empty((len(self._streams), *shape), dtype=np.float32)
        for row, stream in zip(noise, self._streams, strict=True):
            stream.standard_normal(dtype=np.float32, out=row)
        return torch.from_numpy(noise).to(self._device)
