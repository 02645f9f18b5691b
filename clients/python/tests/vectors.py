"""Reads the shared test vectors: values in terms of Python, and the bytes that this package makes of them."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quash import Event, Invalidate
from quash.message import pack

FILE = Path(__file__).parents[3] / "tests" / "vectors" / "events.json"


def load() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text()))


def body(publish: list[dict[str, Any]]) -> str:
    """The one message of these events."""
    (message,) = pack([made(one).document() for one in publish])
    return message.body.decode()


def made(one: dict[str, Any]) -> Event | Invalidate:
    """The event or command, as an application makes it."""
    (kind,) = one
    fields = value(one[kind])
    fields = {("from_" if name == "from" else name): inner for name, inner in fields.items()}
    fields.setdefault("time", None)
    return Event(**fields) if kind == "event" else Invalidate(**fields)


def value(spelt: Any) -> Any:
    """A value, with those that JSON cannot tell."""
    if isinstance(spelt, list):
        return [value(inner) for inner in spelt]
    if not isinstance(spelt, dict):
        return spelt
    (first, *more) = spelt or ("",)
    if first.startswith("$") and not more:
        return _SPECIAL[first](spelt[first])
    return {name: value(inner) for name, inner in spelt.items()}


_SPECIAL: dict[str, Callable[[Any], Any]] = {
    "$int": int,
    "$float": float,
    "$decimal": decimal.Decimal,
    "$uuid": uuid.UUID,
    "$datetime": datetime.datetime.fromisoformat,
    "$date": datetime.date.fromisoformat,
    # Before Python 3.11 only with three or six digits.
    "$time": lambda text: datetime.time.fromisoformat(text.ljust(15, "0") if "." in text else text),
    "$timedelta": lambda seconds: datetime.timedelta(seconds=seconds),
    "$bytes": bytes.fromhex,
    "$enum": lambda inner: enum.Enum("Some", {"MEMBER": inner}).MEMBER,  # type: ignore[attr-defined]
    "$tuple": tuple,
    "$set": set,
}
