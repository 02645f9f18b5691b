"""Keeps events in a table until the broker takes them, and relays them in their order."""

from __future__ import annotations

import json
import logging
from typing import Any

from django.db import connections, transaction
from django.utils import timezone

from ..errors import EventError
from ..message import encode
from ..publisher import Publisher
from ..scope import Documents
from .conf import conf
from .models import OutboxEvent

logger = logging.getLogger("quash")


def keep(documents: Documents, using: str) -> None:
    """Stores events in the outbox of a database. Inside of a transaction they live and die with it."""
    database = conf().outbox_database or using
    bodies = [encode(document).decode() for document in documents]
    if len(bodies) == 1:
        _insert(bodies[0], database)
        return
    OutboxEvent.objects.using(database).bulk_create([OutboxEvent(body=body) for body in bodies], batch_size=500)


def _insert(body: str, database: str) -> None:
    """One row, as most transactions have: `bulk_create` takes as long to make the statement as the database for it."""
    connection = connections[database]
    row = {"body": body, "error": "", "created_at": timezone.now()}
    fields = [OutboxEvent._meta.get_field(name) for name in row]
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    table = connection.ops.quote_name(OutboxEvent._meta.db_table)
    values = [field.get_db_prep_save(row[field.name], connection) for field in fields]
    with transaction.mark_for_rollback_on_error(database), connection.cursor() as cursor:
        # Only names that are Django's own, and quoted, stand in the text.
        cursor.execute(f"INSERT INTO {table} ({columns}) VALUES (%s, %s, %s)", values)  # noqa: S608


def relay(publisher: Publisher, using: str, limit: int) -> int:
    """Publishes the oldest events and removes them; says how many. Where several relay at once, each takes others.

    A crash in between publishes them again, which is harmless.

    Raises:
        PublishError: the broker did not take them; they stay.
    """
    with transaction.atomic(using=using):
        rows = list(_oldest(using, limit))
        documents = _readable(rows)
        try:
            publisher.send([document for _, document in documents])
        except EventError:
            _one_by_one(publisher, documents)
        OutboxEvent.objects.using(using).filter(pk__in=[row.pk for row in rows if not row.error]).delete()
    return len(rows)


def waiting(using: str) -> tuple[int, int]:
    """How many events wait, and how many can never be published."""
    rows = OutboxEvent.objects.using(using)
    return rows.filter(error="").count(), rows.exclude(error="").count()


def _oldest(using: str, limit: int) -> Any:
    rows = OutboxEvent.objects.using(using).filter(error="").order_by("id")
    if connections[using].features.has_select_for_update_skip_locked:
        rows = rows.select_for_update(skip_locked=True)
    return rows[:limit]


def _readable(rows: list[OutboxEvent]) -> list[tuple[OutboxEvent, dict[str, Any]]]:
    """The rows that hold an event, with it. Anybody may have written them."""
    readable = []
    for row in rows:
        try:
            readable.append((row, _document(row.body)))
        except EventError as error:
            _mark(row, str(error))
    return readable


def _document(body: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise EventError(f"no JSON: {error}") from error
    if not isinstance(document, dict) or not document.keys() & {"entity", "events", "invalidate"}:
        raise EventError("no native JSON of an event; `quash relay` relays the other formats")
    return document


def _one_by_one(publisher: Publisher, documents: list[tuple[OutboxEvent, dict[str, Any]]]) -> None:
    """Publishes what can be published; what cannot stays with the reason, out of the way of the others."""
    for row, document in documents:
        try:
            publisher.send([document])
        except EventError as error:
            _mark(row, str(error))


def _mark(row: OutboxEvent, error: str) -> None:
    logger.error("event %d of the outbox cannot be published, it stays there: %s", row.pk, error)
    row.error = error
    row.save(update_fields=["error"])
