"""Spells what is sent to Redis, and reads what it answers; nothing is sent here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from . import frame, scripts

#: A key as text, or as the bytes that stand on the server.
Key = str | bytes


class Command(NamedTuple):
    """One command, and what it is about."""

    args: tuple[Any, ...]
    #: Set where it is a script, which a server may not know yet.
    script: scripts.Script | None = None

    def evaluated(self) -> Command:
        """The same with the script's text, for a server that does not know it."""
        assert self.script is not None  # noqa: S101
        return Command(("EVAL", self.script.text, *self.args[2:]))


def get(key: Key, tags: Sequence[Key] = ()) -> Command:
    """An entry, with the tokens of its tags behind it if it has any."""
    return Command(("MGET", key, *tags) if tags else ("GET", key))


def get_many(keys: Sequence[Key]) -> Command:
    """The values of several keys."""
    return Command(("MGET", *keys))


def ask(key: Key, token: bytes, lease_ms: int) -> Command:
    """Puts a lease where nothing stands. Answers nothing if it did, else what stands there."""
    return Command(("SET", key, frame.lease(token), "NX", "GET", "PX", lease_ms))


def make_tag(key: Key, token: int) -> Command:
    """Gives a tag a token where it has none. Answers the one that it had."""
    return Command(("SET", key, token, "NX", "GET"))


def hold(key: Key, hold_ms: int) -> Command:
    """Keeps everybody from storing, for a while."""
    return Command(("SET", key, frame.hold(), "PX", hold_ms))


def put(key: Key, data: bytes, ttl_ms: int) -> Command:
    """Stores bytes, whatever stands there: a chunk, which nobody else has a name for."""
    return Command(("SET", key, data, "PX", ttl_ms))


def remove(*keys: Key) -> Command:
    """Removes entries, and with them every lease."""
    return Command(("UNLINK", *keys))


def take(key: Key, token: bytes, lease_ms: int, *, refresh: bool = False) -> Command:
    """Asks for a lease where something stands; with `refresh` also where that is a value."""
    return _run(scripts.TAKE, [key], token, lease_ms, "r" if refresh else "m")


def fill(key: Key, token: bytes, version: int, ttl_ms: int, entry: bytes) -> Command:
    """Stores an entry, if the lease still stands."""
    return _run(scripts.FILL, [key], token, frame.spelt(version), ttl_ms, entry)


def drop(key: Key, token: bytes) -> Command:
    """Gives a lease back."""
    return _run(scripts.DROP, [key], token)


def void(keys: Sequence[Key], version: int, hold_ms: int, stale_ms: int) -> Command:
    """What a worker sends for caches that serve stale values or know versions."""
    return _run(scripts.VOID, keys, frame.spelt(version), hold_ms, stale_ms)


def guard_take(key: Key, guard: Key, token: bytes, lease_ms: int) -> Command:
    """As `take`, with the lease in a key beside the value."""
    return _run(scripts.GUARD_TAKE, [key, guard], token, lease_ms)


def guard_fill(key: Key, guard: Key, token: bytes, ttl_ms: int, value: bytes) -> Command:
    """As `fill`, with the lease in a key beside the value."""
    return _run(scripts.GUARD_FILL, [key, guard], token, ttl_ms, value)


def _run(script: scripts.Script, keys: Sequence[Key], *args: Any) -> Command:
    return Command(("EVALSHA", script.sha, len(keys), *keys, *args), script)


class Taken(NamedTuple):
    """What `take` answered."""

    #: `W` won, `V` a value is there, `B` somebody loads, `H` held, `F` foreign.
    word: bytes
    #: What a fill must reach, where it won.
    bar: int = 0


def taken(reply: bytes) -> Taken:
    """Reads the answer to `take`."""
    return Taken(reply[:1], int(reply[1:21]) if reply[:1] == b"W" else 0)


class Filled(NamedTuple):
    """What `fill` answered."""

    #: `K` stored, `L` the lease is gone, `O` too old.
    word: bytes
    #: What the next fill must reach, where it was too old.
    bar: int = 0


def filled(reply: bytes) -> Filled:
    """Reads the answer to `fill`."""
    return Filled(reply[:1], int(reply[1:21]) if reply[:1] == b"O" else 0)
