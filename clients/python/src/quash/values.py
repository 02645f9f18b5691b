"""Spells Python values in JSON so that nothing of their exact text is lost."""

from __future__ import annotations

import base64
import datetime
import decimal
import enum
import math
import uuid
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from .errors import EventError

#: Whatever `json` prints without asking.
Json = None | bool | int | float | str | list[Any] | dict[str, Any]

#: Integers outside of this range travel as text: readers of JSON would round them.
INT_MIN, INT_MAX = -(2**63), 2**64 - 1


def plain(value: object) -> Json:
    """The value in terms of JSON: decimals, times and UUIDs as their exact text, an enum as its value.

    Bytes are the text that they hold in UTF-8, otherwise base64.

    Raises:
        EventError: for a value that has no exact text, such as an object of a class of your own.
    """
    if value is None or value is True or value is False:
        return value
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return int(value) if INT_MIN <= value <= INT_MAX else str(int(value))
    if isinstance(value, float):
        # JSON has no word for these; `nan` and `inf` are what Python prints.
        return float(value) if math.isfinite(value) else str(float(value))
    return _other(value)


def row(columns: Mapping[str, object]) -> dict[str, Json]:
    """A row's columns, each as `plain` spells it.

    Raises:
        EventError: names the column.
    """
    spelt: dict[str, Json] = {}
    for name, value in columns.items():
        try:
            spelt[_name(name)] = plain(value)
        except EventError as error:
            raise EventError(f"column {name}: {error}") from None
    return spelt


def types(columns: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """What columns are in Python, as far as JSON does not show it: `{"price": "decimal", "author.born": "date"}`."""
    found: dict[str, str] = {}
    for name, value in columns.items():
        if isinstance(value, Mapping):
            found |= types(value, f"{prefix}{name}.")
        else:
            word = type_of(value)
            if word is not None:
                found[f"{prefix}{name}"] = word
    return found


def type_of(value: object) -> str | None:
    """The word for a value's type, if its JSON is text that could be another's."""
    if isinstance(value, enum.Enum):
        return type_of(value.value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _bytes(bytes(value))[1]
    if isinstance(value, int | float):
        is_text = isinstance(plain(value), str)
        return ("int" if isinstance(value, int) else "float") if is_text else None
    return next((word for kind, word in _TYPES if isinstance(value, kind)), None)


#: A datetime is a date as well, and stands before it.
_TYPES: tuple[tuple[type, str], ...] = (
    (decimal.Decimal, "decimal"),
    (uuid.UUID, "uuid"),
    (datetime.datetime, "datetime"),
    (datetime.date, "date"),
    (datetime.time, "time"),
    # No worker spells it in a key, and says so then.
    (datetime.timedelta, "timedelta"),
)


def _bytes(value: bytes) -> tuple[str, str]:
    try:
        return value.decode(), "bytes"
    except UnicodeDecodeError:
        return base64.b64encode(value).decode("ascii"), "base64"


def _other(value: object) -> Json:
    if isinstance(value, decimal.Decimal | uuid.UUID | datetime.timedelta):
        return str(value)
    # A datetime is a date as well; both spell themselves in full precision and with their offset, if they have one.
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return _bytes(bytes(value))[0]
    if isinstance(value, Mapping):
        return {_name(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, AbstractSet):
        # In a fixed order, so that the same set is the same event.
        return sorted((plain(inner) for inner in value), key=repr)
    raise EventError(f"a {type(value).__qualname__} has no exact text: publish its number, text or fields")


def _text(value: str) -> str:
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise EventError(f"text is not Unicode at position {error.start}: {text!r:.80}") from None
    return text


def _name(name: object) -> str:
    if isinstance(name, str):
        return _text(name)
    if isinstance(name, int) and not isinstance(name, bool):
        return str(int(name))
    raise EventError(f"a name is text, not a {type(name).__qualname__}")
