"""Keeps what happened in a transaction until it is known whether it counts, and then hands it on in one batch."""

from __future__ import annotations

import dataclasses
import logging
import weakref
from typing import Any

from django.db import connections

from .. import scope
from ..coalesce import coalesced
from . import outbox
from .conf import conf
from .delivery import delivery

logger = logging.getLogger("quash")

_NAME = "_quash_pending"


class Fate:
    """Whether what was done in one transaction, or in one savepoint of it, came true."""

    __slots__ = ("is_committed", "is_lost")

    def __init__(self, *, is_committed: bool = False) -> None:
        self.is_committed = is_committed
        self.is_lost = False


#: Of what is done outside of any transaction.
COMMITTED = Fate(is_committed=True)


class _Hook:
    """What Django is asked to call on commit.

    Django says nothing when it rolls back: it forgets the hook, of a savepoint as of a transaction. Nobody else holds
    the hook, so that its end is the news.
    """

    __slots__ = ("__weakref__", "_pending", "fate", "savepoints")

    def __init__(self, pending: Pending, savepoints: tuple[Any, ...]) -> None:
        self._pending = pending
        self.fate = Fate()
        self.savepoints = savepoints

    def __call__(self) -> None:
        self._pending.commit()

    def __del__(self) -> None:
        if not self.fate.is_committed:
            self.fate.is_lost = True


@dataclasses.dataclass(frozen=True)
class _Entry:
    fate: Fate
    document: dict[str, Any]
    batch: scope.Batch | None


class Pending:
    """What waits for the commit on one connection: that of one thread to one database."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._using: str = connection.alias
        self._deliver = delivery(self._using).deliver
        self._entries: list[_Entry] = []
        self._fates: list[Fate] = []
        self._last: weakref.ref[_Hook] | None = None

    def fate(self) -> Fate:
        """The fate of what is done now."""
        if not self._connection.in_atomic_block:
            return COMMITTED
        savepoints = tuple(self._connection.savepoint_ids)
        last = None if self._last is None else self._last()
        if last is not None and last.savepoints == savepoints and not last.fate.is_committed:
            return last.fate
        hook = _Hook(self, savepoints)
        self._last = weakref.ref(hook)
        # Without those of transactions that were rolled back.
        self._fates = [*(fate for fate in self._fates if not fate.is_lost), hook.fate]
        self._connection.on_commit(hook)
        return hook.fate

    def add(self, documents: scope.Documents) -> None:
        """Takes in what happened now."""
        if scope.is_disabled() or not documents:
            return
        fate = self.fate()
        if scope.capture(documents, fate):
            return
        if conf().via == "outbox":
            outbox.keep(documents, self._using)
            return
        batch = scope.batch()
        # Those of transactions that were rolled back would otherwise wait for the next commit.
        self._entries = [entry for entry in self._entries if not entry.fate.is_lost]
        self._entries += [_Entry(fate, document, batch) for document in documents]
        if fate.is_committed:
            self.commit()

    def commit(self) -> None:
        """Hands on everything that was not rolled back.

        The first hook speaks for all: those of savepoints that were rolled back are gone by now.
        """
        entries, self._entries = [entry for entry in self._entries if not entry.fate.is_lost], []
        self._last = None
        for fate in self._fates:
            fate.is_committed = not fate.is_lost
        self._fates = []
        gathering = [entry for entry in entries if entry.batch is not None and entry.batch.is_open]
        for entry in gathering:
            if entry.batch is not None:
                entry.batch.add([entry.document], self._deliver)
        documents = [entry.document for entry in entries if entry.batch is None]
        # Of a block that ended before the transaction did.
        documents += coalesced(entry.document for entry in entries if entry.batch and not entry.batch.is_open)
        if documents:
            self._deliver(documents)


def pending(using: str) -> Pending:
    """What waits on this thread's connection to a database."""
    connection = connections[using]
    waiting = getattr(connection, _NAME, None)
    if not isinstance(waiting, Pending):
        waiting = Pending(connection)
        setattr(connection, _NAME, waiting)
    return waiting
