"""YAML documents, bounded before anything is made of them."""

from __future__ import annotations

import re
from typing import Any

import yaml

from scalespace.errors import InputError, one_line

INT, FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
NUMBERS = {
    INT: r"[-+]?[0-9]+",
    FLOAT: r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
}
"""What a number looks like; all else is text, which is refused where a number is wanted."""
MOST_TEXT, MOST_VALUES, DEEPEST = 1_000_000, 20_000, 50
"""Limits of a YAML document: characters, values (aliases expanded), levels of nesting."""


def read_yaml(text: str, where: str) -> Any:
    """Parses a YAML document; raises an `InputError` that begins with `where` if it is invalid."""
    if len(text) > MOST_TEXT:
        raise InputError(f"{where} is too long: {len(text):,} characters, {MOST_TEXT:,} at most")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node, where)
        return loader.construct_document(node)
    except InputError:
        raise
    except Exception as error:  # odd values make its constructors raise errors of any kind
        raise InputError(f"{where} is not valid YAML: {one_line(error)}") from error


def _check_size(node: yaml.Node, where: str) -> None:
    """Refuses a document that is too large, or contains itself, once its aliases are expanded."""
    left, values = [(node, 1)], 0
    while left:
        node, depth = left.pop()
        values += 1
        if values > MOST_VALUES or depth > DEEPEST:
            raise InputError(
                f"{where} is too large, or contains itself: at most {MOST_VALUES:,} values, "
                f"{DEEPEST} levels deep"
            )
        if isinstance(node, yaml.SequenceNode):
            left += [(inner, depth + 1) for inner in node.value]
        elif isinstance(node, yaml.MappingNode):
            left += [(inner, depth + 1) for pair in node.value for inner in pair]


class _Loader(yaml.SafeLoader):
    """Refuses a field that is given twice: YAML would silently drop the first.

    Its whole numbers are decimal, as in YAML 1.2; in YAML 1.1 1:2 is 62, 010 is 8 and 1_0 is 10.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (INT, FLOAT)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        if twice := [name for name in names if isinstance(name, str) and names.count(name) > 1]:
            raise yaml.constructor.ConstructorError(
                None, None, f"'{twice[0]}' is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


for _tag, _pattern in NUMBERS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list("-+.0123456789"))


def _whole(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


_Loader.add_constructor(INT, _whole)
