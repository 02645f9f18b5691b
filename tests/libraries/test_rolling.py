"""Rolls a deployment over from Django's own backend to the one with leases, with old and new processes side by side."""

import contextlib
import json
import os
import pathlib
import pickle
import random
import subprocess
import threading

import pytest
import redis
from quash.django.leases import payload

from harness import ROOT
from harness.library import STREAM, is_drained
from harness.servers import Redis, Worker, eventually
from races import reader, rows

FOLDER = pathlib.Path(__file__).parent
OWN = "django.core.cache.backends.redis.RedisCache"
LEASES = "quash.django.cache.LeaseCache"
#: What each process reads at least before the next step.
READS = 200
#: How often all rows change while they are loaded.
RACES = 40


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
        while not self.is_over.wait(0.002):
            self.change(random.randrange(rows.ROWS))

    def change(self, number):
        """Commits a change of a row, and tells the worker."""
        rows.write(self.source, number)
        image = {"number": number}
        event = {"entity": "shop.Row", "op": "update", "key": image, "before": image, "after": image}
        self.queue.client().xadd(STREAM, {"body": json.dumps(event)})

    def stop_writing(self):
        self.is_over.set()
        if self.writer.is_alive():
            self.writer.join()

    def settle(self):
        """No row changes any more, and every removal is done, later passes included."""
        self.stop_writing()
        eventually("the queue is drained", lambda: is_drained(self.queue.client()))

    def stale_after_races(self, version):
        """How many entries are stale, all in all, after rows changed again while what was removed is being loaded."""
        found = 0
        for _ in range(RACES):
            for number in range(rows.ROWS):
                self.change(number)
            for number in range(rows.ROWS):
                # Between its read and its store, where somebody loads; where all is stored already, any row.
                loading = rows.next_loading(self.source, reader.LOAD)
                self.change(number if loading is None else loading)
            eventually("all is removed once", lambda: is_received(self.queue.client()))
            self.go_on(reads=40)
            found += len(stale(self.entries(version)))
        return found

    def start(self, role, backend, version=1, **options):
        """Starts a process that reads."""
        alias = {"BACKEND": backend, "VERSION": version, "OPTIONS": options}
        python = ROOT / "target/tools/libraries-django5/bin/python"
        path = os.pathsep.join([str(FOLDER), str(ROOT / "clients/python/src")])
        command = [python, "-m", "races.reader", role, json.dumps(alias), self.cache.url(), self.database.url()]
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}, stderr=subprocess.PIPE, text=True
        )
        self.readers[role] = process
        self.ends.callback(process.kill)
        self.go_on()

    def go_on(self, reads=READS):
        """Lets all of them read for a while, and finds them well."""
        keys = [rows.READS.format(role) for role in self.readers]
        before = [int(number or 0) for number in self.source.mget(keys)]

        def have_read():
            for role, process in self.readers.items():
                assert process.poll() is None, f"{role} failed:\n{process.communicate()[1]}"
            return all(int(now or 0) - was >= reads for now, was in zip(self.source.mget(keys), before, strict=True))

        eventually("all of them read", have_read)

    def stop(self, role):
        """Ends a process; no read may have failed."""
        self.source.set(rows.STOP.format(role), 1)
        process = self.readers.pop(role)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, f"{role} failed:\n{errors}"

    def entries(self, version):
        """What stands in the cache, as a process of the new kind reads it, beside what is so."""
        source, found = redis.Redis.from_url(self.database.url(), decode_responses=True), {}
        for number in range(rows.ROWS):
            data = payload(self.cache.client().get(f":{version}:{rows.KEY.format(number)}"))
            if data is not None:
                found[number] = (pickle.loads(data), rows.read(source, number))
        return found


@pytest.fixture
def ends():
    with contextlib.ExitStack() as stack:
        yield stack


def stale(entries):
    return {number: pair for number, pair in entries.items() if pair[0] != pair[1]}


def is_received(client):
    """As `is_drained`, but for later passes."""
    (group,) = client.xinfo_groups(STREAM)
    return group["lag"] == 0 and group["pending"] == 0


def test_under_another_version_old_and_new_processes_do_not_meet(ends):
    deployment = Deployment(ends, {"key_format": {"django": {"version": [1, 2]}}})
    deployment.start("old", OWN)
    deployment.start("new", LEASES, version=2)
    deployment.stop("old")
    deployment.go_on()
    deployment.settle()
    assert deployment.stale_after_races(2) == 0
    deployment.go_on()
    deployment.stop("new")
    assert len(deployment.entries(2)) == rows.ROWS


def test_the_same_races_leave_stale_entries_without_leases(ends):
    deployment = Deployment(ends, {"key_format": {"django": {"version": [1, 2]}}})
    deployment.start("old", OWN, version=2)
    deployment.settle()
    assert deployment.stale_after_races(2) >= RACES / 10
    deployment.stop("old")


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
    assert stale(deployment.entries(1)) == {}
    assert deployment.stale_after_races(1) == 0
    deployment.settle()
    deployment.go_on()
    deployment.stop("then")
    assert len(deployment.entries(1)) == rows.ROWS


def test_without_these_steps_old_processes_fail(ends):
    """Why the steps are needed: an old process cannot decode what a new one writes."""
    deployment = Deployment(ends, {"key_format": {"django": {}}})
    deployment.start("old", OWN)
    with pytest.raises(AssertionError, match="old failed:(.|\n)*UnpicklingError"):
        deployment.start("new", LEASES)
        deployment.stop("old")
