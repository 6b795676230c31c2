"""The trained judge: the folder that holds it, its hash, and the features it gives.

A judge folder is `config.json` (data, recipe, how training went, accuracies) and
`model.safetensors`, whose tensors have the names of the seed series' own class: `layers.0.weight`
and so on. Every Fréchet distance names the judge by the hash of those weights.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from scalespace.config.checks import HISTORY, check_history
from scalespace.core.torch_state import check_defaults
from scalespace.data import ImageSet
from scalespace.data.info import DataInfo, listed_classes
from scalespace.data.pixels import COLOURS, planes
from scalespace.errors import InputError, in_words, near
from scalespace.evaluation.normality import inside
from scalespace.files import at_home, atomic, check_own, no_folder, read_object, write_json
from scalespace.nets.judge import Features, JudgeNet

FORMAT = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"
SHIPPED = Path(__file__).parent / "judges"
SEES = {
    "mnist": "mnist",
    "digits": "mnist",
    "fashion-mnist": "fashion-mnist",
    "emnist-letters": "letters-a-l",
}
"""Data sets that have a shipped judge, and its folder; the embedded digits are MNIST's.

That of letters knows A to L. So it is taken where it is named, and not for all 26.
"""
COLOUR = {1: "grey", COLOURS: "coloured"}
PART = 1000  # images at a time
FEW = 0.5
"""A judge that reads a smaller share of images hardly knows what it looks at."""


@dataclass(frozen=True)
class Judge:
    """A trained judge.

    Args:
        weights: of its `JudgeNet`.
        data: what it was trained on.
        record: how its training went, in plain values.
    """

    weights: Mapping[str, Tensor]
    data: DataInfo
    record: dict[str, Any]

    @cached_property
    def net(self) -> JudgeNet:
        """The network, ready to use (dropout is off)."""
        check_defaults()
        about = self.data
        net = JudgeNet(about.height, about.width, len(about.classes), about.channels)
        net.load_state_dict(dict(self.weights))
        return net.eval().requires_grad_(False)

    @cached_property
    def hash(self) -> str:
        """Names the judge: 12 hex digits of the SHA-256 of its weights."""
        content = hashlib.sha256()
        for name in sorted(self.weights):
            array = self.weights[name].detach().cpu().float().contiguous().numpy()
            content.update(name.encode() + str(array.shape).encode() + array.tobytes())
        return content.hexdigest()[:12]

    @torch.no_grad()
    def features(self, images: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Features:
        """Both kinds of features of images in [0, 1]: float32 [n, d] each, on the device.

        Args:
            images: float [n, h, w], [n, h, w, 3] or [n, c, h, w].

        Raises:
            InputError: the images' size is not the judge's, or it sees them in other colours.
        """
        net, x = self.net.to(device), self._seen(images)
        parts = [net.embed(net.pad(part.to(device))) for part in x.split(PART)]
        return Features(*(torch.cat(kind) for kind in zip(*parts, strict=True)))

    @torch.no_grad()
    def probabilities(
        self, images: np.ndarray | Tensor, device: torch.device | str = "cpu"
    ) -> Tensor:
        """How sure it is of each class: float32 [n, classes], each row adds up to 1.

        Args:
            images: as for `features`.
            device: where to compute.

        Raises:
            InputError: as from `features`.
        """
        net, x = self.net.to(device), self._seen(images)
        return torch.cat([net(net.pad(part.to(device))) for part in x.split(PART)]).softmax(dim=1)

    def _seen(self, images: np.ndarray | Tensor) -> Tensor:
        """Images as the network takes them, before they are padded: [n, c, h, w]."""
        x = torch.as_tensor(images, dtype=torch.float32)
        x = planes(x) if x.ndim == 3 or x.shape[1] not in (1, COLOURS) else x
        if x.shape[1] != self.data.channels:
            raise InputError(
                f"the judge sees {COLOUR[self.data.channels]} images, and these are not"
            )
        if tuple(x.shape[2:]) != (self.data.height, self.data.width):
            raise InputError(
                f"the judge sees {self.data.height}x{self.data.width} images, "
                f"these are {x.shape[2]}x{x.shape[3]}"
            )
        return x

    def inspect(self, images: ImageSet) -> dict[str, np.ndarray]:
        """How it responds to images, and how its training went, as arrays for figures.

        The arrays of `scalespace.evaluation.normality.inside`, and `history_epoch`, `history_loss`
        and `history_val_loss`, one number an epoch, from its record.
        """
        arrays = inside(self.net, images.unit(), images.labels, len(self.data.classes))
        rows = self.record.get("history", [])
        history = {key: [row.get(key, np.nan) for row in rows] for key in HISTORY}
        return arrays | {f"history_{key}": np.array(own) for key, own in history.items()}

    def save(self, folder: Path | str) -> Path:
        """Writes the judge folder; a judge that is there already is replaced.

        Raises:
            InputError: a config.json of something else is there.
        """
        folder = Path(folder)
        check_own_judge(folder)
        config = {"format": FORMAT, "judge": self.hash, "data": asdict(self.data), **self.record}
        weights = {
            name: tensor.detach().cpu().contiguous() for name, tensor in self.weights.items()
        }
        with atomic(folder / CONFIG) as aside:
            write_json(aside, config)
            with atomic(folder / WEIGHTS) as file:
                try:
                    save_file(weights, file, metadata={"judge": self.hash})
                except SafetensorError as error:  # how it reports a full disk
                    raise OSError(str(error)) from error
        return folder


def check_own_judge(folder: Path) -> None:
    """Raises `InputError` if a judge in this folder would replace files of something else."""
    check_own(folder, {"format", "judge"}, "judge", (CONFIG, WEIGHTS))


def doubts(accuracy: Mapping[str, float]) -> str:
    """Why the distances of a judge say little, in a sentence; empty if there is no such reason.

    Args:
        accuracy: shares of the images that it reads correctly, by part.
    """
    share = min((share for part, share in accuracy.items() if part != "train"), default=1.0)
    if share >= FEW:
        return ""
    return (
        f"The judge reads only {share:.1%} of the images that it has not learnt from, so its "
        "distances say little: it needs a longer training, or more images."
    )


def strangers(judge: Judge, data: DataInfo) -> str:
    """That a judge has learnt to read other classes, in a sentence; empty if it has not."""
    if judge.data.classes == data.classes:
        return ""
    own, others = (listed_classes(one.classes) for one in (judge.data, data))
    return (
        f"The judge has learnt to tell {own} apart, and the images are of {others}: its distances "
        "compare with those of the same judge alone."
    )


def load_judge(folder: Path | str) -> Judge:
    """Reads a judge folder.

    Raises:
        InputError: it is absent or damaged, or its weights are not those that its config names.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise no_folder("judge", folder)
    config = read_object(folder / CONFIG, "judge config")
    try:
        if config["format"] != FORMAT:
            raise InputError(f"it has format {config['format']}, this version reads {FORMAT}")
        data, expected = DataInfo.from_json(config["data"]), config["judge"]
        weights = load_file(folder / WEIGHTS)
        known = ("format", "judge", "data")
        record = {name: value for name, value in config.items() if name not in known}
        check_history(record.get("history", []))
        if not all(isinstance(share, int | float) for share in record.get("accuracy", {}).values()):
            raise TypeError("accuracy must be numbers")
        judge = Judge(weights, data, json.loads(json.dumps(record)))
        judge.net  # noqa: B018 - builds it, which checks names and shapes
    except Exception as error:  # damaged files make the parsers raise errors of any kind
        raise InputError(f"{folder} is no judge, or a damaged one: {in_words(error)}") from error
    if judge.hash != expected:
        raise InputError(f"{folder}: the weights are not those of judge {expected}")
    if not _sees(judge):
        raise InputError(
            f"{folder}: this judge sees nothing: its features are the same for all images, or not "
            "finite"
        )
    return judge


def _sees(judge: Judge) -> bool:
    """Whether a judge's features differ between noise images: else FD would be 0 for any images."""
    shape = (16, judge.data.channels, judge.data.height, judge.data.width)
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    pooled = judge.features(noise).pooled
    return bool(torch.isfinite(pooled).all()) and bool((pooled.std(dim=0) > 0).any())


def named_judge(folder: Path | str) -> Judge:
    """The judge in a folder, or the shipped one of that name where there is no such folder.

    Raises:
        InputError: see `load_judge`.
    """
    folder = folder if isinstance(folder, Path) else at_home(folder)
    if isinstance(folder, Path) or os.sep in folder or os.path.isdir(folder):
        return load_judge(folder)
    shipped = sorted({*SEES.values()})
    if folder in shipped:
        return load_judge(SHIPPED / folder)
    refused = no_folder("judge", folder)
    if os.path.exists(folder):
        raise refused
    raise InputError(f"{refused}{near(folder, shipped)} (shipped: {', '.join(shipped)})")


def shipped_judge(data: DataInfo) -> Judge | None:
    """The judge that comes with the package for a data set, if there is one that fits.

    None does for a user's own files, for nobody else knows what they show.
    """
    folder = SHIPPED / SEES.get(data.name, "")
    if data.own or data.name not in SEES or not folder.is_dir():
        return None
    judge = load_judge(folder)

    def kind(one: DataInfo) -> tuple[int, ...]:
        return one.height, one.width, one.channels, len(one.classes)

    return judge if kind(judge.data) == kind(data) else None


def find_judge(data: DataInfo, folder: Path | str | None = None, options: str = "") -> Judge:
    """The judge of a name or folder (see `named_judge`) or, if none is named, the shipped one.

    Args:
        data: what it is to see.
        folder: its name or folder, if any.
        options: those that ask a command for this data, for the message.

    Raises:
        InputError: there is none for this data, or it sees images of another size or in other
            colours.
    """
    judge = named_judge(folder) if folder else shipped_judge(data)
    if judge is None:
        known = SEES.get(data.name)
        all_the_same = f", or pass --judge {known} to see with that of {known}" if known else ""
        raise InputError(
            f"no judge for {data.title} ships with the package: train one with 'scalespace train "
            f"judge {options or f'--data {data.name}'} --out FOLDER' and pass --judge FOLDER"
            f"{all_the_same}"
        )
    if (judge.data.height, judge.data.width) != (data.height, data.width):
        raise InputError(
            f"the judge sees {judge.data.height}x{judge.data.width} images, those of {data.name} "
            f"are {data.height}x{data.width}"
        )
    if judge.data.channels != data.channels:
        raise InputError(
            f"the judge sees {COLOUR[judge.data.channels]} images, those of {data.name} are "
            f"{COLOUR[data.channels]}"
        )
    return judge
