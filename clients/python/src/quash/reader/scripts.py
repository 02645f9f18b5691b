"""Holds the scripts that decide on the server, as they are: their digests name them there."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import NamedTuple


class Script(NamedTuple):
    """A text in Lua, and the SHA-1 that a server knows it by."""

    text: bytes
    sha: str


def _load(name: str) -> Script:
    text = resources.files(__package__).joinpath("lua").joinpath(f"{name}.lua").read_bytes()
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest())


#: A reader asks for a lease where something stands already.
TAKE = _load("take")
#: A reader stores what it loaded, if its lease still stands.
FILL = _load("fill")
#: A reader gives its lease back.
DROP = _load("drop")
#: A worker makes entries stale, or holds them.
VOID = _load("void")
#: As `TAKE` and `FILL`, with the lease in a key beside the value.
GUARD_TAKE = _load("gtake")
GUARD_FILL = _load("gfill")

ALL = {"take": TAKE, "fill": FILL, "drop": DROP, "void": VOID, "gtake": GUARD_TAKE, "gfill": GUARD_FILL}
