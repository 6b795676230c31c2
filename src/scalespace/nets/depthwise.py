"""Guocheng's network (2022, github.com/bot66/MNISTDiffusion), which the seed paper names.

A U-Net whose 3x3 convolutions each see one channel, put together from the units of ShuffleNet V2
(Ma et al. 2018, figure 3). The published one learns a vector for each of 1,000 states and knows no
labels. Here a linear map of the context, which holds both, takes the place of that table; all else
is as published: with channels (64, 128, 256), batch norm and 256 numbers of embedding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scalespace.config import NetConfig
from scalespace.errors import InputError
from scalespace.nets.norms import make_norm

DEEP = 3  # units in a row before a block's last one


class Unit(nn.Module):
    """ShuffleNet V2's unit: two branches side by side, whose channels are then interleaved.

    With stride 1 each branch sees one half of the channels; with stride 2 both see all of them.

    Args:
        c: gives the norm.
        inputs, outputs: channels, even.
        stride: 1, or 2 to halve the image.
    """

    def __init__(self, c: NetConfig, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        seen, half = (inputs if stride == 2 else inputs // 2), outputs // 2
        inner = half if stride == 2 else seen
        self.split = stride == 1
        self.short = nn.Sequential(*_spatial(c, seen, stride), *_mixing(c, seen, half))
        self.long = nn.Sequential(
            *_mixing(c, seen, inner), *_spatial(c, inner, stride), *_mixing(c, inner, half)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features [n, inputs, h, w] to features [n, outputs, h / stride, w / stride]."""
        first, second = x.chunk(2, dim=1) if self.split else (x, x)
        both = torch.stack([self.short(first), self.long(second)], dim=2)
        return both.flatten(1, 2)


def _mixing(c: NetConfig, inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 1), make_norm(c, outputs), nn.SiLU()]


def _spatial(c: NetConfig, channels: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels)
    return [conv, make_norm(c, channels)]


def _units(c: NetConfig, channels: int, outputs: int, deep: int = DEEP) -> nn.Sequential:
    return nn.Sequential(
        *(Unit(c, channels, channels) for _ in range(deep)), Unit(c, channels, outputs)
    )


class Depthwise(nn.Module):
    """Encoders that end in a strided unit, as many decoders that begin by enlarging, and skips.

    Of a config it reads `channels` (of the first convolution, then what each encoder leads to),
    `norm`, `groups` and `embedding`. Images may have any size.

    Args:
        c: the shape.
        inputs: image channels that go in.
        outputs: image channels that come out.
        context: width of the context vector.
        size: of the images (h, w); not used.

    Raises:
        InputError: fewer than two widths, or one that is no multiple of 4, or of 4 times the groups
            of a group norm.
    """

    def __init__(
        self,
        c: NetConfig,
        inputs: int,
        outputs: int,
        context: int,
        size: tuple[int, int] = (28, 28),
    ) -> None:
        super().__init__()
        least = 4 * (c.groups if c.norm == "group" else 1)
        if len(c.channels) < 2 or any(width % least for width in c.channels):
            raise InputError(
                f"net.kind=depthwise needs two net.channels or more, multiples of {least} (it "
                f"halves them twice, for net.norm={c.norm}), got {list(c.channels)}"
            )
        steps = list(zip(c.channels[:-1], c.channels[1:], strict=True))
        first = c.channels[0]
        self.begin = nn.Sequential(
            nn.Conv2d(inputs, first, 3, padding=1), make_norm(c, first), nn.SiLU()
        )
        self.embed = nn.Linear(context, c.embedding)
        self.encoders = nn.ModuleList(_units(c, a, b // 2) for a, b in steps)
        self.halve = nn.ModuleList(Unit(c, b // 2, b, stride=2) for _, b in steps)
        self.middle = _units(c, c.channels[-1], c.channels[-1] // 2, deep=2)
        self.decoders = nn.ModuleList(_units(c, b, b // 2) for _, b in reversed(steps))
        self.narrow = nn.ModuleList(Unit(c, b // 2, a // 2) for a, b in reversed(steps))
        widths = [b for _, b in (*steps, *reversed(steps))]
        self.shifts = nn.ModuleList(
            nn.Sequential(nn.Linear(c.embedding, b), nn.SiLU(), nn.Linear(b, b // 2))
            for b in widths
        )
        self.final = nn.Conv2d(first // 2, outputs, 1)
        self._widths = [b // 2 for b in widths]

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Images [n, inputs, h, w] and context [n, k] to images [n, outputs, h, w]."""
        return self.draw(x, self.modulation(context))

    def modulation(self, context: Tensor) -> Tensor:
        """What is added to the features of each scale: [n, k] to [n, m]."""
        known = self.embed(context)
        return torch.cat([shift(known) for shift in self.shifts], dim=1)

    def draw(self, x: Tensor, modulation: Tensor) -> Tensor:
        """Images [n, inputs, h, w] and modulations [n, m] to images [n, outputs, h, w]."""
        shifts = iter(modulation[:, :, None, None].split(self._widths, dim=1))
        x, skips = self.begin(x), []
        for encoder, halve in zip(self.encoders, self.halve, strict=True):
            skips.append(x := encoder(x))
            x = halve(F.silu(x + next(shifts)))
        x = self.middle(x)
        for decoder, narrow in zip(self.decoders, self.narrow, strict=True):
            skip = skips.pop()
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = decoder(torch.cat([x, skip], dim=1))
            x = narrow(F.silu(x + next(shifts)))
        return self.final(x)
