"""Hands events over to the thread that publishes: what arrives, and who is told of what does not."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from brokers import Broker
from servers import eventually

import quash
from quash import Event, Publisher, engine, publisher

#: Seconds that a slow machine may take for anything.
LIMIT = 30


def book(number: int, **columns: Any) -> Event:
    return Event(entity="shop.Book", op="update", key={"id": number}, after={"author_id": 4, **columns})


def never(error: Exception) -> None:
    raise AssertionError(error)


class Told:
    """Keeps what was not published, and on which threads it was said."""

    def __init__(self) -> None:
        self.errors: list[quash.QuashError] = []
        self.threads: set[int] = set()
        self._said = threading.Semaphore(0)

    def __call__(self, error: quash.QuashError) -> None:
        self.errors.append(error)
        self.threads.add(threading.get_ident())
        self._said.release()

    def wait(self) -> quash.QuashError:
        assert self._said.acquire(timeout=LIMIT)
        return self.errors[-1]


def hand_over(to: Publisher, numbers: range, failed: Any = never, **columns: Any) -> None:
    for number in numbers:
        to.publish_later(book(number, **columns), on_failure=failed)


def numbers(broker: Broker, name: str) -> list[int]:
    return [json.loads(arrived.body)["key"]["id"] for arrived in broker.arrived(name)]


def test_events_arrive_in_the_order_in_which_they_were_handed_over(broker: Broker, name: str) -> None:
    broker.declare(name)
    with Publisher(broker.url(name), timeout=LIMIT) as to:
        hand_over(to, range(1500))
    assert numbers(broker, name) == list(range(1500))


def test_many_threads_hand_over(broker: Broker, name: str) -> None:
    broker.declare(name)
    with Publisher(broker.url(name), timeout=LIMIT) as to:
        threads = [
            threading.Thread(target=hand_over, args=(to, range(first, first + 50))) for first in range(0, 400, 50)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(numbers(broker, name)) == list(range(400))


def test_a_broker_that_is_back_in_time_gets_everything(
    own_broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "LATER_SECONDS", 120.0)
    own_broker.declare(name)
    with Publisher(own_broker.url(name), timeout=LIMIT) as to:
        to.publish(book(0))
        own_broker.server.kill()
        hand_over(to, range(1, 20))
        with pytest.raises(quash.BrokerUnreachable):
            to.publish(book(0))
        own_broker.server.start()
        if own_broker.kind == "amqp":
            own_broker.declare(name)
    # RabbitMQ's queue of this test is not made to live through that.
    assert numbers(own_broker, name)[-19:] == list(range(1, 20))


def test_what_a_broker_does_not_take_in_time_is_told_on_another_thread(
    own_broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "LATER_SECONDS", 0.5)
    own_broker.server.kill()
    told = Told()
    with Publisher(own_broker.url(name)) as to:
        hand_over(to, range(1), told)
        error = told.wait()
    assert isinstance(error, quash.BrokerUnreachable)
    assert "publish 1 event to " in str(error)
    assert f"127.0.0.1:{own_broker.server.port}" in str(error)
    assert threading.get_ident() not in told.threads
    assert len(told.errors) == 1


def test_what_is_left_is_told_when_the_publisher_is_closed(
    own_broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "LATER_SECONDS", 120.0)
    own_broker.declare(name)
    told = Told()
    with Publisher(own_broker.url(name), timeout=LIMIT) as to:
        to.publish(book(0))
        own_broker.server.pause()
        hand_over(to, range(3), told)
        monkeypatch.setattr(publisher, "LATER_SECONDS", 0.25)
    own_broker.server.resume()
    assert ["closed" in str(error) for error in told.errors] == [True] * 3


def test_who_is_told_when_every_thread_is_busy_is_told_all_the_same(
    own_broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "LATER_SECONDS", 0.1)
    own_broker.server.kill()
    told, gate = Told(), threading.Event()
    running = engine.current()
    with Publisher(own_broker.url(name)) as to:
        for _ in range(40):
            running._loop.call_soon_threadsafe(running._loop.run_in_executor, None, gate.wait)
        to.publish_later(book(1), on_failure=told)
        eventually("a thread is asked for", lambda: to in running.kept and running.kept[to].later._telling)
        later = running.kept[to].later
        closing = threading.Thread(target=to.close)
        closing.start()
        eventually("its work is ended", lambda: later._working.done())
        gate.set()
        closing.join(LIMIT)
        assert len(told.errors) == 1
    assert isinstance(told.wait(), quash.BrokerUnreachable)


def test_no_more_than_so_many_wait(own_broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "LATER_EVENTS_MAX", 5)
    own_broker.server.kill()
    told = Told()
    monkeypatch.setattr(publisher, "LATER_SECONDS", 0.5)
    with Publisher(own_broker.url(name)) as to:
        hand_over(to, range(5), told)
        with pytest.raises(quash.PublishRefused, match="5 events wait already"):
            hand_over(to, range(5, 6), never)
    assert len(told.errors) == 5
    # They count no more.
    with Publisher(own_broker.url(name)) as to:
        hand_over(to, range(5), told)
    assert len(told.errors) == 10


def test_what_is_no_event_is_told_and_takes_no_other_along(broker: Broker, name: str) -> None:
    broker.declare(name)
    told = Told()
    with Publisher(broker.url(name), timeout=LIMIT, message_bytes_max=1000) as to:
        hand_over(to, range(10))
        hand_over(to, range(10, 11), told, title="x" * 1000)
        to.hand_over([{"entity": "shop.Book", "op": "truncate", "id": told}], told)
        hand_over(to, range(11, 20))
    assert [type(error) for error in told.errors] == [quash.EventError] * 2
    assert "the limit is 1000" in str(told.errors[0])
    assert "not JSON serializable" in str(told.errors[1])
    assert numbers(broker, name) == [*range(10), *range(11, 20)]


def test_one_transaction_may_be_larger_than_what_may_wait(
    broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "LATER_EVENTS_MAX", 5)
    broker.declare(name)
    with Publisher(broker.url(name), timeout=LIMIT) as to:
        to.publish_later(*map(book, range(12)), on_failure=never)
    (arrived,) = broker.arrived(name)
    assert [event["key"]["id"] for event in json.loads(arrived.body)["events"]] == list(range(12))


def test_one_that_is_refused_takes_no_other_along(shared: dict[str, Broker], broker: Broker, name: str) -> None:
    if broker.kind != "nats":
        pytest.skip("of NATS alone: the others take a body of any size")
    broker.declare(name)
    told = Told()
    with Publisher(broker.url(name), timeout=LIMIT, message_bytes_max=8_000_000) as to:
        hand_over(to, range(10))
        hand_over(to, range(10, 11), told, title="x" * 2_000_000)
        hand_over(to, range(11, 20))
    assert "takes no message of 2000" in str(told.wait())
    # What went with it in one round trip may have gone twice.
    assert sorted(set(numbers(broker, name))) == [*range(10), *range(11, 20)]


def test_the_package_hands_over_as_the_blocks_around_say(
    broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.declare(name)
    monkeypatch.setattr(quash, "_default", to := Publisher(broker.url(name), timeout=LIMIT))
    with quash.disabled():
        quash.publish_later(book(0))
    with quash.captured_events() as events:
        quash.publish_later(book(1))
    with quash.coalesce():
        quash.publish_later(book(2), on_failure=never)
        quash.publish_later(book(3), on_failure=never)
    to.close()
    (arrived,) = broker.arrived(name)
    assert [event["key"]["id"] for event in events] == [1]
    assert [event["key"]["id"] for event in json.loads(arrived.body)["events"]] == [2, 3]


def test_what_nobody_asks_about_is_logged(
    own_broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(publisher, "LATER_SECONDS", 0.1)
    own_broker.server.kill()
    with Publisher(own_broker.url(name)) as to:
        to.publish_later(book(1))
        with pytest.raises(quash.EventError):
            to.publish_later(book(2), Event.create("shop.Book", after={"x": object()}))
    (record,) = (record for record in caplog.records if record.name == "quash")
    assert record.getMessage().startswith("events are lost, what was cached from them stays stale: publish 1 event to")


PROGRAM = """
import sys
from quash import Event, Publisher

to = Publisher(sys.argv[1])
for number in range(100):
    to.publish_later(Event.update("shop.Book", key={"id": number}), on_failure=lambda error: print("told:", error))
"""


def ended(broker: Broker, name: str) -> str:
    program = [sys.executable, "-c", PROGRAM, broker.url(name)]
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    ran = subprocess.run(program, capture_output=True, text=True, timeout=LIMIT * 2, env=here)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def test_a_process_that_ends_sends_what_it_has(broker: Broker, name: str) -> None:
    broker.declare(name)
    assert not ended(broker, name)
    assert numbers(broker, name) == list(range(100))


def test_a_child_process_that_ends_sends_what_it_has(broker: Broker, name: str) -> None:
    broker.declare(name)
    with Publisher(broker.url(name), timeout=LIMIT) as to:
        child = multiprocessing.get_context("fork").Process(target=hand_over, args=(to, range(100)))
        child.start()
        hand_over(to, range(100, 200))
        child.join(LIMIT * 2)
        assert child.exitcode == 0
    assert sorted(numbers(broker, name)) == list(range(200))


def test_a_child_that_leaves_at_once_is_told_to_send(broker: Broker, name: str) -> None:
    broker.declare(name)

    def child() -> None:
        hand_over(to, range(100))
        quash.close_all()
        os._exit(0)

    with Publisher(broker.url(name), timeout=LIMIT) as to:
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join(LIMIT * 2)
        assert process.exitcode == 0
    assert numbers(broker, name) == list(range(100))


def test_a_process_that_ends_tells_what_it_could_not_send(own_broker: Broker, name: str) -> None:
    own_broker.server.kill()
    lines = ended(own_broker, name).splitlines()
    assert len(lines) == 100
    assert all(line.startswith("told: publish 1 event to ") for line in lines)
