"""A method with its trained stages that makes images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from scalespace.core.noise import Noise, Seeded
from scalespace.core.sampling import Edit, Start, Step, last, ways
from scalespace.core.torch_state import threads_for
from scalespace.data import Samples
from scalespace.data.pixels import pictures
from scalespace.errors import InputError, unknown
from scalespace.model.resampling import Resampling, Steps
from scalespace.model.sharing import Sharing
from scalespace.model.whole import whole, whole_list
from scalespace.progress import bar


class Model(Resampling, Sharing):
    """A method with its trained stages on one device; arguments as for `TrainedMethod`."""

    def check_labels(self, labels: Sequence[int]) -> None:
        """Raises `InputError` unless the model has learnt the class of every label."""
        top = len(self.data.classes) - 1
        for label in labels:
            if not 0 <= label <= top:
                raise InputError(
                    f"label {label} is none of this model's classes 0 to {top} "
                    f"({', '.join(self.data.classes)})"
                )
            if label in self.data.absent:
                raise InputError(
                    f"label {label}: no training image of this model was of class "
                    f"'{self.data.classes[label]}'"
                )

    def trajectory(
        self,
        labels: Sequence[int],
        seed: int = 0,
        indices: Sequence[int] | None = None,
        *,
        steps: Steps | None = None,
        noise: Noise | None = None,
        start: Start | None = None,
        edit: Edit | None = None,
    ) -> Iterator[Step]:
        """The reverse process for `labels`, a `Step` at a time, in standardised units.

        Args:
            labels: classes, int [n].
            seed: with an index, fixes an image.
            indices: int [n]; 0 .. n-1 unless given.
            steps: as for `stepped`.
            noise: of these images, instead of that of `seed` and `indices`.
            start: images to begin from, instead of noise.
            edit: applied to the images in each state.

        Raises:
            InputError: an unknown label, a bad seed, another number of indices than labels, or
                steps that the model cannot take.
        """
        labels, chosen = self._asked(labels, seed, indices)
        model = self.stepped(steps)
        if start is not None and len(start.images) != len(labels):
            raise InputError(
                f"{len(labels)} labels and {len(start.images)} images to begin from: one each is "
                "needed"
            )
        if start is not None and start.segment not in self.steps:
            raise unknown("segment", start.segment, self.steps)
        y = torch.tensor(labels, dtype=torch.int64, device=self.device)
        noise = noise or Seeded(seed, chosen, self.device)
        return model.method.sample(model.models, y, noise, start, edit)

    def end(
        self, labels: Sequence[int], seed: int = 0, indices: Sequence[int] | None = None
    ) -> Step:
        """The last step of `trajectory`, without those before it; its `x0_hat` may be None.

        In few calls an engine makes it at once.

        Args:
            labels, seed, indices: as for `trajectory`.
        """
        if self.chain is None:
            with threads_for(len(labels)):
                return last(self.trajectory(labels, seed, indices))
        labels, chosen = self._asked(labels, seed, indices)
        y = torch.tensor(labels, device=self.device)
        return Step(0, self.chain(y, Seeded(seed, chosen, self.device)), None)

    def _asked(
        self, labels: Sequence[int], seed: int, indices: Sequence[int] | None
    ) -> tuple[list[int], Sequence[int]]:
        """Labels and indices as plain numbers, checked, as is the seed."""
        labels = whole_list("labels", labels)
        whole("seed", seed)
        self.check_labels(labels)
        return labels, range(len(labels)) if indices is None else _indices(indices, len(labels))

    def sample(
        self,
        labels: Sequence[int],
        seed: int = 0,
        batch_size: int = 250,
        first: int = 0,
        progress: bool = False,
        *,
        steps: Steps | None = None,
        indices: Sequence[int] | None = None,
    ) -> Samples:
        """Images for `labels`: the same ones for any batch size.

        `meta["outside"]` has the share of pixels that lay outside [0, 1] by more than rounding
        before they were clipped to it, and the share of images with such pixels.

        Args:
            labels: classes, int [n].
            seed: with an index, fixes an image; at least 0.
            batch_size: images made at a time.
            first: index of the first image; the others follow.
            progress: show a progress bar.
            steps: as for `stepped`.
            indices: of each image, instead of counting from `first`: images of one index begin with
                the same noise.

        Raises:
            InputError: no labels, an unknown one, or a bad seed, batch size, index or steps.
        """
        labels = whole_list("labels", labels)
        seed, first = whole("seed", seed), whole("first", first)
        about: dict[str, Any] = {"seed": seed, "first": first}
        every: Sequence[int] = range(first, first + len(labels))
        if indices is not None:
            every = _indices(indices, len(labels))
            about = {"seed": seed, "indices": list(every)}
        model = self.stepped(steps)

        def part(rows: slice) -> list[Step]:
            return [model.end(labels[rows], seed, every[rows])]

        return model.collect(labels, part, batch_size, progress, **about)

    def collect(
        self,
        labels: Sequence[int],
        part: Callable[[slice], Iterable[Step]],
        batch_size: int = 250,
        progress: bool = False,
        start: Start | None = None,
        **about: Any,
    ) -> Samples:
        """The images that trajectories end in, a batch at a time.

        Args:
            labels: classes, int [n].
            part: gives the trajectory of some rows of them.
            batch_size: rows at a time.
            progress: show a progress bar.
            start: what they begin from, if not noise: `meta` counts the calls from there.
            about: further entries of `meta`.

        Raises:
            InputError: no labels, an unknown one, or a bad batch size.
        """
        labels = whole_list("labels", labels)
        batch_size = whole("batch_size", batch_size, least=1)
        if not labels:
            raise InputError("nothing to sample: no labels given")
        self.check_labels(labels)
        images = np.empty((len(labels), *self.data.shape), dtype=np.float32)
        outside = np.zeros(2, dtype=np.int64)  # pixels, and images that have any
        name = f"sample {self.method.name}" + (
            f" (seed {about['seed']})" if "seed" in about else ""
        )
        with bar(len(labels), name, "image", shown=progress) as shown:
            for begin in range(0, len(labels), batch_size):
                rows = slice(begin, min(begin + batch_size, len(labels)))
                x = last(part(rows)).x
                images[rows] = pictures(self.data.to_unit(x))
                beyond = self.data.outside(x).flatten(1)
                outside += (int(beyond.sum()), int(beyond.any(dim=1).sum()))
                shown.update(len(x))
        visited = ways(self.legs, start)
        passed = sum(leg.calls(way[-1]) for leg, way in ways(self.legs))
        passed -= sum(leg.calls(way[-1], way[0]) for leg, way in visited)
        guided: dict[str, Any] = {"guidance": self.guidance} if self.guidance else {}
        limits = {
            leg.segment.name: [leg.guidance.low, leg.guidance.high]
            for leg in self.legs
            if leg.guidance.strength and leg.guidance.high < math.inf
        }
        guided |= {"guidance_states": limits} if limits else {}
        meta = {
            "method": self.method.name,
            "model": self.hash,
            "data": self.data.name,
            "fingerprint": self.data.fingerprint,
            "classes": list(self.data.classes),
            **about,
            "calls": self.calls - passed,
            "steps": {leg.segment.name: list(way[:-1]) for leg, way in visited},
            **guided,
            "conditional": self.conditional,
            "engine": self.engine.name,
            "outside": {"pixels": outside[0] / images.size, "images": outside[1] / len(images)},
        }
        return Samples(images, np.asarray(labels, dtype=np.int64), meta)


def _indices(indices: Iterable[int], n: int) -> list[int]:
    """As plain numbers; `InputError` unless they are n whole ones from 0 on."""
    found = whole_list("indices", indices)
    if len(found) != n:
        raise InputError(f"{n} labels and {len(found)} indices: one each is needed")
    if found and min(found) < 0:
        raise InputError(f"an index must be at least 0, got {min(found)}")
    return found
