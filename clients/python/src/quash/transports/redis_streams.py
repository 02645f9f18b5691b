"""Appends messages to a Redis stream, many in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import asyncio as redis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ..address import Address
from ..message import Message
from . import Lost, Refused

#: Connections that one process may hold; callers beyond wait for one.
CONNECTIONS_MAX = 8

#: What a server says when it could take the message at another time.
_TEMPORARY = ("OOM", "LOADING", "READONLY", "MISCONF", "BUSY", "MASTERDOWN", "NOREPLICAS", "TRYAGAIN")


class RedisLink:
    """A few connections to one server."""

    def __init__(self, client: redis.Redis, stream: str) -> None:
        self._client = client
        self._stream = stream

    def is_open(self) -> bool:
        # The client sees for itself when a connection has gone.
        return True

    async def send(self, messages: Sequence[Message]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for message in messages:
            # Never with MAXLEN, which would trim what no worker has seen yet.
            beside = (part for header in message.headers for part in header)
            pipeline.execute_command("XADD", self._stream, "*", "body", message.body, *beside)
        try:
            answers = await pipeline.execute(raise_on_error=False)
        except exceptions.ResponseError as error:
            raise _refused(error) from error
        except (exceptions.RedisError, OSError) as error:
            raise _lost(error) from error
        for answer in answers:
            if isinstance(answer, exceptions.RedisError):
                raise _refused(answer)

    async def close(self) -> None:
        await self._client.aclose()


async def connect(address: Address, seconds: float) -> RedisLink:
    """Prepares the connections. They are made when they are used: who may publish may not even be allowed to PING."""
    place: dict[str, Any] = {"host": address.host, "port": address.port, "socket_keepalive": True}
    if address.is_socket:
        place = {"path": address.path}
    pool = redis.BlockingConnectionPool(
        connection_class=_connection_class(address),
        max_connections=CONNECTIONS_MAX,
        timeout=None,
        db=_database(address),
        username=address.username,
        password=address.password,
        # One attempt is one attempt: the publisher knows how much time is left.
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=seconds,
        protocol=2,
        **place,
        **_tls(address),
    )
    return RedisLink(redis.Redis(connection_pool=pool), address.destination)


def _connection_class(address: Address) -> Any:
    if address.is_socket:
        return redis.UnixDomainSocketConnection
    return redis.SSLConnection if address.tls else redis.Connection


def _tls(address: Address) -> dict[str, Any]:
    if not address.tls:
        return {}
    return {
        "ssl_ca_certs": address.ca_file,
        "ssl_certfile": address.cert_file,
        "ssl_keyfile": address.key_file,
        "ssl_check_hostname": True,
    }


def _database(address: Address) -> int:
    if address.is_socket or not address.path:
        return 0
    if not address.path.isdigit():
        raise Refused("the path of the URL is the number of a database", temporary=False)
    return int(address.path)


def _refused(error: Exception) -> Refused:
    text = str(error)
    # The word that says which error it is; some of the driver's classes leave it out of the text.
    temporary = text.startswith(_TEMPORARY) or isinstance(
        error, exceptions.BusyLoadingError | exceptions.ReadOnlyError | exceptions.OutOfMemoryError
    )
    return Refused(text, temporary=temporary)


def _lost(error: Exception) -> Lost | Refused:
    if isinstance(error, exceptions.AuthenticationError | exceptions.NoPermissionError):
        return Refused(str(error), temporary=False)
    return Lost(str(error) or type(error).__name__)
