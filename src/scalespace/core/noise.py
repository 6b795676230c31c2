"""The noise of sampling: a random stream for each sample, named by (seed, index, purpose).

The images of a sample depend on its seed and index only, never on which others share its batch, on
the device, or on how many threads run: the numbers are drawn on the CPU, each sample from a Philox
generator of its own.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


def derive_seed(seed: int, *purpose: object) -> int:
    """A seed in [0, 2**63) for one purpose of a run, e.g. `derive_seed(0, "small", "epoch", 3)`.

    It does not depend on what was drawn before, so an interrupted run resumes without a saved
    generator state.
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


class Stream(Protocol):
    """Noise for one purpose, of every image of a run."""

    def normal(self, shape: Sequence[int]) -> Tensor:
        """The next noise of every image: float32 [n, *shape]."""


class Noise(Protocol):
    """All the noise of one run of a sampler; each purpose has a stream of its own."""

    def stream(self, purpose: str) -> Stream:
        """The stream of that purpose: one and the same each time, so that it continues."""


class Seeded:
    """The noise of the images `indices` of `seed`; see `NoiseStreams`."""

    def __init__(
        self, seed: int, indices: Sequence[int], device: torch.device | str = "cpu"
    ) -> None:
        self.seed, self.indices, self.device = seed, indices, device
        self._streams: dict[str, NoiseStreams] = {}

    def stream(self, purpose: str) -> Stream:
        """`NoiseStreams` for that purpose."""
        if purpose not in self._streams:
            made = NoiseStreams(self.seed, self.indices, purpose, self.device)
            self._streams[purpose] = made
        return self._streams[purpose]


@dataclass(frozen=True)
class Between:
    """Interpolates between two noises: cos(u pi/2) one + sin(u pi/2) other.

    This is standard normal for any u, which a point on the straight line between them is not.

    Args:
        one, other: the ends.
        share: u of each image, float [n] in [0, 1].
    """

    one: Noise
    other: Noise
    share: Tensor

    def stream(self, purpose: str) -> Stream:
        """The two streams of that purpose, mixed."""
        return _Mixed(self.one.stream(purpose), self.other.stream(purpose), self.share)


@dataclass(frozen=True)
class _Mixed:
    one: Stream
    other: Stream
    share: Tensor

    def normal(self, shape: Sequence[int]) -> Tensor:
        one, other = self.one.normal(shape), self.other.normal(shape)
        angle = (self.share.to(one) * (math.pi / 2)).view(-1, *[1] * len(shape))
        return angle.cos() * one + angle.sin() * other
