"""Reads YAML as the worker does: only `true` and `false` are truth values, and no key stands twice in a mapping."""

from __future__ import annotations

import re
from typing import Any

from ..errors import ConfigurationError

try:
    import yaml
except ImportError as error:
    raise ConfigurationError(
        "reading a configuration file needs PyYAML: install quash-client[reader], or give Caches the parsed file"
    ) from error


class _Loader(yaml.SafeLoader):
    """YAML 1.2 in its core schema."""

    # A copy: the resolvers of the parent are those of YAML 1.1.
    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", r"<<", "<"),
):
    _firsts = ["" if letter == "\0" else letter for letter in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _firsts)


def load(text: str) -> Any:
    """What a file holds.

    Raises:
        ValueError: says where it is no YAML.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
