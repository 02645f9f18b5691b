"""Reads and writes the bytes of an entry: what state it is in, whose lease it holds, its tags and its payload."""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

#: What every entry begins with; the last byte is the version of the layout.
MAGIC = b"\xc1Q1"
VALUE, STALE, LEASE, HOLD = b"V", b"S", b"L", b"T"
#: Forms of a payload: a value, that there is none, or a list of its chunks.
PRESENT, ABSENT, CHUNKS = b"v", b"n", b"c"
#: The token of nobody.
NOBODY = b"0" * 16
NO_VERSION = b"0" * 20
#: Where the key's own time to live ends a lease.
FOREVER = b"9" * 13
#: As many tags as the header counts with one hexadecimal digit.
TAGS_MAX = 15

_ZERO_13 = b"0" * 13
_HEAD = 57
_BODY = 70
_TAG = 19
#: Versions have 20 digits, and fit into 64 bits.
_VERSION_MAX = 2**64 - 1
#: A tag is a decimal integer of at most 62 bits.
_TAG_BITS = 62

_HEADER = re.compile(
    rb"\xc1Q1([VSLT])([0zg-])([vnc-])([-a-z])([0-9a-f])([0-9a-f]{16})([0-9]{13})([0-9]{20})", re.DOTALL
)
_NUMBER = re.compile(rb"[0-9]{1,19}")


class Frame(NamedTuple):
    """An entry, taken apart."""

    #: One of `VALUE`, `STALE`, `LEASE`, `HOLD`.
    state: bytes
    #: How the payload is compressed; `0` is not at all.
    codec: bytes
    form: bytes
    #: The letter of the key that the payload is encrypted with, or `-`.
    encryption: bytes
    #: Whose lease it is; `NOBODY`'s is none.
    token: bytes
    #: When the lease or hold ends, in milliseconds of the server's clock.
    until: int
    #: Of a value: the changes up to this one are in it. Else what a fill must reach.
    version: int
    #: Soft expiry in milliseconds since 1970; 0 is none.
    fresh_until: int
    #: The tokens of the tags, in the declared order.
    tags: tuple[int, ...]
    payload: bytes

    @property
    def is_plain(self) -> bool:
        """Whether the payload is whole, as it is, and not encrypted."""
        return self.codec == b"0" and self.encryption == b"-" and self.form in (PRESENT, ABSENT)


def parse(data: bytes | None) -> Frame | None:
    """The entry in these bytes; `None` for whatever is none: another's value, another layout, a header cut short."""
    head = None if data is None else _HEADER.match(data)
    if data is None or head is None:
        return None
    state, codec, form, encryption, count, token, until, version = head.groups()
    if state in (LEASE, HOLD):
        return Frame(state, codec, form, encryption, token, int(until), int(version), 0, (), b"")
    end = _BODY + _TAG * int(count, 16)
    numbers = data[_HEAD:end]
    if len(data) < end or not numbers.isdigit():
        return None
    tags = tuple(int(data[at : at + _TAG]) for at in range(_BODY, end, _TAG))
    fresh_until = int(numbers[: _BODY - _HEAD])
    return Frame(state, codec, form, encryption, token, int(until), int(version), fresh_until, tags, data[end:])


def value(
    payload: bytes,
    *,
    codec: bytes = b"0",
    form: bytes = PRESENT,
    version: int = 0,
    fresh_until: int = 0,
    tags: tuple[int, ...] = (),
) -> bytes:
    """The bytes of an entry that is good.

    Raises:
        ValueError: a version, a time or a tag that has no place in the header.
    """
    if len(tags) > TAGS_MAX or not all(0 <= tag < 10**_TAG for tag in tags):
        raise ValueError(f"an entry has at most {TAGS_MAX} tags of at most {_TAG} digits")
    if not 0 <= fresh_until < 10**13:
        raise ValueError("a soft expiry has at most 13 digits")
    head = MAGIC + b"V" + codec + form + b"-" + b"%x" % len(tags) + NOBODY + _ZERO_13 + spelt(version)
    return b"".join([head, b"%013d" % fresh_until, *(b"%019d" % tag for tag in tags), payload])


def lease(token: bytes) -> bytes:
    """The bytes that a reader puts where a value will stand."""
    return MAGIC + b"L---0" + token + FOREVER + NO_VERSION


def hold() -> bytes:
    """The bytes that keep everybody from storing."""
    return MAGIC + b"T---0" + NOBODY + FOREVER + NO_VERSION


def spelt(version: int) -> bytes:
    """A version as scripts compare it: as text.

    Raises:
        ValueError: it is negative, or has more than 64 bits.
    """
    if not 0 <= version <= _VERSION_MAX:
        raise ValueError("a version is an integer of at most 64 bits")
    return b"%020d" % version


def new_token() -> bytes:
    """A token that nobody else has."""
    while True:
        token = secrets.token_hex(8).encode()
        if token != NOBODY:
            return token


def new_tag() -> int:
    """A token of a tag, as a worker renews it."""
    return secrets.randbits(_TAG_BITS)


def tag(data: bytes | None) -> int | None:
    """The token of a tag; `None` where there is none, or what stands there is no token."""
    return int(data) if data is not None and _NUMBER.fullmatch(data) else None
