"""The diffusion stage: a class-conditional process over images at one scale."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scalespace.config import NetConfig, Recipe
from scalespace.core.jumps import Conditioned
from scalespace.core.segment import FromNoise, Jump, Segment
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.nets import registry
from scalespace.stages.ablation import Ablated
from scalespace.stages.base import Models, Stage
from scalespace.stages.denoising import Diffusion
from scalespace.stages.from_recipe import make_augmentation, make_schedule


@dataclass(frozen=True)
class DiffusionStage(Stage[Diffusion]):
    """A class-conditional diffusion process over images at one scale.

    Args:
        name: of the stage, and of its segment.
        states: S; sampling takes S-1 network calls unless told otherwise. A recipe may override it.
        scale: the factor by which images are taken down first.
        conditioned: how many states the process has that makes the coarser image which the network
            also sees; 0 if it sees none.
        coarser: how many times smaller that image is.
    """

    states: int
    scale: int = 1
    conditioned: int = 0
    coarser: int = 2

    def units(self, recipe: Recipe, data: DataInfo) -> DataInfo:
        """Standardised pixels; with `ablation.unit_range` those in [0, 1]."""
        return replace(data, mean=0.0, std=1.0) if recipe.ablation.unit_range else data

    def build(self, recipe: Recipe, data: DataInfo, needs: Models | None = None) -> Diffusion:
        """An untrained `Diffusion` for this stage; `InputError` as from `segment`."""
        kind = Ablated if recipe.ablation.in_sampling else Diffusion
        return kind(self, recipe, data, self.segment(recipe, data))

    def segments(self, recipe: Recipe, data: DataInfo) -> tuple[Segment, ...]:
        """All that its network learns: the one."""
        return (self.segment(recipe, data),)

    def segment(self, recipe: Recipe, data: DataInfo) -> Segment:
        """The segment to learn, after checking the recipe against the stage and its images.

        A stage of another process overrides this one function.

        Raises:
            InputError: the images cannot be taken down, the network is too deep for them, a
                conditioned stage aims at the mean, guidance lacks labels or training without them,
                or `unroll` is combined with `continuous`.
        """
        self._check(recipe)
        jump: Jump = FromNoise()
        if self.conditioned:
            jump = Conditioned(self.coarser, make_augmentation(recipe, self.conditioned))
        schedule = make_schedule(recipe.process, self.states)
        shape = self.shape(recipe, data, jump.factor)
        return Segment(self.name, schedule, shape, self.scale, jump)

    def shape(self, recipe: Recipe, data: DataInfo, coarser: int = 1) -> tuple[int, int, int]:
        """(c, h, w) of its images, which must allow others that are `coarser` times smaller.

        Raises:
            InputError: they do not, or the network is too deep for them.
        """
        factor = self.scale * coarser
        if data.height % factor or data.width % factor:
            raise InputError(
                f"stage '{self.name}' takes images down by a factor of {factor}, "
                f"which {data.height}x{data.width} images of {data.name} do not allow: bring them "
                f"to multiples of {factor} (an image folder by --size), or train a method of one "
                "scale, such as baseline"
            )
        height, width = data.height // self.scale, data.width // self.scale
        check_size(self.name, recipe.net, height, width)
        return data.channels, height, width

    def _check(self, recipe: Recipe) -> None:
        o, p = recipe.objective, recipe.process
        if o.guide and not p.labels:
            raise InputError(
                f"stage '{self.name}': objective.guide needs process.labels, which it guides by"
            )
        if p.guidance and not (o.unlabelled and p.labels):
            raise InputError(
                f"process.guidance: stage '{self.name}' never learnt what an image is without its "
                "label: train it with objective.unlabelled=0.1, say"
            )
        if self.conditioned and o.target == "mean":
            raise InputError(
                f"objective.target: stage '{self.name}' sees the coarser image, which tells it "
                "which image was noised: choose sample"
            )
        if p.continuous and o.unroll > 1:
            raise InputError(
                f"stage '{self.name}': objective.unroll goes from state to state, and "
                "process.continuous trains between them: choose one"
            )

    @property
    def idle(self) -> tuple[str, ...]:
        """Conditioning augmentation, where there is no condition."""
        return () if self.conditioned else ("condition",)


def check_size(stage: str, net: NetConfig, height: int, width: int) -> None:
    """Raises `InputError` unless a network suits images of that size."""
    try:
        registry.check_size(net, height, width)
    except InputError as error:
        raise InputError(f"stage '{stage}': {error}") from error
