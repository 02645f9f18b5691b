"""Knows whether what is loaded from the database now may be stored in a cache.

In a transaction that has written, a load sees what is not committed and may be rolled back. At REPEATABLE READ or above
it sees what was there when the transaction began, however old that is by now.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created

#: Statements that change no row; whatever else there is counts as a write. A function of the database that writes is
#: called by `SELECT`, which cannot be seen from here.
_READS = re.compile(
    r"\s*(?:/\*.*?\*/\s*)*\(*\s*(?:SELECT|VALUES|TABLE|SHOW|SET(?!.*\bISOLATION\b)|EXPLAIN(?!.*\bANALY)|DECLARE|FETCH|MOVE|"
    r"CLOSE|SAVEPOINT|RELEASE|ROLLBACK|BEGIN|START|COMMIT|PRAGMA|DESC|DESCRIBE|USE|LISTEN|UNLISTEN|NOTIFY)\b",
    re.IGNORECASE | re.DOTALL,
)
_ROLLBACK_TO = re.compile(r"\s*ROLLBACK\s+TO\b", re.IGNORECASE)
_COMMITTED = frozenset({"read committed", "read uncommitted"})
_NAME = "_quash_snapshots"


class _Written(list[Any]):
    """The hooks on commit of a transaction that has written.

    Django makes another list whenever a transaction ends, and it is a plain one. Nothing is kept here: whoever put a
    hook on the list may wait for its end.
    """


class _State:
    """What happened on one connection of one thread."""

    __slots__ = ("default_level", "moving", "writes")

    def __init__(self) -> None:
        #: Writes in transactions so far.
        self.writes = 0
        #: The outermost block of a transaction that has written, while a savepoint of it is rolled back. That ends no
        #: transaction, and Django makes another list of hooks all the same.
        self.moving: weakref.ref[Any] | None = None
        #: Of the server, by its connection.
        self.default_level: tuple[Any, str] | None = None

    def has_written(self, connection: Any) -> bool:
        """Whether the present transaction has."""
        block, self.moving = None if self.moving is None else self.moving(), None
        if block is not None and block is _outermost(connection):
            connection.run_on_commit = _Written(connection.run_on_commit)
        return isinstance(connection.run_on_commit, _Written)

    def wrote(self, connection: Any) -> None:
        self.writes += 1
        self.moving = None
        if not isinstance(connection.run_on_commit, _Written):
            connection.run_on_commit = _Written(connection.run_on_commit)

    def rolls_back(self, connection: Any) -> None:
        """A savepoint goes; the list of hooks is replaced after this."""
        if self.has_written(connection):
            self.moving = weakref.ref(_outermost(connection))


def _outermost(connection: Any) -> Any:
    return connection.atomic_blocks[0] if connection.atomic_blocks else None


def stamp() -> int | None:
    """How often this thread has written in transactions so far; `None` while nothing may be stored.

    What is loaded between two equal stamps saw only what was committed, and not less than what was when it began.
    """
    writes = 0
    for connection in connections.all(initialized_only=True):
        state = _watched(connection)
        if connection.in_atomic_block:
            if state.has_written(connection) or _is_frozen(connection, state):
                return None
        elif connection.connection is not None and not connection.autocommit:
            # Transactions by hand: nobody tells when they begin and end.
            return None
        writes += state.writes
    return writes


def _watched(connection: Any) -> _State:
    """What is known of a connection; from now on its statements are looked at."""
    state = connection.__dict__.get(_NAME)
    if not isinstance(state, _State):
        state = _State()
        setattr(connection, _NAME, state)
        # In front: `connection.execute_wrapper` takes the last one away again.
        connection.execute_wrappers.insert(0, _look)
        if connection.in_atomic_block:
            # It may have written before anybody looked.
            state.wrote(connection)
    return state


def _look(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Around every statement."""
    connection = context["connection"]
    if connection.in_atomic_block:
        state: _State = getattr(connection, _NAME)
        if not isinstance(sql, str) or not _READS.match(sql):
            state.wrote(connection)
        elif _ROLLBACK_TO.match(sql):
            state.rolls_back(connection)
    return execute(sql, params, many, context)


def _is_frozen(connection: Any, state: _State) -> bool:
    """Whether its transactions see the database as it was at their first statement."""
    if connection.vendor == "oracle":
        return False
    if connection.vendor == "postgresql":
        return _postgres_level(connection, state) not in _COMMITTED
    if connection.vendor == "mysql":
        return str(connection.isolation_level or "").lower() not in _COMMITTED
    # SQLite, and what is not known.
    return True


def _postgres_level(connection: Any, state: _State) -> str:
    if "isolation_level" in connection.settings_dict.get("OPTIONS", {}):
        level = connection.isolation_level
        return str(getattr(level, "name", level)).lower().replace("_", " ")
    if state.default_level is None or state.default_level[0] is not connection.connection:
        # Past Django, whose tests and logs count queries.
        cursor = connection.connection.cursor()
        try:
            cursor.execute("SHOW default_transaction_isolation")
            state.default_level = (connection.connection, str(cursor.fetchone()[0]))
        except connection.Database.Error:
            return "unknown"
        finally:
            cursor.close()
    return state.default_level[1]


def _on_connection(connection: Any, **_: Any) -> None:
    _watched(connection)


connection_created.connect(_on_connection, dispatch_uid="quash.django.snapshots")
