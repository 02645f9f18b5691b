"""Names what can go wrong when an event is spelt or published."""

from __future__ import annotations


class QuashError(Exception):
    """Everything that this package raises."""


class EventError(QuashError, ValueError):
    """An event that no worker would accept, or a value that has no exact text. Trying again cannot help."""


class ConfigurationError(QuashError, ValueError):
    """A URL or a setting that cannot be right. Trying again cannot help."""


class PublishError(QuashError):
    """The broker did not confirm the events. They may have arrived all the same: publishing again is harmless."""

    #: Whether publishing the same events again later can help.
    temporary = True


class BrokerUnreachable(PublishError, ConnectionError):
    """There is no connection to the broker, or it broke."""


class PublishTimeout(PublishError, TimeoutError):
    """The broker did not confirm in time."""


class PublishRefused(PublishError):
    """The broker answered, and said no: no such queue, no rights, no room."""


class NotInvalidated(QuashError):
    """It is not known that everything is invalidated. What was published stays so, and workers do it all the same."""

    def __init__(self, words: str, reason: str | None = None) -> None:
        super().__init__(words)
        #: The reason of the dead letter that it is; `None` where nothing was heard in time.
        self.reason = reason


class EncodeError(QuashError, TypeError):
    """A value that its codec cannot keep."""
