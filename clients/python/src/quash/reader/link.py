"""Sends commands over redis-py, blocking or not, and stops asking for a while when Redis fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio
import redis.exceptions

from ..errors import ConfigurationError, QuashError
from .commands import Command

logger = logging.getLogger("quash")

#: For how long nobody asks after Redis failed, in seconds: loads go on, and do not wait for a time-out each.
PAUSE = 1.0
#: What stands at the key is no text, such as a list: another's.
_WRONG_TYPE = "WRONGTYPE"

#: What a command answers; an error that concerns its key alone is one of the answers.
Reply = Any


class Unavailable(QuashError):
    """Redis failed, or failed less than a second ago."""


class _Breaker:
    """Whether Redis is asked at all."""

    def __init__(self) -> None:
        self._closed_until = 0.0

    def check(self) -> None:
        """Before anybody asks.

        Raises:
            Unavailable: it failed less than a second ago.
        """
        if time.monotonic() < self._closed_until:
            raise Unavailable("Redis failed less than a second ago")

    def failed(self, error: Exception) -> Unavailable:
        """What the caller is told of a failure."""
        self._closed_until = time.monotonic() + PAUSE
        # Its text may name a user or quote a value.
        logger.warning("the cache does not answer, values are loaded and not stored: %s", type(error).__name__)
        return Unavailable(type(error).__name__)


def _checked(client: Any) -> Any:
    kwargs = getattr(getattr(client, "connection_pool", None), "connection_kwargs", None)
    if kwargs is not None and kwargs.get("decode_responses"):
        raise ConfigurationError("entries are bytes: give the reader a client of redis-py without decode_responses")
    return client


def _answer(reply: Reply) -> Reply:
    """The reply; an error that is not about this key alone is raised."""
    if isinstance(reply, Exception) and not isinstance(reply, redis.exceptions.NoScriptError) and not is_foreign(reply):
        raise reply
    return reply


def is_foreign(reply: Reply) -> bool:
    """Whether the command met something that is no text."""
    return isinstance(reply, redis.exceptions.ResponseError) and str(reply).startswith(_WRONG_TYPE)


def _unknown(replies: Sequence[Reply]) -> list[int]:
    """Which commands were scripts that the server does not know."""
    return [at for at, reply in enumerate(replies) if isinstance(reply, redis.exceptions.NoScriptError)]


def _options(command: Command) -> dict[str, Any]:
    # Without this redis-py swallows what stood there.
    return {"get": True} if command.args[0] == "SET" and "GET" in command.args[2:] else {}


def send(client: Any, commands: Sequence[Command], *, once: bool = False) -> list[Reply]:
    """Sends all of them in one round trip, in a cluster one after the other.

    Args:
        client: one of redis-py that blocks.
        commands: what to send.
        once: never sends them again after an unknown outcome, whatever the client's settings for that.

    Returns:
        Their answers. Where a key holds something that is no text, that error is the answer.

    Raises:
        RedisError: it is not known which of them the server heard.
    """
    replies = [_answer(reply) for reply in _send(client, commands, once)]
    unknown = _unknown(replies)
    if unknown:
        again = _send(client, [commands[at].evaluated() for at in unknown], once)
        for at, reply in zip(unknown, again, strict=True):
            replies[at] = _answer(reply)
    return replies


def _send(client: Any, commands: Sequence[Command], once: bool) -> list[Reply]:
    # In a cluster, which has no pool, keys lie in different slots, of which no command takes more than one.
    pool = getattr(client, "connection_pool", None)
    if once and pool is not None:
        return _send_once(pool, commands)
    if len(commands) == 1 or pool is None:
        return [_send_one(client, command, apart=pool is None) for command in commands]
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command.args, **_options(command))
    return list(pipeline.execute(raise_on_error=False))


def _send_one(client: Any, command: Command, *, apart: bool) -> Reply:
    if apart and command.args[0] == "MGET":
        return [_send_one(client, Command(("GET", key)), apart=True) for key in command.args[1:]]
    try:
        return client.execute_command(*command.args, **_options(command))
    except redis.exceptions.ResponseError as error:
        return error


def _send_once(pool: Any, commands: Sequence[Command]) -> list[Reply]:
    """Over a connection of the pool, and never again: redis-py would, and a fill must not be repeated."""
    connection = pool.get_connection()
    try:
        connection.send_packed_command(connection.pack_commands([command.args for command in commands]))
        replies = [_read(connection) for _ in commands]
    except BaseException:
        # What was not read would be the answer to somebody else's question.
        connection.disconnect()
        raise
    finally:
        pool.release(connection)
    return replies


def _read(connection: Any) -> Reply:
    try:
        return connection.read_response()
    except redis.exceptions.ResponseError as error:
        return error


class Link:
    """Sends over `redis.Redis`, `redis.cluster.RedisCluster` or what behaves like them."""

    def __init__(self, client: Any) -> None:
        self.client = _checked(client)
        self._breaker = _Breaker()

    def run(self, commands: Sequence[Command], *, once: bool = False) -> list[Reply]:
        """As `send`.

        Raises:
            Unavailable: Redis failed; it is not known which of them it heard.
        """
        self._breaker.check()
        try:
            return send(self.client, commands, once=once)
        except redis.exceptions.DataError:
            # Of what was to be sent: no fault of Redis.
            raise
        except (redis.exceptions.RedisError, OSError) as error:
            raise self._breaker.failed(error) from error


class AsyncLink:
    """As `Link`, over `redis.asyncio`."""

    def __init__(self, client: Any) -> None:
        self.client = _checked(client)
        self._breaker = _Breaker()
        self._apart = getattr(client, "connection_pool", None) is None

    async def run(self, commands: Sequence[Command], *, once: bool = False) -> list[Reply]:
        """As `Link.run`."""
        self._breaker.check()
        try:
            return await self._run(commands, once)
        except redis.exceptions.DataError:
            raise
        except (redis.exceptions.RedisError, OSError) as error:
            raise self._breaker.failed(error) from error

    async def _run(self, commands: Sequence[Command], once: bool) -> list[Reply]:
        replies = [_answer(reply) for reply in await self._send(commands, once)]
        unknown = _unknown(replies)
        if unknown:
            again = await self._send([commands[at].evaluated() for at in unknown], once)
            for at, reply in zip(unknown, again, strict=True):
                replies[at] = _answer(reply)
        return replies

    async def _send(self, commands: Sequence[Command], once: bool) -> list[Reply]:
        pool = getattr(self.client, "connection_pool", None)
        if once and pool is not None:
            return await _asend_once(pool, commands)
        if len(commands) == 1 or pool is None:
            return [await self._one(command) for command in commands]
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command.args, **_options(command))
        return list(await pipeline.execute(raise_on_error=False))

    async def _one(self, command: Command) -> Reply:
        if self._apart and command.args[0] == "MGET":
            return [await self._one(Command(("GET", key))) for key in command.args[1:]]
        try:
            return await self.client.execute_command(*command.args, **_options(command))
        except redis.exceptions.ResponseError as error:
            return error


async def _asend_once(pool: Any, commands: Sequence[Command]) -> list[Reply]:
    connection = await pool.get_connection()
    try:
        await connection.send_packed_command(connection.pack_commands([command.args for command in commands]))
        replies = [await _aread(connection) for _ in commands]
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)
    return replies


async def _aread(connection: Any) -> Reply:
    try:
        return await connection.read_response()
    except redis.exceptions.ResponseError as error:
        return error


def is_async(client: Any) -> bool:
    """Whether the client is one of `redis.asyncio`."""
    kinds: list[Any] = [redis.asyncio.Redis]
    cluster = getattr(redis.asyncio, "RedisCluster", None)
    return isinstance(client, tuple([*kinds, cluster] if cluster else kinds))
