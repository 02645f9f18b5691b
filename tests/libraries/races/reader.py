"""Reads rows through a cache until it is told to stop: `python -m races.reader ROLE ALIAS CACHE_URL SOURCE_URL`.

`ALIAS` is what `CACHES` says of the alias, in JSON, without its location. Whatever a read raises ends the process.
"""

import json
import random
import sys
import threading
import time

from . import rows

#: Threads that read at once.
THREADS = 4
#: How long a load takes at most, in seconds: longer than from a commit to its removal, or no load is overtaken.
LOAD = 0.04
MISSING = object()


def load(source, number):
    """What is cached: the row, which takes a while to make something of."""
    row = rows.read(source, number)
    rows.is_loading(source, number)
    time.sleep(random.random() * LOAD)
    return row


def read(cache, source, number):
    """What applications do."""
    key = rows.KEY.format(number)
    row = cache.get(key, MISSING)
    if row is MISSING:
        row = load(source, number)
        cache.set(key, row, 600)
    assert row.startswith("row "), row
    return row


def main(role, alias, cache_url, source_url):
    import django
    import redis
    from django.conf import settings

    settings.configure(CACHES={"default": {**json.loads(alias), "LOCATION": cache_url}})
    django.setup()
    source, failures = redis.Redis.from_url(source_url, decode_responses=True), []

    def go_on():
        from django.core.cache import cache

        try:
            while not source.exists(rows.STOP.format(role)):
                read(cache, source, random.randrange(rows.ROWS))
                source.incr(rows.READS.format(role))
        except BaseException as error:
            failures.append(repr(error))
            raise

    threads = [threading.Thread(target=go_on) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
