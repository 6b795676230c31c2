"""What else a trained process can do: begin from images, keep some pixels, interpolate noises.

Nothing here is trained: each function gives `Model.trajectory` another start, noise or edit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalespace.core.noise import Between, Seeded
from scalespace.core.sampling import Start, Step, int_if_whole, ways
from scalespace.core.scale import down
from scalespace.core.segment import Segment
from scalespace.data import Samples, check
from scalespace.data.pixels import planes
from scalespace.errors import InputError, unknown
from scalespace.model.model import Model
from scalespace.model.whole import whole, whole_list

COUNT = "the number of images from one noise to another"


def redraw(
    model: Model,
    images: NDArray[np.floating[Any]],
    labels: Sequence[int],
    at: float | Mapping[str, float],
    seed: int = 0,
    batch_size: int = 250,
    progress: bool = False,
    first: int = 0,
) -> Samples:
    """Images taken to a state of the process and back again (SDEdit, Meng et al. 2022).

    The further the state, the less of the image survives; what does is its layout. With another
    label the image becomes one of that class.

    Args:
        model: any that is a process.
        images: float [n, h, w] or [n, h, w, 3] in [0, 1], of the size of the model's data.
        labels: what to redraw them as, int [n].
        at: a state of the first segment; or {"upscaler": 5} for another one, which skips the
            segments before it.
        seed: with an index, fixes the noise of an image.
        batch_size: images made at a time.
        progress: show a progress bar.
        first: index of the first image; the others follow.

    Raises:
        InputError: images of another size, a segment or state that the model does not have, or a
            model that is no process.
    """
    known = _checked(model, images, labels)
    labels, seed = known.labels.tolist(), whole("seed", seed)
    indices, start = _indices(first, len(known)), _start(model, known, at)

    def part(rows: slice) -> Iterator[Step]:
        own = replace(start, images=start.images[rows])
        return model.trajectory(labels[rows], seed, indices[rows], start=own)

    about = {"redrawn_from": {start.segment: start.t}, "seed": seed, "first": indices.start}
    return model.collect(labels, part, batch_size, progress, start, **about)


def redraw_steps(
    model: Model,
    images: NDArray[np.floating[Any]],
    labels: Sequence[int],
    at: float | Mapping[str, float],
    seed: int = 0,
    first: int = 0,
) -> Iterator[Step]:
    """The reverse process that ends in what `redraw` gives, a `Step` at a time.

    Args:
        model, images, labels, at, seed, first: as for `redraw`.

    Raises:
        InputError: as from `redraw`.
    """
    known = _checked(model, images, labels)
    indices, start = _indices(first, len(known)), _start(model, known, at)
    return model.trajectory(known.labels.tolist(), seed, indices, start=start)


def fill(
    model: Model,
    images: NDArray[np.floating[Any]],
    keep: NDArray[np.bool_],
    labels: Sequence[int],
    seed: int = 0,
    batch_size: int = 250,
    progress: bool = False,
    first: int = 0,
) -> Samples:
    """Keeps the given pixels of images and samples the rest (inpainting).

    In every state the known pixels are replaced by the given image, as noisy as the state (Song et
    al. 2021, "Score-based generative modeling", appendix I.2), and at the end by the image itself.
    At a coarser scale a pixel is known if all pixels of its block are. What the images have
    elsewhere counts for nothing. Where a state mixes neighbouring pixels (blocks or frequencies
    that fade), the network's estimate stands in for the unknown ones.

    Args:
        model: any process over pixels.
        images: float [n, h, w] or [n, h, w, 3] in [0, 1], of the size of the model's data.
        keep: bool [h, w], or [n, h, w]: which pixels are known.
        labels: int [n].
        seed, batch_size, progress, first: as for `redraw`.

    Raises:
        InputError: sizes that do not agree, or a model that is no process over pixels.
    """
    given = _checked(model, images, labels)
    labels, seed = given.labels.tolist(), whole("seed", seed)
    x, mask = _standardised(model, given), _known(model, keep, given)
    indices = _indices(first, len(given))

    def part(rows: slice) -> Iterator[Step]:
        return _filling(model, x[rows], mask[rows], labels[rows], seed, indices[rows])

    about: dict[str, Any] = {"kept": float(mask.mean()), "seed": seed, "first": indices.start}
    return model.collect(labels, part, batch_size, progress, **about)


def fill_steps(
    model: Model,
    images: NDArray[np.floating[Any]],
    keep: NDArray[np.bool_],
    labels: Sequence[int],
    seed: int = 0,
    first: int = 0,
) -> Iterator[Step]:
    """The reverse process that ends in what `fill` gives, a `Step` at a time.

    The last step has the images with the given pixels themselves.

    Args:
        model, images, keep, labels, seed, first: as for `fill`.

    Raises:
        InputError: as from `fill`.
    """
    given = _checked(model, images, labels)
    x, mask = _standardised(model, given), _known(model, keep, given)
    indices = _indices(first, len(given))
    return _filling(model, x, mask, given.labels.tolist(), whole("seed", seed), indices)


def _filling(
    model: Model, x: Tensor, mask: Tensor, labels: Sequence[int], seed: int, indices: Sequence[int]
) -> Iterator[Step]:
    """`fill_steps` of standardised images [n, c, h, w] and of the mask [n, 1, h, w]."""
    noise = Seeded(seed, indices, model.device)

    @cache  # once a segment, not once a state
    def held(segment: Segment) -> tuple[Tensor, Tensor]:
        return down(mask, segment.factor) == 1, segment.x0_of(x)

    def edit(segment: Segment, t: float, state: Tensor, x0_hat: Tensor | None) -> Tensor:
        known, x0 = held(segment)
        if not segment.plain:
            if x0_hat is None:  # nothing to stand in for the unknown pixels yet
                return state
            x0 = torch.where(known, x0, x0_hat)
        eps = noise.stream(f"{segment.stream}/keep").normal(x0.shape[1:])
        times = torch.full((len(x0),), t, device=x0.device)
        return torch.where(known, segment.q_sample(x0, times, eps), state)

    way = model.trajectory(labels, noise=noise, edit=edit)

    def steps() -> Iterator[Step]:
        for step in way:
            yield step
        yield step._replace(x=torch.where(mask == 1, x, step.x))

    return steps()


def region(text: str, height: int, width: int, name: str = "keep") -> NDArray[np.bool_]:
    """Which pixels a few words name: bool [height, width].

    Args:
        text: top, bottom, left or right, each a half; or rows and columns, as in 0:14,7:21.
        height, width: of the images.
        name: what to call the words in a message.

    Raises:
        InputError: anything else, or rows and columns that the images do not have.
    """
    rows, columns = slice(None), slice(None)
    halves = {
        "top": (slice(0, height // 2), columns),
        "bottom": (slice(height // 2, None), columns),
        "left": (rows, slice(0, width // 2)),
        "right": (rows, slice(width // 2, None)),
    }
    keep = np.zeros((height, width), dtype=bool)
    if text in halves:
        keep[halves[text]] = True
        return keep
    try:
        spans = [tuple(int(end) for end in part.split(":")) for part in text.split(",")]
        (top, bottom), (left, right) = spans
    except ValueError as error:
        raise InputError(
            f"{name} takes {', '.join(halves)}, or rows and columns as in 0:14,7:21: got '{text}'"
        ) from error
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise InputError(f"{name} {text}: the images have rows 0:{height} and columns 0:{width}")
    keep[top:bottom, left:right] = True
    return keep


def interpolate(
    model: Model,
    labels: Sequence[int],
    count: int,
    seed: int = 0,
    to_seed: int = 1,
    batch_size: int = 250,
    progress: bool = False,
) -> Samples:
    """Images on the way from one noise to another, `count` for each label, both ends included.

    With a sampler that draws no new noise (ddim or dpm2m with eta 0) nearby noises make similar
    images. The mixed noises are standard normal as well (see `Between`).

    Args:
        model: any.
        labels: classes, int [n]; row k is of label k.
        count: images a label, at least 2.
        seed, to_seed: of the two ends; the index is the label's place.
        batch_size, progress: as for `redraw`.

    Raises:
        InputError: fewer than two images a label, or a bad seed.
    """
    labels, count = whole_list("labels", labels), whole(COUNT, count, least=2)
    seed, to_seed = whole("seed", seed), whole("to_seed", to_seed)
    noise = _between(model, len(labels), count, seed, to_seed)
    every = [label for label in labels for _ in range(count)]

    def part(rows: slice) -> Iterator[Step]:
        return model.trajectory(every[rows], noise=noise(rows))

    return model.collect(every, part, batch_size, progress, seed=seed, to_seed=to_seed)


def interpolate_steps(
    model: Model, labels: Sequence[int], count: int, seed: int = 0, to_seed: int = 1
) -> Iterator[Step]:
    """The reverse process that ends in what `interpolate` gives, a `Step` at a time.

    Args:
        model, labels, count, seed, to_seed: as for `interpolate`.

    Raises:
        InputError: as from `interpolate`.
    """
    labels, count = whole_list("labels", labels), whole(COUNT, count, least=2)
    seed, to_seed = whole("seed", seed), whole("to_seed", to_seed)
    noise = _between(model, len(labels), count, seed, to_seed)(slice(None))
    return model.trajectory([label for label in labels for _ in range(count)], noise=noise)


def same_noise(
    model: Model,
    labels: Sequence[int],
    seed: int = 0,
    index: int = 0,
    batch_size: int = 250,
    progress: bool = False,
) -> Samples:
    """One image for each label, all from the noise of one index: what the label alone changes.

    Args:
        model: any.
        labels: classes, int [n].
        seed, index: fix the noise.
        batch_size, progress: as for `redraw`.
    """
    labels = whole_list("labels", labels)
    return model.sample(labels, seed, batch_size, 0, progress, indices=[index] * len(labels))


def _start(model: Model, known: Samples, at: float | Mapping[str, float]) -> Start:
    """The images, and the segment and state to begin in."""
    legs = {leg.segment.name: leg for leg in model.legs}
    if not legs:
        raise InputError(f"method '{model.method.name}' is no process: it begins from noise alone")
    if not isinstance(at, Mapping):
        at = {next(iter(legs)): at}
    if len(at) != 1:
        raise InputError(f"one state to begin from is needed, got {len(at)}")
    ((name, t),) = at.items()
    if name not in legs:
        raise unknown("segment", name, legs)
    (least,) = (way[-1] for leg, way in ways(model.legs) if leg.segment.name == name)
    last = legs[name].segment.schedule.last
    number = isinstance(t, int | float | np.number) and least < t <= last
    if not number or (t != int(t) and not legs[name].visits.continuous):
        raise InputError(
            f"segment '{name}' has states {math.floor(least) + 1} to {last} to begin from, got {t}"
        )
    return Start(_standardised(model, known), name, int_if_whole(float(t)))


def _between(
    model: Model, n: int, count: int, seed: int, to_seed: int
) -> Callable[[slice], Between]:
    """The noise of some rows of n ways between two seeds, `count` images each."""
    places = [k for k in range(n) for _ in range(count)]
    share = torch.linspace(0, 1, count).repeat(n)

    def noise(rows: slice) -> Between:
        one, other = (Seeded(end, places[rows], model.device) for end in (seed, to_seed))
        return Between(one, other, share[rows].to(model.device))

    return noise


def _known(model: Model, keep: NDArray[np.bool_], given: Samples) -> Tensor:
    """Which pixels of each image are kept: 1 or 0, float [n, 1, h, w], on the model's device."""
    chosen = np.asarray(keep, dtype=bool)
    try:
        every = np.broadcast_to(chosen, given.images.shape[:3])
    except ValueError as error:
        size = list(given.images.shape[1:3])
        raise InputError(
            f"keep must be of the images' size, {size}, got {list(chosen.shape)}"
        ) from error
    return torch.from_numpy(every.astype(np.float32))[:, None].to(model.device)


def _indices(first: int, n: int) -> range:
    """n indices from `first` on; `InputError` unless it is whole and at least 0."""
    first = whole("first", first)
    return range(first, first + n)


def _checked(model: Model, images: NDArray[np.floating[Any]], labels: Sequence[int]) -> Samples:
    """Images and labels, checked against a model's data."""
    given = np.array(whole_list("labels", labels), dtype=np.int64)
    return check(images, given, shape=model.data.shape, where="the images")


def _standardised(model: Model, samples: Samples) -> Tensor:
    """Images [n, c, h, w] in the model's unit, on its device."""
    unit = planes(samples.images).to(model.device)
    return model.data.standardize(unit)
