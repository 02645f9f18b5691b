"""Publishes change events to Quash, which removes what was cached from the rows that changed.

import quash

quash.configure("redis://127.0.0.1:6380/0")
quash.publish(quash.Event(entity="shop.Book", op="update", key={"id": 42},
                          before={"author_id": 3}, after={"author_id": 4}))
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any

from .errors import (
    BrokerUnreachable,
    ConfigurationError,
    EventError,
    PublishError,
    PublishRefused,
    PublishTimeout,
    QuashError,
)
from .event import Event, Invalidate, Publishable
from .publisher import TIMEOUT, Publisher, close_all
from .scope import batch, captured_events, coalesce, disabled, pass_on
from .values import plain

_default: Publisher | None = None
_lock = threading.Lock()


def configure(
    url: str, *, destination: str | None = None, timeout: float = TIMEOUT, source: str | None = None
) -> Publisher:
    """Says where `publish` and its kin publish to; see `Publisher`. `QUASH_URL` in the environment does as well."""
    global _default
    publisher = Publisher(url, destination=destination, timeout=timeout, source=source)
    _default = publisher
    return publisher


def default() -> Publisher:
    """The publisher of `publish` and its kin.

    Raises:
        ConfigurationError: when nobody said where to publish to.
    """
    publisher = _default
    if publisher is not None:
        return publisher
    url = os.environ.get("QUASH_URL")
    if not url:
        raise ConfigurationError("no broker is configured: call quash.configure(url) or set QUASH_URL")
    with _lock:
        return _default or configure(url)


def publish(what: Publishable) -> None:
    """Publishes one event; see `Publisher.publish`."""
    publish_many([what])


def publish_many(many: Iterable[Publishable]) -> None:
    """Publishes events that belong together, in one round trip; see `Publisher.publish_many`."""
    publisher = default()
    pass_on([publisher.document(what) for what in many], publisher.send)


async def apublish(what: Publishable) -> None:
    """As `publish`, without blocking the event loop."""
    await apublish_many([what])


async def apublish_many(many: Iterable[Publishable]) -> None:
    """As `publish_many`, without blocking the event loop."""
    publisher = default()
    ready: list[dict[str, Any]] = []
    # A block that gathers publishes at its end, where nobody can await.
    pass_on([publisher.document(what) for what in many], ready.extend if batch() is None else publisher.send)
    await publisher.asend(ready)


__all__ = [
    "TIMEOUT",
    "BrokerUnreachable",
    "ConfigurationError",
    "Event",
    "EventError",
    "Invalidate",
    "PublishError",
    "PublishRefused",
    "PublishTimeout",
    "Publishable",
    "Publisher",
    "QuashError",
    "apublish",
    "apublish_many",
    "captured_events",
    "close_all",
    "coalesce",
    "configure",
    "default",
    "disabled",
    "plain",
    "publish",
    "publish_many",
]
