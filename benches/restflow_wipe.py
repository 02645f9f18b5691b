"""Measures a partition wipe of drf-restflow beside the same wipe by Quash, and a hundred of them in one batch beside one.

    ./test libraries -k restflow && cargo build --profile dist
    target/tools/libraries-django5/bin/python benches/restflow_wipe.py [target/dist/quash]

The library works as it does by default: django-redis with its own number of keys per SCAN. Quash works end to end: from
before the event is published until its worker has settled it. All sides take turns, and what goes is put back in between.
"""

import json
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests/libraries"))

from harness import alias, servers  # noqa: E402

STREAM = "quash.events"
ROUNDS = 5
# 200,000 keys: ten functions, ten entries in each partition.
FUNCTIONS, PARTITIONS, ENTRIES = 10, 2000, 10


class Application:
    """Functions that share a key constructor, and a database full of what they returned."""

    def __init__(self, cache):
        alias.configure("django_redis", cache.url(), INSTALLED_APPS=["rest_framework"], DEFAULT_CHARSET="utf-8")
        from restflow.caching import ArgsKeyField, InlineKeyConstructor, cache_result

        fields = {"book": ArgsKeyField("book_id", partition=True), "page": ArgsKeyField("page")}
        constructor = InlineKeyConstructor(fields, namespace="books")

        def function(number):
            def cached(book_id, page):
                return {"title": "a title", "text": "some text of it"}

            cached.__module__, cached.__qualname__ = "books", f"Books.of_kind_{number}"
            return cache_result(constructor)(cached)

        self.functions = [function(number) for number in range(FUNCTIONS)]
        self.redis = cache.client()
        self.functions[0](0, 0)
        (key,) = self.redis.keys()
        assert key.decode() == ":1:" + self.functions[0].get_cache_key(0, 0)
        self.value = self.redis.get(key)

    def fill(self, functions, partitions):
        """Puts entries there, as the library spells them."""
        pipeline = self.redis.pipeline(transaction=False)
        for function in functions:
            for partition in partitions:
                for entry in range(ENTRIES):
                    pipeline.set(":1:" + function.get_cache_key(partition, entry), self.value)
            pipeline.execute()

    def wipe_at_once(self, partitions):
        for partition in partitions:
            prefix = ":1:" + self.functions[0].get_cache_key(partition, 0)
            self.redis.unlink(*self.redis.keys(prefix[: -len(prefix.rsplit(":", 1)[1])] + "*"))

    def is_full(self):
        return self.redis.dbsize() == FUNCTIONS * PARTITIONS * ENTRIES


class Quash:
    """A worker that removes partitions of the first function."""

    def __init__(self, cache, queue):
        field = {"args": "book_id", "partition": True}
        library = {"namespace": "books", "identifier": "books.Books.of_kind_0"}
        library["fields"] = {"book": field, "page": {"args": "page"}}
        caches = {
            "books": {"restflow": library, "depends_on": [{"row": "Book"}]},
            "few": {"restflow": library, "values": {"page": list(range(ENTRIES))}, "depends_on": [{"row": "Few"}]},
        }
        self.queue = queue.client()
        self.worker = servers.Worker(
            lambda admin: json.dumps(
                {
                    "version": 1,
                    "admin": {"listen": admin},
                    "targets": {"main": {"redis": {"url": cache.url()}, "key_format": {"django": {}}}},
                    "sources": {"events": {"redis_streams": {"url": queue.url(), "stream": STREAM, "group": "quash"}}},
                    "caches": caches,
                }
            )
        )

    def wipe(self, partitions):
        self.publish("Book", partitions)

    def wipe_few(self, partitions):
        """The same where the configuration names all values of the other argument."""
        self.publish("Few", partitions)

    def publish(self, entity, partitions):
        events = [{"entity": entity, "op": "create", "after": {"book_id": partition}} for partition in partitions]
        self.queue.xadd(STREAM, {"body": json.dumps({"events": events})})
        while not self.is_drained():
            time.sleep(0.001)

    def is_drained(self):
        (group,) = self.queue.xinfo_groups(STREAM)
        return group["lag"] == 0 and group["pending"] == 0


def measure(application, wipe, partitions):
    """The seconds of a wipe; everything is there before it, and nothing of the partitions after it."""
    assert application.is_full()
    begun = time.perf_counter()
    wipe(partitions)
    seconds = time.perf_counter() - begun
    left = application.redis.dbsize()
    assert left == (FUNCTIONS * PARTITIONS - len(partitions)) * ENTRIES, f"{left} keys are left"
    application.fill(application.functions[:1], partitions)
    return seconds


def main():
    servers.QUASH = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/dist/quash").resolve()
    cache, queue = servers.Redis(), servers.Redis(durable=True)
    quash = None
    try:
        application = Application(cache)
        application.fill(application.functions, range(PARTITIONS))
        quash = Quash(cache, queue)

        def library(partitions):
            for partition in partitions:
                application.functions[0].delete_by_prefix(book_id=partition)

        sides = {
            "the library, one partition": (library, [7]),
            "Quash, one partition": (quash.wipe, [7]),
            "Quash, 100 partitions": (quash.wipe, list(range(100))),
            "Quash, one by its keys": (quash.wipe_few, [7]),
            # One command that finds the keys of a partition, and answers nobody else meanwhile: no walk is shorter.
            "the server alone, KEYS": (application.wipe_at_once, [7]),
        }
        seconds = {name: [] for name in sides}
        for _ in range(ROUNDS):
            for name, (wipe, partitions) in sides.items():
                seconds[name].append(measure(application, wipe, partitions))
        tell(seconds)
    finally:
        for server in filter(None, (quash and quash.worker, cache, queue)):
            server.stop()


def tell(seconds):
    print(f"{FUNCTIONS * PARTITIONS * ENTRIES:,} keys, {ENTRIES} in each partition; milliseconds, medians of {ROUNDS} rounds")
    for name, measured in seconds.items():
        each = ", ".join(f"{1000 * one:.1f}" for one in measured)
        print(f"{name:28} {1000 * statistics.median(measured):9.1f}   ({each})")
    library, one, hundred, _, alone = (statistics.median(measured) for measured in seconds.values())
    print(f"the library / Quash: {library / one:.1f} (goal: at least 20); 100 / 1: {hundred / one:.2f} (goal: at most 1.2)")
    print(f"the library / the server alone: {library / alone:.1f}; Quash / the server alone: {one / alone:.2f}")


if __name__ == "__main__":
    main()
