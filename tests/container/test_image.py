"""Runs the image as it is deployed: not root, nothing to write to, no rights, files for configuration and secrets."""

import contextlib
import json
import os
import pathlib
import signal
import time

import pytest
from conftest import REVISION, VERSION
from engine import ROOT, eventually
from harness.servers import Redis, free_port

RULES = """
caches:
  product:
    key: "product:{id}"
    depends_on: [ { row: shop.Product } ]
"""
CONFIGURATION = """
version: 1
admin: {{ listen: "127.0.0.1:{admin}", token: "${{ADMIN_TOKEN:?}}" }}
worker: {{ drain: 5s }}
targets:
  cache: {{ redis: {{ url: "${{CACHE_URL:?}}" }} }}
sources:
  events: {{ redis_streams: {{ url: "${{QUEUE_URL:?}}", stream: quash.events, group: quash }} }}
"""
TOKEN = "correct-horse"
# What the image promises to its caller.
GRACE = 10


@pytest.fixture(scope="module")
def servers():
    with contextlib.ExitStack() as ends:
        queue, cache = Redis(durable=True), Redis()
        ends.callback(cache.stop)
        ends.callback(queue.stop)
        yield queue, cache


class Deployment:
    """A folder of files as a ConfigMap and a Secret would bring them, and the worker that reads them."""

    def __init__(self, engine, image, servers, folder):
        self.engine, self.image, self.folder, self.worker = engine, image, folder, None
        self.queue, self.cache = servers
        self.admin = free_port()
        self.config, self.secrets = folder / "quash", folder / "secrets"
        for made in (self.config, self.secrets):
            made.mkdir()
        self.write("quash.yaml", CONFIGURATION.format(admin=self.admin) + RULES)
        for name, text in {"token": TOKEN, "cache": self.cache.url(), "queue": self.queue.url()}.items():
            (self.secrets / name).write_text(text + "\n")
        # They belong to the account of the image alone.
        for path in (self.secrets, *self.secrets.iterdir()):
            os.chown(path, 65532, 65532)
            path.chmod(0o500 if path.is_dir() else 0o400)

    def write(self, name, text):
        (self.config / name).write_text(text)

    def start(self, *arguments, options=()):
        told = [
            "--volume",
            f"{self.config}:/etc/quash:ro",
            "--volume",
            f"{self.secrets}:/run/secrets:ro",
            "--stop-timeout",
            GRACE,
        ]
        for variable, name in {"ADMIN_TOKEN": "token", "CACHE_URL": "cache", "QUEUE_URL": "queue"}.items():
            told += ["--env", f"{variable}_FILE=/run/secrets/{name}"]
        self.worker = self.engine.start(self.image, *arguments, options=(*told, *options))
        return self.worker

    def started(self):
        worker = self.start()
        eventually("the worker is well", self.is_well, explain=worker.logs)
        return worker

    def is_well(self):
        assert self.worker.runs(), self.worker.logs()
        return self.worker.execute("quash", "health", check=False).returncode == 0

    def publish(self, *command):
        """With the image itself, as a job would."""
        return self.worker.execute("quash", "invalidate", *command)

    def close(self):
        if self.worker:
            self.worker.remove()


@pytest.fixture
def deployment(engine, image, servers, tmp_path):
    deployment = Deployment(engine, image, servers, tmp_path)
    yield deployment
    deployment.close()


def test_the_image_says_what_it_is(engine, image):
    told = json.loads(engine.podman("inspect", image).stdout)[0]
    labels = told["Labels"]
    assert labels["org.opencontainers.image.version"] == VERSION
    assert labels["org.opencontainers.image.revision"] == REVISION
    assert labels["org.opencontainers.image.licenses"] == "MIT OR Apache-2.0"
    config = told["Config"]
    assert (config["User"], config["StopSignal"]) == ("65532:65532", "SIGTERM")
    assert (config["Entrypoint"], config["Cmd"]) == (["quash"], ["run"])
    assert told["HealthCheck" if "HealthCheck" in told else "Healthcheck"]["Test"] == [
        "CMD",
        "quash",
        "health",
        "--live",
    ]


def test_the_image_holds_no_shell_and_nobody_elses_rights(engine, image):
    with mounted(engine, image) as root:
        programs = {
            path.name for folder in ("usr/bin", "usr/sbin", "usr/local/bin") for path in root.glob(f"{folder}/*")
        }
        assert "quash" in programs
        assert not programs & {"sh", "bash", "busybox", "cargo", "apt", "dpkg"}
        binary = root / "usr/local/bin/quash"
        assert (binary.stat().st_uid, binary.stat().st_mode & 0o777) == (0, 0o755)
        assert not [path for path in root.rglob("*") if path.is_file() and path.stat().st_mode & 0o6000]


@contextlib.contextmanager
def mounted(engine, image):
    yield pathlib.Path(engine.podman("image", "mount", image).stdout.strip())
    engine.podman("image", "unmount", image)


def test_it_works_as_nobody_in_particular_with_nothing_to_write_to(deployment):
    worker = deployment.started()
    status = dict(
        line.split(":", 1)
        for line in pathlib.Path(f"/proc/{worker.pid()}/status").read_text().splitlines()
        if ":" in line
    )
    assert status["Uid"].split() == ["65532"] * 4
    assert int(status["CapBnd"], 16) == 0
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    assert status["NSpid"].split()[-1] == "1"
    assert not list(pathlib.Path(f"/proc/{worker.pid()}/root/tmp").iterdir())

    client = deployment.cache.client()
    client.set("product:42", "stale")
    deployment.publish("cache", "product", "id=42")
    eventually("the entry is gone", lambda: not client.exists("product:42"), explain=worker.logs)
    # Nothing was written anywhere; podman itself makes the places of what it mounts.
    changed = [line.split()[1] for line in deployment.engine.podman("diff", worker.name).stdout.splitlines()]
    assert not [path for path in changed if path.startswith(("/tmp", "/home", "/usr", "/var"))], changed


def test_health_tells_the_worker_that_answers_from_the_one_that_works(deployment):
    worker = deployment.started()
    assert worker.healthy()
    assert worker.execute("quash", "health").stdout.startswith("well")
    freeze(deployment.queue)
    try:
        eventually(
            "it is not well", lambda: worker.execute("quash", "health", check=False).returncode == 1, explain=worker.logs
        )
        assert worker.healthy()
    finally:
        thaw(deployment.queue)
    eventually("it is well again", deployment.is_well, explain=worker.logs)
    os.kill(worker.pid(), signal.SIGSTOP)
    try:
        assert not worker.healthy()
    finally:
        os.kill(worker.pid(), signal.SIGCONT)


def freeze(server):
    os.kill(server.process.pid, signal.SIGSTOP)


def thaw(server):
    os.kill(server.process.pid, signal.SIGCONT)


def test_a_secret_never_reaches_the_log_or_the_environment(deployment):
    worker = deployment.started()
    assert TOKEN not in worker.logs()
    assert TOKEN.encode() not in pathlib.Path(f"/proc/{worker.pid()}/environ").read_bytes()
    assert TOKEN not in worker.inspect("{{.Config.Env}}")


def test_a_hangup_reloads_and_a_wrong_configuration_is_refused(deployment):
    worker = deployment.started()
    more = RULES + '  category:\n    key: "category:{id}"\n    depends_on: [ { row: shop.Category } ]\n'
    written = CONFIGURATION.format(admin=deployment.admin)
    deployment.write("quash.yaml", written + more)
    worker.signal("HUP")
    eventually("it was reloaded", lambda: "configuration reloaded" in worker.logs(), explain=worker.logs)
    client = deployment.cache.client()
    client.set("category:7", "stale")
    deployment.publish("cache", "category", "id=7")
    eventually("the entry of the new cache is gone", lambda: not client.exists("category:7"), explain=worker.logs)

    deployment.write("quash.yaml", written + RULES.replace("depends_on", "depend_on"))
    worker.signal("HUP")
    eventually("it was refused", lambda: "configuration not reloaded" in worker.logs(), explain=worker.logs)
    assert "did you mean `depends_on`" in worker.logs()
    client.set("category:8", "stale")
    deployment.queue.client().xadd("quash.events", {"payload": '{"invalidate":{"cache":"category","args":{"id":8}}}'})
    eventually("the old rules are in force", lambda: not client.exists("category:8"), explain=worker.logs)


def test_stopping_drains_within_the_grace_period(deployment):
    worker = deployment.started()
    began = time.monotonic()
    deployment.engine.podman("stop", worker.name)
    assert worker.exit_code() == 0
    assert time.monotonic() - began < GRACE, "it was killed"
    assert "draining" in worker.logs()
    assert "stopped" in worker.logs()


def test_what_is_in_flight_when_it_stops_is_handed_back_and_done_by_the_next(deployment):
    """The cache hangs: the share in flight cannot end, so the drain runs out, and the next worker has the message."""
    worker = deployment.started()
    client = deployment.cache.client()
    client.set("product:9", "stale")
    freeze(deployment.cache)
    try:
        deployment.publish("cache", "product", "id=9")
        began = time.monotonic()
        deployment.engine.podman("stop", worker.name)
        assert worker.exit_code() == 0
        assert time.monotonic() - began < GRACE, "it was killed"
    finally:
        thaw(deployment.cache)
    worker.remove()
    # The frozen server may have done afterwards what it had been sent; what matters is that the message was not lost.
    client.set("product:9", "stale")
    again = deployment.started()
    eventually("the next one has removed it", lambda: not client.exists("product:9"), explain=again.logs)


def test_a_second_signal_ends_it_at_once(deployment):
    worker = deployment.started()
    freeze(deployment.cache)
    try:
        deployment.publish("cache", "product", "id=1")
        worker.signal("TERM")
        eventually("it drains", lambda: "draining" in worker.logs(), explain=worker.logs)
        worker.signal("TERM")
        assert worker.exit_code() == 143
    finally:
        thaw(deployment.cache)


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("a broken configuration", 78, "unknown key `target`"),
        ("a missing secret", 78, "ADMIN_TOKEN"),
        ("no configuration", 74, "/etc/quash/quash.yaml"),
        ("a taken address", 74, "admin"),
        ("a broker that refuses", 77, "not a stream"),
        ("a wrong command", 2, "unexpected argument"),
    ],
)
def test_it_ends_with_a_code_that_says_why(deployment, name, code, says):
    written, arguments, options = CONFIGURATION.format(admin=deployment.admin), (), ()
    match name:
        case "a broken configuration":
            deployment.write("quash.yaml", written.replace("targets:", "target:") + RULES)
        case "a missing secret":
            options = ("--env", "ADMIN_TOKEN_FILE=")
        case "no configuration":
            (deployment.config / "quash.yaml").unlink()
        case "a taken address":
            deployment.write("quash.yaml", CONFIGURATION.format(admin=deployment.cache.port) + RULES)
        case "a broker that refuses":
            deployment.queue.client().set("taken", "a string")
            deployment.write("quash.yaml", written.replace("stream: quash.events", "stream: taken") + RULES)
        case "a wrong command":
            arguments = ("run", "--no-such-option")
    worker = deployment.start(*arguments, options=options)
    assert worker.exit_code() == code, worker.logs()
    assert says in worker.logs()


def test_configuration_in_several_files_is_checked_before_it_is_deployed(deployment):
    """As an init container does: the same image, the same files, another command."""
    deployment.write("quash.yaml", CONFIGURATION.format(admin=deployment.admin))
    deployment.write("rules.yaml", RULES)
    worker = deployment.start("check", "--connect", options=("--env", "QUASH_CONFIG=/etc/quash"))
    assert worker.exit_code() == 0, worker.logs()
    worker.remove()
    deployment.write("rules.yaml", RULES.replace("shop.Product", "shop Product {"))
    worker = deployment.start("check", options=("--env", "QUASH_CONFIG=/etc/quash"))
    assert worker.exit_code() == 78, worker.logs()
    assert "rules.yaml" in worker.logs()


def test_the_dockerfile_pins_what_it_builds_on():
    """By digest, under the names that the stand-ins have."""
    import images

    given = dict(
        line.removeprefix("ARG ").split("=", 1)
        for line in (ROOT / "deploy/docker/Dockerfile").read_text().splitlines()
        if line.startswith("ARG ") and "_IMAGE=" in line
    )
    for name, stand_in in {"RUST_IMAGE": images.RUST, "RUNTIME_IMAGE": images.RUNTIME}.items():
        tag, digest = given[name].split("@")
        assert tag == stand_in.removeprefix("docker.io/library/")
        assert len(digest.removeprefix("sha256:")) == 64
