"""Publishes and waits until it is invalidated, on a real server; a thread answers as workers do."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brokers
import pytest
import redis
import redis.asyncio
from brokers import Broker

from quash import ConfigurationError, Event, EventError, NotInvalidated, Publisher, Wait
from quash.answers import Awaited

VECTORS = Path(__file__).parents[3] / "tests" / "vectors" / "answers.jsonl"
CASES = [json.loads(line) for line in VECTORS.read_text().splitlines()]

Answer = dict[str, Any]
#: What a worker says of a message, one after the other.
Worker = Callable[[Answer], list[Answer]]

DONE = {"target": "main", "source": "events", "outcome": "invalidated"}


def book(number: int = 42) -> Event:
    return Event(entity="shop.Book", op="delete", key={"id": number})


@pytest.mark.parametrize(
    "case", [json.loads(line) for line in VECTORS.read_text().splitlines()], ids=lambda case: case["name"]
)
def test_waiting_ends_when_everything_is_heard(case: dict[str, Any]) -> None:
    awaited = Awaited("main")
    for step in case["steps"]:
        try:
            awaited.hear(step["heard"].encode(), 1.0)
            then = "invalidated" if awaited.is_done else "waiting"
        except NotInvalidated as error:
            then = f"dead_letter {error.reason}"
        assert then == step["then"]


@pytest.fixture
def queue(shared: dict[str, Broker]) -> Broker:
    if "redis" not in shared:
        shared["redis"] = brokers.start("redis")
    return shared["redis"]


@pytest.fixture
def server(queue: Broker) -> Any:
    with redis.Redis.from_url(queue.server.url) as client:  # type: ignore[attr-defined]
        yield client


@pytest.fixture
def publisher(queue: Broker, name: str) -> Any:
    with Publisher(queue.url(name), timeout=5.0) as publisher:
        yield publisher


def answering(server: redis.Redis, name: str, messages: int, says: Worker) -> threading.Thread:
    """Takes so many messages from the stream, and answers each."""

    def work() -> None:
        last: Any = "0"
        for _ in range(messages):
            ((_, entries),) = server.xread({name: last}, count=1, block=30_000)
            ((last, fields),) = entries
            body = json.loads(fields[b"body"])
            for answer in says(body):
                server.rpush(f"quash:answer:{body['answer']}", json.dumps(answer))

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_publishing_returns_when_it_is_invalidated(server: Any, name: str, publisher: Publisher) -> None:
    part = {**DONE, "source": "bulk", "part": True}
    thread = answering(server, name, 1, lambda _: [{**DONE, "also": ["bulk"]}, part])
    event = book()
    publisher.publish(event, wait=Wait({"main": server}, timeout=30.0))
    thread.join()
    ((_, fields),) = server.xrange(name)
    body = json.loads(fields[b"body"])
    assert len(body.pop("answer")) == 32
    assert body == publisher.document(event)


def test_each_message_is_waited_for(server: Any, name: str, publisher: Publisher) -> None:
    asked: list[str] = []

    def says(body: Answer) -> list[Answer]:
        asked.append(body["answer"])
        return [DONE]

    thread = answering(server, name, 3, says)
    publisher.publish_many([book(number) for number in range(1200)], wait=Wait({"main": server}, timeout=30.0))
    thread.join()
    assert len(set(asked)) == 3


def test_asyncio_waits_without_blocking(server: Any, name: str, publisher: Publisher) -> None:
    thread = answering(server, name, 2, lambda _: [DONE])

    async def both() -> None:
        connection = server.connection_pool.connection_kwargs
        async with redis.asyncio.Redis(host=connection["host"], port=connection["port"]) as client:
            wait = Wait({"main": client}, timeout=30.0)
            await asyncio.gather(publisher.apublish(book(1), wait=wait), publisher.apublish(book(2), wait=wait))

    asyncio.run(both())
    thread.join()


def test_a_time_out_says_so_and_changes_nothing(server: Any, name: str, publisher: Publisher) -> None:
    with pytest.raises(
        NotInvalidated, match=r"no answer within 0\.05 s; the event is published all the same"
    ) as raised:
        publisher.publish(book(), wait=Wait({"main": server}, timeout=0.05))
    assert raised.value.reason is None
    assert server.xlen(name) == 1


def test_a_dead_letter_is_told(server: Any, name: str, publisher: Publisher) -> None:
    letter = {**DONE, "outcome": "dead_letter", "reason": "target_error", "error": "delete a: NOPERM"}
    thread = answering(server, name, 1, lambda _: [letter])
    with pytest.raises(NotInvalidated, match=r"target main: the event is a dead letter \(target_error\)") as raised:
        publisher.publish(book(), wait=Wait({"main": server}, timeout=30.0))
    assert raised.value.reason == "target_error"
    thread.join()


def test_a_target_that_is_away_is_told(server: Any, name: str, publisher: Publisher) -> None:
    with pytest.raises(NotInvalidated, match=r"target main: .*published all the same"):
        publisher.publish(book(), wait=Wait({"main": redis.Redis(port=1)}))
    assert server.xlen(name) == 1


def test_what_cannot_be_waited_for_is_refused(server: Any, name: str, publisher: Publisher) -> None:
    with pytest.raises(ConfigurationError, match="a target"):
        Wait({})
    with pytest.raises(ConfigurationError, match="no time to wait"):
        Wait({"main": server}, timeout=0)
    with pytest.raises(EventError, match="of its own"):
        publisher.send([{"entity": "e", "op": "truncate", "answer": "0" * 32}], Wait({"main": server}))
    assert server.xlen(name) == 0
