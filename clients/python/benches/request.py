"""Measures what publishing adds to a request of Django that saves one row: `python benches/request.py`.

A transaction with one `save` on PostgreSQL, without publishing, with each broker, and with the outbox. The ways take
turns, so that whatever else the machine does slows all of them.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1] / "src")]

import brokers
import django_setup  # noqa: F401
from django.conf import settings
from django.core.management import call_command
from django.db import connections, transaction
from django.test import override_settings
from servers import Postgres
from shop.models import Author, Book

ROUNDS, TOGETHER = 30, 100
DATABASE = "postgres"
#: The stream, queue or subject.
NAME = "quash.bench"


def save(book: Book, number: int) -> float:
    """Changes a row and says how many microseconds that took."""
    began = time.perf_counter()
    with transaction.atomic(using=DATABASE):
        book.stock = number
        book.save(using=DATABASE)
    return (time.perf_counter() - began) * 1e6


@contextmanager
def database() -> Iterator[None]:
    server = Postgres(Path(tempfile.mkdtemp(prefix="quash-postgres-")))
    server.port = settings.DATABASES[DATABASE]["PORT"]
    server.prepare()
    server.start()
    try:
        call_command("migrate", database=DATABASE, run_syncdb=True, verbosity=0)
        yield
    finally:
        connections.close_all()
        server.kill()
        shutil.rmtree(server.home, ignore_errors=True)


def ways(started: list[brokers.Broker]) -> dict[str, dict[str, Any]]:
    """The setting of each way to publish."""
    for broker in started:
        broker.declare_as_worker(NAME)
    urls = {broker.kind: broker.url(NAME) for broker in started}
    common = {"url": urls["redis"], "models": {"shop.Book": "*"}, "on_failure": "raise", "timeout": 5.0}
    direct = {kind: {**common, "url": url} for kind, url in urls.items()}
    return {"none": {**common, "models": {}}, **direct, "outbox": {**common, "via": "outbox"}}


def round_of(way: dict[str, Any], pk: int, first: int) -> list[float]:
    """The times of one way; its first call connects."""
    with override_settings(QUASH=way):
        book = Book.objects.using(DATABASE).get(pk=pk)
        return [save(book, first + number) for number in range(TOGETHER)][1:]


def main() -> None:
    started = [brokers.start(kind) for kind in ("redis", "amqp", "nats")]
    try:
        with database():
            known = ways(started)
            with override_settings(QUASH=known["none"]):
                author = Author.objects.using(DATABASE).create(name="Ada")
                pk = Book.objects.using(DATABASE).create(title="A title of a book", author=author).pk
            took: dict[str, list[float]] = {name: [] for name in known}
            for number in range(ROUNDS):
                for name, way in known.items():
                    took[name].extend(round_of(way, pk, number * TOGETHER))
        nothing = statistics.median(took["none"])
        for name, times in took.items():
            half, most = statistics.median(times), sorted(times)[len(times) * 99 // 100]
            print(f"{name:8} p50 {half:6.0f} µs   p99 {most:6.0f} µs   adds {half - nothing:5.0f} µs")
    finally:
        for broker in started:
            broker.server.kill()
            shutil.rmtree(broker.server.home, ignore_errors=True)


if __name__ == "__main__":
    main()
