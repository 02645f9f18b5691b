"""Publishes what was committed, and does what the setting says when the broker does not take it."""

from __future__ import annotations

import functools
import logging
from typing import Any

from django.db import connections

from ..errors import PublishError, QuashError
from ..scope import Documents
from . import outbox
from .conf import conf

logger = logging.getLogger("quash")


class Delivery:
    """Of the changes of one database."""

    def __init__(self, using: str) -> None:
        self._using = using

    def deliver(self, documents: Documents) -> None:
        """Publishes them, or hands them over.

        Raises:
            QuashError: with `on_failure: raise`.
        """
        try:
            if conf().via == "background":
                conf().publisher.hand_over(documents, functools.partial(self._failed_later, documents))
            else:
                conf().publisher.send(documents)
        except QuashError as error:
            self._failed(documents, error)
        except Exception as error:
            # Of a driver, or of a process that can start no thread. The rows are written.
            logger.exception("cannot publish")
            self._failed(documents, PublishError(f"{type(error).__name__}: {error}"))

    def _failed_later(self, documents: Documents, error: QuashError) -> None:
        try:
            self._failed(documents, error)
        finally:
            # This thread's own, which no request will close.
            connections.close_all()

    def _failed(self, documents: Documents, error: QuashError) -> None:
        policy = conf().on_failure
        if policy == "raise":
            raise error
        if policy == "outbox" and self._kept(documents, error):
            return
        logger.error(
            "%d committed events are lost, what was cached from these rows stays stale: %s: %s",
            len(documents),
            summary(documents),
            error,
        )

    def _kept(self, documents: Documents, error: QuashError) -> bool:
        try:
            outbox.keep(documents, self._using)
        except Exception:
            # Of any database. The row is committed: nobody can take it back, so its events must at least be named.
            logger.exception("cannot keep events in the outbox")
            return False
        logger.warning("%d events wait in the outbox: %s", len(documents), error)
        return True


@functools.cache
def delivery(using: str) -> Delivery:
    """That of a database; always the same, so that batches for it can be joined."""
    return Delivery(using)


def summary(documents: Documents) -> str:
    """What changed, for a log line: entities and keys, no other values."""
    first = ", ".join(_name(document) for document in documents[:5])
    return first if len(documents) <= 5 else f"{first} and {len(documents) - 5} more"


def _name(document: dict[str, Any]) -> str:
    if "entity" not in document:
        return "a command"
    key = document.get("key") or dict(list((document.get("from") or {}).items())[:1])
    return f"{document['op']} {document['entity']} {'/'.join(map(str, key.values()))}".rstrip()
