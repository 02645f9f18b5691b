"""Lists the kinds of broker, and says what a connection to one must do."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from ..address import AMQP, NATS, REDIS, Address, Kind
from ..errors import ConfigurationError
from ..message import Message


class Lost(Exception):
    """The connection could not be made, or broke. What was sent over it may have arrived."""


class Refused(Exception):
    """The broker answered and did not take a message."""

    def __init__(self, cause: str, *, temporary: bool) -> None:
        super().__init__(cause)
        self.temporary = temporary


class Link(Protocol):
    """A connection. Everything of it runs on the event loop that it was made on; many may send at once."""

    def is_open(self) -> bool:
        """Whether sending can be tried."""

    async def send(self, messages: Sequence[Message]) -> None:
        """Returns when the broker has taken responsibility for every message.

        May be cancelled while it waits; what was sent may then have arrived.

        Raises:
            Lost, Refused: some of the messages may have been taken; sending all of them again is harmless.
        """

    async def close(self) -> None:
        """Says goodbye, and forgets what was not confirmed. May be called twice."""


class Transport(Protocol):
    """A module of this package."""

    async def connect(self, address: Address, seconds: float) -> Link:
        """Connects within so many seconds, or raises `Lost` or `Refused`."""


#: Every kind: its module here, and what must be installed for it.
_MODULES = {REDIS: ("redis_streams", "redis"), AMQP: ("amqp", "pika"), NATS: ("nats_jetstream", "nats-py")}


def load(kind: Kind) -> Transport:
    """The transport of a kind; its driver is imported only now.

    Raises:
        ConfigurationError: when the driver is not installed.
    """
    module, driver = _MODULES[kind]
    try:
        return cast(Transport, import_module(f".{module}", __name__))
    except ImportError as error:
        raise ConfigurationError(
            f"publishing to {kind.name} needs {driver}, install it as quash-client[{kind.name}]: {error}"
        ) from error
