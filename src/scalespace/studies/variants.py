"""What a study compares: arms, each a method in one variant of the study's recipe.

A variant is a named set of fields that override those of the study's config. A study without any
has one variant, without name and fields, so that no other code needs a special case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from scalespace.config import Config, SelectionConfig, StudyConfig
from scalespace.config.checks import check_text
from scalespace.data.info import LONGEST_NAME, DataInfo
from scalespace.errors import InputError, unknown
from scalespace.fields import mapping, nested, put_over
from scalespace.methods import METHODS, Method, get_method
from scalespace.settings import make_trainings, vary
from scalespace.stages.base import Models, Stage, StageModel
from scalespace.stages.heeded import check_heeded
from scalespace.training.training import Training, with_needs

ALL_WRONG, ALL_RIGHT = "all wrong", "all right"
COMMON = ("data", "cas", "bench", "study")
"""The parts of a config that are not part of a recipe, and the same for all variants."""


@dataclass(frozen=True)
class Variant:
    """A changed recipe.

    Args:
        name: empty for the one of a study that compares methods alone.
        base: the variant that it is compared with; its own name for the first.
        changes: the fields, nested, that override those of the study's config.
        own: those that are given for this variant itself, not for one that it is `like`. Empty
            where switches are combined: one switch may matter only beside another.
    """

    name: str = ""
    base: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arm:
    """A method in one variant.

    Args:
        variant: how its stages are trained and sampled.
        trainings: those of its stages, in order, by seed.
        selection: which of its images are kept.
    """

    method: Method
    variant: Variant
    trainings: dict[int, tuple[Training, ...]]
    selection: SelectionConfig = field(default_factory=SelectionConfig)

    @property
    def selects(self) -> dict[str, Any]:
        """The fields of `selection`, for a task's inputs; {} if all of its images are kept."""
        return asdict(self.selection) if self.selection.candidates > 1 else {}

    @property
    def first(self) -> tuple[Training, ...]:
        """Those of the first seed."""
        return next(iter(self.trainings.values()))

    @cached_property
    def models(self) -> Models:
        """Its stages, untrained, by name."""
        return Models({training.stage.name: training.build() for training in self.first})

    @cached_property
    def conditional(self) -> bool:
        """Whether its images are of the classes asked for."""
        return self.method.conditional(self.models)


def only_right(switch: str) -> str:
    """The name of the variant that has one switch right and all others wrong."""
    return f"only {switch} right"


def only_wrong(switch: str) -> str:
    """The name of the variant that has one switch wrong and all others right."""
    return f"only {switch} wrong"


def make_variants(study: StudyConfig) -> dict[str, Variant]:
    """The variants of a study by name; the others are compared with the first.

    Raises:
        InputError: a name is not text, a variant or switch is not a mapping of a recipe's fields,
            or a `like` does not name a variant before it.
    """
    _check_names(study.switches, "study.switches")
    _check_names(study.variants, "study.variants")
    found = _two_sided(study.switches) if study.switches else {}
    for name, value in study.variants.items():
        where = f"study.variants.{name}"
        if name in found:
            raise InputError(f"{where}: study.switches make a variant of that name: choose another")
        own = _changes(value, where)
        like = own.pop("like", None)
        if not isinstance(like, str | None):
            raise InputError(f"{where}.like must be the name of a variant, got {like!r}")
        if like is not None and like not in found:
            raise unknown(f"variant for {where}.like", like, found)
        base = like or next(iter(found), name)
        _check_fields(own, where)
        whole = put_over(found[like].changes if like else {}, own)
        found[name] = Variant(name, base, whole, own)
    return found or {"": Variant()}


def make_arms(config: Config, data: DataInfo) -> list[Arm]:
    """The arms of a study, all methods of a variant before the next.

    Raises:
        InputError: an unknown method or variant, fields that no recipe has, or a variant's own
            field that changes nothing in any of its arms.
    """
    variants = make_variants(config.study)
    methods = study_methods(config)
    _check_only(config.study.only, variants)
    arms = []
    for variant in variants.values():
        own = vary(config, variant.changes) if variant.changes else config
        for method in methods:
            if carried_out(config.study, method.name, variant):
                made = make_trainings(own, method, config.study.seeds[0], data)
                trainings = {
                    seed: tuple(reseeded(training, seed) for training in made)
                    for seed in config.study.seeds
                }
                arms.append(Arm(method, variant, trainings, own.selection))
    for name, variant in variants.items():
        found = _built(arm for arm in arms if arm.variant == variant)
        check_heeded(variant.own, found, f"study.variants.{name}: ")
    return arms


def _built(arms: Iterable[Arm]) -> Iterator[tuple[Stage[Any], StageModel]]:
    """All that arms train, and what that builds on, with untrained models."""
    for arm in arms:
        models = Models()
        for training in with_needs(arm.first):
            name = training.stage.name
            if name not in models:
                models[name] = training.build(models)
                yield training.stage, models[name]


def reseeded(training: Training, seed: int) -> Training:
    """The same training with another seed, and likewise those of the stages that it needs."""
    needs = tuple(reseeded(need, seed) for need in training.needs)
    return replace(training, seed=seed, needs=needs)


def study_methods(config: Config) -> list[Method]:
    """The methods that a study compares; `InputError` for an unknown one."""
    return [get_method(name) for name in config.study.methods or METHODS]


def carried_out(study: StudyConfig, method: str, variant: Variant) -> bool:
    """Whether a study runs a method in a variant."""
    return variant.base == variant.name or variant.name in study.only.get(method, (variant.name,))


def _two_sided(switches: Mapping[str, Any]) -> dict[str, Variant]:
    """Each switch turned right alone, all of them, and each left wrong alone."""
    right = {}
    for name, value in switches.items():
        right[name] = _changes(value, f"study.switches.{name}")
        _check_fields(right[name], f"study.switches.{name}")

    def together(names: Iterator[str]) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        for name in names:
            changes = put_over(changes, right[name])
        return changes

    found = [Variant(ALL_WRONG, ALL_WRONG)]
    found += [Variant(only_right(name), ALL_WRONG, right[name]) for name in right]
    found.append(Variant(ALL_RIGHT, ALL_WRONG, together(iter(right))))
    found += [
        Variant(only_wrong(name), ALL_RIGHT, together(n for n in right if n != name))
        for name in right
    ]
    return {variant.name: variant for variant in found}


def _check_names(names: Iterable[Any], where: str) -> None:
    """Refuses names under which the results would not be found again."""
    for name in names:
        check_text(name, where)
        if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
            raise InputError(
                f"{where}: a name must be one line of text of at most {LONGEST_NAME} characters, "
                f"got {name!r:.120}"
            )


def _changes(value: Any, where: str) -> dict[str, Any]:
    return nested({} if value is None else mapping(value, where))


def _check_fields(changes: Mapping[str, Any], where: str) -> None:
    known = [part.name for part in fields(Config)]
    for name in changes:
        if name not in known:
            raise unknown(f"field of {where}", name, known)
        if name in COMMON:
            raise InputError(f"{where}: '{name}' is the same for all variants of a study")


def _check_only(only: Mapping[str, Any], variants: Mapping[str, Any]) -> None:
    for method, names in only.items():
        if method not in METHODS:  # one that this study does not run may be named, as presets do
            raise unknown("method of study.only", method, METHODS)
        if not isinstance(names, list | tuple):
            raise InputError(f"study.only.{method} must be a list of variants, got {names!r}")
        for name in names:
            if not isinstance(name, str) or name not in variants:
                raise unknown(f"variant of study.only.{method}", str(name), variants)
