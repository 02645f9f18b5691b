"""Spells keys as the worker does: templates with `{argument}`, filters, and what stands before a key."""

from __future__ import annotations

import datetime
import decimal
import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from ..errors import ConfigurationError, EventError
from ..values import plain
from .nearest import did_you_mean

#: What may follow an argument in a template.
FILTERS: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "urlencode": lambda text: quote(text, safe=""),
    "md5": lambda text: hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
    "sha256": lambda text: hashlib.sha256(text.encode()).hexdigest(),
}

#: `{{`, `}}`, an argument, or a brace that is neither.
_BRACES = re.compile(r"\{\{|\}\}|\{([^}]*)\}|[{}]")
_NAMED = re.compile(r"([^!:]*)(?:!([^:]*))?(?::(.*))?", re.DOTALL)
_CONVERSIONS: dict[str, Callable[[object], str]] = {"s": str, "r": repr, "a": ascii}

#: What Python's own `format` spells as the worker does; of others the worker knows the text alone.
_FORMATTED = (str, int, float, decimal.Decimal, datetime.date, datetime.time, uuid.UUID)


class Place(NamedTuple):
    """Where an argument stands in a template."""

    name: str
    conversion: str | None
    format: str
    filters: tuple[str, ...]

    def spell(self, value: object) -> str:
        text = self._text(value)
        for name in self.filters:
            text = FILTERS[name](text)
        return text

    def _text(self, value: object) -> str:
        if self.conversion is None and not self.format:
            return spell(value)
        if not (value is None or isinstance(value, _FORMATTED)):
            raise EventError(f"a {type(value).__qualname__} has no spelling with a format")
        converted = value if self.conversion is None else _CONVERSIONS[self.conversion](value)
        try:
            return format(converted, self.format)
        except (TypeError, ValueError) as error:
            raise EventError(f"a {type(value).__qualname__} has no format {self.format!r}: {error}") from None


def spell(value: object) -> str:
    """The text of a value in a key, as the worker spells what an event says of it.

    Raises:
        EventError: its spelling cannot be known: a number with a fraction, a list, an object.
    """
    said = plain(value)
    if isinstance(said, str):
        return said
    if said is None:
        return "null"
    if isinstance(said, bool):
        return "true" if said else "false"
    if isinstance(said, int):
        return str(said)
    if isinstance(said, float):
        raise EventError(
            "a number with a fraction, whose spelling in a key is not known; give text or a Decimal, or write it as "
            "Python's repr() does, with !r behind its name in the template: {price!r}"
        )
    raise EventError(f"a {type(value).__qualname__}, which no key can hold")


class Template:
    """Text with places for arguments: `catalog:{author_id}:{title|lower|md5}`."""

    def __init__(self, source: str) -> None:
        """Reads a template.

        Raises:
            ConfigurationError: braces do not match, a filter is unknown, or there is no text to begin with.
        """
        self.source = source
        self._parts: list[str | Place] = _parse(source)
        if not self._parts or isinstance(self._parts[0], Place):
            raise ConfigurationError(
                f"the template {source!r} must begin with literal text, or a rule could remove every key of the target"
            )
        places = (part for part in self._parts if isinstance(part, Place))
        #: The arguments, in order and without repeats.
        self.names: tuple[str, ...] = tuple(dict.fromkeys(place.name for place in places))

    def render(self, args: Mapping[str, Any]) -> str:
        """The text with these arguments.

        Raises:
            EventError: names the argument whose value has no spelling.
        """
        texts = []
        for part in self._parts:
            if isinstance(part, str):
                texts.append(part)
                continue
            try:
                texts.append(part.spell(args[part.name]))
            except EventError as error:
                raise EventError(f"argument {part.name} of {self.source!r}: {error}") from None
        return "".join(texts)


def _parse(source: str) -> list[str | Place]:
    parts: list[str | Place] = []
    literal, at = "", 0
    for brace in _BRACES.finditer(source):
        literal += source[at : brace.start()]
        at = brace.end()
        if brace[0] in ("{{", "}}"):
            literal += brace[0][0]
        elif brace[1] is None:
            raise ConfigurationError(
                f"a brace of the template {source!r} is not closed or not opened; write {{{{ for a brace itself"
            )
        else:
            parts += [literal] if literal else []
            literal = ""
            parts.append(_place(brace[1], source))
    literal += source[at:]
    return [*parts, literal] if literal else parts


def _place(inside: str, source: str) -> Place:
    named, *filters = (piece.strip() for piece in inside.split("|"))
    match = _NAMED.fullmatch(named)
    assert match is not None  # noqa: S101
    name, conversion, spec = match.groups()
    if not name:
        raise ConfigurationError(f"the template {source!r} has a place without the name of an argument")
    if conversion is not None and conversion not in _CONVERSIONS:
        raise ConfigurationError(f"unknown conversion !{conversion} in the template {source!r}; known are !s, !r, !a")
    for filter_name in filters:
        if filter_name not in FILTERS:
            hint = did_you_mean(filter_name, FILTERS)
            raise ConfigurationError(f"unknown filter {filter_name!r} in the template {source!r}{hint}")
    return Place(name, conversion, spec or "", tuple(filters))


def prefixes(key_format: object) -> list[str]:
    """What stands before every key of this `key_format`: several while a deployment rolls over.

    Raises:
        ConfigurationError: the worker would refuse it as well.
    """
    if key_format is None or key_format == "plain":
        return [""]
    if isinstance(key_format, Mapping) and len(key_format) == 1:
        ((kind, given),) = key_format.items()
        given = given or {}
        if kind == "django" and isinstance(given, Mapping) and not set(given) - {"prefix", "version"}:
            before = _several(given.get("prefix", ""))
            return [f"{prefix}:{version}:" for prefix in before for version in _several(given.get("version", 1))]
        if kind == "prefixed" and isinstance(given, Mapping) and not set(given) - {"prefix", "delimiter"}:
            delimiter = given.get("delimiter", ":")
            return [f"{prefix}{delimiter}" if prefix else "" for prefix in _several(given.get("prefix", ""))]
    raise ConfigurationError(f"key_format is plain, django or prefixed, not {key_format!r}")


def _several(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]
