"""Brings the compose file up as it is, and uses it as its first lines say."""

import json
import os
import re
import shlex
import shutil
import signal
import urllib.parse
import urllib.request

import images
import pytest
from engine import ROOT, Project, eventually

DEPLOY = ROOT / "deploy"
FILE = DEPLOY / "compose/compose.yaml"
STAND_INS = {
    "redis": images.redis,
    "prom/prometheus": images.prometheus,
    "nats": images.nats,
    "rabbitmq": images.rabbitmq,
}


@pytest.fixture(scope="module")
def project(engine, base_images, tmp_path_factory):
    """Up, with images under the names in the file; alerts wait for seconds where they would wait for minutes."""
    for name in set(re.findall(r"image: (\S+:\S+)", FILE.read_text())):
        repository = name.split(":")[0]
        STAND_INS[repository](engine, f"docker.io/{name}" if "/" in name else f"docker.io/library/{name}")
    given = Project(engine, FILE, "quash")
    build = ["--pull=never", "--format=docker", "--layers=false", *(one for one in base_images if one != "--build-arg")]
    arguments = " ".join(f"--build-arg={one}" if "_IMAGE=" in one else one for one in build)
    given.compose("build", options=[f"--podman-build-args={arguments}"])

    copy = tmp_path_factory.mktemp("checkout") / "deploy"
    shutil.copytree(DEPLOY, copy)
    rules = copy / "monitoring/rules.yaml"
    rules.write_text(re.sub(r"for: \d+m$", "for: 2s", rules.read_text(), flags=re.MULTILINE))
    scrapes = copy / "compose/prometheus.yaml"
    scrapes.write_text(scrapes.read_text().replace("5s", "1s"))
    project = Project(engine, copy / "compose/compose.yaml", "quash")
    project.compose("up", "--detach")
    for service in ("queue", "cache", "prometheus", "quash"):
        running(project, service)
    yield project
    engine.close()


def running(project, service):
    container = project.container(service)
    eventually(f"{service} is healthy", container.healthy, explain=container.logs)
    return container


def ask(expression):
    """The Prometheus of the compose file, at the address that it is published at."""
    return prometheus(f"query?query={urllib.parse.quote(expression)}")["result"]


def prometheus(path):
    with urllib.request.urlopen(f"http://127.0.0.1:9090/api/v1/{path}") as answer:
        return json.load(answer)["data"]


def test_the_first_lines_of_the_file_do_what_they_say(project):
    text = FILE.read_text()
    lines = re.findall(r"^#   docker compose -f deploy/compose/compose.yaml exec (.+)$", text, re.MULTILINE)
    assert len(lines) == 4
    length, stored, published, exists = map(shlex.split, lines)
    assert project.compose("exec", "-T", *length).stdout.split() == ["0"]
    assert project.compose("exec", "-T", *stored).stdout.split() == ["OK"]
    assert project.compose("exec", "-T", *exists).stdout.split() == ["1"]
    assert "published" in project.compose("exec", "-T", *published).stdout
    eventually("the entry is gone", lambda: project.compose("exec", "-T", *exists).stdout.split() == ["0"])


def test_workers_run_without_rights(project):
    worker = project.container("quash")
    with open(f"/proc/{worker.pid()}/status") as lines:
        status = dict(line.split(":", 1) for line in lines)
    assert status["Uid"].split() == ["65532"] * 4
    assert int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    assert worker.inspect("{{.HostConfig.ReadonlyRootfs}}") == "true"


def test_prometheus_scrapes_the_worker_and_has_the_rules(project):
    eventually("the worker is scraped", lambda: [one["value"][1] for one in ask('up{job="quash"}')] == ["1"])
    eventually("its events are there", lambda: ask('quash_events_total{source="events", outcome="done"} > 0'))
    groups = prometheus("rules")["groups"]
    given = (DEPLOY / "monitoring/rules.yaml").read_text()
    assert sum(len(group["rules"]) for group in groups) == len(re.findall(r"- (?:alert|record): ", given))
    assert not [rule for group in groups for rule in group["rules"] if rule["health"] == "err"]


def test_nobody_reads_metrics_without_the_token(project):
    refused = project.container("prometheus").execute("wget", "-q", "-O", "-", "http://quash:9464/metrics", check=False)
    assert refused.returncode != 0
    assert "401" in refused.stderr


def publish(project, *ids):
    """Events as an application would publish them, through the image."""
    lines = "".join(
        json.dumps({"entity": "shop.Product", "op": "update", "key": {"id": i}, "after": {"id": i}}) + "\n" for i in ids
    )
    worker = project.container("quash")
    project.engine.podman("exec", "--interactive", worker.name, "quash", "publish", input=lines)


def entries(project, *ids):
    counted = project.container("cache").execute("redis-cli", "EXISTS", *(f"product:{i}" for i in ids))
    return int(counted.stdout)


def store(project, *ids):
    pairs = [part for i in ids for part in (f"product:{i}", "stale")]
    project.container("cache").execute("redis-cli", "MSET", *pairs)


def test_a_changed_configuration_is_taken_over_without_a_restart(project):
    config = project.file.parent / "quash.yaml"
    written = config.read_text()
    config.write_text(written + '\n  shelf:\n    key: "shelf:{id}"\n    depends_on: [ { row: shop.Shelf } ]\n')
    worker = project.container("quash")
    process = worker.pid()
    project.compose("kill", "-s", "HUP", "quash")
    eventually("it is taken over", lambda: "configuration reloaded" in worker.logs(), explain=worker.logs)
    config.write_text(written)
    project.compose("kill", "-s", "HUP", "quash")
    eventually("it is taken back", lambda: worker.logs().count("configuration reloaded") == 2, explain=worker.logs)
    assert worker.pid() == process


def test_a_killed_worker_comes_back_and_goes_on(project):
    worker = project.container("quash")
    store(project, 1, 2, 3)
    killed = worker.pid()
    os.kill(killed, signal.SIGKILL)
    for i in (1, 2, 3):
        event = json.dumps({"entity": "shop.Product", "op": "update", "key": {"id": i}, "after": {"id": i}})
        project.container("queue").execute("redis-cli", "XADD", "quash.events", "*", "payload", event)
    eventually("another one runs", lambda: worker.pid() not in (0, killed), explain=worker.logs)
    eventually("the entries are gone", lambda: entries(project, 1, 2, 3) == 0, explain=worker.logs)


def three(project):
    project.compose("up", "--detach", "--scale", "quash=3")
    workers = [project.container("quash", number) for number in (1, 2, 3)]
    for worker in workers:
        eventually("it is healthy", worker.healthy, explain=worker.logs)
    return workers


def test_a_cache_that_is_away_is_one_alert_with_three_workers(project):
    three(project)
    eventually("all three are scraped", lambda: [one["value"][1] for one in ask('sum(up{job="quash"})')] == ["3"])

    def all_have_worked():
        publish(project, *range(300))
        return len(ask('quash_events_total{outcome="done"} > 0')) == 3

    eventually("all three have worked", all_have_worked)
    assert alerts() == []
    cache = project.container("cache")
    os.kill(cache.pid(), signal.SIGSTOP)
    try:
        publish(project, *range(300))
        eventually("it fires", lambda: "QuashTargetAway" in alerts())
        eventually("all three see it", lambda: len(ask("quash_lane_open == 1")) == 3)
        assert alerts() == ["QuashTargetAway"]
    finally:
        os.kill(cache.pid(), signal.SIGCONT)
    eventually("it is over", lambda: alerts() == [])


def alerts():
    return [one["labels"]["alertname"] for one in prometheus("alerts")["alerts"] if one["state"] == "firing"]


def test_stopping_everything_drains_every_worker(project):
    workers = three(project)
    project.engine.podman("stop", *(worker.name for worker in workers))
    assert [worker.exit_code() for worker in workers] == [0, 0, 0]


@pytest.mark.parametrize(("broker", "kind"), [("nats", "nats"), ("rabbitmq", "amqp")])
def test_another_broker_is_another_line(project, broker, kind):
    """The lines in quash.yaml for the profile `brokers`, in the place of the one that is in force."""
    config = project.file.parent / "quash.yaml"
    text = (DEPLOY / "compose/quash.yaml").read_text()
    (line,) = re.findall(rf"^# ( *events: {{ {kind}: .*)$", text, re.MULTILINE)
    config.write_text(re.sub(r"^  events: .*$", line, text, flags=re.MULTILINE))
    project.compose("up", "--detach", broker, profile=["brokers"])
    running(project, broker)
    worker = project.container("quash")
    project.engine.podman("restart", worker.name)
    eventually(
        "the worker is well", lambda: worker.execute("quash", "health", check=False).returncode == 0, explain=worker.logs
    )
    store(project, 5)
    worker.execute("quash", "invalidate", "cache", "product", "id=5")
    eventually("the entry is gone", lambda: entries(project, 5) == 0, explain=worker.logs)
