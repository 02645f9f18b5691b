"""Defines the event, and spells it as the native JSON that a worker reads."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from . import values
from .errors import EventError
from .ids import new_id
from .message import HEADERS
from .values import Json, row

Op = Literal["create", "update", "delete", "truncate", "add", "remove", "clear"]

#: A row's columns. A column that is absent is unknown, which is not the same as `None`.
Row = Mapping[str, object]

ROW_OPS = frozenset({"create", "update", "delete", "truncate"})
RELATION_OPS = frozenset({"add", "remove", "clear"})


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """One change of one row or of one relation.

    Publish whole rows, or at least the columns that rules name, in both images: a book that moves from one author to
    another must drop both authors' pages.
    """

    #: What changed, as `app.Model` or `schema.table`; rules compare it as it is.
    entity: str
    op: Op
    #: The primary key, by column.
    key: Row | None = None
    #: The row before the change; a create has none.
    before: Row | None = None
    #: The row after the change; a delete has none.
    after: Row | None = None
    #: The columns that changed. A column that it does not name is then known to be as before.
    changed: Iterable[str] | None = None
    #: What columns are in the application, as `{"price": "decimal"}`; those of Python's own types are known.
    types: Mapping[str, str] | None = None
    #: For add, remove and clear: the relation's name on the entity, the row that owns it, the rows at the other end.
    relation: str | None = None
    from_: Row | None = None
    to: Row | Sequence[Row] | None = None
    #: Repeats of an identifier mean the same change.
    id: str = dataclasses.field(default_factory=new_id)
    #: Who published it, as `django:shop`.
    source: str | None = None
    #: The process that caused the change.
    origin: str | None = None
    #: When it was committed.
    time: datetime.datetime | None = dataclasses.field(default_factory=_now)
    #: W3C trace context; that of the current OpenTelemetry span when it is left out.
    traceparent: str | None = None
    #: What travels beside the event, for rules that read `event.headers`.
    headers: Mapping[str, str] | None = None

    @classmethod
    def create(cls, entity: str, *, after: Row, **more: Any) -> Event:
        """A row is there that was not there before; `more` are the other fields."""
        return cls(entity=entity, op="create", after=after, **more)

    @classmethod
    def update(
        cls, entity: str, *, key: Row | None = None, before: Row | None = None, after: Row | None = None, **more: Any
    ) -> Event:
        """A row changed. Needs `after` or `key`; without `before` what depended on the old values is widened."""
        return cls(entity=entity, op="update", key=key, before=before, after=after, **more)

    @classmethod
    def delete(cls, entity: str, *, key: Row | None = None, before: Row | None = None, **more: Any) -> Event:
        """A row is gone. Needs `before` or `key`."""
        return cls(entity=entity, op="delete", key=key, before=before, **more)

    @classmethod
    def truncate(cls, entity: str, **more: Any) -> Event:
        """All rows are gone."""
        return cls(entity=entity, op="truncate", **more)

    @classmethod
    def add(cls, entity: str, relation: str, *, from_: Row, to: Row | Sequence[Row], **more: Any) -> Event:
        """Rows were added to a relation of an entity."""
        return cls(entity=entity, op="add", relation=relation, from_=from_, to=to, **more)

    @classmethod
    def remove(cls, entity: str, relation: str, *, from_: Row, to: Row | Sequence[Row], **more: Any) -> Event:
        """Rows were taken out of a relation of an entity."""
        return cls(entity=entity, op="remove", relation=relation, from_=from_, to=to, **more)

    @classmethod
    def clear(
        cls, entity: str, relation: str, *, from_: Row, to: Row | Sequence[Row] | None = None, **more: Any
    ) -> Event:
        """A relation of an entity was emptied."""
        return cls(entity=entity, op="clear", relation=relation, from_=from_, to=to, **more)

    def document(self) -> dict[str, Any]:
        """The event as native JSON, checked as a worker checks it.

        Raises:
            EventError: for an event that a worker would refuse, or a value that has no exact text.
        """
        self._check()
        fields: dict[str, Any] = {"id": self.id, "source": self.source, "entity": self.entity, "op": self.op}
        fields["key"] = _row("key", self.key)
        if self.op in RELATION_OPS:
            fields |= {"relation": self.relation, "from": _row("from", self.from_), "to": _rows(self.to)}
        else:
            fields |= {"before": _row("before", self.before), "after": _row("after", self.after)}
            fields["changed"] = None if self.changed is None else list(self.changed)
        fields["types"] = self._types() or None
        fields |= {"time": _time(self.time), "origin": self.origin, "traceparent": self.traceparent}
        fields[HEADERS] = _headers(self.headers)
        return {name: value for name, value in fields.items() if value is not None}

    def _types(self) -> dict[str, str]:
        """Those of the values, and those that were said: a `None` shows none, and an image may be spelt already."""
        found = values.types(self.key or {})
        if self.op in RELATION_OPS:
            found = {} if self.from_ is None else values.types(self.from_, "from.")
            for one in _many(self.to):
                found |= values.types(one, "to.")
        else:
            found |= values.types(self.before or {}) | values.types(self.after or {})
        return found | dict(self.types or {})

    def _check(self) -> None:
        if not self.entity:
            raise EventError("an event has no entity, as `shop.Book`")
        if self.op not in ROW_OPS | RELATION_OPS:
            raise EventError(f"{self.entity}: unknown op {self.op!r}, expected one of {', '.join(_OPS)}")
        if isinstance(self.changed, str):
            raise EventError(f"{self.entity}: changed is a list of columns, not the text {self.changed!r}")
        if self.op in RELATION_OPS:
            missing = "relation and from" if not self.relation or self.from_ is None else None
        else:
            missing = _missing(self.op, self.key, self.before, self.after)
        if missing:
            raise EventError(f"{self.entity}: no {missing}, which op {self.op} needs")


def document_of_row(
    entity: str,
    op: Op,
    *,
    key: dict[str, Json] | None,
    before: dict[str, Json] | None,
    after: dict[str, Json] | None,
    changed: list[str] | None,
    types: Mapping[str, str],
) -> dict[str, Any]:
    """As `Event.document`, of a row whose columns are in terms of JSON already: nothing is spelt again.

    Raises:
        EventError: for an event that a worker would refuse.
    """
    missing = _missing(op, key, before, after)
    if missing:
        raise EventError(f"{entity}: no {missing}, which op {op} needs")
    fields: dict[str, Any] = {"id": new_id(), "entity": entity, "op": op, "key": key, "before": before, "after": after}
    fields |= {"changed": changed, "types": dict(types) or None, "time": _time(_now())}
    return {name: value for name, value in fields.items() if value is not None}


def _missing(op: str, key: Row | None, before: Row | None, after: Row | None) -> str | None:
    """What an event of a row lacks."""
    if op == "create":
        return "after" if after is None else None
    if op == "update":
        return "after or key" if after is None and not key else None
    if op == "delete":
        return "before or key" if before is None and not key else None
    return None


_OPS = ("create", "update", "delete", "truncate", "add", "remove", "clear")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Invalidate:
    """A direct command: exactly one of cache, key, prefix and tag."""

    #: A declared cache; arguments that `args` leaves out are any.
    cache: str | None = None
    args: Row | None = None
    #: One key, as the application spells it.
    key: str | None = None
    #: Every key that begins with this.
    prefix: str | None = None
    #: One generation token.
    tag: str | None = None
    #: The target to act on; every one when it is left out.
    target: str | None = None
    id: str = dataclasses.field(default_factory=new_id)
    time: datetime.datetime | None = dataclasses.field(default_factory=_now)
    #: What travels beside the command.
    headers: Mapping[str, str] | None = None

    def document(self) -> dict[str, Any]:
        """The command as native JSON.

        Raises:
            EventError: when it names nothing, or more than one thing.
        """
        said = {"cache": self.cache, "key": self.key, "prefix": self.prefix, "tag": self.tag}
        named = {what: name for what, name in said.items() if name is not None}
        if len(named) != 1 or not all(named.values()):
            raise EventError("a command names exactly one of cache, key, prefix and tag, and not with an empty text")
        if self.args is not None and self.cache is None:
            raise EventError("a command has args only with a cache")
        command: dict[str, Any] = dict(named)
        if self.args is not None:
            command["args"] = _row("args", self.args)
        if self.target is not None:
            command["target"] = self.target
        document: dict[str, Any] = {"id": self.id, "invalidate": command, "time": _time(self.time)}
        document[HEADERS] = _headers(self.headers)
        return {name: value for name, value in document.items() if value is not None}


#: What can be published. A mapping is native JSON already, and travels as it is.
Publishable = Event | Invalidate | Mapping[str, Any]


def document(what: Publishable) -> dict[str, Any]:
    """The native JSON of what is to be published.

    Raises:
        EventError: see `Event.document` and `Invalidate.document`.
    """
    if isinstance(what, Event | Invalidate):
        return what.document()
    if isinstance(what, Mapping):
        return row(what)
    raise EventError(f"expected an Event or an Invalidate, not a {type(what).__qualname__}")


def _row(name: str, columns: Row | None) -> dict[str, Json] | None:
    if columns is None:
        return None
    if not isinstance(columns, Mapping):
        raise EventError(f"{name} is a mapping of columns, not a {type(columns).__qualname__}")
    return row(columns)


def _rows(to: Row | Sequence[Row] | None) -> list[dict[str, Json]] | None:
    if to is None:
        return None
    return [row(one) for one in _many(to)]


def _many(to: Row | Sequence[Row] | None) -> Sequence[Row]:
    if to is None:
        return ()
    return [to] if isinstance(to, Mapping) else to


def _headers(headers: Mapping[str, str] | None) -> dict[str, str] | None:
    """Those that every broker can carry; the names that brokers and Quash itself give a meaning are theirs."""
    for name, value in (headers or {}).items():
        if not _HEADER.fullmatch(name) or name.lower() in _TAKEN or name.lower().startswith("nats-"):
            raise EventError(f"a header cannot be called {name!r:.80}")
        if not isinstance(value, str) or not value.isprintable() or value != value.strip():
            raise EventError(f"header {name}: a value is one line of text without spaces around it, not {value!r:.80}")
    return dict(headers) if headers else None


#: What HTTP, AMQP and NATS take as a name.
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
#: The payload on Redis, and what the transports set themselves.
_TAKEN = frozenset({"body", "content-type"})


def _time(moment: datetime.datetime | None) -> str | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise EventError(f"time {moment.isoformat()} says no offset, use an aware datetime")
    if moment.tzinfo is not datetime.timezone.utc:
        moment = moment.astimezone(datetime.timezone.utc)
    return moment.isoformat().replace("+00:00", "Z")
