"""Commits, rolls back and fails to publish: what is sent when, and what becomes of it when the broker is down."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

import brokers
import django_setup  # noqa: F401
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.test import TestCase, override_settings
from shop.models import Author, Book, Tag

import quash
from quash import publisher
from quash.django.conf import conf
from quash.django.models import OutboxEvent

#: Far above the time-out, far below waiting for ever.
GENEROUS = 2.0


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[list[dict[str, Any]]]:
    """The batches that would have gone to the broker."""
    batches: list[list[dict[str, Any]]] = []
    monkeypatch.setattr(quash.Publisher, "send", lambda _, documents: batches.append(list(documents)))
    return batches


def names(batch: list[dict[str, Any]]) -> list[str]:
    return [(event.get("after") or event.get("before"))["name"] for event in batch]


def make(db: str, name: str) -> Author:
    return Author.objects.using(db).create(name=name)


def test_without_a_transaction_each_change_is_sent_at_once(db: str, sent: Any) -> None:
    make(db, "a")
    assert [names(batch) for batch in sent] == [["a"]]
    make(db, "b")
    assert [names(batch) for batch in sent] == [["a"], ["b"]]


def test_a_transaction_is_one_batch_after_its_commit(db: str, sent: Any) -> None:
    with transaction.atomic(using=db):
        make(db, "a")
        with transaction.atomic(using=db):
            make(db, "b")
        make(db, "c")
        assert sent == []
    assert [names(batch) for batch in sent] == [["a", "b", "c"]]


def test_a_rollback_sends_nothing(db: str, sent: Any) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic(using=db):
        make(db, "a")
        raise ZeroDivisionError
    make(db, "b")
    assert [names(batch) for batch in sent] == [["b"]]


def test_a_savepoint_that_is_rolled_back_takes_its_events_with_it(db: str, sent: Any) -> None:
    with transaction.atomic(using=db):
        make(db, "a")
        with pytest.raises(ZeroDivisionError), transaction.atomic(using=db):
            make(db, "lost")
            with transaction.atomic(using=db):
                make(db, "lost inside")
            raise ZeroDivisionError
        make(db, "b")
        # The last thing that happens, so that nothing after it can notice.
        with pytest.raises(ZeroDivisionError), transaction.atomic(using=db):
            make(db, "lost at the end")
            raise ZeroDivisionError
    assert [names(batch) for batch in sent] == [["a", "b"]]


def test_a_savepoint_by_hand_is_told_rather_too_much(db: str, sent: Any) -> None:
    """Django keeps what was to be done on commit then; an event too many removes an entry too many, that is all."""
    with transaction.atomic(using=db):
        point = transaction.savepoint(using=db)
        make(db, "lost")
        transaction.savepoint_rollback(point, using=db)
        make(db, "a")
    assert [names(batch) for batch in sent] == [["lost", "a"]]


@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize("robust", [True, False])
def test_a_hook_of_somebody_else_that_fails_takes_no_events_along(
    db: str, sent: Any, is_before: bool, robust: bool
) -> None:
    with quash.disabled():
        make(db, "1")
    author = Author.objects.using(db).get()

    def save_and_fail(name: str) -> None:
        with transaction.atomic(using=db):
            if is_before:
                transaction.on_commit(lambda: 1 / 0, using=db, robust=robust)
            author.name = name
            author.save()
            with contextlib.suppress(KeyError), transaction.atomic(using=db):
                make(db, "lost")
                raise KeyError
            if not is_before:
                transaction.on_commit(lambda: 1 / 0, using=db, robust=robust)

    for name in ("2", "3"):
        with contextlib.nullcontext() if robust else pytest.raises(ZeroDivisionError):
            save_and_fail(name)
    author.name = "4"
    author.save()
    moves = [[(event["before"]["name"], event["after"]["name"]) for event in batch] for batch in sent]
    assert moves == [[("1", "2")], [("2", "3")], [("3", "4")]]


def test_a_hook_that_writes_before_ours_hands_on_what_was_committed(db: str, sent: Any) -> None:
    with transaction.atomic(using=db):
        transaction.on_commit(lambda: make(db, "in the hook"), using=db)
        transaction.on_commit(lambda: nested(db), using=db)
        make(db, "a")
    assert sorted(name for batch in sent for name in names(batch)) == ["a", "in the hook", "nested"]


def nested(db: str) -> None:
    with transaction.atomic(using=db):
        make(db, "nested")


def test_two_failures_on_commit_are_both_told(db: str, caplog: pytest.LogCaptureFixture) -> None:
    raising = override_settings(QUASH={**settings.QUASH, "on_failure": "raise"})
    with raising, pytest.raises(ZeroDivisionError), transaction.atomic(using=db):
        transaction.on_commit(lambda: 1 / 0, using=db)
        make(db, "a")
    assert "another failure on commit hides this one: publish 1 event" in caplog.text


def test_what_a_driver_raises_is_no_failure_of_the_write(
    db: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_thread(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(quash.Publisher, "send", no_thread)
    make(db, "a")
    assert "1 committed events are lost" in caplog.text
    with override_settings(QUASH={**settings.QUASH, "on_failure": "outbox"}):
        make(db, "b")
    assert OutboxEvent.objects.using(db).count() == 1


@pytest.mark.parametrize("inner_is_lost", [True, False])
def test_after_a_rollback_the_old_value_is_that_of_the_row(db: str, sent: Any, inner_is_lost: bool) -> None:
    with quash.disabled():
        make(db, "1")
    author = Author.objects.using(db).get()

    def save(name: str) -> None:
        author.name = name
        author.save()

    with transaction.atomic(using=db):
        save("2")
        try:
            with transaction.atomic(using=db):
                save("3")
                if inner_is_lost:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        save("4")
    with pytest.raises(ZeroDivisionError), transaction.atomic(using=db):
        save("5")
        save("6")
        raise ZeroDivisionError
    save("7")
    moves = [(event["before"]["name"], event["after"]["name"]) for batch in sent for event in batch]
    expected = [("1", "2"), ("2", "4")] if inner_is_lost else [("1", "2"), ("2", "3"), ("3", "4")]
    assert moves == [*expected, ("4", "7")]


def test_a_disabled_save_is_remembered_and_rolled_back_too(db: str, sent: Any) -> None:
    with quash.disabled():
        author = make(db, "1")
        author.name = "2"
        author.save()
        with pytest.raises(ZeroDivisionError), transaction.atomic(using=db):
            author.name = "3"
            author.save()
            raise ZeroDivisionError
        with transaction.atomic(using=db):
            author.name = "4"
            author.save()
    author.name = "5"
    author.save()
    assert [(event["before"]["name"], event["after"]["name"]) for event in sent[0]] == [("4", "5")]


def test_each_database_has_its_own_batch(databases: None, sent: Any) -> None:
    try:
        with transaction.atomic(using="default"), transaction.atomic(using="postgres"):
            make("default", "a")
            make("postgres", "b")
            make("default", "c")
        assert sorted(names(batch) for batch in sent) == [["a", "c"], ["b"]]
    finally:
        with quash.disabled():
            Author.objects.using("default").all().delete()
            Author.objects.using("postgres").all().delete()


def test_threads_do_not_mix(db: str, sent: Any) -> None:
    if db == "default":
        pytest.skip("SQLite has one writer")
    inside = threading.Barrier(2)

    def work(name: str) -> None:
        with transaction.atomic(using=db):
            make(db, name)
            inside.wait(10)
            make(db, name)
        connections.close_all()

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(names(batch) for batch in sent) == [["a", "a"], ["b", "b"]]


@pytest.mark.parametrize("db", ["default", "postgres"], indirect=True)
@pytest.mark.parametrize("write", ["update", "bulk_update"])
def test_a_bulk_write_waits_for_another_writer_as_djangos_own(db: str, sent: Any, write: str) -> None:
    with quash.disabled():
        book = Book.objects.using(db).create(title="1")
    begun, done = threading.Event(), []

    def noticed(execute: Any, sql: str, *args: Any) -> Any:
        if sql != "BEGIN":
            begun.set()
        return execute(sql, *args)

    def work() -> None:
        book.title = "3"
        try:
            with connections[db].execute_wrapper(noticed):
                rows = Book.objects.using(db)
                done.append(rows.update(title="3") if write == "update" else rows.bulk_update([book], ["title"]))
        finally:
            connections.close_all()

    with transaction.atomic(using=db):
        with quash.disabled():
            Book.objects.using(db).filter(pk=book.pk).update(stock=1)
        other = threading.Thread(target=work)
        other.start()
        assert begun.wait(10)
    other.join(20)
    assert done == [1]
    ((event,),) = sent
    assert (event["before"]["title"], event["after"]["title"]) == ("1", "3")


def test_coalescing_merges_what_says_the_same(db: str, sent: Any) -> None:
    author = make(db, "1")
    sent.clear()
    with quash.coalesce():
        for name in ("1", "2", "2"):
            author.name = name
            author.save()
        assert sent == []
    ((event,),) = sent
    assert (event["before"]["name"], event["after"]["name"], event["changed"]) == ("1", "2", ["name"])


def test_coalescing_ends_inside_of_a_transaction(db: str, sent: Any) -> None:
    author = make(db, "1")
    sent.clear()
    with transaction.atomic(using=db):
        with quash.coalesce():
            author.save()
            author.save()
        assert sent == []
        author.name = "2"
        author.save()
    assert [len(batch) for batch in sent] == [2]


def test_a_test_case_that_never_commits_sees_its_events(db: str, sent: Any) -> None:
    if db != "default":
        pytest.skip("of one database")

    class Case(TestCase):
        def test(self) -> None:
            with quash.captured_events() as events:
                make("default", "a")
                assert names(list(events)) == ["a"]
                try:
                    with transaction.atomic():
                        make("default", "b")
                        assert len(events) == 2
                        raise ZeroDivisionError
                except ZeroDivisionError:
                    pass
                assert names(list(events)) == ["a"]
            with self.captureOnCommitCallbacks(execute=True):
                make("default", "c")

    result = Case("test").run()
    assert result is not None
    assert result.wasSuccessful(), result.failures + result.errors
    assert [names(batch) for batch in sent] == [["c"]]


# --- what becomes of events when the broker is down ------------------------------------------------------------------


def with_policy(url: str, policy: str, **more: Any) -> Any:
    return override_settings(QUASH={**settings.QUASH, "url": url, "on_failure": policy, **more})


#: What the database is makes no difference here, and a broker takes seconds to start.
one_database = pytest.mark.parametrize("db", ["postgres"], indirect=True)


@pytest.fixture(params=["redis", "amqp", "nats"])
def down(request: pytest.FixtureRequest) -> Iterator[brokers.Broker]:
    """A broker that was not started yet."""
    made = brokers.prepare(request.param)
    yield made
    made.server.kill()
    shutil.rmtree(made.server.home, ignore_errors=True)


@one_database
def test_log_says_what_is_lost_and_goes_on(down: brokers.Broker, db: str, caplog: pytest.LogCaptureFixture) -> None:
    with with_policy(down.url("q"), "log"), caplog.at_level(logging.ERROR, logger="quash"):
        author = make(db, "a")
    assert Author.objects.using(db).get() == author
    # Drivers log as they like.
    (record,) = (record for record in caplog.records if record.name == "quash")
    assert f"create shop.Author {author.pk}" in record.getMessage()
    assert f"127.0.0.1:{down.server.port}" in record.getMessage()


@one_database
def test_raise_fails_the_request_after_its_commit(down: brokers.Broker, db: str) -> None:
    with with_policy(down.url("q"), "raise"):
        with pytest.raises(quash.BrokerUnreachable), transaction.atomic(using=db):
            author = make(db, "a")
        assert Author.objects.using(db).get() == author


@one_database
def test_outbox_keeps_events_until_the_broker_is_back(down: brokers.Broker, db: str) -> None:
    from django.core.management import call_command
    from django.core.management.base import CommandError

    with with_policy(down.url("quash.back"), "outbox"):
        with transaction.atomic(using=db):
            make(db, "a")
            make(db, "b")
        make(db, "c")
        assert OutboxEvent.objects.using(db).count() == 3
        with pytest.raises(CommandError, match=r"(?i)refused|connect"):
            call_command("quash_outbox", once=True, database=db)
        assert OutboxEvent.objects.using(db).count() == 3
        down.server.start()
        down.declare("quash.back")
        # A broker that has just begun may be slow.
        conf().publisher.timeout = 10.0
        call_command("quash_outbox", once=True, database=db, verbosity=0)
        assert OutboxEvent.objects.using(db).count() == 0
        conf().publisher.close()
    bodies = [json.loads(arrived.body) for arrived in down.arrived("quash.back")]
    events = [event for body in bodies for event in body.get("events", [body])]
    assert names(events) == ["a", "b", "c"]


@one_database
def test_a_hung_broker_costs_a_request_no_more_than_the_time_limit(own_broker: brokers.Broker, db: str) -> None:
    own_broker.declare("quash.hung")
    with with_policy(own_broker.url("quash.hung"), "outbox", timeout=10.0):
        make(db, "a")
        conf().publisher.timeout = 0.25
        own_broker.server.pause()
        began = time.monotonic()
        make(db, "b")
        assert time.monotonic() - began < GENEROUS
        own_broker.server.resume()
        assert OutboxEvent.objects.using(db).count() == 1
        conf().publisher.close()


def in_background(url: str, policy: str) -> Any:
    return with_policy(url, policy, via="background", timeout=30.0)


@one_database
def test_in_the_background_what_was_committed_arrives(broker: brokers.Broker, db: str, name: str) -> None:
    broker.declare(name)
    with in_background(broker.url(name), "log"):
        with pytest.raises(ZeroDivisionError), transaction.atomic(using=db):
            make(db, "lost")
            raise ZeroDivisionError
        with transaction.atomic(using=db):
            make(db, "a")
            make(db, "b")
        make(db, "c")
        conf().publisher.close()
    bodies = [json.loads(arrived.body) for arrived in broker.arrived(name)]
    assert [names(body.get("events", [body])) for body in bodies] == [["a", "b"], ["c"]]


@one_database
def test_in_the_background_log_says_what_is_lost(
    down: brokers.Broker, db: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "LATER_SECONDS", 0.5)
    with in_background(down.url("q"), "log"), caplog.at_level(logging.ERROR, logger="quash"):
        author = make(db, "a")
        conf().publisher.close()
    (record,) = (record for record in caplog.records if record.name == "quash")
    assert f"create shop.Author {author.pk}" in record.getMessage()
    assert f"127.0.0.1:{down.server.port}" in record.getMessage()


@one_database
def test_in_the_background_the_outbox_keeps_what_is_not_taken(
    down: brokers.Broker, db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "LATER_SECONDS", 0.5)
    monkeypatch.setattr(publisher, "LATER_EVENTS_MAX", 2)
    with in_background(down.url("q"), "outbox"):
        make(db, "a")
        make(db, "b")
        # No room: at once, and on this thread.
        make(db, "c")
        assert OutboxEvent.objects.using(db).count() == 1
        conf().publisher.close()
    kept = [json.loads(row.body)["after"]["name"] for row in OutboxEvent.objects.using(db)]
    assert sorted(kept) == ["a", "b", "c"]


def test_in_the_background_nobody_can_be_raised_to() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"'via': 'background'.*expected log or outbox"):
        in_background("redis://127.0.0.1:1/0", "raise").enable()


def test_via_outbox_the_event_lives_and_dies_with_its_row(db: str, sent: Any) -> None:
    with with_policy("redis://127.0.0.1:1/0", "raise", via="outbox"):
        with pytest.raises(ZeroDivisionError), transaction.atomic(using=db):
            make(db, "lost")
            assert OutboxEvent.objects.using(db).count() == 1
            raise ZeroDivisionError
        with transaction.atomic(using=db):
            make(db, "a")
    assert sent == []
    (kept,) = OutboxEvent.objects.using(db)
    assert json.loads(kept.body)["after"]["name"] == "a"


def test_two_relays_take_different_events(db: str) -> None:
    from quash.django import outbox

    if db == "default":
        pytest.skip("SQLite has one writer")
    outbox.keep([{"entity": "shop.Tag", "op": "truncate", "id": str(number)} for number in range(4)], db)
    both = threading.Barrier(2)
    taken: list[list[str]] = []

    class Slow:
        def send(self, documents: list[dict[str, Any]]) -> None:
            taken.append([document["id"] for document in documents])
            both.wait(10)

    def work() -> None:
        outbox.relay(Slow(), db, 2)  # type: ignore[arg-type]
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(taken) == [["0", "1"], ["2", "3"]]
    assert OutboxEvent.objects.using(db).count() == 0


def test_an_event_that_nobody_can_publish_does_not_hold_up_the_others(db: str) -> None:
    from quash.django import outbox

    large = {"entity": "shop.Tag", "op": "create", "after": {"slug": "x" * 2**20}, "id": "large"}
    outbox.keep([large, {"entity": "shop.Tag", "op": "truncate", "id": "small"}], db)
    published: list[str] = []

    class Strict:
        def send(self, documents: list[dict[str, Any]]) -> None:
            if any(document["id"] == "large" for document in documents):
                raise quash.EventError("too large")
            published.extend(document["id"] for document in documents)

    outbox.relay(Strict(), db, 10)  # type: ignore[arg-type]
    assert published == ["small"]
    assert outbox.waiting(db) == (0, 1)


def test_signals_and_bulk_writes_reach_a_real_broker(broker: brokers.Broker, db: str, name: str) -> None:
    broker.declare(name)
    with with_policy(broker.url(name), "raise", timeout=10.0):
        with transaction.atomic(using=db):
            author = make(db, "a")
            (book,) = Book.objects.using(db).bulk_create([Book(title="t", author=author)])
            Book.objects.using(db).filter(pk=book.pk).update(title="u")
            book.tags.add(Tag.objects.using(db).create(slug="s"))
        conf().publisher.close()
    (arrived,) = broker.arrived(name)
    events = json.loads(arrived.body)["events"]
    assert [(event["op"], event["entity"]) for event in events] == [
        ("create", "shop.Author"),
        ("create", "shop.Book"),
        ("update", "shop.Book"),
        ("create", "shop.Tag"),
        ("add", "shop.Book"),
    ]


@pytest.fixture(autouse=True)
def _no_outbox_left(databases: None) -> Iterator[None]:
    yield
    for alias in ("default", "postgres"):
        OutboxEvent.objects.using(alias).all().delete()
