"""Measures what publishing adds to a request of Django that saves one row: `python benches/request.py`.

A transaction with one `save` on PostgreSQL: without publishing, with the outbox, and with each broker: its driver
alone, waiting for its confirmation, and in the background. Requests follow one another at once, and then as they come
to a process that has time left. The ways take turns, so that whatever else the machine does slows all of them.
"""

from __future__ import annotations

import functools
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1] / "src")]

import brokers
import django_setup  # noqa: F401
from django.conf import settings
from django.core.management import call_command
from django.db import connections, transaction
from django.test import override_settings
from publish import bare
from servers import Postgres
from shop.models import Author, Book

#: Requests of one way before the next has its turn.
TOGETHER = 50
#: How many seconds after a request the next comes, and how often each way has its turn.
PACES = {
    "one after the other": (lambda: 0.0, 40),
    "100 a second, at random": (lambda: random.expovariate(100), 20),
}
DATABASE = "postgres"
#: The stream, queue or subject.
NAME = "quash.bench"


class Way(NamedTuple):
    """One way to publish."""

    setting: dict[str, Any]
    #: What the application itself does after the commit.
    on_commit: Callable[[], object] | None = None


def save(book: Book, number: int, on_commit: Callable[[], object] | None) -> float:
    """Changes a row and says how many microseconds that took."""
    began = time.perf_counter()
    with transaction.atomic(using=DATABASE):
        book.stock = number
        book.save(using=DATABASE)
        if on_commit is not None:
            transaction.on_commit(on_commit, using=DATABASE)
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


def ways(started: list[brokers.Broker]) -> dict[str, Way]:
    """What is compared. The bare driver publishes as many bytes as an event has, and waits for the broker as well."""
    common = {"url": started[0].url(NAME), "models": {"shop.Book": "*"}, "on_failure": "raise", "timeout": 5.0}
    nothing = {**common, "models": {}}
    found = {"none": Way(nothing), "outbox": Way({**common, "via": "outbox"})}
    for broker in started:
        broker.declare_as_worker(NAME)
        publish = bare(broker, b"x" * 900)
        direct = {**common, "url": broker.url(NAME)}
        found[f"{broker.kind}, bare driver"] = Way(nothing, functools.partial(publish, 0))
        found[f"{broker.kind}, confirmed"] = Way(direct)
        found[f"{broker.kind}, background"] = Way({**direct, "via": "background", "on_failure": "log"})
    return found


def round_of(way: Way, pk: int, first: int, pause: Callable[[], float]) -> list[float]:
    """The times of one way; its first call connects."""
    took = []
    with override_settings(QUASH=way.setting):
        book = Book.objects.using(DATABASE).get(pk=pk)
        for number in range(TOGETHER):
            took.append(save(book, first + number, way.on_commit))
            time.sleep(pause())
    return took[1:]


def compare(pace: str, known: dict[str, Way], pk: int) -> None:
    """Prints what each way adds at this pace."""
    pause, rounds = PACES[pace]
    took: dict[str, list[float]] = {name: [] for name in known}
    for number in range(rounds):
        for name, way in known.items():
            took[name].extend(round_of(way, pk, number * TOGETHER, pause))
    nothing = statistics.median(took["none"])
    print(pace)
    for name, times in took.items():
        half, most = statistics.median(times), sorted(times)[len(times) * 99 // 100]
        print(f"  {name:18} p50 {half:6.0f} µs   p99 {most:6.0f} µs   adds {half - nothing:5.0f} µs")


def main() -> None:
    started = [brokers.start(kind) for kind in ("redis", "amqp", "nats")]
    try:
        with database():
            known = ways(started)
            with override_settings(QUASH=known["none"].setting):
                author = Author.objects.using(DATABASE).create(name="Ada")
                pk = Book.objects.using(DATABASE).create(title="A title of a book", author=author).pk
            for pace in PACES:
                compare(pace, known, pk)
    finally:
        for broker in started:
            broker.server.kill()
            shutil.rmtree(broker.server.home, ignore_errors=True)


if __name__ == "__main__":
    main()
