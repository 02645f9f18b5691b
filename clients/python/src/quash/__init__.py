"""Publishes change events to Quash, which removes what was cached from the rows that changed.

import quash

quash.configure("redis://127.0.0.1:6380/0")
quash.publish(quash.Event.update("shop.Book", key={"id": 42}, before={"author_id": 3}, after={"author_id": 4}))
"""

from __future__ import annotations

import dataclasses
import functools
import os
import threading
from collections.abc import Iterable
from typing import Any

from .answers import Wait
from .errors import (
    BrokerUnreachable,
    ConfigurationError,
    EventError,
    NotInvalidated,
    PublishError,
    PublishRefused,
    PublishTimeout,
    QuashError,
)
from .event import Event, Invalidate, Publishable
from .publisher import TIMEOUT as _TIMEOUT
from .publisher import OnFailure, Publisher, close_all
from .scope import Documents as _Documents
from .scope import batch as _batch
from .scope import captured_events, coalesce, disabled
from .scope import pass_on as _pass_on

__version__ = "0.1.0"

_default: Publisher | None = None
_lock = threading.Lock()


def configure(
    url: str, *, destination: str | None = None, timeout: float = _TIMEOUT, source: str | None = None
) -> Publisher:
    """Says where `publish` and its kin publish to; see `Publisher`. `QUASH_URL` in the environment does as well."""
    global _default
    publisher = Publisher(url, destination=destination, timeout=timeout, source=source)
    _default = publisher
    return publisher


def _publisher() -> Publisher:
    publisher = _default
    if publisher is not None:
        return publisher
    url = os.environ.get("QUASH_URL")
    if not url:
        raise ConfigurationError("no broker is configured: call quash.configure(url) or set QUASH_URL")
    with _lock:
        return _default or configure(url)


def publish(what: Publishable, *, wait: Wait | None = None) -> None:
    """Publishes one event; see `Publisher.publish`.

    Raises:
        ConfigurationError: nobody said where to publish to; so do the others.
    """
    publish_many([what], wait=wait)


def publish_many(many: Iterable[Publishable], *, wait: Wait | None = None) -> None:
    """Publishes events that belong together, in one round trip; see `Publisher.publish_many`."""
    publisher = _publisher()
    deliver = publisher.send if wait is None else functools.partial(publisher.send, wait=wait)
    _pass_on([publisher.document(what) for what in many], deliver)


@dataclasses.dataclass(frozen=True)
class _Later:
    """Hands over; equal ones are gathered into one batch."""

    publisher: Publisher
    on_failure: OnFailure | None

    def __call__(self, documents: _Documents) -> None:
        self.publisher.publish_later(*documents, on_failure=self.on_failure)


def publish_later(*events: Publishable, on_failure: OnFailure | None = None) -> None:
    """Hands events over to a thread of this process, and returns at once; see `Publisher.publish_later`."""
    publisher = _publisher()
    _pass_on([publisher.document(what) for what in events], _Later(publisher, on_failure))


async def apublish(what: Publishable, *, wait: Wait | None = None) -> None:
    """As `publish`, without blocking the event loop."""
    await apublish_many([what], wait=wait)


async def apublish_many(many: Iterable[Publishable], *, wait: Wait | None = None) -> None:
    """As `publish_many`, without blocking the event loop.

    Raises:
        ConfigurationError: it would wait inside of a block that gathers, which publishes at its end.
    """
    publisher = _publisher()
    ready: list[dict[str, Any]] = []
    if wait is not None and _batch() is not None:
        raise ConfigurationError("a `coalesce` block publishes at its end, where nobody can await: wait outside of it")
    # A block that gathers publishes at its end, where nobody can await.
    _pass_on([publisher.document(what) for what in many], ready.extend if _batch() is None else publisher.send)
    await publisher.asend(ready, wait)


__all__ = [
    "BrokerUnreachable",
    "ConfigurationError",
    "Event",
    "EventError",
    "Invalidate",
    "NotInvalidated",
    "OnFailure",
    "PublishError",
    "PublishRefused",
    "PublishTimeout",
    "Publishable",
    "Publisher",
    "QuashError",
    "Wait",
    "__version__",
    "apublish",
    "apublish_many",
    "captured_events",
    "close_all",
    "coalesce",
    "configure",
    "disabled",
    "publish",
    "publish_later",
    "publish_many",
]
