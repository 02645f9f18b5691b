"""Starts two busy workers, their queue and their caches, and a Prometheus that scrapes both."""

import contextlib
import itertools
import json
import threading
import time

import pytest
from harness.servers import Redis, Worker, eventually
from prometheus import Prometheus

# A cache is on both targets, another on one of them; letters come from messages that are no events.
CONFIGURATION = {
    "version": 1,
    "caches": {
        "product": {"key": "product:{id}", "depends_on": [{"row": "shop.Product"}]},
        "listing": {
            "key": "listing:{shelf}:{page}",
            "targets": ["main"],
            "depends_on": [{"row": "shop.Product", "map": {"page": "*"}}],
        },
    },
}


class Fleet:
    """Two workers on one queue, with two caches."""

    def __init__(self, ends):
        self.queue, self.main, self.eu = Redis(durable=True), Redis(), Redis()
        for server in (self.queue, self.main, self.eu):
            ends.callback(server.stop)
        self.workers = []
        for _ in range(2):
            self.workers.append(Worker(self.configuration))
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
        return json.dumps(
            CONFIGURATION | {"admin": {"listen": admin}, "sources": {"events": stream}, "targets": targets}
        )

    def publish(self):
        """Forty events a second, some of which nothing depends on, until the end."""
        queue = self.queue.client()
        for number in itertools.count():
            if self.publishing.wait(0.025):
                return
            entity = "shop.Order" if number % 5 == 0 else "shop.Product"
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
        yield fleet
