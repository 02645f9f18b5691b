"""Remembers on each instance what the database held when it was loaded or saved, through rollbacks as well."""

from __future__ import annotations

import contextlib
import copy
import datetime
import decimal
import enum
import uuid
from collections.abc import Iterable
from typing import Any

from django.db.models.fields.files import FieldFile

from .pending import Fate

_NAME = "_quash_memory"
#: What nobody can change in place. Everything else is copied.
_FIXED = (
    *(type(None), bool, int, float, str, bytes),
    *(decimal.Decimal, datetime.date, datetime.time, datetime.timedelta, uuid.UUID, enum.Enum),
)
_FIXED_TYPES = frozenset((*_FIXED, datetime.datetime))

Values = dict[str, Any]


class Memory:
    """The values of one instance's columns in the database; a column that is absent was not loaded."""

    __slots__ = ("_past", "_values", "before")

    def __init__(self, values: Values) -> None:
        self._values = values
        #: What it was before each save that may yet be rolled back.
        self._past: list[tuple[Values, Fate]] = []
        #: The values before the save that is going on; `None` is unknown.
        self.before: Values | None = None

    def values(self) -> Values:
        """What the database holds now, as far as it was seen."""
        while self._past and self._past[-1][1].is_lost:
            self._values = self._past.pop()[0]
        # What is committed cannot be lost any more. The outermost ends last, and with it all.
        if self._past and self._past[0][1].is_committed:
            self._past.clear()
        return self._values

    def saved(self, values: Values, fate: Fate) -> None:
        """The row was written; it is not before the fate says so that the old values are gone for good."""
        old = self.values()
        if not fate.is_committed and not (self._past and self._past[-1][1] is fate):
            self._past.append((old, fate))
        self._values = values

    def loaded(self, values: Values) -> None:
        """Some columns were read again."""
        self._values = {**self.values(), **values}

    def __reduce__(self) -> tuple[Any, ...]:
        # Forgotten: an instance that comes out of a cache or a queue says nothing of what the database holds by then.
        # It would also double what is cached, and bind whoever reads it to this package.
        return type(None), ()

    def __deepcopy__(self, _memo: dict[int, Any]) -> Memory:
        return Memory(self.values())


def of(instance: Any) -> Memory | None:
    """What is remembered of an instance."""
    memory = instance.__dict__.get(_NAME)
    return memory if isinstance(memory, Memory) else None


def begin(instance: Any, names: Iterable[str]) -> Memory:
    """Remembers the instance as it is."""
    memory = Memory(at_hand(instance, names, is_read=True))
    instance.__dict__[_NAME] = memory
    return memory


def forget(instance: Any) -> None:
    """Knows nothing of the instance any more."""
    instance.__dict__.pop(_NAME, None)


def rewritten(before: Values, written: Iterable[str], values: Values) -> Values:
    """The row once these columns were written. One of them that has no value here is unknown."""
    return {name: value for name, value in before.items() if name not in written} | values


def at_hand(instance: Any, names: Iterable[str], *, is_read: bool = False) -> Values:
    """The values of those columns that are loaded: just read, or just written.

    Those that could be changed in place are copied.
    """
    own = instance.__dict__
    kept: Values = {}
    for name in names:
        if name not in own:
            continue
        value = own[name]
        if type(value) in _FIXED_TYPES:
            kept[name] = value
            continue
        # What cannot be copied, or not even be looked at, is unknown.
        with contextlib.suppress(Exception):
            kept[name] = _copied(value, instance, is_read)
    return kept


def _copied(value: Any, instance: Any, is_read: bool) -> Any:
    if isinstance(value, _FIXED) or hasattr(value, "resolve_expression"):
        return value
    if isinstance(value, FieldFile):
        # What stands in the row, where no file is written as an empty text. The object itself knows the instance, and
        # is another file later.
        return value.name if is_read else str(value)
    if isinstance(value, memoryview):
        return bytes(value)
    # What leads back to the instance is no part of the value.
    return copy.deepcopy(value, {id(instance): instance})
