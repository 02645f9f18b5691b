"""Starts two busy workers, their queue, their caches and their database, and a Prometheus that scrapes both."""

import contextlib
import itertools
import json
import pathlib
import subprocess
import tempfile
import threading
import time
import urllib.request

import pytest
import servers
from harness.servers import Redis, Worker, eventually
from prometheus import Prometheus

# A cache is on both targets, another on one of them; letters come from messages that are no events. Now and then a
# later pass is parked, and now and then none is: what a worker shows differs.
CONFIGURATION = {
    "version": 1,
    "caches": {
        "product": {"key": "product:{id}", "depends_on": [{"row": "shop.Product"}]},
        "listing": {
            "key": "listing:{shelf}:{page}",
            "targets": ["main"],
            "depends_on": [{"row": "shop.Product", "map": {"page": "*"}}],
        },
        "shelf": {"key": "shelf:{id}", "again_after": ["4s"], "depends_on": [{"row": "shop.Shelf"}]},
    },
}


class Database(servers.Postgres):
    """A PostgreSQL whose log can be relayed, with the tables that caches depend on."""

    def __init__(self, home):
        super().__init__(home)
        self.prepare()
        self.start()
        # It listens before it answers.
        eventually("the database answers", lambda: self.psql("select 1").returncode == 0)
        self.run('create schema shop; create table shop."Product" (id int primary key, shelf int)')
        self.run('create table shop."Shelf" (id int primary key)')

    def command(self):
        return [*super().command(), "-c", "wal_level=logical"]

    def url(self):
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def run(self, sql):
        self.psql(sql).check_returncode()

    def psql(self, sql):
        return subprocess.run(["psql", self.url(), "--quiet", "--command", sql], capture_output=True, text=True)


class Fleet:
    """Two workers on one queue, with their caches; one relays what their database commits, the other stands by."""

    def __init__(self, ends):
        home = ends.enter_context(tempfile.TemporaryDirectory(prefix="quash-monitoring-"))
        self.database = Database(pathlib.Path(home))
        ends.callback(self.database.kill)
        self.queue, self.main, self.eu = Redis(durable=True), Redis(), Redis()
        for server in (self.queue, self.main, self.eu):
            ends.callback(server.stop)
        self.workers = []
        for _ in range(2):
            self.workers.append(Worker(self.configuration, "--relay"))
            ends.callback(self.workers[-1].stop)
        self.prometheus = Prometheus([worker.admin for worker in self.workers])
        ends.callback(self.prometheus.stop)
        self.publishing = threading.Event()
        publisher = threading.Thread(target=self.publish)
        publisher.start()
        ends.callback(publisher.join)
        ends.callback(self.publishing.set)

    def configuration(self, admin):
        stream = {"redis_streams": {"url": self.queue.url(), "stream": "quash.events", "group": "quash"}, "batch": 8}
        targets = {
            name: {"redis": {"url": server.url()}, "timeout": "1s"}
            for name, server in (("main", self.main), ("eu", self.eu))
        }
        relayed = {
            "servers": {"shop": {"postgres": {"url": self.database.url()}}},
            "relay": {"shop": {"server": "shop", "to": "events"}},
        }
        return json.dumps(
            CONFIGURATION | relayed | {"admin": {"listen": admin}, "sources": {"events": stream}, "targets": targets}
        )

    def publish(self):
        """Forty events a second until the end; on some nothing depends, one every eight seconds has a later pass."""
        queue = self.queue.client()
        for number in itertools.count():
            if self.publishing.wait(0.025):
                return
            entity = "shop.Order" if number % 5 == 0 else "shop.Product"
            if number % 320 == 1:
                entity = "shop.Shelf"
            row = {"id": number % 100, "shelf": number % 7}
            with contextlib.suppress(OSError):
                self.main.client().set(f"product:{row['id']}", "stale")
                self.main.client().set(f"listing:{row['shelf']}:1", "stale")
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self.send(
                json.dumps({"entity": entity, "op": "update", "key": {"id": row["id"]}, "after": row, "time": now}),
                queue,
            )

    def send(self, payload, queue=None):
        (queue or self.queue.client()).xadd("quash.events", {"payload": payload})


@pytest.fixture(scope="session")
def fleet():
    with contextlib.ExitStack() as ends:
        fleet = Fleet(ends)
        busy = 'min(sum by (instance) (increase(quash_events_total{outcome="done"}[30s]))) > 20'
        eventually("both workers have been busy", lambda: fleet.prometheus.query(busy))
        for shown in ("quash_parked_oldest_age_seconds", "quash_parked_next_due_timestamp_seconds"):
            eventually(f"{shown} is there", lambda shown=shown: fleet.prometheus.series(shown))
        fleet.database.run('insert into shop."Product" select n, n from generate_series(1, 100) n')
        relayed = "max(quash_relay_rows_total) >= 100 and max(quash_relay_lag_bytes) == 0"
        eventually("the database's rows are relayed", lambda: fleet.prometheus.query(relayed))
        # An operator's action, which is counted.
        urllib.request.urlopen(f"http://{fleet.workers[0].admin}/api/v1/export").close()
        eventually("it is counted", lambda: fleet.prometheus.query("quash_operator_actions_total"))
        yield fleet
