"""Rolls a deployment over from Django's own backend to the one with leases, with old and new processes side by side."""

import contextlib
import json
import os
import pathlib
import random
import subprocess
import threading

import pytest

from harness.library import STREAM, is_drained
from harness.servers import ROOT, Redis, Worker, eventually
from races import rows

FOLDER = pathlib.Path(__file__).parent
OWN = "django.core.cache.backends.redis.RedisCache"
LEASES = "quash.django.cache.LeaseCache"
#: What each process reads at least before the next step.
READS = 400


class Deployment:
    """A worker, a writer, and the processes that read."""

    def __init__(self, ends, cache):
        """`cache` is what the worker's configuration says of the cache."""
        self.ends = ends
        self.cache, self.queue, self.database = (self.started(server) for server in (Redis(), Redis(durable=True), Redis()))
        self.source = self.database.client()
        configuration = {
            "version": 1,
            "sources": {"events": {"redis_streams": {"url": self.queue.url(), "stream": STREAM, "group": "quash"}}},
            "targets": {"main": {"redis": {"url": self.cache.url()}}},
            "caches": {"row": {"key": "row:{number}", "depends_on": [{"row": "shop.Row"}], **cache}},
        }
        self.started(Worker(lambda admin: json.dumps({**configuration, "admin": {"listen": admin}})))
        self.readers = {}
        self.is_over = threading.Event()
        self.writer = threading.Thread(target=self.write)
        ends.callback(self.stop_writing)
        self.writer.start()

    def started(self, server):
        self.ends.callback(server.stop)
        return server

    def write(self):
        """Changes rows as fast as it can, and tells the worker of each."""
        queue = self.queue.client()
        while not self.is_over.wait(0.001):
            number = random.randrange(rows.ROWS)
            rows.write(self.source, number)
            event = {"entity": "shop.Row", "op": "update", "key": {"number": number}, "after": {"number": number}}
            queue.xadd(STREAM, {"body": json.dumps({**event, "before": {"number": number}})})

    def stop_writing(self):
        self.is_over.set()
        if self.writer.is_alive():
            self.writer.join()

    def settle(self):
        """No row changes any more, and every removal is done, later passes included."""
        self.stop_writing()
        eventually("the queue is drained", lambda: is_drained(self.queue.client()))

    def start(self, role, backend, version=1, **options):
        """Starts a process that reads."""
        alias = {"BACKEND": backend, "VERSION": version, "OPTIONS": options}
        python = ROOT / "target/tools/libraries-django5/bin/python"
        path = os.pathsep.join([str(FOLDER), str(ROOT / "clients/python/src")])
        command = [python, "-m", "races.reader", role, json.dumps(alias), self.cache.url(), self.database.url()]
        reader = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}, stderr=subprocess.PIPE, text=True
        )
        self.readers[role] = reader
        self.ends.callback(reader.kill)
        self.go_on()

    def go_on(self):
        """Lets all of them read for a while, and finds them well."""
        keys = [rows.READS.format(role) for role in self.readers]
        before = [int(number or 0) for number in self.source.mget(keys)]

        def have_read():
            for role, reader in self.readers.items():
                assert reader.poll() is None, f"{role} failed:\n{reader.communicate()[1]}"
            return all(int(now or 0) - was >= READS for now, was in zip(self.source.mget(keys), before, strict=True))

        eventually("all of them read", have_read)

    def stop(self, role):
        """Ends a process; no read may have failed."""
        self.source.set(rows.STOP.format(role), 1)
        reader = self.readers.pop(role)
        _, errors = reader.communicate(timeout=60)
        assert reader.returncode == 0, f"{role} failed:\n{errors}"

    def entries(self, version):
        """What stands in the cache, as a process of the new kind reads it, beside what is so."""
        from quash.django.leases import payload

        found = {}
        for number in range(rows.ROWS):
            data = payload(self.cache.client().get(f":{version}:{rows.KEY.format(number)}"))
            if data is not None:
                import pickle

                found[number] = (pickle.loads(data), rows.read(self.text(), number))
        return found

    def text(self):
        import redis

        return redis.Redis.from_url(self.database.url(), decode_responses=True)


@pytest.fixture
def ends():
    with contextlib.ExitStack() as stack:
        yield stack


def stale(entries):
    return {number: pair for number, pair in entries.items() if pair[0] != pair[1]}


def test_under_another_version_old_and_new_processes_do_not_meet(ends):
    deployment = Deployment(ends, {"key_format": {"django": {"version": [1, 2]}}})
    deployment.start("old", OWN)
    deployment.start("new", LEASES, version=2)
    deployment.stop("old")
    deployment.go_on()
    deployment.settle()
    deployment.go_on()
    deployment.stop("new")
    entries = deployment.entries(2)
    assert len(entries) == rows.ROWS
    assert stale(entries) == {}


def test_under_one_version_plain_writes_come_first(ends):
    # What plain writers store too late, the later pass takes away.
    deployment = Deployment(ends, {"key_format": {"django": {}}, "again_after": ["1s"]})
    deployment.start("old", OWN)
    deployment.start("first", LEASES, write="plain")
    deployment.stop("old")
    deployment.start("then", LEASES)
    deployment.stop("first")
    deployment.go_on()
    deployment.settle()
    deployment.go_on()
    deployment.stop("then")
    entries = deployment.entries(1)
    assert len(entries) == rows.ROWS
    assert stale(entries) == {}


def test_without_these_steps_old_processes_fail(ends):
    """Why the steps are needed: an old process cannot decode what a new one writes."""
    deployment = Deployment(ends, {"key_format": {"django": {}}})
    deployment.start("old", OWN)
    with pytest.raises(AssertionError, match="old failed:(.|\n)*UnpicklingError"):
        deployment.start("new", LEASES)
        deployment.stop("old")
