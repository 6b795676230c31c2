"""Parses a command's options with jsonargparse: typed fields, one-line errors, suggestions."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
from argparse import ZERO_OR_MORE, Action
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser, DefaultHelpFormatter, Namespace

from scalespace.config import AutoencoderRecipe, Config, Recipe
from scalespace.config.checks import odd_numbers
from scalespace.errors import InputError, one_line
from scalespace.fields import merge
from scalespace.presets.documents import read_yaml


def parser(verb: str, description: str) -> ArgumentParser:
    """An empty parser for one verb."""
    return ArgumentParser(
        prog=f"scalespace {verb}",
        description=description,
        exit_on_error=False,
        default_env=False,
        allow_abbrev=False,
        formatter_class=_Help,
    )


def add_config(
    to: ArgumentParser, only: Sequence[str] = (), unset: str = "", sampling: bool = False
) -> None:
    """Adds `--part.field` for the fields of `Config`, or of some of its parts.

    Args:
        only: the parts; empty for all.
        unset: what sets the fields that are not given, for the help; empty: their defaults.
        sampling: add only the fields of these parts that can change after training.
    """
    if unset:
        to.formatter_class = _RecipeElsewhere
        to.epilog = f"Recipe fields that are not given come from {unset}."
    if only:
        hints = get_type_hints(Config)
        for part in only:
            names = {field.name for field in dataclasses.fields(hints[part])}
            others = names - set(hints[part].SAMPLING) if sampling else set()
            to.add_class_arguments(hints[part], part, skip=others)
    else:
        to.add_class_arguments(Config)
    _without_files(to)


def _without_files(to: ArgumentParser) -> None:
    """Removes the `--net FILE` that jsonargparse adds for every part: --preset reads files."""
    parts = [action for action in to._actions if type(action).__name__ == "_ActionConfigLoad"]
    for action in parts:
        to._remove_action(action)
        for group in to._action_groups:
            if action in group._group_actions:
                group._group_actions.remove(action)
        for option in action.option_strings:
            del to._option_string_actions[option]


DEFAULT = re.compile(r" \(default: %\(default\)s\)|, default: %\(default\)s")


class _Help(DefaultHelpFormatter):
    """Omits "default" where an option has none, and "required" where none need be given."""

    def _get_help_string(self, action: Action) -> str:
        text = super()._get_help_string(action)
        if action.nargs == ZERO_OR_MORE:  # argparse calls these required
            text = text.replace(" (required)", "")
        return text if self._holds(action) else DEFAULT.sub("", text)

    def _holds(self, action: Action) -> bool:
        return action.default is not None


class _RecipeElsewhere(_Help):
    """Omits the defaults of config fields too: a preset or a model sets them."""

    def _holds(self, action: Action) -> bool:
        fields = {field.name for field in dataclasses.fields(Config)}
        return super()._holds(action) and action.dest.partition(".")[0] not in fields


def parse(using: ArgumentParser, arguments: Sequence[str]) -> tuple[Namespace, dict[str, Any]]:
    """Returns all options with their defaults, and the given ones alone as nested fields.

    Raises:
        InputError: an unknown option or a bad value.
    """
    words = _staged(using, _bracketed(_joined(arguments)))
    _check_numbers(using, words)
    try:
        options = using.parse_args(words)
        given = using.parse_args(words, defaults=False).as_dict()
    except (ArgumentError, ValueError, TypeError) as error:
        raise InputError(_hint(using, one_line(error))) from error
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, list) and "" in value:
            raise InputError(f"one of the {name} has an empty name")
        if value == "":
            what = option if option in using._option_string_actions else f"the name of the {name}"
            raise InputError(f"{what} is empty")
    return options, given


def _check_numbers(using: ArgumentParser, words: Sequence[str]) -> None:
    """Raises `InputError` for 1:2 or 1_0 where a number is wanted: it would be 62, or 10."""
    for word, after in zip(words, [*words[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        hint = getattr(using._option_string_actions.get(name), "_typehint", None)
        if odd := odd_numbers(hint, value if equals else after):
            raise InputError(f"{name} must be a number, got '{odd[0]}'")


def config_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The given options that are fields of `Config`."""
    names = {field.name for field in dataclasses.fields(Config)}
    return {name: value for name, value in given.items() if name in names}


def words(text: str | None) -> list[str]:
    """'one, two' as ["one", "two"]; [] for None."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def numbers(text: str, option: str) -> list[int]:
    """'3,1,4' as [3, 1, 4]; `InputError` for anything else."""
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"[+-]?[0-9]{1,18}", word) for word in words):
        raise InputError(f"{option} takes whole numbers, as in 3,1,4: got '{text}'")
    return [int(word) for word in words]


def reals(text: str, option: str, takes: str = "numbers, as in -1,0.5") -> list[float]:
    """'-1,0.5' as [-1.0, 0.5]; `InputError`, which says what it takes, for anything else."""
    found = [_real(word) for word in text.split(",")]
    if None in found:
        raise InputError(f"{option} takes {takes}: got '{text}'")
    return [number for number in found if number is not None]


def _real(word: str) -> float | None:
    """A finite number; None for any other text."""
    try:
        number = float(word)
    except ValueError:
        return None
    return number if "_" not in word and math.isfinite(number) else None


def steps(text: str, option: str) -> Any:
    """'6' as 6, '[19,10]' as [19, 10], 'small=6,upscaler=all' as {"small": 6, "upscaler": "all"}.

    Raises:
        InputError: anything else.
    """
    named = re.findall(r"([A-Za-z][\w-]*)\s*=", text)
    if twice := [name for name in named if named.count(name) > 1]:
        raise InputError(f"{option} names {twice[0]} twice: got '{text}'")
    written = re.sub(r"([A-Za-z][\w-]*)\s*=\s*", r"\1: ", text)
    if ":" in written and not written.lstrip().startswith("{"):
        written = f"{{{written}}}"
    refused = InputError(
        f"{option} takes a number of calls (6), states ([19,13,6]), all, or one of these by "
        f"stage (small=6,upscaler=1): got '{text}'"
    )
    try:
        value = read_yaml(written, option)
    except InputError as error:  # which tells of YAML, and of a text that nobody has written
        raise refused from error
    parts = list(value.values()) if isinstance(value, Mapping) else [value]
    if not parts or not all(_is_steps(part) for part in parts):
        raise refused
    return value


def by_stage(text: str, option: str, takes: str) -> float | dict[str, float]:
    """'1.5' as 1.5, 'small=1.5' as {"small": 1.5}.

    Args:
        text: what is given.
        option: its name, for messages.
        takes: what it takes, with an example of either kind, for messages.

    Raises:
        InputError: anything else, or a stage that is named twice.
    """
    if (number := _real(text)) is not None:
        return number
    found: dict[str, float] = {}
    for word in text.split(","):
        name, equals, value = (part.strip() for part in word.partition("="))
        number = _real(value)
        if not (name and equals) or number is None:
            raise InputError(f"{option} takes {takes}: got '{text}'")
        if name in found:
            raise InputError(f"{option} names {name} twice: got '{text}'")
        found[name] = number
    return found


def _is_steps(value: Any) -> bool:
    if value == "all":
        return True
    numbers = value if isinstance(value, list) else [value]
    kinds = (int, float) if isinstance(value, list) else (int,)
    return bool(numbers) and all(type(number) in kinds for number in numbers)


def _joined(arguments: Sequence[str]) -> list[str]:
    """Makes `--points -1,1` one word: a list that begins with a dash looks like an option."""
    out: list[str] = []
    for word in arguments:
        if out and re.fullmatch(r"-[\d.][^=]*,.*", word) and re.fullmatch(r"--[^=]+", out[-1]):
            out[-1] += f"={word}"
        else:
            out.append(word)
    return out


def _staged(using: ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """Merges all `--stages.small.train.epochs=20` into one `--stages`.

    jsonargparse knows no fields below `stages`, and would keep only the last one of each stage.
    """
    if "--stages" not in using._option_string_actions:
        return list(arguments)
    out: list[str] = []
    stages: dict[str, Any] = {}
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name != "--stages" and not name.startswith("--stages."):
            out.append(word)
            continue
        if not equals and (value := next(words, "")) == "":
            raise InputError(f"{name} takes a value, as in --stages.small.train.epochs=20")
        keys = name.split(".")[1:]
        given = read_yaml(value, name)
        for key in reversed(keys):
            given = {key: given}
        if not isinstance(given, Mapping):
            raise InputError(f"--stages must be a mapping from stage to fields: got '{value}'")
        stages = merge(stages, given)
    return [*out, f"--stages={json.dumps(stages, default=str)}"] if stages else out


def _tuple_options() -> dict[str, bool]:
    """The options that take a list, and whether they take nothing else."""
    options = {}
    for name, part in get_type_hints(Config).items():
        if dataclasses.is_dataclass(part):
            for field, kind in get_type_hints(part).items():
                if "tuple" in str(kind):
                    options[f"--{name}.{field}"] = " | " not in str(kind)
    return options


def _bracketed(arguments: Sequence[str]) -> list[str]:
    """Adds the brackets that a list needs to `--study.seeds=0,1` and `--study.seeds 0,1`."""
    lists, out, before = _tuple_options(), [], ""

    def bracket(option: str, value: str) -> str:
        bare = option in lists and not value.startswith("[")
        return f"[{value}]" if bare and (lists[option] or "," in value) else value

    for word in arguments:
        name, equals, value = word.partition("=")
        out.append(f"{name}={bracket(name, value)}" if equals else bracket(before, word))
        before = word
    return out


def _trained_fields() -> set[str]:
    """The recipe fields that affect training, such as `process.states`."""
    parts = get_type_hints(Recipe) | get_type_hints(AutoencoderRecipe)
    return {
        f"{name}.{field.name}"
        for name, part in parts.items()
        for field in dataclasses.fields(part)
        if field.name not in getattr(part, "SAMPLING", ())
    }


WISHES = {
    "--more-epochs": "a finished training is not extended, for it was planned from first to last "
    "step: --train.epochs=N trains anew, N epochs in all",
    "--resume": "the same command again goes on with an interrupted training",
}
"""Options that other programs have, and what to do here instead."""


def _hint(using: ArgumentParser, message: str) -> str:
    """Adds the nearest option to a message about an unknown one."""
    if "nrecognized arguments" not in message:
        return message
    known = [word for action in using._actions for word in action.option_strings]
    for word in message.split():
        if word.startswith("--"):
            if wish := WISHES.get(word.partition("=")[0]):
                return f"no option {word.partition('=')[0]}: {wish}"
            field = word[2:].partition("=")[0]
            if field in _trained_fields():
                return f"{field} affects training: to change it, train a new model"
            near = difflib.get_close_matches(word.split("=")[0], known, n=1)
            return f"unknown option {word}" + (f"; did you mean {near[0]}?" if near else "")
    return message
