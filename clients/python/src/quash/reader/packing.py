"""Compresses payloads and cuts long ones into chunks under keys of their own; sends nothing."""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from typing import NamedTuple

from ..errors import EncodeError
from . import frame
from .frame import Frame

#: As fast as it gets for text that compresses well.
LEVEL = 3
#: Chunks of one value, and bytes of it, at most: nobody is made to fetch without end.
CHUNKS_MAX, WHOLE_MAX = 1024, 256 * 1024 * 1024

#: What stands in an entry in chunks: their name, how many they are, the bytes and SHA-256 of the whole.
_LIST = struct.Struct(">16sIQ32s")
_NAME = re.compile(rb"[0-9a-fA-F]{16}")


class Packing(NamedTuple):
    """How payloads are stored."""

    #: From how many bytes on they are compressed by zlib, if they get shorter by it.
    compress_above: int | None = None
    #: Bytes beyond which they are put into several keys.
    chunk_bytes: int = 1024 * 1024


class Packed(NamedTuple):
    """A payload as it is stored."""

    codec: bytes
    form: bytes
    payload: bytes
    #: What stands under keys of its own, by what follows the entry's key; stored before the entry.
    chunks: dict[str, bytes]


def pack(payload: bytes, packing: Packing) -> Packed:
    """The payload of a value as it is stored.

    Raises:
        EncodeError: it is too large, even in chunks.
    """
    codec = b"0"
    if packing.compress_above is not None and len(payload) >= packing.compress_above:
        short = zlib.compress(payload, LEVEL)
        if len(short) < len(payload):
            codec, payload = b"g", short
    if len(payload) <= packing.chunk_bytes:
        return Packed(codec, frame.PRESENT, payload, {})
    parts = [payload[at : at + packing.chunk_bytes] for at in range(0, len(payload), packing.chunk_bytes)]
    if len(parts) > CHUNKS_MAX or len(payload) > WHOLE_MAX:
        raise EncodeError("the value is too large to be stored, even in chunks")
    # A name of its own: the token of the lease may be shared, and that in the header changes.
    name = frame.new_token()
    listed = _LIST.pack(name, len(parts), len(payload), hashlib.sha256(payload).digest())
    return Packed(codec, frame.CHUNKS, listed, {f"~{name.decode()}~{at}": part for at, part in enumerate(parts)})


def chunk_keys(key: str, seen: Frame) -> list[str] | None:
    """Where the chunks of an entry stand; `None` where nothing that it says can be fetched."""
    if len(seen.payload) != _LIST.size:
        return None
    name, count, length, _ = _LIST.unpack(seen.payload)
    if not (_NAME.fullmatch(name) and 1 <= count <= CHUNKS_MAX and count <= length <= WHOLE_MAX):
        return None
    return [f"{key}~{name.decode()}~{at}" for at in range(count)]


def joined(seen: Frame, parts: list[bytes | None]) -> Frame | None:
    """The entry with its whole payload; `None` where something is missing or was changed."""
    _, _, length, digest = _LIST.unpack(seen.payload)
    present = [part for part in parts if isinstance(part, bytes)]
    whole = b"".join(present)
    if len(present) != len(parts) or len(whole) != length or hashlib.sha256(whole).digest() != digest:
        return None
    return seen._replace(form=frame.PRESENT, payload=whole)


def unpacked(seen: Frame) -> bytes | None:
    """The payload of a value as its codec made it; `None` where that cannot be had here."""
    if seen.encryption != b"-" or seen.form != frame.PRESENT:
        return None
    if seen.codec == b"0":
        return seen.payload
    if seen.codec != b"g":
        return None
    opened = zlib.decompressobj()
    try:
        whole = opened.decompress(seen.payload, WHOLE_MAX)
    except zlib.error:
        return None
    return whole if opened.eof and not opened.unused_data else None
