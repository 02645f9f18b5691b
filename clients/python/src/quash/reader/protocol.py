"""Decides how entries are read: what is asked, who loads, what is stored. Does nothing itself; `driver` does it.

Each method is a generator that yields an effect and is sent its outcome, so that blocking and asyncio share one text.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from . import commands, frame, packing, transactions
from .codec import Codec
from .commands import Command
from .config import Declared
from .effects import Behind, Call, Entry, Run, Sleep, Steps, Wishes
from .frame import Frame
from .link import Unavailable, is_foreign
from .loaded import Load, Loaded, loaded
from .observer import Event, Observers, logger
from .packing import Packing

#: How long to wait for somebody else's load before looking again, in seconds; the last one repeats.
PAUSES = (0.005, 0.010, 0.020, 0.040)
#: A load that is too old is done this often, each time with what it must reach.
LOADS_MAX = 3
#: How much longer than their entry chunks live, in milliseconds.
CHUNKS_STAY = 60_000
#: Looks at a key whose lease was taken between two looks, once there is no time left to wait.
SPARE_LOOKS = 3


class _Hit(NamedTuple):
    value: Any


class _Ticket(NamedTuple):
    """What a load needs to be stored."""

    #: `None`: what is loaded is not stored.
    token: bytes | None = None
    #: Whether nobody else has seen the token yet; another's is not given back.
    is_own: bool = False
    #: Tokens of the tags, taken before the load.
    tags: tuple[int, ...] = ()
    #: What a fill must reach.
    bar: int = 0
    #: Of the transactions, taken before the lease.
    stamp: int | None = None
    #: What may be served meanwhile.
    stale: _Hit | None = None


class _Busy(NamedTuple):
    """Somebody else loads."""

    token: bytes
    tags: tuple[int, ...]


class _Look(NamedTuple):
    """What was seen of an entry, and the tokens of its tags as they are now; one that is no number is `None`."""

    entry: Entry
    data: bytes | None
    frame: Frame | None
    tags: tuple[int | None, ...]


_Found = _Hit | _Ticket | _Busy
_NOT_STORED = _Ticket()


class Protocol:
    """How the entries of one cache are read."""

    def __init__(self, cache: Declared, codec: Codec, observers: Observers, how: Packing) -> None:
        self.cache = cache
        self._packing = how
        self._codec = codec
        self._observers = observers
        self._warned = False

    def get_or_load(self, entry: Entry, wishes: Wishes) -> Steps[Any]:
        """The value of an entry: what stands there if that is good, else what the loader returns."""
        try:
            (reply,) = yield Run([commands.get(entry.key, entry.tags)])
            look = _look(entry, reply if entry.tags else [reply])
            if look.frame is not None and look.frame.form == frame.CHUNKS:
                (look,) = yield from self._whole([look])
        except Unavailable:
            self._tell("redis_failed", entry)
            return (yield from self._load([(entry, _NOT_STORED)]))[0]
        hit = self._hit(look, wishes)
        if hit is not None:
            if self._is_soft(look):
                yield Behind(self._refresh(look), entry, may_skip=True)
            return hit.value
        if look.data is None and not entry.tags and not wishes.force:
            return (yield from self._missed(look, wishes))
        return (yield from self._rounds([entry], wishes, [look]))[0]

    def _missed(self, look: _Look, wishes: Wishes) -> Steps[Any]:
        """The value of an entry that was not there, without what reading several at once takes."""
        entry, ticket = look.entry, _NOT_STORED
        # Before any token: what is loaded must not be older than it.
        stamp = transactions.stamp()
        if stamp is not None:
            token = frame.new_token()
            try:
                (reply,) = yield Run([commands.ask(entry.key, token, self.cache.lease)])
            except Unavailable:
                self._tell("redis_failed", entry)
                return (yield from self._load([(entry, ticket)]))[0]
            if reply is not None and not _is_own(reply, token):
                # Somebody was here in between.
                return (yield from self._rounds([entry], wishes))[0]
            ticket = _Ticket(token, is_own=True, stamp=stamp)
        self._tell("miss", entry)
        return (yield from self._load([(entry, ticket)]))[0]

    def many(self, entries: Sequence[Entry], wishes: Wishes) -> Steps[list[Any]]:
        """The values of several entries, in their order: one look at all, one load of what is missing, one fill.

        What others load already is waited for last.
        """
        distinct = list(dict.fromkeys(entries))
        values = dict(zip(distinct, (yield from self._rounds(distinct, wishes)), strict=True))
        return [values[entry] for entry in entries]

    def remove(self, entries: Iterable[Entry]) -> Steps[None]:
        """Removes entries, and voids every load of them that is under way.

        Raises:
            Unavailable: Redis failed, and they may stand there still.
        """
        entries = list(entries)
        if entries:
            yield Run([commands.remove(entry.key) for entry in entries])
        for entry in entries:
            self._tell("removed", entry)

    def _rounds(self, entries: list[Entry], wishes: Wishes, looks: list[_Look] | None = None) -> Steps[list[Any]]:
        """Looks, loads what nobody else loads, waits for the rest, and looks again."""
        wait_ms = 0 if wishes.force else self.cache.wait if wishes.wait is None else wishes.wait
        give_up = time.monotonic() + wait_ms / 1000
        pauses, spare = _pauses(), SPARE_LOOKS
        values: dict[Entry, Any] = {}
        left = entries
        while left:
            found = yield from self._find(left, wishes, looks)
            looks = None
            is_late = time.monotonic() >= give_up
            if is_late:
                spare -= 1
                found = {entry: self._shared(entry, one, spare) for entry, one in found.items()}
            yield from self._settle(found, wishes, values)
            left = [entry for entry, one in found.items() if isinstance(one, _Busy)]
            if left and not is_late:
                for entry in left:
                    self._tell("waited", entry)
                yield Sleep(next(pauses))
        return [values[entry] for entry in entries]

    def _settle(self, found: dict[Entry, _Found], wishes: Wishes, values: dict[Entry, Any]) -> Steps[None]:
        """Puts the values of all that need not wait into `values`."""
        to_load: list[tuple[Entry, _Ticket]] = []
        for entry, one in found.items():
            if isinstance(one, _Hit):
                values[entry] = one.value
            elif isinstance(one, _Ticket):
                if one.stale is None:
                    to_load.append((entry, one))
                else:
                    values[entry] = one.stale.value
                    yield Behind(self._load_behind(entry, one), entry)
        if to_load:
            for (entry, _), value in zip(to_load, (yield from self._load(to_load)), strict=True):
                values[entry] = value

    def _shared(self, entry: Entry, found: _Found, spare: int) -> _Found:
        """What becomes of it when there is no time left: a load under the token that was seen before it."""
        if not isinstance(found, _Busy):
            return found
        if found.token != frame.NOBODY:
            self._tell("shared", entry)
            self._tell("miss", entry)
            return _Ticket(found.token, tags=found.tags, stamp=transactions.stamp())
        if spare > 0:
            return found
        self._tell("miss", entry)
        return _NOT_STORED

    def _find(self, entries: list[Entry], wishes: Wishes, looks: list[_Look] | None) -> Steps[dict[Entry, _Found]]:
        """What stands there, or the right to put something there."""
        # Before any token: what is loaded must not be older than it.
        stamp = transactions.stamp()
        try:
            if looks is None:
                looks = yield from self._look(entries)
            found: dict[Entry, _Found] = {}
            for look in looks:
                known = self._known(look, wishes, may_store=stamp is not None)
                if known is not None:
                    found[look.entry] = known
            rest = yield from self._tagged([look for look in looks if look.entry not in found])
            for look in rest:
                if None in look.tags:
                    # Something else stands where a tag should: it could not make stale what is stored here.
                    self._tell("miss", look.entry)
                    found[look.entry] = _NOT_STORED
            rest = [look for look in rest if look.entry not in found]
            if rest:
                found |= yield from self._lease(rest, wishes, stamp)
            return {entry: found[entry] for entry in entries}
        except Unavailable:
            for entry in entries:
                self._tell("redis_failed", entry)
            return dict.fromkeys(entries, _NOT_STORED)

    def _look(self, entries: list[Entry]) -> Steps[list[_Look]]:
        """One look at all of them and their tags."""
        tags = list(dict.fromkeys(tag for entry in entries for tag in entry.tags))
        (replies,) = yield Run([commands.get_many([*(entry.key for entry in entries), *tags])])
        tokens = dict(zip(tags, replies[len(entries) :], strict=True))
        pairs = zip(entries, replies, strict=False)
        looks = [_look(entry, [reply, *(tokens[tag] for tag in entry.tags)]) for entry, reply in pairs]
        return (yield from self._whole(looks))

    def _whole(self, looks: list[_Look]) -> Steps[list[_Look]]:
        """The same with whole payloads where they are in chunks; one whose chunks are not all there stays as it is."""
        listed = {
            look.entry: (look.frame, keys)
            for look in looks
            if look.frame is not None
            and look.frame.form == frame.CHUNKS
            and (keys := packing.chunk_keys(look.entry.key, look.frame))
        }
        if not listed:
            return looks
        replies = yield Run([commands.get_many(keys) for _, keys in listed.values()])
        wholes = {
            entry: packing.joined(seen, list(parts))
            for (entry, (seen, _)), parts in zip(listed.items(), replies, strict=True)
        }
        return [look._replace(frame=wholes.get(look.entry) or look.frame) for look in looks]

    def _known(self, look: _Look, wishes: Wishes, *, may_store: bool) -> _Found | None:
        """What needs no lease: a hit, a load of somebody else, or what is loaded and not stored."""
        hit = self._hit(look, wishes)
        if hit is not None:
            return hit
        if look.data is not None and look.frame is None:
            self._tell("miss", look.entry)
            self._tell("foreign", look.entry)
            return _NOT_STORED
        if not may_store:
            self._tell("miss", look.entry)
            return _NOT_STORED
        return None

    def _tagged(self, looks: list[_Look]) -> Steps[list[_Look]]:
        """The same with tokens for tags that had none: before the load, always."""
        absent = list(
            dict.fromkeys(t for look in looks for t, n in zip(look.entry.tags, look.tags, strict=True) if n is None)
        )
        if not absent:
            return looks
        new = {tag: frame.new_tag() for tag in absent}
        replies = yield Run([commands.make_tag(tag, token) for tag, token in new.items()])
        made = {
            tag: token if reply is None else None if is_foreign(reply) else frame.tag(reply)
            for (tag, token), reply in zip(new.items(), replies, strict=True)
        }
        return [
            look._replace(
                tags=tuple(made[t] if n is None else n for t, n in zip(look.entry.tags, look.tags, strict=True))
            )
            for look in looks
        ]

    def _lease(self, looks: list[_Look], wishes: Wishes, stamp: int | None) -> Steps[dict[Entry, _Found]]:
        """Asks for the leases of all of them."""
        token = frame.new_token()
        found: dict[Entry, _Found] = {}
        asked = [look for look in looks if look.frame is None]
        if asked:
            replies = yield Run([commands.ask(look.entry.key, token, self.cache.lease) for look in asked])
            looks = [look for look in looks if look.frame is not None]
            for look, reply in zip(asked, replies, strict=True):
                one = self._asked(look, reply, token, wishes, stamp)
                if isinstance(one, _Look):
                    looks.append(one)
                else:
                    found[look.entry] = one
        held = [look for look in looks if look.frame is not None and look.frame.state == frame.LEASE]
        found |= {look.entry: _Busy(_token(look), _tokens(look)) for look in held}
        taken = [look for look in looks if look.entry not in found]
        if taken:
            replies = yield Run([self._take(look, token) for look in taken])
            for look, reply in zip(taken, replies, strict=True):
                found[look.entry] = self._taken(look, reply, token, wishes, stamp)
        return found

    def _asked(self, look: _Look, reply: Any, token: bytes, wishes: Wishes, stamp: int | None) -> _Found | _Look:
        """What the answer to `ask` means; another look where that is to be taken."""
        if reply is None:
            return self._won(look, token, 0, stamp)
        now = look._replace(data=b"" if is_foreign(reply) else reply)
        now = now._replace(frame=frame.parse(now.data))
        if now.frame is None:
            return self._known(now, wishes, may_store=True) or _NOT_STORED
        if now.frame.state == frame.LEASE and now.frame.token == token:
            return self._won(look, token, 0, stamp)
        return self._hit(now, wishes) or now

    def _take(self, look: _Look, token: bytes) -> Command:
        is_value = look.frame is not None and look.frame.state == frame.VALUE
        return commands.take(look.entry.key, token, self.cache.lease, refresh=is_value)

    def _taken(self, look: _Look, reply: Any, token: bytes, wishes: Wishes, stamp: int | None) -> _Found:
        """What the answer to `take` means."""
        word, bar = commands.taken(reply)
        stale = self._stale(look, wishes)
        if word == b"W":
            if stale is not None:
                self._tell("stale", look.entry)
            elif look.frame is not None and look.frame.state == frame.VALUE and not wishes.force:
                self._tell("old_tags" if look.frame.tags != look.tags else "undecodable", look.entry)
            return self._won(look, token, bar, stamp)._replace(stale=stale)
        if stale is not None:
            self._tell("stale", look.entry)
            return stale
        if word in (b"H", b"F"):
            self._tell("miss", look.entry)
            self._tell("held" if word == b"H" else "foreign", look.entry)
            return _NOT_STORED
        # Somebody loads, or just did: a value is read by the next look.
        return _Busy(_token(look), _tokens(look))

    def _won(self, look: _Look, token: bytes, bar: int, stamp: int | None) -> _Ticket:
        self._tell("miss", look.entry)
        return _Ticket(token, is_own=True, tags=_tokens(look), bar=bar, stamp=stamp)

    def _hit(self, look: _Look, wishes: Wishes) -> _Hit | None:
        if wishes.force or look.data is None:
            return None
        seen = look.frame
        if seen is None:
            hit = self._decoded(look.data) if self.cache.accept_foreign else None
        else:
            is_good = seen.state == frame.VALUE and seen.tags == look.tags
            hit = self._unpacked(seen) if is_good else None
        if hit is not None:
            self._tell("hit", look.entry)
        return hit

    def _stale(self, look: _Look, wishes: Wishes) -> _Hit | None:
        """What may be served while somebody loads. What a tag made stale may not: nobody bounds its age."""
        seen = look.frame
        if not wishes.stale_ok or wishes.force or seen is None or seen.state != frame.STALE or seen.tags != look.tags:
            return None
        return self._unpacked(seen)

    def _unpacked(self, seen: Frame) -> _Hit | None:
        if seen.form == frame.ABSENT and seen.encryption == b"-":
            return _Hit(None)
        payload = packing.unpacked(seen)
        return None if payload is None else self._decoded(payload)

    def _decoded(self, payload: bytes) -> _Hit | None:
        try:
            return _Hit(self._codec.loads(payload))
        except Exception:  # noqa: BLE001 - a codec raises what it likes
            # Of another codec, or another version of the application: a miss, which is told where it is known for sure.
            return None

    def _is_soft(self, look: _Look) -> bool:
        """Whether it is time to load it anew, before it ends."""
        return look.frame is not None and 0 < look.frame.fresh_until <= time.time() * 1000

    def _refresh(self, look: _Look) -> Steps[None]:
        stamp = transactions.stamp()
        if stamp is None:
            return
        token = frame.new_token()
        (reply,) = yield Run([self._take(look, token)])
        word, bar = commands.taken(reply)
        if word == b"W":
            tags = _tokens(look)
            yield from self._load([(look.entry, _Ticket(token, is_own=True, tags=tags, bar=bar, stamp=stamp))])

    def _load_behind(self, entry: Entry, ticket: _Ticket) -> Steps[None]:
        # Where it runs there may be other transactions, or none.
        yield from self._load([(entry, ticket._replace(stamp=transactions.stamp(), stale=None))])

    def _load(self, tickets: list[tuple[Entry, _Ticket]]) -> Steps[list[Any]]:
        """Loads all of them, and stores what may be. Always what was loaded is returned, stored or not."""
        results: dict[Entry, Any] = {}
        left = tickets
        for attempt in range(1, LOADS_MAX + 1):
            began = time.monotonic()
            loads = [Load(entry.key, ticket.bar, attempt) for entry, ticket in left]
            try:
                answers = yield Call(loads, [entry for entry, _ in left])
                answers = [loaded(answer) for answer in answers]
                results |= {entry: answer.value for (entry, _), answer in zip(left, answers, strict=True)}
                chunks: list[Command] = []
                fills = [
                    (entry, ticket, command)
                    for (entry, ticket), answer in zip(left, answers, strict=True)
                    if (command := self._fill(entry, ticket, answer, chunks)) is not None
                ]
            except GeneratorExit:
                # Nobody is there any more to send anything.
                raise
            except BaseException:
                for entry, _ in left:
                    self._tell("load_failed", entry)
                yield from self._drop(left)
                raise
            unsaid = {entry for entry, *_ in fills}
            yield from self._drop([(entry, ticket) for entry, ticket in left if entry not in unsaid])
            left = yield from self._store(fills, chunks, (time.monotonic() - began) * 1000)
            if not left:
                break
        yield from self._drop(left)
        return [results[entry] for entry, _ in tickets]

    def _fill(self, entry: Entry, ticket: _Ticket, answer: Loaded, chunks: list[Command]) -> Command | None:
        """What stores it, and into `chunks` what stores those before; `None` where it is not stored."""
        if ticket.token is None:
            return None
        if transactions.stamp() != ticket.stamp:
            # What was loaded may be what a transaction wrote that is not committed, or was rolled back.
            self._tell("refused", entry)
            return None
        cache, is_absent = self.cache, answer.value is None
        ttl = answer.ttl if answer.ttl is not None else (is_absent and cache.negative_ttl) or cache.ttl
        if ttl <= 0:
            return None
        soft = round(time.time() * 1000) + cache.soft_ttl if cache.soft_ttl and not is_absent else 0
        codec, form, payload = b"0", frame.ABSENT, b""
        if not is_absent:
            codec, form, payload, parts = packing.pack(self._codec.dumps(answer.value), self._packing)
            chunks += [commands.put(f"{entry.key}{name}", part, ttl + CHUNKS_STAY) for name, part in parts.items()]
        data = frame.value(payload, codec=codec, form=form, version=answer.version, fresh_until=soft, tags=ticket.tags)
        return commands.fill(entry.key, ticket.token, answer.version, ttl, data)

    def _store(
        self, fills: list[tuple[Entry, _Ticket, Command]], chunks: list[Command], took_ms: float
    ) -> Steps[list[tuple[Entry, _Ticket]]]:
        """Stores them in one round trip; returns those that were too old, with what they must reach."""
        if not fills:
            return []
        if took_ms > self.cache.lease / 2:
            self._warn(took_ms)
        try:
            if chunks:
                yield Run(chunks)
            replies = yield Run([command for *_, command in fills], once=True)
        except Unavailable:
            for entry, *_ in fills:
                self._tell("redis_failed", entry)
            return []
        too_old = []
        for (entry, ticket, _), reply in zip(fills, replies, strict=True):
            word, bar = commands.filled(reply)
            self._tell("stored" if word == b"K" else "refused", entry)
            if word == b"O":
                self._tell("too_old", entry)
                too_old.append((entry, ticket._replace(bar=bar)))
            elif word == b"L" and took_ms > self.cache.lease:
                self._tell("slow", entry)
        return too_old

    def _drop(self, tickets: list[tuple[Entry, _Ticket]]) -> Steps[None]:
        """Gives back leases that nobody else has."""
        own = [commands.drop(entry.key, ticket.token) for entry, ticket in tickets if ticket.is_own and ticket.token]
        if not own:
            return
        try:
            yield Run(own)
        except Unavailable:
            # It ends by itself; until then others share its token.
            return

    def _warn(self, took_ms: float) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "cache %s: a load took %.0f ms, and one of more than %d ms is not stored; declare a longer lease",
                self.cache.name,
                took_ms,
                self.cache.lease,
            )

    def _tell(self, event: Event, entry: Entry) -> None:
        self._observers.tell(self.cache.name, event, entry.key)


def _look(entry: Entry, replies: Sequence[Any]) -> _Look:
    data, *tags = replies
    if is_foreign(data):
        # No text at all; read as one that is no entry either.
        data = b""
    return _Look(entry, data, frame.parse(data), tuple(map(frame.tag, tags)))


def _is_own(reply: Any, token: bytes) -> bool:
    """Whether what stood there is this very lease: redis-py asked twice."""
    return isinstance(reply, bytes) and reply == frame.lease(token)


def _token(look: _Look) -> bytes:
    return frame.NOBODY if look.frame is None else look.frame.token


def _tokens(look: _Look) -> tuple[int, ...]:
    return tuple(token for token in look.tags if token is not None)


def _pauses() -> Iterator[float]:
    """Pauses with jitter, so that those who wait do not all look at once."""
    for pause in PAUSES:
        yield pause * random.uniform(0.5, 1.5)  # noqa: S311
    while True:
        yield PAUSES[-1] * random.uniform(0.5, 1.5)  # noqa: S311
