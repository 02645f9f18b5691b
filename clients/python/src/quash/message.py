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


@dataclasses.dataclass(frozen=True)
class Message:
    """What a broker carries."""

    #: JSON in UTF-8.
    body: bytes
    #: Equal only if the content is: a broker may drop repeats of it.
    id: str


def encode(document: Mapping[str, Any]) -> bytes:
    """The bytes of a document, without a space too many."""
    return _ENCODER.encode(document).encode()


def pack(documents: Iterable[Mapping[str, Any]], bytes_max: int = BYTES_MAX) -> list[Message]:
    """The messages of these documents, in their order: one alone as it is, several as a transaction.

    Raises:
        EventError: when a single document is too large for a message.
    """
    encoded = [_encoded(document, bytes_max) for document in documents]
    return [_message(group) for group in _groups(encoded, bytes_max)]


def _encoded(document: Mapping[str, Any], bytes_max: int) -> tuple[str, bytes]:
    body = encode(document)
    if len(body) > bytes_max:
        what = document.get("entity", "the command")
        raise EventError(f"the event of {what} has {len(body)} bytes, the limit is {bytes_max}: publish fewer columns")
    name = "" if "events" in document else str(document.get("id", _digest(body)))
    return name, body


def _groups(encoded: list[tuple[str, bytes]], bytes_max: int) -> Iterator[list[tuple[str, bytes]]]:
    group: list[tuple[str, bytes]] = []
    size = 0
    for one in encoded:
        # A comma each, and what is around them.
        longer = len(one[1]) + 1
        is_full = len(group) == PACK_EVENTS or size + longer + len(_AROUND) > min(PACK_BYTES, bytes_max)
        if group and (is_full or _stands_alone(one) or _stands_alone(group[0])):
            yield group
            group, size = [], 0
        group.append(one)
        size += longer
    if group:
        yield group


def _stands_alone(one: tuple[str, bytes]) -> bool:
    """Whether it is a transaction itself: one does not hold another."""
    return not one[0]


def _message(group: list[tuple[str, bytes]]) -> Message:
    if len(group) == 1:
        name, body = group[0]
        return Message(body, name or _digest(body))
    body = _AROUND % b",".join(body for _, body in group)
    # Of the whole content: the same first events with others behind them are another message.
    return Message(body, _digest(body))


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]
