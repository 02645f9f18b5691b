"""Plays races in a process of its own, and prints what became of them: `python -m races.play LIBRARY BACKEND URL RACES`.

In each race two readers ask a cached function for a row while a writer commits a change of it and then removes the entry
from Redis, as the worker does. Each load ends at a moment by chance: at once, after the commit, or after the removal. A race
counts if a load had read the old row, and ended after the removal: whoever stores then as if nothing had happened, stores what
is old. When all have ended, the function is asked once more.
"""

import collections
import concurrent.futures
import json
import random
import sys
import threading

BACKENDS = {
    "django": {"BACKEND": "django.core.cache.backends.redis.RedisCache"},
    "leases": {"BACKEND": "quash.django.cache.LeaseCache"},
    "django_redis": {"BACKEND": "django_redis.cache.RedisCache"},
    "django_redis leases": {
        "BACKEND": "django_redis.cache.RedisCache",
        "OPTIONS": {"CLIENT_CLASS": "quash.django.django_redis.LeaseClient"},
    },
}
#: Races at once.
TOGETHER = 8
#: How long one waits for the others at most, in seconds.
PATIENCE = 60

OLD, NEW = "old", "new"


class Race:
    """One row, and what happens to it."""

    def __init__(self):
        self.row = OLD
        #: Set once a load has read the row.
        self.begun = threading.Event()
        self.committed = threading.Event()
        self.removed = threading.Event()
        #: Loads that read the old row and ended after the removal.
        self.overtaken = 0

    def load(self):
        """What the cached function does: reads the row, and ends as early or late as it happens to."""
        row = self.row
        self.begun.set()
        end = random.choice([self.begun, self.committed, self.removed])
        assert end.wait(PATIENCE), "nobody writes"
        if row == OLD and self.removed.is_set():
            self.overtaken += 1
        return row

    def write(self, remove):
        """Commits, and then removes the entry."""
        assert self.begun.wait(PATIENCE), "nobody loads"
        self.row = NEW
        self.committed.set()
        remove()
        self.removed.set()


races = {}


def memoized():
    """django-cache-memoize."""
    from cache_memoize import cache_memoize

    @cache_memoize(600)
    def row(number):
        return races[number].load()

    return row, row.get_cache_key


def easily_cached():
    """easy-cache."""
    from easy_cache import ecached

    @ecached("row:{number}", 600)
    def row(number):
        return races[number].load()

    return row, "row:{}".format


def of_djblets():
    """djblets."""
    from djblets.cache.backend import cache_memoize, make_cache_key

    return lambda number: cache_memoize(f"row:{number}", races[number].load), lambda number: make_cache_key(f"row:{number}")


def of_restflow():
    """drf-restflow."""
    from restflow.caching import ArgsKeyField, KeyConstructor, cache_result

    class RowKey(KeyConstructor):
        number = ArgsKeyField("number", partition=True)

    @cache_result(key_constructor=RowKey, invalidates_on=[])
    def row(number):
        return races[number].load()

    return row, row.get_cache_key


LIBRARIES = {"cache_memoize": memoized, "easy_cache": easily_cached, "djblets": of_djblets, "restflow": of_restflow}


def connect(backend, url):
    import django
    from django.conf import settings

    settings.configure(
        CACHES={"default": {**BACKENDS[backend], "LOCATION": url, "TIMEOUT": 3600}},
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["django.contrib.sites"],
        SECRET_KEY="0123456789abcdefSECRETSECRET",
        SITE_ID=1,
        USE_TZ=True,
    )
    django.setup()
    if "djblets" in sys.argv:
        from django.contrib.sites.models import Site

        # Known to each thread, which would have an empty database of its own.
        Site.objects.get_current = lambda request=None: Site(id=1, domain="shop.example")


class Players:
    """The threads that read and write."""

    def __init__(self, library, url):
        import redis

        self.row, self.key = LIBRARIES[library]()
        self.worker = redis.Redis.from_url(url)
        self.readers = concurrent.futures.ThreadPoolExecutor(2 * TOGETHER)
        self.writers = concurrent.futures.ThreadPoolExecutor(TOGETHER)

    def play(self, number):
        """Plays one race; says what the function gives when all is over, and how many loads were overtaken."""
        from django.core.cache import cache

        race = races[number] = Race()
        physical = cache.make_key(self.key(number))
        together = [self.readers.submit(self.row, number) for _ in range(2)]
        together.append(self.writers.submit(race.write, lambda: self.worker.unlink(physical)))
        for one in together:
            one.result()
        last = self.readers.submit(self.row, number).result()
        del races[number]
        return last, race.overtaken


def main(library, backend, url, wanted):
    connect(backend, url)
    players = Players(library, url)
    told, played, stale, real, numbers = collections.Counter(), 0, 0, 0, iter(range(10 * wanted))
    if "leases" in backend:
        from quash.django.leases import on_event

        on_event(lambda name, event, key: told.update([event]))
    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as threads:
        while real < wanted:
            batch = [number for number, _ in zip(numbers, range(max(TOGETHER, wanted - real)))]
            assert batch, "too few loads were overtaken"
            for last, overtaken in threads.map(players.play, batch):
                played += 1
                stale += last != NEW
                real += overtaken > 0
    json.dump({"played": played, "races": real, "stale": stale, "events": dict(told)}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
