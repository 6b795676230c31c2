"""What `study.json` says: what was asked, of which methods and stages, and on which machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from scalespace.config import AutoencoderRecipe, Config, Recipe, TrainRecipe
from scalespace.config.build import build
from scalespace.data.info import DataInfo
from scalespace.errors import InputError, in_words
from scalespace.files import read_object
from scalespace.methods import stages as known_stages
from scalespace.report.metrics import MetricInfo, metrics_of
from scalespace.studies.folder import FORMAT
from scalespace.studies.variants import Variant, carried_out, make_variants

RECIPES = {"diffusion": Recipe, "vae": AutoencoderRecipe, "judge": TrainRecipe}
"""The recipe of a stage by its kind; stages of other kinds have their own `Stage.recipe`."""


@dataclass(frozen=True)
class MethodInfo:
    """A method of the study: its name, its title in tables, network calls a sample, stages.

    Args:
        conditional: whether its images are of the classes asked for.
        trained: all stages whose training it takes, such as the teacher of a student; empty in
            early studies, which knew of no more than `stages`.
    """

    name: str
    title: str
    doc: str
    calls: int
    stages: tuple[str, ...]
    conditional: bool = True
    trained: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageInfo:
    """A stage of the study: its size and, if it is one, its process.

    Args:
        parameters: of its networks.
        kind: diffusion, vae, judge, or other.
        needs: stages that it builds on.
        latents_of: the stage in whose latents a process works; empty for one in pixels.
        teacher: the stage that it is a student of, if it is one.
        states: S of a process; 0 for what is none.
        scale: images are downscaled by this factor first.
        conditioned: whether the network also sees the image at half the size.
        last_signal: sqrt(alpha_bar) at the last state.
        latent: shape of an autoencoder's latents.
        says: what it is, in its own words.
    """

    name: str
    parameters: int
    kind: str = "diffusion"
    needs: tuple[str, ...] = ()
    latents_of: str = ""
    teacher: str = ""
    states: int = 0
    scale: int = 1
    conditioned: bool = False
    last_signal: float = 0.0
    latent: tuple[int, ...] = ()
    says: str = ""

    @property
    def in_pixels(self) -> bool:
        """Whether it is a process over images."""
        return self.kind == "diffusion" and not self.latents_of


@dataclass(frozen=True)
class Study:
    """The content of `study.json`; `details` is the file as it is.

    Methods, stages and recipes are the first variant's. A study that compares methods alone has
    one variant, without a name. `tasks` has all tasks in words, by id.
    """

    preset: str
    data: DataInfo
    config: Config
    recipes: dict[str, Any]
    methods: tuple[MethodInfo, ...]
    stages: tuple[StageInfo, ...]
    seeds: tuple[int, ...]
    machine: dict[str, Any]
    versions: dict[str, str]
    command: str
    details: dict[str, Any]
    variants: dict[str, Variant]
    metrics: dict[str, MetricInfo]
    tasks: dict[str, str]

    @property
    def part(self) -> str:
        """The held-out part of the real images that scores use."""
        return self.config.study.part

    @property
    def has_cas(self) -> bool:
        """Whether CAS was asked for."""
        return "cas" in self.config.study.metrics

    @property
    def compares(self) -> bool:
        """Whether there are variants to compare."""
        return len(self.variants) > 1

    @property
    def decides(self) -> list[MetricInfo]:
        """The metrics by which methods and variants are compared."""
        return [metric for metric in self.metrics.values() if metric.better]

    def method(self, name: str) -> MethodInfo | None:
        """The method of that name, if it is one of the study's."""
        return next((method for method in self.methods if method.name == name), None)

    def of_method(self, method: str) -> list[Variant]:
        """The variants that a method runs in."""
        study = self.config.study
        return [one for one in self.variants.values() if carried_out(study, method, one)]


def _recipe(stage: StageInfo, told: Mapping[str, Any]) -> Any:
    """The recipe of a stage; None if its kind is not known.

    If its method is not installed here, the stage may have fields of its own, which are left out.
    """
    if registered := known_stages().get(stage.name):
        return build(registered.recipe, told)
    kind = RECIPES.get(stage.kind)
    return None if kind is None else _described(kind, [told])[0]


def _with_latents(part: dict[str, Any]) -> dict[str, Any]:
    """In studies of earlier versions, a process that needs a stage works in its latents."""
    if "latents_of" in part or part.get("kind") != "diffusion":
        return part
    return {**part, "latents_of": (part.get("needs") or [""])[0]}


def _described(kind: type, parts: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    """Descriptions of a kind; what it has no field for, which another version may, is left out."""
    known = {field.name for field in fields(kind)}
    return tuple(build(kind, {key: part[key] for key in part if key in known}) for part in parts)


def read_study(path: Path) -> Study:
    """A study's `study.json`; `InputError` if it is absent or damaged."""
    value = read_object(path, "study")
    try:
        if value["format"] != FORMAT:
            raise InputError(f"it has format {value['format']}, this version reads {FORMAT}")
        stages = _described(StageInfo, [_with_latents(part) for part in value["stages"]])
        own = value["recipes"]
        recipes = {one.name: _recipe(one, own[one.name]) for one in stages if one.name in own}
        config = build(Config, value["config"])
        return Study(
            preset=str(value["preset"]),
            data=build(DataInfo, value["data"]),
            config=config,
            recipes={name: recipe for name, recipe in recipes.items() if recipe is not None},
            methods=_described(MethodInfo, value["methods"]),
            stages=stages,
            seeds=tuple(int(seed) for seed in value["seeds"]),
            machine=dict(value.get("machine") or {}),
            versions=dict(value.get("versions") or {}),
            command=str(value.get("command", "")),
            details=value,
            variants=make_variants(config.study),
            metrics=metrics_of(config.study.metrics, value.get("metrics") or {}),
            tasks=dict(value.get("tasks") or {}),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path} cannot be used: {in_words(error)}") from error
