"""Commits, rolls back, gathers and withholds: the worker hears of what was committed, and of nothing else."""

import asyncio
import contextlib

from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, connections, transaction
from harness.servers import eventually
from shop.models import Book
from shop_before import Page, author, book

import quash
from quash import publisher
from quash.django import outbox
from quash.django.conf import conf


def retitled(row, title="new"):
    row.title = title
    row.save()


def test_a_transaction_is_one_batch_after_its_commit(shop):
    one, two, other = author(), author(), author()
    first, second = book(one), book(two)
    with shop.changes(
        goes=[Page("author", one.pk), Page("author", two.pk), Page("book", first.pk)], stays=[Page("author", other.pk)]
    ):
        with transaction.atomic():
            retitled(first)
            with transaction.atomic():
                retitled(second)
            assert shop.batches == []


def test_a_rollback_publishes_nothing(shop):
    by = author()
    row = book(by)
    stays = [Page("book", row.pk), Page("author", by.pk)]
    with shop.changes(stays=stays, batches=0):
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            retitled(row)
            row.delete()
            Book.objects.create(title="new", author=by)
            Book.objects.filter(author=by).update(title="newer")
            raise ZeroDivisionError
    # What was rolled back is not among the old values of the next save either.
    with shop.changes(goes=stays, stays=[]):
        retitled(Book.objects.get(pk=row.pk or stays[0].args[0]))


def test_savepoints_that_are_rolled_back_take_their_changes_with_them(shop):
    kept, lost, nested = author(), author(), author()
    rows = {by: book(by) for by in (kept, lost, nested)}
    with shop.changes(goes=[Page("author", kept.pk)], stays=[Page("author", lost.pk), Page("author", nested.pk)]):
        with transaction.atomic():
            retitled(rows[kept])
            with contextlib.suppress(ZeroDivisionError), transaction.atomic():
                retitled(rows[lost])
                with transaction.atomic():
                    retitled(rows[nested])
                raise ZeroDivisionError


def test_a_hook_of_somebody_else_that_fails_holds_nothing_back(shop):
    by, other = author(), author()
    row = book(by)
    with shop.changes(goes=[Page("author", by.pk), Page("book", row.pk)], stays=[Page("author", other.pk)]):
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            transaction.on_commit(lambda: 1 / 0)
            retitled(row)


def test_coalescing_publishes_one_batch_at_its_end(shop):
    old, between, new, other = author(), author(), author(), author()
    row = book(old)
    with shop.changes(goes=[Page("author", one.pk) for one in (old, between, new)], stays=[Page("author", other.pk)]):
        with quash.coalesce():
            for by in (between, new):
                row.author = by
                row.save()
                row.save()
            assert shop.batches == []


def test_what_is_disabled_is_not_heard_of(shop):
    row = book()
    page = Page("book", row.pk)
    for reader in page.readers:
        reader(row.pk)
    with shop.changes(batches=0), quash.disabled():
        retitled(row)
    for reader in page.readers:
        assert page.is_hit(reader)
        assert not page.is_fresh()


def test_changes_of_an_event_loop_are_published_as_well(shop):
    by, other = author(), author()
    row = book(by)

    async def change():
        fresh = await Book.objects.aget(pk=row.pk)
        fresh.title = "new"
        await fresh.asave()
        await Book.objects.acreate(title="another", author=by)
        await sync_to_async(connections.close_all)()

    with shop.changes(goes=[Page("author", by.pk), Page("book", row.pk)], stays=[Page("author", other.pk)], batches=2):
        asyncio.run(change())


def test_rows_that_somebody_else_changed_can_be_published_by_hand(shop):
    by = author()
    row, neighbour = book(by), book(by)
    with shop.changes(goes=[Page("book", row.pk)], stays=[Page("book", neighbour.pk)], widens=True):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE shop_book SET title = 'new' WHERE id = %s", [row.pk])
        call_command("quash_publish", "shop.Book", str(row.pk), verbosity=0)


def test_while_the_broker_is_away_the_outbox_keeps_what_was_committed(shop):
    by, other = author(), author()
    row = book(by)
    goes, stays = [Page("author", by.pk), Page("book", row.pk)], [Page("author", other.pk)]
    server = shop.broker.server
    with shop.publishing(on_failure="outbox", timeout=0.25), shop.changes(goes=goes, stays=stays):
        server.kill()
        try:
            retitled(row)
            with contextlib.suppress(ZeroDivisionError), transaction.atomic():
                retitled(book(other), "lost")
                raise ZeroDivisionError
            assert outbox.waiting("default") == (1, 0)
            assert goes[0].is_hit(goes[0].readers[0])
        finally:
            server.start()
        # A broker that has just begun may be slow.
        conf().publisher.timeout = 10.0
        eventually("the outbox is relayed", is_relayed)


def test_in_the_background_a_broker_that_is_away_for_a_while_loses_nothing(shop, monkeypatch):
    # It may take a while to begin again.
    monkeypatch.setattr(publisher, "LATER_SECONDS", 120.0)
    by, other = author(), author()
    row = book(by)
    goes, stays = [Page("author", by.pk), Page("book", row.pk)], [Page("author", other.pk)]
    server = shop.broker.server
    with shop.publishing(via="background", on_failure="log"), shop.changes(goes=goes, stays=stays):
        server.kill()
        try:
            with transaction.atomic():
                retitled(book(by))
                retitled(row)
            with contextlib.suppress(ZeroDivisionError), transaction.atomic():
                retitled(book(other), "lost")
                raise ZeroDivisionError
        finally:
            server.start()


def is_relayed():
    with contextlib.suppress(CommandError):
        call_command("quash_outbox", once=True, verbosity=0)
    return outbox.waiting("default") == (0, 0)


def test_via_the_outbox_events_live_and_die_with_their_rows(shop):
    by, other = author(), author()
    row, lost = book(by), book(other)
    with shop.publishing(via="outbox"):
        with shop.changes(goes=[Page("author", by.pk), Page("book", row.pk)], stays=[Page("author", other.pk)]):
            retitled(row)
            with contextlib.suppress(ZeroDivisionError), transaction.atomic():
                retitled(lost)
                raise ZeroDivisionError
            assert (shop.batches, outbox.waiting("default")) == ([], (1, 0))
            call_command("quash_outbox", once=True, verbosity=0)
