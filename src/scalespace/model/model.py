"""A method with its trained stages: it samples, tells of itself, and is saved and shared."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from scalespace import pretrained
from scalespace.config import Recipe
from scalespace.core.noise import Noise, Seeded
from scalespace.core.sampling import Edit, Leg, Start, Step, ways
from scalespace.data import Samples, check
from scalespace.data.info import DataInfo
from scalespace.errors import InputError, unknown
from scalespace.files import write_text
from scalespace.hub import remote
from scalespace.hub.card import About, card
from scalespace.hub.figures import Figures
from scalespace.methods import Method
from scalespace.model.folder import CARD, CONFIG, FORMAT, check_free, read, write
from scalespace.nets.unet import parameters
from scalespace.presets import build, digest, mapping, merge, nested
from scalespace.progress import bar
from scalespace.stages.base import Models
from scalespace.stages.vae import VAE
from scalespace.training.checkpoint import with_prefix
from scalespace.training.runtime import find_device
from scalespace.training.training import TrainedStage

StageSteps = int | Sequence[float] | Literal["all"]
"""In how many of a stage's states its network is called, in which, or in all."""
Steps = StageSteps | Mapping[str, StageSteps]
"""The same for every stage of a model, or by stage."""


KEPT = 4
"""How many models that differ in their steps a model keeps."""


class Model:
    """A method with its trained stages, on one device.

    Args:
        method: what is sampled.
        stages: its trained stages, by name.
        device: where to sample.
        figures: what was measured of it.
        name: its `hash`, where it has one already; otherwise it is computed.
    """

    def __init__(
        self,
        method: Method,
        stages: Mapping[str, TrainedStage],
        device: torch.device | str = "cpu",
        figures: Figures | None = None,
        name: str | None = None,
    ) -> None:
        self.method = method
        self.figures = figures
        self._name = name
        self.stages = dict(stages)
        self.device = find_device(device)
        self.models = Models(
            {name: stage.model(self.device) for name, stage in self.stages.items()}
        )
        self._stepped: dict[str, Model] = {}

    @classmethod
    def from_pretrained(
        cls,
        name: Path | str,
        *,
        revision: str | None = None,
        cache_dir: Path | str | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        device: torch.device | str = "cpu",
    ) -> Model:
        """A model from a folder, from the package itself, or from the Hugging Face Hub.

        Args:
            name: a folder, which comes first; the name of a shipped model; or USER/NAME on the Hub.
            revision: a branch, tag or commit there.
            cache_dir: where to keep what is fetched, instead of the Hub's own cache.
            force_download: fetch it even if it is there.
            local_files_only: never ask the network.
            token: for private repositories; True for the one that `hf auth login` has stored.
            device: where to sample.

        Raises:
            InputError: there is no such model, it cannot be fetched, or it is damaged.
        """
        if Path(name).is_dir() or pretrained.is_shipped(name) or not remote.is_repo(name):
            folder = pretrained.find(name)
            if revision is not None:
                raise InputError(f"revision is for models on the Hub, and '{name}' is none")
            return cls.load(folder, device)
        folder = remote.download(
            str(name),
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
        )
        try:
            return cls.load(folder, device)
        except InputError as error:
            raise InputError(
                f"'{name}' on the Hub is no scalespace model, or its download is damaged "
                f"(force_download=True repeats it): {error}"
            ) from error

    @classmethod
    def load(cls, folder: Path | str, device: torch.device | str = "cpu") -> Model:
        """Reads a model folder.

        Raises:
            InputError: a file is absent, damaged, edited, or does not fit the other.
        """
        found = read(Path(folder))
        try:
            return cls(found.method, found.stages, device, found.figures, found.name)
        except InputError as error:
            raise InputError(f"{folder}: {error}") from error

    def resampled(self, changes: Mapping[str, Any]) -> Model:
        """The same networks, sampled otherwise; what was measured of them is not told of it.

        Args:
            changes: fields of a recipe that matter in sampling alone, for all stages that have them
                or for one: `{"process.sampler": "ddim", "stages.upscaler.process.eta": 0}`.

        Raises:
            InputError: an unknown field or stage, a bad value, or a field that decides a training.
        """
        common = nested(changes)
        own = mapping(common.pop("stages", {}), "stages")
        if unheard := sorted(set(own) - set(self.stages)):
            raise unknown("stage", unheard[0], self.stages)
        parts = {part.name for stage in self.method.stages for part in fields(stage.recipe)}
        if unheard := sorted(set(common) - parts):
            raise unknown("part of a recipe", unheard[0], parts)
        stages = {}
        for name, stage in self.stages.items():
            before = asdict(stage.training.recipe)
            mine = mapping(own.get(name, {}), f"stages.{name}")
            after = merge(before, {k: v for k, v in common.items() if k in before})
            recipe = build(type(stage.training.recipe), merge(after, mine), f"stages.{name}: ")
            training = replace(stage.training, recipe=recipe)
            if training.identity != stage.training.identity:
                free = "; ".join(
                    f"{part}.{', '.join(own)}" for part, own in training.resampling.items()
                )
                raise InputError(
                    f"stage '{name}' would have to be trained anew for that: once trained it can "
                    f"change only {free}"
                )
            stages[name] = replace(stage, training=training)
        model = Model(self.method, stages, self.device)
        self.method.check(model.models)
        return model

    def stepped(self, steps: Steps | None) -> Model:
        """The same networks in as many calls, or in the states named; None leaves all as it is.

        Args:
            steps: a number of calls for every stage that has states, its states, falling from the
                last, or "all" of them; or by stage: {"small": 6, "upscaler": [9]}. Stages that are
                not named stay as they are.

        Raises:
            InputError: a method that is no process, an unknown stage, more calls than states where
                the network knows no times between them, or states that do not fall from the last.
        """
        if steps is None:
            return self
        if not self.legs:
            raise InputError(
                f"method '{self.method.name}' is no process: there are no steps to choose"
            )
        plain = _plain(steps)
        key = digest(plain)
        if key not in self._stepped:
            changes: dict[str, Any] = {"process.steps": plain}
            if isinstance(plain, dict):
                changes = {f"stages.{name}.process.steps": own for name, own in plain.items()}
            if len(self._stepped) == KEPT:
                del self._stepped[next(iter(self._stepped))]  # the oldest
            self._stepped[key] = self.resampled(changes)
        return self._stepped[key]

    def guided(
        self, strength: float | Mapping[str, float], states: tuple[float, float] | None = None
    ) -> Model:
        """The same networks under guidance (Ho & Salimans 2022).

        Args:
            strength: w, how much further the label pulls than in training; 0 is none. For every
                stage that can be guided, or by stage: {"small": 1.5}.
            states: the lowest and the highest state that it acts in; None for all.

        Raises:
            InputError: no stage, or one that is named, has learnt what an image is without its
                label.
        """
        if not isinstance(strength, Mapping):
            recipes = {name: stage.training.recipe for name, stage in self.stages.items()}
            able = [
                name
                for name, recipe in recipes.items()
                if isinstance(recipe, Recipe) and recipe.objective.unlabelled
            ]
            if not able and not strength:
                return self
            if not able:
                raise InputError(
                    f"this model of '{self.method.name}' cannot be guided: no stage of it was "
                    "trained with objective.unlabelled, a share of images without labels (0.1, say)"
                )
            strength = dict.fromkeys(able, strength)
        changes: dict[str, Any] = {}
        for name, own in strength.items():
            changes[f"stages.{name}.process.guidance"] = own
            if states is not None:
                changes[f"stages.{name}.process.guidance_states"] = list(states)
        return self.resampled(changes)

    @property
    def legs(self) -> tuple[Leg, ...]:
        """The segments of its process, as they are sampled, the coarsest first."""
        return self.method.legs(self.models)

    @property
    def steps(self) -> dict[str, list[float]]:
        """The states that the network is called in, by segment."""
        return {leg.segment.name: list(way[:-1]) for leg, way in ways(self.legs)}

    @property
    def guidance(self) -> dict[str, float]:
        """The strength of guidance by segment, where there is any."""
        strengths = {leg.segment.name: leg.guidance.strength for leg in self.legs}
        return {name: strength for name, strength in strengths.items() if strength}

    def save(self, folder: Path | str, averaged_only: bool = False) -> Path:
        """Writes the model folder; an existing model there is replaced.

        Args:
            folder: where to.
            averaged_only: leave out the last weights, which nothing samples with.
        """
        folder = Path(folder)
        tensors: dict[str, Tensor] = {}
        for name, stage in self.stages.items():
            own = with_prefix("ema", stage.ema) if averaged_only else stage.tensors
            tensors |= with_prefix(name, own)
        write(folder, self.config, tensors)
        return folder

    def save_pretrained(
        self,
        folder: Path | str,
        *,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        **push: Any,
    ) -> str | None:
        """Writes the model folder as others should get it: averaged weights alone, and a card.

        Args:
            folder: where to; a model there is replaced.
            repo_id: the name that the card tells readers to load; the folder's unless given.
            push_to_hub: also upload it, as `repo_id`, or by the folder's name.
            push: then goes to `push_to_hub`.

        Returns:
            the address of the commit, if it was uploaded.

        Raises:
            InputError: it cannot be written, or what `push_to_hub` raises.
        """
        folder = Path(folder)
        if push and not push_to_hub:
            raise InputError(f"{', '.join(push)} can only be given with push_to_hub=True")
        check_free(folder, (CONFIG, CARD))
        self.save(folder, averaged_only=True)
        write_text(folder / CARD, self.card(repo_id or f"./{folder.name}"))
        return self.push_to_hub(repo_id or folder.name, **push) if push_to_hub else None

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Upload a model with scalespace",
        private: bool | None = None,
        token: str | bool | None = None,
        branch: str | None = None,
        create_pr: bool | None = None,
    ) -> str:
        """Uploads what `save_pretrained` writes to the Hugging Face Hub, in one commit.

        Args:
            repo_id: USER/NAME, or NAME alone for the token's owner; made if absent.
            commit_message: of the commit.
            private: of a new repository; None: the owner's default.
            token: that may write; None or True for the one that `hf auth login` has stored.
            branch: to commit to; made if absent.
            create_pr: open a pull request instead.

        Returns:
            the address of the commit.

        Raises:
            InputError: the Hub refuses or cannot be reached, or huggingface_hub is not installed.
        """

        def write(folder: Path, full_name: str) -> None:
            self.save_pretrained(folder, repo_id=full_name)

        return remote.upload(
            repo_id,
            write,
            commit_message=commit_message,
            private=private,
            token=token,
            branch=branch,
            create_pr=create_pr,
        )

    def card(self, source: str) -> str:
        """The model card: data, recipe, figures, limits, licence; Markdown with the Hub's header.

        Args:
            source: what its reader gives to `from_pretrained`.
        """
        sizes = {name: parameters(model) for name, model in self.models.items()}
        doc = (type(self.method).__doc__ or "").strip().partition("\n")[0]
        about = About(self.method.title, doc, self.config, sizes, self.figures)
        return card(about, source)

    def __repr__(self) -> str:
        return (
            f"<scalespace model {self.hash}: {self.method.name}, trained on {self.data.name}, "
            f"{self.calls} network calls a sample, {self.parameters:,} parameters>"
        )

    @property
    def data(self) -> DataInfo:
        """The facts of the data that it was trained on."""
        return next(iter(self.stages.values())).training.data

    @property
    def calls(self) -> int:
        """Network calls a sample."""
        return self.method.calls(self.models)

    @property
    def conditional(self) -> bool:
        """Whether its images are of the classes asked for."""
        return self.method.conditional(self.models)

    @property
    def parameters(self) -> int:
        """Trained numbers of all its stages."""
        return sum(parameters(model) for model in self.models.values())

    @cached_property
    def hash(self) -> str:
        """Names the model: method, the identities of its trainings, and how it samples."""
        if self._name is not None:
            return self._name
        trainings = [stage.training for stage in self.stages.values()]
        return digest([self.method.name, [[t.identity, t.sampling] for t in trainings]])

    @property
    def config(self) -> dict[str, Any]:
        """What `config.json` holds."""
        figures = {} if self.figures is None else {"figures": asdict(self.figures)}
        return {
            "format": FORMAT,
            "method": self.method.name,
            "hash": self.hash,
            "calls": self.calls,
            "steps": self.steps,
            "data": asdict(self.data),
            "stages": {
                name: {
                    "recipe": asdict(stage.training.recipe),
                    "seed": stage.training.seed,
                    "identity": stage.training.identity,
                    "record": stage.record,
                }
                for name, stage in self.stages.items()
            },
            **figures,
        }

    def check_labels(self, labels: Sequence[int]) -> None:
        """Raises `InputError` unless every label is one of the model's classes."""
        top = len(self.data.classes) - 1
        for label in labels:
            if not 0 <= label <= top:
                raise InputError(
                    f"label {label} is none of this model's classes 0 to {top} "
                    f"({', '.join(self.data.classes)})"
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
            steps: in how many states the network is called, or in which, as `stepped` has it.
            noise: of these images, instead of that of `seed` and `indices`.
            start: images to begin from, instead of noise.
            edit: what is done to the images in each new state.

        Raises:
            InputError: a label that the model does not know, a seed that cannot be, not as many
                indices as labels, or steps that it cannot take.
        """
        labels = _whole_numbers(labels, seed=(seed, 0))
        self.check_labels(labels)
        chosen = range(len(labels)) if indices is None else _indices(indices, len(labels))
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

        `meta["outside"]` has the shares of pixels, and of images with such pixels, that lay outside
        [0, 1] by more than rounding before they were clipped to it.

        Args:
            labels: classes, int [n].
            seed: with an index, fixes an image; at least 0.
            batch_size: images made at a time.
            first: index of the first image; the others follow.
            progress: show a progress bar.
            steps: in how many states the network is called, or in which, as `stepped` has it.
            indices: of each image, instead of counting from `first`: images of one index begin with
                the same noise.

        Raises:
            InputError: no labels, or one that the model does not know; or a seed, batch size, index
                or steps that cannot be.
        """
        labels = _whole_numbers(
            labels, seed=(seed, 0), batch_size=(batch_size, 1), first=(first, 0)
        )
        about: dict[str, Any] = {"seed": seed, "first": first}
        every: Sequence[int] = range(first, first + len(labels))
        if indices is not None:
            every = _indices(indices, len(labels))
            about = {"seed": seed, "indices": list(every)}
        model = self.stepped(steps)

        def part(rows: slice) -> Iterator[Step]:
            return model.trajectory(labels[rows], seed, every[rows])

        return model.collect(labels, part, batch_size, progress, **about)

    def collect(
        self,
        labels: Sequence[int],
        part: Callable[[slice], Iterator[Step]],
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
            start: what they begin from, if it is not noise: `meta` counts the calls from there.
            about: what `meta` says besides.

        Raises:
            InputError: no labels, or one that the model does not know; or no whole batch.
        """
        labels = _whole_numbers(labels, batch_size=(batch_size, 1))
        if not labels:
            raise InputError("nothing to sample: no labels given")
        self.check_labels(labels)
        images = np.empty((len(labels), self.data.height, self.data.width), dtype=np.float32)
        outside = np.zeros(2, dtype=np.int64)  # pixels, and images that have any
        name = f"sample {self.method.name}" + (
            f" (seed {about['seed']})" if "seed" in about else ""
        )
        with bar(len(labels), name, "image", shown=progress) as shown:
            for begin in range(0, len(labels), batch_size):
                rows = slice(begin, min(begin + batch_size, len(labels)))
                for step in part(rows):
                    x = step.x
                images[rows] = self.data.to_unit(x)[:, 0].cpu().numpy()
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
            "classes": list(self.data.classes),
            **about,
            "calls": self.calls - passed,
            "steps": {leg.segment.name: list(way[:-1]) for leg, way in visited},
            **guided,
            "conditional": self.conditional,
            "outside": {"pixels": outside[0] / images.size, "images": outside[1] / len(images)},
        }
        return Samples(images, np.asarray(labels, dtype=np.int64), meta)

    def check_autoencoder(self) -> VAE:
        """The method's autoencoder; `InputError` if it has none."""
        for model in self.models.values():
            if isinstance(model, VAE):
                return model
        raise InputError(f"method '{self.method.name}' has no autoencoder to reconstruct with")

    def reconstruct(self, samples: Samples) -> Samples:
        """Images through the method's autoencoder and back: what its latents can hold of them.

        Args:
            samples: of the size of the model's data; their labels are kept.

        Raises:
            InputError: the method has no autoencoder, or the images are of another size.
        """
        autoencoder = self.check_autoencoder()
        shape = (self.data.height, self.data.width)
        samples = check(samples.images, samples.labels, samples.meta, shape=shape)
        unit = torch.from_numpy(samples.images)[:, None].to(self.device)
        images = autoencoder.reconstruct(unit)[:, 0].cpu().numpy()
        meta: dict[str, Any] = {
            "method": f"{autoencoder.stage.name}-reconstruction",
            "model": self.hash,
        }
        meta |= {"data": self.data.name, "of": samples.meta}
        return Samples(images, samples.labels, meta)


def _plain(steps: Any) -> Any:
    """Steps as a config has them, of plain numbers: None for all of them."""
    if isinstance(steps, Mapping):
        return {str(name): _plain(own) for name, own in steps.items()}
    if isinstance(steps, str):
        return None if steps == "all" else steps  # which the config refuses
    if isinstance(steps, np.ndarray | Sequence):
        return [getattr(t, "item", lambda t=t: t)() for t in steps]
    return getattr(steps, "item", lambda: steps)()


def _indices(indices: Iterable[int], n: int) -> list[int]:
    """As plain numbers; `InputError` unless they are n whole ones from 0 on."""
    found = _whole_numbers(indices)
    if len(found) != n:
        raise InputError(f"{n} labels and {len(found)} indices: one each is needed")
    if found and min(found) < 0:
        raise InputError(f"an index must be at least 0, got {min(found)}")
    return found


def _whole_numbers(labels: Iterable[int], **others: tuple[int, int]) -> list[int]:
    """The labels as plain numbers; `InputError` unless all are whole.

    Args:
        labels: classes.
        others: numbers by name, each with the least that it may be.
    """
    try:
        found = [operator.index(label) for label in labels]
        for name, (value, least) in others.items():
            if operator.index(value) < least:
                raise InputError(f"{name} must be at least {least}, got {value}")
    except TypeError as error:
        names = " and ".join(others)
        raise InputError(
            f"labels must be a list of whole numbers, {names} one each: {error}"
        ) from error
    return found
