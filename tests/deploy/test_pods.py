"""Runs what the chart renders before real servers, as a cluster would: check, probes, an event, new rules, stop."""

import contextlib
import json
import shutil
import signal
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import generate
import pytest
import redis_cli
import yaml
from places import CHART
from pod import Pod, objects, one
from servers import Nats, RabbitMq, Redis, eventually, free_port

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
    values = yaml.safe_load((CHART / "ci" / f"{kind}-values.yaml").read_text()) | {"reload": "watch"}
    with folder() as home, contextlib.ExitStack() as ends:
        yield home, objects(generate.rendered(values)), secrets, cache, ends


def get(port, path, token=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
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
    eventually(lambda: pod.run("quash", ready[1:]).returncode == 0, "the worker is ready")
    assert get(port, container["livenessProbe"]["httpGet"]["path"])[0] == 200
    assert get(port, "/metrics")[0] == 401
    assert "quash_build_info" in get(port, "/metrics", TOKEN)[1]

    def gone(key):
        redis_cli.run(cache.port, "SET", key, "stale")
        (home / "event").write_text(json.dumps(EVENT))
        published = pod.run("quash", ["publish", "-f", str(home / "event")])
        assert published.returncode == 0, published.stderr
        eventually(lambda: redis_cli.run(cache.port, "EXISTS", key) == "0", f"{key} is gone")

    gone("product:7")
    # A changed ConfigMap: the key that the new rules name goes, with the worker that runs.
    rules = one(found, "ConfigMap", "quash-rules")["data"]
    pod.update("rules", {name: text.replace("product:{id}", "article:{id}") for name, text in rules.items()})
    eventually(lambda: "configuration reloaded" in (home / "log").read_text(), "the worker reloads")
    gone("article:7")

    worker.send_signal(signal.SIGTERM)
    assert worker.wait(spec["terminationGracePeriodSeconds"]) == 0, (home / "log").read_text()


def test_a_server_that_is_away_stops_the_check_and_not_a_worker_that_runs(cluster):
    home, found, secrets, cache, ends = cluster
    port = free_port()
    pod = Pod(home, found, one(found, "Deployment")["spec"]["template"]["spec"], secrets, port)
    worker = pod.start("quash")
    ends.callback(worker.kill)
    eventually(lambda: pod.run("quash", ["health"]).returncode == 0, "the worker is ready")
    cache.kill()
    assert pod.run("check").returncode == 69
    # Not ready, but alive: killing it would bring no cache back.
    eventually(lambda: pod.run("quash", ["health"]).returncode == 1, "the worker is not ready")
    assert get(port, "/livez")[0] == 200
    cache.start()
    eventually(lambda: pod.run("quash", ["health"]).returncode == 0, "the worker is ready again")
    assert pod.run("check").returncode == 0
