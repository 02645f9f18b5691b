"""Measures what publishing adds to a request: `python benches/publish.py redis|amqp|nats`.

The bare driver publishes the same bytes to the same place, one by one and confirmed, with nothing around it: `pika` and
`redis` block the caller, `nats` has only an event loop.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1] / "src")]

import brokers
import nats
import pika
import redis

from quash import Event, Publisher

ROUNDS = 3000
#: The stream, queue or subject.
NAME = "quash.bench"
#: As a small transaction of a request.
TOGETHER = 10


def book(number: int) -> Event:
    row = {"id": number, "title": "A title of a book", "author_id": 3, "state": "published", "price": "12.50"}
    return Event(entity="shop.Book", op="update", key={"id": number}, before=row, after=row | {"author_id": 4})


def measure(what: str, work: Callable[[int], object]) -> None:
    for number in range(200):
        work(number)
    took = []
    for number in range(ROUNDS):
        began = time.perf_counter()
        work(number)
        took.append((time.perf_counter() - began) * 1e6)
    took.sort()
    p99 = took[len(took) * 99 // 100]
    print(f"{what:28} p50 {statistics.median(took):6.0f} µs   p99 {p99:6.0f} µs")


def bare(broker: brokers.Broker, body: bytes) -> Callable[[int], object]:
    """Publishes this with the driver alone."""
    url = broker.server.url  # type: ignore[attr-defined]
    if broker.kind == "redis":
        client = redis.Redis.from_url(url)
        return lambda _: client.xadd(NAME, {"body": body})
    if broker.kind == "amqp":
        channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
        channel.confirm_delivery()
        persistent = pika.BasicProperties(delivery_mode=2)
        return lambda _: channel.basic_publish("", NAME, body, persistent, mandatory=True)
    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(nats.connect(url))
    atexit.register(lambda: loop.run_until_complete(client.close()))
    stream = client.jetstream()
    return lambda _: loop.run_until_complete(stream.publish(NAME, body))


def main(kind: str) -> None:
    broker = brokers.start(kind)
    broker.declare_as_worker(NAME)
    publisher = Publisher(broker.url(NAME), timeout=5.0)
    try:
        body = json.dumps(publisher.document(book(1))).encode()
        measure("build one event, no broker", lambda number: publisher.document(book(number)))
        measure("bare driver", bare(broker, body))
        measure("publish", lambda number: publisher.publish(book(number)))
        measure("publish_later", lambda number: publisher.publish_later(book(number), on_failure=print))
        measure(f"publish_many of {TOGETHER}", lambda number: publisher.publish_many([book(number)] * TOGETHER))
        loop = asyncio.new_event_loop()
        measure("apublish", lambda number: loop.run_until_complete(publisher.apublish(book(number))))
        loop.close()
    finally:
        publisher.close()
        broker.server.kill()
        shutil.rmtree(broker.server.home, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
