"""Keeps leases behind `cache.get` and `cache.set`, for code that never heard of them.

A `get` that misses leaves the token of a lease in the context, for that key; the `set` that follows spends it, and
stores only if the lease still stands.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import request_started

from ..reader import commands, frame
from ..reader.link import is_foreign, send
from ..reader.observer import Event, Observer, Observers
from . import snapshots

#: What an entry of ours begins with that needs no second look: a value as it is, without tags.
_GOOD = frame.MAGIC + b"V0v-0"
_HEADER = 70
#: Integers stay bare, so that `incr` finds them.
_INTEGER = re.compile(rb"-?[0-9]{1,20}")
#: Of entries that never expire: Redis takes no fill without a time.
_FOREVER_MS = 2**45
#: Tokens that a context remembers; the oldest are forgotten first, and then not stored.
KNOWN_MAX = 1000
#: Looks at a key that changes between two commands.
_LOOKS = 5

observers = Observers()


def on_event(observer: Observer) -> Observer:
    """Calls it with (name, event, key) for all that happens in caches with leases; also as a decorator.

    The name is that of `OPTIONS["name"]`, else `django`; `blind` is a set without a get before, beside the events of
    `quash.reader`.
    """
    observers.add(observer)
    return observer


class _Known(NamedTuple):
    """What a `get` left for the `set` that follows."""

    #: `None`: what is loaded now is not stored.
    token: bytes | None
    stamp: int | None = None


_Key = tuple[str, str]
_EMPTY: Mapping[_Key, _Known] = {}
#: Replaced and never changed, since tasks begin with their parent's.
_known: ContextVar[Mapping[_Key, _Known]] = ContextVar("quash_leases", default=_EMPTY)


def forget_all(**_: Any) -> None:
    """A new request has asked for nothing yet."""
    if _known.get():
        _known.set(_EMPTY)


request_started.connect(forget_all, dispatch_uid="quash.django.leases")


class Options(NamedTuple):
    """What `OPTIONS` says of leases."""

    lease_ms: int = 10_000
    only: tuple[re.Pattern[str], ...] = ()
    blind: Literal["allow", "refuse"] = "allow"
    write: Literal["framed", "plain"] = "framed"
    name: str = "django"


def taken_from(options: dict[str, Any]) -> Options:
    """Takes its own out of `OPTIONS`.

    Raises:
        ImproperlyConfigured: a value that cannot be right.
    """
    lease = options.pop("lease", 10)
    if isinstance(lease, bool) or not isinstance(lease, int | float) or not 0.001 <= lease <= 86_400:
        raise ImproperlyConfigured(f"OPTIONS['lease'] is how many seconds a load may take, not {lease!r}")
    only = options.pop("only", [])
    if isinstance(only, str) or not all(isinstance(pattern, str) for pattern in only):
        raise ImproperlyConfigured("OPTIONS['only'] is a list of patterns, as ['views.product:*']")
    blind, write = options.pop("blind", "allow"), options.pop("write", "framed")
    if blind not in ("allow", "refuse"):
        raise ImproperlyConfigured(f"OPTIONS['blind'] is allow or refuse, not {blind!r}")
    if write not in ("framed", "plain"):
        raise ImproperlyConfigured(f"OPTIONS['write'] is framed or plain, not {write!r}")
    patterns = tuple(re.compile(fnmatch.translate(pattern)) for pattern in only)
    return Options(round(lease * 1000), patterns, blind, write, str(options.pop("name", "django")))


class Leases:
    """Those of one cache. Keys are physical; clients are of redis-py, and their errors are passed on."""

    def __init__(self, options: Options, where: str) -> None:
        """Makes them.

        Args:
            options: of the cache.
            where: the servers, which tell equal keys of different caches apart.
        """
        self.options = options
        self._where = where

    def wants(self, key: str) -> bool:
        """Whether this key, as the application has it, takes leases."""
        if self.options.write == "plain":
            return False
        return not self.options.only or any(pattern.match(key) for pattern in self.options.only)

    # --- what `get` does

    def read(self, client: Callable[[], Any], seen: Mapping[str, bytes | None], *, leased: bool) -> dict[str, bytes]:
        """The payloads of those that are good; a lease is taken for each of the others.

        Args:
            client: gives one to the server that is written to.
            seen: what stands at each key.
            leased: whether leases are taken at all.
        """
        found = {key: good for key, data in seen.items() if (good := payload(data)) is not None}
        self._told("hit", found)
        left = [key for key in seen if key not in found]
        known: dict[str, _Known] = {}
        if left and leased:
            stamp = snapshots.stamp()
            if stamp is None:
                # In a transaction that sees what others do not.
                known = dict.fromkeys(left, _Known(None))
            else:
                known = self._take(client(), {key: seen[key] for key in left}, stamp, found)
        self._told("miss", [key for key in left if key not in found])
        self._learn(known, found)
        return found

    def _take(
        self, client: Any, seen: dict[str, bytes | None], stamp: int, found: dict[str, bytes]
    ) -> dict[str, _Known]:
        """What may be stored for each; what turns out to be good is put into `found`."""
        token, known = frame.new_token(), dict[str, _Known]()
        absent = [key for key, data in seen.items() if data is None]
        if absent:
            replies = send(client, [commands.ask(key, token, self.options.lease_ms) for key in absent])
            for key, reply in zip(absent, replies, strict=True):
                seen[key] = b"" if is_foreign(reply) else reply
                if reply is None:
                    known[key] = _Known(token, stamp)
                elif (good := payload(seen[key])) is not None and not is_foreign(reply):
                    found[key] = good
                    self._told("hit", [key])
        others: dict[str, frame.Frame] = {}
        for key in seen.keys() - known.keys() - found.keys():
            entry = frame.parse(seen[key])
            if entry is None:
                known[key] = _Known(None)
            elif entry.state == frame.LEASE:
                # Of whoever loads already: it was there before this load, which is all that counts.
                known[key] = _Known(entry.token, stamp)
            else:
                others[key] = entry
        if others:
            self._take_over(client, others, _Known(token, stamp), known, found)
        return known

    def _take_over(
        self,
        client: Any,
        entries: dict[str, frame.Frame],
        won: _Known,
        known: dict[str, _Known],
        found: dict[str, bytes],
    ) -> None:
        """Of holds, stale values, and values that another program wrote and only that reads."""
        assert won.token is not None  # noqa: S101
        takes = [
            commands.take(key, won.token, self.options.lease_ms, refresh=entry.state == frame.VALUE)
            for key, entry in entries.items()
        ]
        for (key, entry), reply in zip(entries.items(), send(client, takes), strict=True):
            word, bar = commands.taken(reply)
            if word == b"W":
                known[key] = won if bar == 0 else _Known(None)
            elif entry.state == frame.STALE and _is_readable(entry):
                # Somebody loads, and who declares `stale` wants this served meanwhile.
                found[key] = entry.payload
                self._told("stale", [key])
            else:
                token = entry.token if word == b"B" and entry.token != frame.NOBODY else None
                known[key] = _Known(token, won.stamp)
                self._told("held", [key] if word == b"H" else [])

    def hit(self, key: str) -> None:
        """What stands there is good."""
        if _known.get():
            self.forget([key])
        self._told("hit", [key])

    # --- what `set` does

    def spend(self, keys: Iterable[str]) -> dict[str, _Known]:
        """What is known of these; it is forgotten with this."""
        mapping = _known.get()
        found = {key: mapping[at] for key in keys if (at := (self._where, key)) in mapping}
        self.forget(found)
        return found

    def store(
        self, client: Any, values: Mapping[str, Any], known: Mapping[str, _Known], timeout_ms: int | None
    ) -> dict[str, bool]:
        """Stores what the leases still allow, in one round trip; says of each whether it was stored."""
        stamp = snapshots.stamp()
        fills = {
            key: commands.fill(
                key, one.token, 0, _FOREVER_MS if timeout_ms is None else timeout_ms, _entry(values[key])
            )
            for key, one in known.items()
            if one.token is not None and stamp is not None and one.stamp == stamp
        }
        stored = dict.fromkeys(known, False)
        if fills:
            replies = send(client, list(fills.values()), once=True)
            stored |= {key: reply == b"K" for key, reply in zip(fills, replies, strict=True)}
        self._told("stored", [key for key, is_stored in stored.items() if is_stored])
        self._told("refused", [key for key, is_stored in stored.items() if not is_stored])
        return stored

    def may_set_blindly(self, client: Any, keys: Iterable[str]) -> bool:
        """Whether what nobody asked for before is stored. Where not, what stands there is removed: it may be older."""
        keys = list(keys)
        self._told("blind", keys)
        if self.options.blind == "allow":
            return True
        client.unlink(*keys)
        return False

    # --- what sees a lease as nothing

    def is_lease(self, client: Any, key: str) -> bool:
        """Whether a lease or a hold stands there."""
        (head,) = send(client, [commands.Command(("GETRANGE", key, 0, 3))])
        return _is_lease(head)

    def add(self, client: Any, key: str, value: Any, timeout_ms: int | None, *, leased: bool) -> bool:
        """Puts a value where nothing stands, or a lease: locks must not fail because somebody loads."""
        if leased:
            self._told("blind", [key])
            if self.options.blind == "refuse":
                return False
        for _ in range(_LOOKS):
            if client.set(key, value, px=timeout_ms, nx=True):
                return True
            entry = frame.parse(client.get(key))
            if entry is None or entry.state not in (frame.LEASE, frame.HOLD):
                return False
            if self._replace(client, key, entry, value, timeout_ms):
                return True
        return False

    def _replace(self, client: Any, key: str, entry: frame.Frame, value: Any, timeout_ms: int | None) -> bool:
        if entry.token != frame.NOBODY:
            ttl = _FOREVER_MS if timeout_ms is None else timeout_ms
            fill = commands.fill(key, entry.token, entry.version, ttl, _bytes(value))
            return send(client, [fill], once=True) == [b"K"]
        with client.pipeline() as pipeline:
            pipeline.watch(key)
            if not _is_lease(pipeline.getrange(key, 0, 3)):
                return False
            pipeline.multi()
            pipeline.set(key, value, px=timeout_ms)
            try:
                pipeline.execute()
            except _watch_error():
                return False
        return True

    def remove(self, client: Any, keys: Iterable[str]) -> int:
        """Removes entries; says how many of them were more than leases."""
        keys = list(keys)
        if not keys:
            return 0
        with client.pipeline() as pipeline:
            for key in keys:
                pipeline.getrange(key, 0, 3)
            pipeline.unlink(*keys)
            *heads, removed = pipeline.execute(raise_on_error=False)
        self.forget(keys)
        if isinstance(removed, Exception):
            raise removed
        return int(removed) - sum(_is_lease(head) for head in heads)

    # --- what is remembered

    def forget(self, keys: Iterable[str]) -> None:
        """What a context knew of these is no longer so."""
        mapping = _known.get()
        gone = {(self._where, key) for key in keys} & mapping.keys() if mapping else None
        if gone:
            _known.set({at: one for at, one in mapping.items() if at not in gone})

    def forget_here(self) -> None:
        """What a context knew of this cache is no longer so."""
        _known.set({at: one for at, one in _known.get().items() if at[0] != self._where})

    def _learn(self, known: Mapping[str, _Known], found: Iterable[str]) -> None:
        mapping = _known.get()
        if not known:
            if mapping:
                self.forget(found)
            return
        gone = {(self._where, key) for key in found}
        new = {at: one for at, one in mapping.items() if at not in gone}
        for key, one in known.items():
            # As the newest.
            new.pop((self._where, key), None)
            new[self._where, key] = one
        for at in list(new)[: max(0, len(new) - KNOWN_MAX)]:
            del new[at]
        _known.set(new)

    def _told(self, event: Event, keys: Iterable[str]) -> None:
        if observers:
            for key in keys:
                observers.tell(self.options.name, event, key)


def payload(data: bytes | None) -> bytes | None:
    """What to decode of what stands at a key: a value in a frame, or one without; `None` for what is to be loaded."""
    if data is None:
        return None
    if data[:8] == _GOOD:
        return data[_HEADER:]
    if data[:3] != frame.MAGIC:
        return data
    return None


def _is_readable(entry: frame.Frame) -> bool:
    return entry.is_plain and entry.form == frame.PRESENT and not entry.tags


def _is_lease(head: Any) -> bool:
    return head in (frame.MAGIC + frame.LEASE, frame.MAGIC + frame.HOLD)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _entry(value: Any) -> bytes:
    """The entry of an encoded value; of an integer the integer, which `incr` must find."""
    data = _bytes(value)
    return data if _INTEGER.fullmatch(data) else frame.value(data)


def _watch_error() -> type[Exception]:
    from redis.exceptions import WatchError

    error: type[Exception] = WatchError
    return error
