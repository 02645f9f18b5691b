"""Measures what publishing adds to a request: `python benches/publish.py redis|amqp|nats [URL]`."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1] / "src")]

import brokers

from quash import Event, Publisher

ROUNDS = 3000
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


def main(kind: str, url: str | None = None) -> None:
    broker = None if url else brokers.start(kind)
    if broker is not None:
        if isinstance(broker, brokers.RabbitBroker):
            # As the worker declares it.
            broker.declare("quash.bench", "quorum")
        else:
            broker.declare("quash.bench")
        url = broker.url("quash.bench")
    publisher = Publisher(url or "", timeout=5.0)
    try:
        measure("build one event, no broker", lambda number: publisher.document(book(number)))
        measure("publish", lambda number: publisher.publish(book(number)))
        measure(f"publish_many of {TOGETHER}", lambda number: publisher.publish_many([book(number)] * TOGETHER))
        loop = asyncio.new_event_loop()
        measure("apublish", lambda number: loop.run_until_complete(publisher.apublish(book(number))))
        loop.close()
    finally:
        publisher.close()
        if broker is not None:
            broker.server.kill()
            shutil.rmtree(broker.server.home, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
