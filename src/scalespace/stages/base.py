"""What a stage is: one thing that is trained, with its loss.

A stage may need others that are trained before it: latent diffusion needs the autoencoder whose
latents it learns. Two methods that name the same stage share its training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from scalespace.config import Recipe
from scalespace.core.sampling import Leg
from scalespace.data import DataSplits, ImageSet
from scalespace.data.info import DataInfo
from scalespace.engine.base import Call

BATCHES, STATISTICS = ("single", "mixed"), ("batch", "running")
"""What states a batch holds, one or all; which statistics batch norms normalise by."""


Networks = dict[str, tuple[nn.Module, tuple[Tensor, ...]]]
"""Networks in evaluation mode by name, each with examples of its inputs, of two rows."""


class StageModel(nn.Module, ABC):
    """A stage's networks with their loss. Calling it gives the loss, so that DDP can wrap it."""

    conditional: bool = True
    """Whether what it makes depends on the labels."""
    helpers: ClassVar[tuple[str, ...]] = ()
    """The submodules that training alone needs: `oppose` adds them. Adam trains all of them."""

    @property
    def guidable(self) -> bool:
        """Whether it has learnt what an image is without its label."""
        return False

    @classmethod
    def can(cls, what: str) -> bool:
        """Whether the class overrides that function of `StageModel`."""
        return getattr(cls, what) is not getattr(StageModel, what)

    @property
    @abstractmethod
    def calls(self) -> int:
        """Network calls that one sample takes in this stage."""

    def legs(self) -> tuple[Leg, ...]:
        """Its segments as they are sampled, the coarsest first; () from what is no process."""
        return ()

    def networks(self) -> Networks:
        """What sampling calls, for an engine to run; {} from a stage that it cannot help."""
        return {}

    def use(self, calls: Mapping[str, Call]) -> None:
        """Calls what an engine made of `networks` from now on, in sampling alone."""

    def fix(self) -> None:
        """Reads the plain numbers that its buffers hold, once its weights are final."""

    @abstractmethod
    def prepare(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """What training needs of standardised images [n, c, h, w]: tensors of n rows.

        Done once for a data set; batches are then rows of the result.

        Args:
            images: on the CPU.
            labels: int64 [n]; training always gives them, and few stages ask.
        """

    @abstractmethod
    def forward(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """The training loss of each image of a prepared batch: float [n]."""

    @abstractmethod
    def validate(self, batch: Sequence[Tensor], labels: Tensor, rng: torch.Generator) -> Tensor:
        """The loss of each image at each level: float [n, levels].

        Levels are what the loss may usefully be split by, such as the states of a process; their
        mean is the validation loss.
        """

    def oppose(self) -> None:
        """Adds its `helpers`; called before training, and before `begin`."""

    def kept(self) -> dict[str, Tensor]:
        """The weights of a finished stage: `state_dict` without its helpers'."""
        every = self.state_dict()
        return {name: one for name, one in every.items() if not self.helps(name)}

    @classmethod
    def helps(cls, name: str) -> bool:
        """Whether a parameter of that name is a helper's."""
        return name.split(".")[0] in cls.helpers

    def begin(self, batch: Sequence[Tensor], labels: Tensor) -> None:
        """Keeps what the loss needs of the whole training part; called before training.

        Args:
            batch: what `prepare` made of it, on the model's device.
            labels: int64 [n].
        """

    def finish(self, batch: Sequence[Tensor], labels: Tensor) -> None:
        """Sets the buffers that hold statistics of the training part, once training is over.

        Args:
            batch: what `prepare` made of the whole training part.
            labels: int64 [n].
        """

    def facts(self) -> dict[str, Any]:
        """What a report should tell of the stage besides its fields.

        `says`: a few words on what it is. `conditional`: whether it heeds the labels. The package's
        own stages have a `kind`, for which reports read more: `states` and `last_signal` of a
        process, `latents_of` for the stage in whose latents it works, `teacher` of a student;
        `latent` of an autoencoder.
        """
        return {}

    def reconstruct(self, unit: Tensor) -> Tensor:
        """Encodes and decodes images [n, c, h, w] in [0, 1].

        A stage that overrides it is an autoencoder: `scalespace reconstruct` and studies use it.
        """
        raise NotImplementedError(f"a {type(self).__name__} reconstructs no images")

    def losses_by_company(
        self, batch: Sequence[Tensor], labels: Tensor
    ) -> dict[tuple[str, str], Tensor]:
        """The loss at each state, in batches of one state and of all: float [S-1] each.

        By one of `BATCHES` and one of `STATISTICS`. It exposes a network that reads the noise level
        off its batch, as batch norm does. A stage that overrides it is a process.

        Args:
            batch: what `prepare` made of images.
            labels: int64 [n].
        """
        raise NotImplementedError(f"a {type(self).__name__} has no states")

    def inspect(self, images: Tensor, labels: Tensor) -> dict[str, np.ndarray]:
        """Arrays that show the stage from inside, for figures: {} if there is nothing to show.

        Args:
            images: float [n, c, h, w] in [0, 1], held out from training.
            labels: int64 [n].
        """
        return {}

    def preview(self, batch: Sequence[Tensor], labels: Tensor, seed: int) -> Tensor | None:
        """What the stage makes of labels and, if it has one, of a batch's condition.

        Standardised images [n, c, h, w] for the sample grids of training; None from a stage that
        makes no images.
        """
        return None


M = TypeVar("M", bound=StageModel)


class Kept(Generic[M]):
    """A model that another one asks: not a submodule of it, and not copied with it.

    Args:
        one: the model.
    """

    def __init__(self, one: M) -> None:
        self.one = one

    def __deepcopy__(self, memo: object) -> Kept[M]:
        return self


class Models(dict[str, StageModel]):
    """Stages' models by name; `of` gives each with its own type."""

    def of(self, stage: Stage[M]) -> M:
        """The model of a stage.

        Raises:
            KeyError: there is none.
        """
        return self[stage.name]  # type: ignore[return-value]  # built by that stage


@dataclass(frozen=True)
class Stage(ABC, Generic[M]):
    """What is trained, by name, and how its model of type `M` is built.

    Frozen: its fields and the recipe are hashed to address it.
    """

    name: str

    recipe: ClassVar[type] = Recipe
    """The type of its recipe: a dataclass of parts, `train` among them.

    A part that the config has too takes its fields from there and from `stages.NAME`; a part of the
    stage's own takes them from its defaults and `stages.NAME`.
    """
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Recipe fields with another default in this stage; a preset may override them.

    Those of the classes that it derives from hold, too, where it says nothing else.
    """
    alone: ClassVar[tuple[str, ...]] = ()
    """Those of its `defaults` that only `stages.NAME` overrides, not a field for all stages."""

    @property
    def needs(self) -> tuple[Stage[Any], ...]:
        """The stages that must be trained before it."""
        return ()

    @property
    def samples(self) -> tuple[Stage[Any], ...]:
        """Those of `needs` whose samples it trains on, so that their samplers matter to it."""
        return ()

    @property
    def like(self) -> Stage[Any] | None:
        """The stage whose config holds for it, too, where its own says nothing else."""
        return None

    @property
    def idle(self) -> tuple[str, ...]:
        """Parts of the recipe that it never reads; they do not enter a training's identity."""
        return ()

    def units(self, recipe: Any, data: DataInfo) -> DataInfo:
        """The facts of the data in the units that the recipe trains in."""
        return data

    def parts(self, splits: DataSplits) -> tuple[ImageSet, ImageSet]:
        """The images to train on, and those to validate on."""
        return splits.train, splits.val

    @abstractmethod
    def build(self, recipe: Any, data: DataInfo, needs: Models | None = None) -> M:
        """An untrained model.

        Args:
            recipe: of this stage's `recipe` type.
            data: the facts of the data set.
            needs: the models of the stages in `needs`; to train it, they must be trained.
        """
