"""Keeps what happened in a transaction until it is known whether it counts, and then hands it on in one batch."""

from __future__ import annotations

import dataclasses
import logging
import weakref
from collections.abc import Iterable
from typing import Any

from django.db import connections

from .. import scope
from ..coalesce import coalesced
from ..errors import QuashError
from . import outbox
from .conf import conf
from .delivery import delivery
from .tenants import of_tenant

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

    __slots__ = ("__weakref__", "fate", "pending", "savepoints")

    def __init__(self, pending: Pending, savepoints: tuple[Any, ...]) -> None:
        self.pending = pending
        self.fate = Fate()
        self.savepoints = savepoints

    def __call__(self) -> None:
        if not self.fate.is_committed:
            # Not by the end of a transaction, but by a test that never commits.
            self.pending.committed()
        self.pending.commit()

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
        self._run_hooks = connection.run_and_clear_commit_hooks
        connection.run_and_clear_commit_hooks = self._on_commit

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
        documents = of_tenant(documents, self._using)
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

    def committed(self, hooks: Iterable[_Hook] | None = None) -> None:
        """What waits was committed: of these hooks, or all that was not rolled back."""
        fates = self._fates if hooks is None else [hook.fate for hook in hooks]
        for fate in fates:
            fate.is_committed = not fate.is_lost
        for fate in self._fates:
            fate.is_lost = not fate.is_committed
        self._fates = []
        self._last = None

    def commit(self) -> None:
        """Hands on everything that was committed.

        The first hook speaks for all: those of savepoints that were rolled back are gone by now.
        """
        entries = [entry for entry in self._entries if entry.fate.is_committed]
        self._entries = [entry for entry in self._entries if not entry.fate.is_committed and not entry.fate.is_lost]
        gathering = [entry for entry in entries if entry.batch is not None and entry.batch.is_open]
        for entry in gathering:
            if entry.batch is not None:
                entry.batch.add([entry.document], self._deliver)
        documents = [entry.document for entry in entries if entry.batch is None]
        # Of a block that ended before the transaction did.
        documents += coalesced(entry.document for entry in entries if entry.batch and not entry.batch.is_open)
        if documents:
            self._deliver(documents)

    def _on_commit(self) -> None:
        """Runs in place of the connection's own `run_and_clear_commit_hooks`.

        A hook that fails takes all that stand behind it along, and Django says nothing of that either.
        """
        hooks = [func for _, func, *_ in self._connection.run_on_commit if isinstance(func, _Hook)]
        self.committed([hook for hook in hooks if hook.pending is self])
        try:
            self._run_hooks()
        except BaseException:
            # Of somebody else, and the one that is to be heard.
            try:
                self.commit()
            except QuashError as error:
                logger.error("another failure on commit hides this one: %s", error)
            raise


def pending(using: str) -> Pending:
    """What waits on this thread's connection to a database."""
    connection = connections[using]
    waiting = getattr(connection, _NAME, None)
    if not isinstance(waiting, Pending):
        waiting = Pending(connection)
        setattr(connection, _NAME, waiting)
    return waiting
