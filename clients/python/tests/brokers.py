"""Gives the tests of publishing one face to the three brokers: make the destination, read what arrived."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import nats
import pika
import redis
from servers import Nats, RabbitMq, Redis, Server


class Arrived(NamedTuple):
    body: bytes
    headers: dict[str, Any]


class Broker:
    """A server, and the name of a stream, queue or subject on it."""

    kind: str
    server: Server
    word: str

    def url(self, name: str) -> str:
        return f"{self.server.url}?{self.word}={name}"  # type: ignore[attr-defined]

    def declare(self, name: str) -> None:
        raise NotImplementedError

    def declare_as_worker(self, name: str) -> None:
        """As a worker declares it by default."""
        self.declare(name)

    def arrived(self, name: str) -> list[Arrived]:
        """Takes what arrived."""
        raise NotImplementedError


class RedisBroker(Broker):
    kind, word = "redis", "stream"

    def declare(self, name: str) -> None:
        pass

    def arrived(self, name: str) -> list[Arrived]:
        with redis.Redis.from_url(self.server.url) as client:  # type: ignore[attr-defined]
            entries = client.xrange(name)
            client.delete(name)
        return [Arrived(fields.pop(b"body"), fields) for _, fields in entries]


class RabbitBroker(Broker):
    kind, word = "amqp", "queue"

    def declare(self, name: str, queue_type: str = "classic") -> None:
        with self._connection() as connection:
            connection.channel().queue_declare(name, durable=True, arguments={"x-queue-type": queue_type})

    def declare_as_worker(self, name: str) -> None:
        self.declare(name, "quorum")

    def arrived(self, name: str) -> list[Arrived]:
        found = []
        with self._connection() as connection:
            channel = connection.channel()
            while True:
                method, properties, body = channel.basic_get(name, auto_ack=True)
                if method is None:
                    return found
                found.append(Arrived(body, vars(properties)))

    def _connection(self) -> Any:
        return pika.BlockingConnection(pika.URLParameters(self.server.url))  # type: ignore[attr-defined]


class NatsBroker(Broker):
    kind, word = "nats", "subject"

    def declare(self, name: str) -> None:
        async def work() -> None:
            client = await nats.connect(self.server.url)  # type: ignore[attr-defined]
            await client.jetstream().add_stream(name=name.replace(".", "_").upper(), subjects=[name])
            await client.close()

        asyncio.run(work())

    def arrived(self, name: str) -> list[Arrived]:
        async def work() -> list[Arrived]:
            client = await nats.connect(self.server.url)  # type: ignore[attr-defined]
            stream = client.jetstream()
            info = await stream.stream_info(name.replace(".", "_").upper())
            found = []
            for number in range(info.state.first_seq or 1, info.state.last_seq + 1):
                message = await stream.get_msg(info.config.name, number)
                found.append(Arrived(message.data or b"", dict(message.headers or {})))
            await stream.purge_stream(info.config.name)
            await client.close()
            return found

        return asyncio.run(work())


_SERVERS = {RedisBroker: Redis, RabbitBroker: RabbitMq, NatsBroker: Nats}
KINDS = {kind.kind: kind for kind in _SERVERS}


def prepare(kind: str) -> Broker:
    """A server of its own, that nobody has started."""
    made = KINDS[kind]()
    made.server = _SERVERS[KINDS[kind]](Path(tempfile.mkdtemp(prefix=f"quash-{kind}-")))
    return made


def start(kind: str) -> Broker:
    """Starts a server of its own."""
    made = prepare(kind)
    made.server.start()
    return made
