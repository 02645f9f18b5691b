"""Makes the identifiers of events: UUIDs of version 7, which sort by the time they were made."""

from __future__ import annotations

import os
import time


def new_id() -> str:
    """A fresh identifier."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def uuid7(milliseconds: int, chance: bytes) -> str:
    """The UUID of version 7 of a time since 1970 and ten random bytes (RFC 9562), as text."""
    number = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(chance, "big")
    number = number & ~(0xF << 76) | 0x7 << 76
    text = f"{number & ~(0x3 << 62) | 0x2 << 62:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
