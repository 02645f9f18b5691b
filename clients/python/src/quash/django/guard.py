"""Keeps what goes wrong here away from the application's own write."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connections, transaction

from ..scope import Documents
from . import memory

logger = logging.getLogger("quash")

#: Databases where a query that fails leaves the rest of its transaction as it is.
_GO_ON = frozenset({"sqlite", "mysql", "oracle"})


def told(what: str, build: Callable[[], Documents], otherwise: Callable[[], Documents]) -> Documents:
    """The events of a change; where they cannot be made, those that say less and so remove more.

    Fields, managers and routers of others raise what they like. The row is written all the same, and somebody has to
    hear of it.
    """
    try:
        return build()
    except Exception:
        logger.exception("cannot tell how %s changed, more is removed instead", what)
    try:
        return otherwise()
    except Exception:
        logger.exception("cannot tell that %s changed, what was cached from it stays stale", what)
        return []


def harmless(receiver: Callable[..., None]) -> Callable[..., None]:
    """A function of an instance that only remembers: what it does not learn is unknown later."""

    @functools.wraps(receiver)
    def guarded(*args: Any, instance: Any, **kwargs: Any) -> None:
        try:
            receiver(*args, instance=instance, **kwargs)
        except Exception:
            logger.exception("cannot remember a row of %s", type(instance).__name__)
            memory.forget(instance)

    return guarded


@contextlib.contextmanager
def apart(using: str) -> Iterator[None]:
    """For queries of this package: one that fails must not take the application's transaction with it."""
    connection = connections[using]
    if connection.in_atomic_block and connection.vendor not in _GO_ON:
        with transaction.atomic(using=using):
            yield
    else:
        yield
