"""The U-Net of the seed paper (appendix 3.2 to 3.5), and the choices that differ from it.

`NetConfig()` is the paper's network: 122,097 parameters for one input channel and ten classes.
Every departure from it is a field of the config.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scalespace.config import NetConfig
from scalespace.errors import InputError
from scalespace.nets.norms import make_norm

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "silu": nn.SiLU, "relu": nn.ReLU}


class FiLM(nn.Module):
    """The gamma and beta of a feature-wise affine map, from the context (Perez et al. 2017).

    Args:
        context: width of the context vector.
        features: channels to modulate.
        hidden: width of a layer in between; None for a single linear map.
    """

    def __init__(self, context: int, features: int, hidden: int | None = None) -> None:
        super().__init__()
        self.out_features = 2 * features
        if hidden is None:
            self.net: nn.Module = nn.Linear(context, self.out_features)
        else:
            self.net = nn.Sequential(
                nn.Linear(context, hidden), nn.GELU(), nn.Linear(hidden, self.out_features)
            )

    def forward(self, context: Tensor) -> Tensor:
        """Context [n, k] to gamma and beta, one after the other: [n, 2 features]."""
        return self.net(context)


def modulate(h: Tensor, film: Tensor) -> Tensor:
    """h * (1 + gamma) + beta: as a difference from 1, gamma lets all through at the start.

    Args:
        h: features [n, c, ...].
        film: gamma and beta, [n, 2c].
    """
    gamma, beta = film.view(*film.shape, *[1] * (h.ndim - 2)).chunk(2, dim=1)
    return torch.addcmul(beta, h, 1 + gamma)


class Block(nn.Module):
    """Two 3x3 convolutions, each with its activation and normalisation; one scale of the U-Net."""

    def __init__(self, c: NetConfig, inputs: int, outputs: int, film: FiLM | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm1, self.norm2 = make_norm(c, outputs), make_norm(c, outputs)
        self.activation = ACTIVATIONS[c.activation]()
        self.film = film
        self.film_at_input = c.film == "encoders"
        self.norm_first = c.norm_first
        self.skip: nn.Module | None = None
        if c.residual:
            self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, film: Tensor | None) -> Tensor:
        """Features [n, inputs, h, w] to features [n, outputs, h, w].

        Args:
            x: the features.
            film: what its `FiLM` makes of the context, if it has one.
        """
        h = x
        if film is not None and self.film_at_input:
            h = modulate(h, film)
        h = self.conv1(h)
        h = self.norm1(h) if self.norm_first else self.norm1(self.activation(h))
        if film is not None and not self.film_at_input:
            h = modulate(h, film)
        if self.norm_first:
            h = self.activation(h)
            h = self.activation(self.norm2(self.conv2(h)))
        else:
            h = self.norm2(self.activation(self.conv2(h)))
        return h if self.skip is None else h + self.skip(x)


class Overview(nn.Module):
    """A small dense network on the whole image. The U-Net reads its output and adds it to its own.

    Where an image is nearly noise, the best answer is nearly a linear map of all its pixels, and in
    pure noise it is the mean image of the class. A few 3x3 convolutions can do neither: they do
    worse than that linear map (docs/choices.md).

    Args:
        inputs: image channels.
        size: of the images (h, w); seen and drawn with at most `SIDE` x `SIDE` pixels.
        context: width of the context vector.
        width: of the dense layers.
        outputs: image channels that it draws.
    """

    SIDE = 14

    def __init__(
        self, inputs: int, size: tuple[int, int], context: int, width: int, outputs: int = 1
    ) -> None:
        super().__init__()
        self.size = (min(self.SIDE, size[0]), min(self.SIDE, size[1]))
        pixels = self.size[0] * self.size[1]
        self.read = nn.Linear(inputs * pixels, width)
        self.film = nn.Linear(context, 2 * width)
        self.mix = nn.Linear(width, width)
        self.draw = nn.Linear(width, outputs * pixels)

    def forward(self, x: Tensor, film: Tensor) -> Tensor:
        """Images [n, inputs, h, w] to images [n, outputs, h, w].

        Args:
            x: the images.
            film: what `self.film` makes of the context.
        """
        h = modulate(self.read(F.adaptive_avg_pool2d(x, self.size).flatten(1)), film)
        h = h + F.silu(self.mix(F.silu(h)))
        seen = self.draw(h).unflatten(1, (-1, *self.size))
        return F.interpolate(seen, size=x.shape[-2:], mode="bilinear", align_corners=False)


class UNet(nn.Module):
    """Encoders with max-pooling between them, decoders with bilinear upsampling, and skips.

    Upsampling goes to the size of the skip, so any multiple of `patch` works from
    `patch * 2 ** (len(channels) - 1)` on, odd scales included (14 -> 7 -> 3 -> 7 -> 14).

    Args:
        c: the shape.
        inputs: image channels that go in.
        outputs: image channels that come out.
        context: width of the context vector.
        size: of the images (h, w), for the overview.
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
        self.patch = c.patch
        shared = c.film == "blocks"
        self.embed: nn.Module = nn.Identity()
        if shared:
            self.embed = nn.Sequential(
                nn.Linear(context, c.embedding),
                nn.SiLU(),
                nn.Linear(c.embedding, c.embedding),
                nn.SiLU(),
            )

        def film(inputs: int, outputs: int, encoder: bool) -> FiLM | None:
            if shared:
                return FiLM(c.embedding, outputs)
            return FiLM(context, inputs, hidden=inputs) if encoder else None

        self.overview: Overview | None = None
        if c.overview:
            known = c.embedding if shared else context
            self.overview = Overview(inputs, size, known, c.overview, outputs)
            inputs += outputs
        ins = [inputs * c.patch**2, *c.channels[:-1]]
        self.encoders = nn.ModuleList(
            Block(c, i, o, film(i, o, True)) for i, o in zip(ins, c.channels, strict=True)
        )
        # Paper, appendix 3.3: all decoders but the first also take the skip of their scale, as
        # wide as what comes from below; the last keeps the width of the first encoder.
        widths = [*reversed(c.channels[:-1]), c.channels[0]]
        ins = [c.channels[-1], *(2 * w for w in widths[:-1])]
        self.decoders = nn.ModuleList(
            Block(c, i, o, film(i, o, False)) for i, o in zip(ins, widths, strict=True)
        )
        self.final = nn.Conv2d(c.channels[0], outputs * c.patch**2, 3, padding=1)

    @staticmethod
    def check_size(c: NetConfig, height: int, width: int) -> None:
        """Raises `InputError` unless it suits images of that size."""
        least = c.patch * 2 ** (len(c.channels) - 1)
        if height % c.patch or width % c.patch or min(height, width) < least:
            raise InputError(
                f"net.channels {list(c.channels)} with net.patch {c.patch} need images of at "
                f"least {least}x{least} pixels, in multiples of {c.patch}, and its are "
                f"{height}x{width}"
            )

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Images [n, inputs, h, w] and context [n, k] to images [n, outputs, h, w]."""
        return self.draw(x, self.modulation(context))

    def modulation(self, context: Tensor) -> Tensor:
        """What the image's part of the network takes from the context: [n, k] to [n, m].

        It depends on state and label alone, so that sampling need not compute it for every image.
        """
        context = self.embed(context)
        return torch.cat([film(context) for film in self._films()], dim=1)

    def draw(self, x: Tensor, modulation: Tensor) -> Tensor:
        """Images [n, inputs, h, w] to images [n, outputs, h, w].

        Args:
            x: the images.
            modulation: [n, m], see `modulation`.
        """
        films = list(modulation.split([film.out_features for film in self._films()], dim=1))
        seen: Tensor | None = None
        if self.overview is not None:
            seen = self.overview(x, films.pop(0))
            x = torch.cat([x, seen], dim=1)
        level = self.level_of(x)
        encoders, decoders = self.encoders[level:], self.decoders[: len(self.decoders) - level]
        told = iter(films[level:])
        skips: list[Tensor] = []
        x = self.enter(x, level)
        for depth, encoder in enumerate(encoders):
            if depth:
                skips.append(x)
                x = F.max_pool2d(x, 2)
            x = encoder(x, next(told) if encoder.film is not None else None)
        for depth, decoder in enumerate(decoders):
            if depth:
                skip = skips.pop()
                x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=True)
                if x.requires_grad:
                    x.register_hook(_channels_last)
                x = torch.cat([x, skip], dim=1)
            x = decoder(x, next(told) if decoder.film is not None else None)
        x = self.leave(x, level)
        return x if seen is None else x + seen

    def level_of(self, x: Tensor) -> int:
        """Which encoder images x begin in, 0 the finest; levels above it are left out."""
        return 0

    def enter(self, x: Tensor, level: int) -> Tensor:
        """Images to what the encoder of their level takes."""
        return F.pixel_unshuffle(x, self.patch) if self.patch > 1 else x

    def leave(self, x: Tensor, level: int) -> Tensor:
        """What the decoder of that level makes to images."""
        x = self.final(x)
        return F.pixel_shuffle(x, self.patch) if self.patch > 1 else x

    def _films(self) -> list[FiLM | nn.Linear]:
        """Whatever reads the context, in the order in which `draw` needs it."""
        found = [block.film for block in (*self.encoders, *self.decoders) if block.film is not None]
        return found if self.overview is None else [self.overview.film, *found]


def _channels_last(gradient: Tensor) -> Tensor:
    """Puts a gradient into the layout that the backward pass of an upsampling is fast in.

    `torch.cat` sends back a slice, which would take the slow path: 4 % of a step.
    """
    return gradient.contiguous(memory_format=torch.channels_last)


def parameters(module: nn.Module) -> int:
    """Number of parameters of a module."""
    return sum(p.numel() for p in module.parameters())
