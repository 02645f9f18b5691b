"""Publishes direct commands as the Django setting says, now or after the commit."""

from __future__ import annotations

from collections.abc import Iterable

from ..event import Invalidate
from ..scope import Documents, pass_on
from .conf import conf
from .delivery import delivery
from .pending import pending
from .tenants import of_tenant


def publish(commands: Iterable[dict[str, str]], using: str = "default") -> None:
    """Publishes commands at once, for callers that have waited for the commit."""
    documents = _documents(commands)
    if documents:
        pass_on(of_tenant(documents, using), delivery(using).deliver)


def publish_on_commit(commands: Iterable[dict[str, str]], using: str = "default") -> None:
    """Publishes commands together with the changes of the current transaction, and not if it is rolled back."""
    pending(using).add(_documents(commands))


def _documents(commands: Iterable[dict[str, str]]) -> Documents:
    publisher = conf().publisher
    return [
        publisher.document(
            Invalidate(
                key=command.get("key"),
                prefix=command.get("prefix"),
                tag=command.get("tag"),
                target=command.get("target"),
            )
        )
        for command in commands
    ]
