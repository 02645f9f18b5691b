"""Publishes to real brokers: what arrives, how long it takes at most, what is said when it does not."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import threading
import time
from typing import Any

import pytest
from brokers import Broker

import quash
from quash import Event, Invalidate, Publisher

#: Far above the time-out, far below waiting for ever.
GENEROUS = 2.0


def book(number: int = 42) -> Event:
    return Event(entity="shop.Book", op="update", key={"id": number}, before={"author_id": 3}, after={"author_id": 4})


@pytest.fixture
def publisher(broker: Broker, name: str) -> Any:
    broker.declare(name)
    with Publisher(broker.url(name), timeout=5.0) as publisher:
        yield publisher


def test_an_event_arrives_as_its_native_json(broker: Broker, name: str, publisher: Publisher) -> None:
    event = book()
    publisher.publish(event)
    (arrived,) = broker.arrived(name)
    assert json.loads(arrived.body) == publisher.document(event)
    if broker.kind == "amqp":
        assert arrived.headers["message_id"] == event.id
        assert arrived.headers["delivery_mode"] == 2
        assert arrived.headers["content_type"] == "application/json"
    if broker.kind == "nats":
        assert arrived.headers["Nats-Msg-Id"] == event.id
    if broker.kind == "redis":
        assert arrived.headers == {}


def test_headers_travel_beside_the_event(broker: Broker, name: str, publisher: Publisher) -> None:
    told = {"quash-tenant": "acme"}
    # Of one tenant in one message each, in their order.
    publisher.publish_many([book(1), *(Event.truncate("e", headers=told) for _ in range(2)), Invalidate(tag="t")])
    first, second, third = broker.arrived(name)
    assert [header_of(arrived) for arrived in (first, second, third)] == [None, "acme", None]
    assert [event["entity"] for event in json.loads(second.body)["events"]] == ["e", "e"]
    assert b"headers" not in second.body


def header_of(arrived: Any) -> Any:
    headers = arrived.headers.get("headers", arrived.headers) or {}
    value = headers.get("quash-tenant", headers.get(b"quash-tenant"))
    return value.decode() if isinstance(value, bytes) else value


def test_many_events_arrive_in_order_in_few_messages(broker: Broker, name: str, publisher: Publisher) -> None:
    publisher.publish_many([book(number) for number in range(1200)])
    messages = [json.loads(arrived.body)["events"] for arrived in broker.arrived(name)]
    assert [len(events) for events in messages] == [500, 500, 200]
    assert [event["key"]["id"] for events in messages for event in events] == list(range(1200))


def test_a_message_is_one_write_to_rabbitmq(
    shared: dict[str, Broker], broker: Broker, name: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    if broker.kind != "amqp":
        pytest.skip("of RabbitMQ alone")
    from pika.adapters import base_connection

    publisher.publish(book())
    writes: list[bytes] = []
    emit = base_connection.BaseConnection._adapter_emit_data
    monkeypatch.setattr(
        base_connection.BaseConnection, "_adapter_emit_data", lambda self, data: (writes.append(data), emit(self, data))
    )
    publisher.publish(book())
    assert len(writes) == 1
    assert b"shop.Book" in writes[0]


def test_publishing_nothing_needs_no_broker() -> None:
    Publisher("redis://127.0.0.1:1/0").publish_many([])


def test_asyncio_publishes_as_well(broker: Broker, name: str, publisher: Publisher) -> None:
    async def work() -> None:
        await asyncio.gather(*(publisher.apublish(book(number)) for number in range(20)))

    asyncio.run(work())
    # From another loop, over the same connection.
    asyncio.run(publisher.apublish(Invalidate(tag="author:3")))
    bodies = [json.loads(arrived.body) for arrived in broker.arrived(name)]
    assert sorted(body["key"]["id"] for body in bodies if "key" in body) == list(range(20))
    assert bodies[-1]["invalidate"] == {"tag": "author:3"}


def test_many_threads_share_a_publisher(broker: Broker, name: str, publisher: Publisher) -> None:
    def work(first: int) -> None:
        for number in range(first, first + 20):
            publisher.publish(book(number))

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 160, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    arrived = [json.loads(arrived.body)["key"]["id"] for arrived in broker.arrived(name)]
    assert sorted(arrived) == list(range(160))


def test_a_forked_child_publishes_beside_its_parent(broker: Broker, name: str, publisher: Publisher) -> None:
    publisher.publish(book(1))

    def child() -> None:
        publisher.publish(book(2))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    assert process.exitcode == 0
    publisher.publish(book(3))
    arrived = [json.loads(arrived.body) for arrived in broker.arrived(name)]
    assert [event["key"]["id"] for event in arrived] == [1, 2, 3]
    assert len({event["origin"] for event in arrived}) == 2


def test_it_connects_again_after_the_broker_came_back(own_broker: Broker, name: str) -> None:
    own_broker.declare(name)
    # A broker that has just begun writes what it has taken in its own time.
    with Publisher(own_broker.url(name), timeout=10.0) as publisher:
        publisher.publish(book(1))
        own_broker.server.kill()
        with pytest.raises(quash.BrokerUnreachable) as caught:
            publisher.publish(book(2))
        assert isinstance(caught.value, ConnectionError)
        assert caught.value.temporary
        assert f"127.0.0.1:{own_broker.server.port}" in str(caught.value)
        own_broker.server.start()
        if own_broker.kind == "amqp":
            own_broker.declare(name)
        publisher.publish(book(3))
    assert json.loads(own_broker.arrived(name)[-1].body)["key"]["id"] == 3


def test_a_broker_that_hangs_costs_no_more_than_the_time_limit(own_broker: Broker, name: str) -> None:
    own_broker.declare(name)
    with Publisher(own_broker.url(name), timeout=10.0) as publisher:
        publisher.publish(book(1))
        publisher.timeout = 0.25
        own_broker.server.pause()
        # The second finds no connection, and cannot make one.
        for number in (2, 3):
            began = time.monotonic()
            with pytest.raises(quash.PublishTimeout) as caught:
                publisher.publish(book(number))
            assert time.monotonic() - began < GENEROUS
            assert "250 ms" in str(caught.value)
            assert isinstance(caught.value, TimeoutError)
        began = time.monotonic()
        with pytest.raises(quash.PublishTimeout):
            asyncio.run(publisher.apublish(book(4)))
        assert time.monotonic() - began < GENEROUS
        own_broker.server.resume()
        publisher.timeout = 10.0
        publisher.publish(book(5))
    assert json.loads(own_broker.arrived(name)[-1].body)["key"]["id"] == 5


def test_a_destination_that_does_not_exist_is_an_error(broker: Broker) -> None:
    if broker.kind == "redis":
        pytest.skip("a stream comes into being by being written to")
    with (
        Publisher(broker.url("quash.nowhere"), timeout=5.0) as publisher,
        pytest.raises(quash.PublishRefused) as caught,
    ):
        publisher.publish(book())
    assert "quash.nowhere" in str(caught.value)


def test_a_wrong_key_is_refused_in_the_words_of_redis(shared: dict[str, Broker], broker: Broker, name: str) -> None:
    if broker.kind != "redis":
        pytest.skip("of Redis alone")
    import redis

    with redis.Redis.from_url(broker.server.url) as client:  # type: ignore[attr-defined]
        client.set(name, "no stream")
    with Publisher(broker.url(name), timeout=5.0) as publisher, pytest.raises(quash.PublishRefused) as caught:
        publisher.publish(book())
    assert "WRONGTYPE" in str(caught.value)
    assert not caught.value.temporary


def test_no_message_shows_the_password(broker: Broker) -> None:
    scheme = {"redis": "redis", "amqp": "amqp", "nats": "nats"}[broker.kind]
    url = f"{scheme}://quash:s3cr3t@127.0.0.1:{broker.server.port}/"
    publisher = Publisher(url, timeout=5.0)
    assert "s3cr3t" not in repr(publisher) + repr(publisher.address)
    try:
        publisher.publish(book())
    except quash.PublishError as error:
        said: BaseException | None = error
        while said is not None:
            assert "s3cr3t" not in str(said)
            said = said.__cause__
    else:
        pytest.fail("nobody knows this user, or nothing takes the event")
    finally:
        publisher.close()


def test_the_environment_says_where_to_publish(broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broker.declare(name)
    monkeypatch.setattr(quash, "_default", None)
    monkeypatch.setenv("QUASH_URL", broker.url(name))
    quash._publisher().timeout = 5.0
    with quash.coalesce():
        quash.publish(Invalidate(tag="a", id="1"))
        quash.publish(Invalidate(tag="a", id="2"))
        quash.publish(Invalidate(tag="b", id="3"))
        with quash.disabled():
            quash.publish(Invalidate(tag="c"))
    asyncio.run(quash.apublish(Invalidate(key="k")))
    quash.close_all()
    first, second = (json.loads(arrived.body) for arrived in broker.arrived(name))
    assert [event["invalidate"] for event in first["events"]] == [{"tag": "a"}, {"tag": "b"}]
    assert second["invalidate"] == {"key": "k"}


def test_captured_events_reach_no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quash, "_default", Publisher("redis://127.0.0.1:1/0"))
    with quash.captured_events() as events:
        quash.publish(Invalidate(tag="a"))
    assert [event["invalidate"] for event in events] == [{"tag": "a"}]
