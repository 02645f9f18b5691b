"""Runs what the chart renders before real servers, as a cluster would: check, probes, events, new rules, kill, stop."""

import contextlib
import json
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import redis_cli
from chart import render, values
from pod import Pod, one
from servers import Cache, Nats, Postgres, RabbitMq, Redis, eventually, free_port

TOKEN = "s3cret"
BROKERS = {"redis": Redis, "rabbitmq": RabbitMq, "nats": Nats}
EVENT = {"entity": "shop.Product", "op": "update", "key": {"id": 7}, "after": {"id": 7}}


@contextlib.contextmanager
def folder():
    home = Path(tempfile.mkdtemp(prefix="quash-deploy-"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module", params=BROKERS)
def servers(request):
    """A broker of each kind, and a cache."""
    with contextlib.ExitStack() as ends:

        def started(kind):
            server = kind(ends.enter_context(folder()))
            ends.callback(server.kill)
            server.start()
            return server

        yield request.param, started(BROKERS[request.param]), started(Redis)


@pytest.fixture
def cluster(servers):
    """The objects of a release that names the servers, and what is in its Secrets."""
    kind, broker, cache = servers
    urls = {"queue-url": broker.url, "cache-url": cache.url, "url": broker.url, "admin-token": TOKEN, "token": TOKEN}
    secrets = {"quash": urls, "nats": urls, "quash-admin": urls, "cache": {"url": cache.url}}
    with folder() as home, contextlib.ExitStack() as ends:
        yield home, render(values(kind) | {"reload": "watch"}), secrets, cache, ends


def get(port, path, token=None, given=None):
    """Status and text of an answer; `given` is posted."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if given is not None:
        request.data = json.dumps(given).encode()
        request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_a_rendered_worker_does_its_work(cluster):
    home, found, secrets, cache, ends = cluster
    port = free_port()
    spec = one(found, "Deployment")["spec"]["template"]["spec"]
    pod = Pod(home, found, spec, secrets, port)

    checked = pod.run("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    worker = pod.start("quash")
    ends.callback(worker.kill)
    container = pod.container("quash")
    ready = container["readinessProbe"]["exec"]["command"]
    assert ready[0] == "quash"
    eventually("the worker is ready", lambda: pod.run("quash", ready[1:]).returncode == 0)
    assert get(port, container["livenessProbe"]["httpGet"]["path"])[0] == 200
    assert get(port, "/metrics")[0] == 401
    assert "quash_build_info" in get(port, "/metrics", TOKEN)[1]

    def gone(key):
        redis_cli.run(cache.port, "SET", key, "stale")
        (home / "event").write_text(json.dumps(EVENT))
        published = pod.run("quash", ["publish", "-f", str(home / "event")])
        assert published.returncode == 0, published.stderr
        eventually(f"{key} is gone", lambda: redis_cli.run(cache.port, "EXISTS", key) == "0")

    gone("product:7")
    # A changed ConfigMap: the key that the new rules name goes, with the worker that runs.
    rules = one(found, "ConfigMap", "quash-rules")["data"]
    pod.update("rules", {name: text.replace("product:{id}", "article:{id}") for name, text in rules.items()})
    eventually("the worker reloads", lambda: "configuration reloaded" in (home / "log").read_text())
    gone("article:7")

    worker.send_signal(signal.SIGTERM)
    assert worker.wait(spec["terminationGracePeriodSeconds"]) == 0, (home / "log").read_text()


def test_a_server_that_is_away_stops_the_check_and_not_a_worker_that_runs(cluster):
    home, found, secrets, cache, ends = cluster
    port = free_port()
    pod = Pod(home, found, one(found, "Deployment")["spec"]["template"]["spec"], secrets, port)
    worker = pod.start("quash")
    ends.callback(worker.kill)
    eventually("the worker is ready", lambda: pod.run("quash", ["health"]).returncode == 0)
    cache.kill()
    assert pod.run("check").returncode == 69
    # Not ready, but alive: killing it would bring no cache back.
    eventually("the worker is not ready", lambda: pod.run("quash", ["health"]).returncode == 1)
    assert get(port, "/livez")[0] == 200
    cache.start()
    eventually("the worker is ready again", lambda: pod.run("quash", ["health"]).returncode == 0)
    assert pod.run("check").returncode == 0


class Database(Postgres):
    """One whose log can be decoded, with a table."""

    def command(self):
        return [*super().command(), "-c", "wal_level=logical"]

    def start(self):
        super().start()
        # It listens before it lets anybody in.
        ready = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        eventually("the database lets clients in", lambda: subprocess.run(ready).returncode == 0)
        self.run("create table product (id int primary key, price int); insert into product values (7, 1)")

    def run(self, sql):
        place = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        subprocess.run(
            ["psql", *place, "-v", "ON_ERROR_STOP=1", "-qc", sql], check=True, capture_output=True, timeout=60
        )

    @property
    def url(self):
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"


class Shop:
    """A release with every kind of pods, and the servers that it names."""

    def __init__(self, ends):
        self._ends = ends
        self.queue, self.cache, self.database = Redis(self._folder()), Cache(self._folder()), Database(self._folder())
        self.database.prepare()
        for server in (self.queue, self.cache, self.database):
            ends.callback(server.kill)
            server.start()
        self._found = render(values("postgres"))
        self._secrets = {
            "quash": {"queue-url": self.queue.url, "cache-url": self.cache.url(), "admin-token": TOKEN},
            "quash-database": {"url": self.database.url},
            "quash-people": {"alice": "4l1ce", "prometheus": "f1re"},
        }

    def _folder(self):
        return self._ends.enter_context(folder())

    def pod(self, name):
        spec = one(self._found, "Deployment", name)["spec"]["template"]["spec"]
        return Pod(self._folder(), self._found, spec, self._secrets, free_port())

    def started(self, pod):
        """The process of a pod, once both probes are content."""
        process = pod.start("quash")
        self._ends.callback(process.kill)
        container = pod.container("quash")
        ready = container["readinessProbe"]["exec"]["command"]
        eventually("the pod is ready", lambda: pod.run("quash", ready[1:]).returncode == 0)
        assert get(pod.port, container["livenessProbe"]["httpGet"]["path"])[0] == 200
        return process


@pytest.fixture
def shop():
    with contextlib.ExitStack() as ends:
        yield Shop(ends)


def stops(pod, process):
    process.send_signal(signal.SIGTERM)
    assert process.wait(pod.spec["terminationGracePeriodSeconds"]) == 0, (pod.root / "log").read_text()


def test_of_rendered_relays_one_works_and_the_next_takes_over(shop):
    worker, first, second = shop.pod("quash"), shop.pod("quash-relay"), shop.pod("quash-relay")
    # Before any relay was there, and with the database among what it asks.
    checked = worker.run("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "relay shop" in checked.stdout

    def works(pod):
        return "quash_relay_lag_bytes{" in get(pod.port, "/metrics", "f1re")[1]

    def gone():
        redis_cli.run(shop.cache.port, "SET", "product:7", "stale")
        shop.database.run("update product set price = price + 1")
        eventually("the entry is gone", lambda: redis_cli.run(shop.cache.port, "EXISTS", "product:7") == "0")

    relaying = shop.started(first)
    eventually("the first relay works", lambda: works(first))
    # Ready although it stands by: a rollout waits for it.
    standing_by = shop.started(second)
    working = shop.started(worker)
    gone()
    assert (works(first), works(second)) == (True, False)
    relaying.kill()
    eventually("the second relay takes over", lambda: works(second))
    gone()
    stops(second, standing_by)
    stops(worker, working)


def test_the_rendered_page_is_there_when_nothing_else_is(shop):
    worker, page = shop.pod("quash"), shop.pod("quash-ui")
    working = shop.started(worker)
    redis_cli.run(shop.queue.port, "XADD", "quash.events", "*", "body", "no event")
    eventually("there is a dead letter", lambda: redis_cli.run(shop.queue.port, "XLEN", "quash.events.dead") == "1")
    stops(worker, working)
    shop.cache.kill()
    shop.database.kill()

    serving = shop.started(page)
    assert get(page.port, "/api/v1/groups")[0] == 401
    assert get(page.port, "/api/v1/export", "f1re")[0] == 403
    assert get(page.port, "/api/v1/discard", "f1re", {"all": True})[0] == 403

    def letters():
        status, text = get(page.port, "/api/v1/groups?fresh=1", "f1re")
        assert status == 200
        return [
            (group["reason"], group["count"]) for source in json.loads(text)["sources"] for group in source["groups"]
        ]

    assert letters() == [("decode", 1)]
    assert get(page.port, "/api/v1/discard", "4l1ce", {"all": True})[0] == 200
    assert letters() == []
    # What watches workers must not take it for one that is not well.
    metrics = get(page.port, "/metrics", "f1re")[1]
    assert 'quash_operator_actions_total{action="discard",who="alice@shop.example",outcome="accepted"} 1' in metrics
    assert "quash_source_connected" not in metrics
    stops(page, serving)
