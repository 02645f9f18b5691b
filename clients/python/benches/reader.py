"""Measures what leases cost a reader: `python benches/reader.py`.

Hits and misses of Django's own backend and of the one with leases, of django-redis with and without, of the decorator
and of the bare driver; and the decorator's own time, with nothing to wait for. The ways take turns, so that whatever
else the machine does slows all of them; ratios are of one run.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1] / "src")]

import django_setup  # noqa: F401
import redis
from django.core.cache.backends.redis import RedisCache
from django_redis.cache import RedisCache as DjangoRedisCache
from servers import Cache

from quash.django.cache import LeaseCache
from quash.reader import Caches, commands
from quash.reader.driver import Driver
from quash.reader.link import Reply

#: Rounds, and calls of one way in each.
ROUNDS, TOGETHER = 60, 100
#: What is cached.
VALUE = {"id": 42, "title": "A title of a product", "price": "12.50", "text": "x" * 120}
CLIENT_CLASS = {"CLIENT_CLASS": "quash.django.django_redis.LeaseClient"}

Way = Callable[[int], object]


def compare(what: str, ways: dict[str, Way]) -> None:
    """Prints the time of each, and its ratio to the first."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-5, ROUNDS):
        for name, way in ways.items():
            began = time.perf_counter()
            for call in range(TOGETHER):
                way(number * TOGETHER + call)
            if number >= 0:
                took[name].append((time.perf_counter() - began) / TOGETHER * 1e6)
    # The tenth percentile: what the machine does beside adds and never takes away.
    times = {name: statistics.quantiles(all_of, n=10)[0] for name, all_of in took.items()}
    first = next(iter(times.values()))
    print(what)
    for name, one in times.items():
        print(f"  {name:34} {one:7.1f} µs   {one / first:5.2f} of the first")


def hits(caches: dict[str, Any]) -> dict[str, Way]:
    for cache in caches.values():
        cache.get("key")
        cache.set("key", VALUE, 600)
        assert cache.get("key") == VALUE
    return {name: lambda _, cache=cache: cache.get("key") for name, cache in caches.items()}


def misses(caches: dict[str, Any]) -> dict[str, Way]:
    def miss(number: int, cache: Any) -> None:
        cache.get(f"key{number}")
        cache.set(f"key{number}", VALUE, 600)

    return {name: lambda number, cache=cache: miss(number, cache) for name, cache in caches.items()}


class Instant:
    """Answers at once, as no server does: what is left is the decorator's own time."""

    def __init__(self, entry: bytes) -> None:
        self._entry = entry

    def run(self, sent: list[commands.Command], *, once: bool = False) -> list[Reply]:
        return [self._entry]


def decorators(client: redis.Redis) -> None:
    caches = Caches({"caches": {"product": {"key": "product:{id}"}}}, redis=client)

    def load(id: int) -> dict[str, Any]:
        return VALUE

    product = caches.cached("product")(load)
    product(42)
    entry = client.get("product:42")
    ways: dict[str, Way] = {
        "redis-py: GET": lambda _: client.get("product:42"),
        "decorator: hit": lambda _: product(42),
    }
    compare("one hit of the decorator", ways)
    instant = caches.cached("product")(load)
    instant.cache._driver = Driver(Instant(entry))  # type: ignore[arg-type]
    assert instant(42) == VALUE
    codec = caches._codec
    payload = codec.dumps(VALUE)
    compare(
        "without the server",
        {"json.loads alone": lambda _: codec.loads(payload), "decorator: hit": lambda _: instant(42)},
    )

    def by_hand(number: int) -> None:
        if client.get(f"hand:{number}") is None:
            client.set(f"hand:{number}", payload, px=600_000)

    compare("one miss", {"redis-py: GET, SET": by_hand, "decorator: miss": lambda number: product(number + 10**6)})


def main() -> None:
    server = Cache(Path(tempfile.mkdtemp(prefix="quash-bench-")))
    with contextlib.ExitStack() as ends:
        ends.callback(shutil.rmtree, server.home, ignore_errors=True)
        ends.callback(server.kill)
        server.start()
        own = {"Django's own": RedisCache(server.url(1), {}), "with leases": LeaseCache(server.url(2), {})}
        other = {
            "django-redis": DjangoRedisCache(server.url(3), {}),
            "django-redis with leases": DjangoRedisCache(server.url(4), {"OPTIONS": CLIENT_CLASS}),
        }
        for caches in (own, other):
            compare("one hit", hits(caches))
            compare("one miss: get and set", misses(caches))
        decorators(redis.Redis(port=server.port))


if __name__ == "__main__":
    main()
