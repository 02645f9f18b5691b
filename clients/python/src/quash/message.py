"""Packs events into messages: bytes, with an identifier that is the same whenever the content is."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .errors import EventError

#: Bytes of one message, which is what a worker and NATS accept unless configured otherwise.
BYTES_MAX = 1024 * 1024
#: Events that travel together are cut into messages of this size: one bad event then costs only its message.
PACK_BYTES = 256 * 1024
PACK_EVENTS = 500

#: Kept, since `json.dumps` makes one at each call with these settings.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)

_AROUND = b'{"events":[%b]}'


#: Names and values, in the order of the names.
Headers = tuple[tuple[str, str], ...]

#: The field of a document that holds what is to travel as headers of its message, and not in its body.
HEADERS = "headers"


@dataclasses.dataclass(frozen=True)
class Message:
    """What a broker carries."""

    #: JSON in UTF-8.
    body: bytes
    #: Equal only if the content is: a broker may drop repeats of it.
    id: str
    #: What travels beside the body, by name.
    headers: Headers = ()


def encode(document: Mapping[str, Any]) -> bytes:
    """The bytes of a document, without a space too many."""
    return _ENCODER.encode(document).encode()


@dataclasses.dataclass(frozen=True)
class _Encoded:
    """A document on its way into a message."""

    #: Its identifier; empty if it is a transaction itself, since one does not hold another.
    name: str
    body: bytes
    headers: Headers


def pack(documents: Iterable[Mapping[str, Any]], bytes_max: int = BYTES_MAX) -> list[Message]:
    """The messages of these documents, in their order: one alone as it is, several as a transaction.

    Raises:
        EventError: when a single document is too large for a message.
    """
    encoded = [_encoded(document, bytes_max) for document in documents]
    return [_message(group) for group in _groups(encoded, bytes_max)]


def _encoded(document: Mapping[str, Any], bytes_max: int) -> _Encoded:
    headers: Headers = ()
    if HEADERS in document:
        headers = tuple(sorted(dict(document[HEADERS]).items()))
        document = {name: value for name, value in document.items() if name != HEADERS}
    body = encode(document)
    if len(body) > bytes_max:
        what = document.get("entity", "the command")
        raise EventError(f"the event of {what} has {len(body)} bytes, the limit is {bytes_max}: publish fewer columns")
    name = "" if "events" in document else str(document.get("id", _digest(body, headers)))
    return _Encoded(name, body, headers)


def _groups(encoded: list[_Encoded], bytes_max: int) -> Iterator[list[_Encoded]]:
    group: list[_Encoded] = []
    size = 0
    for one in encoded:
        # A comma each, and what is around them.
        longer = len(one.body) + 1
        is_full = len(group) == PACK_EVENTS or size + longer + len(_AROUND) > min(PACK_BYTES, bytes_max)
        if group and (is_full or not one.name or not group[0].name or one.headers != group[0].headers):
            yield group
            group, size = [], 0
        group.append(one)
        size += longer
    if group:
        yield group


def _message(group: list[_Encoded]) -> Message:
    headers = group[0].headers
    if len(group) == 1:
        body = group[0].body
        return Message(body, group[0].name or _digest(body, headers), headers)
    body = _AROUND % b",".join(one.body for one in group)
    # Of the whole content: the same first events with others behind them are another message.
    return Message(body, _digest(body, headers), headers)


def _digest(body: bytes, headers: Headers) -> str:
    return hashlib.sha256(body + "".join(f"\0{name}\0{value}" for name, value in headers).encode()).hexdigest()[:32]
