"""Starts a private Redis and a worker, and ends them; their files go with them."""

import contextlib
import os
import pathlib
import subprocess
import tempfile
import urllib.request

import redis

from servers import PATIENCE, eventually, free_port

from . import ROOT

QUASH = ROOT / "target/debug/quash"


class Redis:
    """A Redis of its own; `durable` writes everything down, as a queue must."""

    def __init__(self, durable=False):
        self.folder = tempfile.TemporaryDirectory(prefix="quash-libraries-")
        self.port = free_port()
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder.name]
        command += ["--save", "", "--appendonly", "yes" if durable else "no", "--appendfsync", "always"]
        command += ["--databases", "64"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        eventually("Redis answers", self.answers)

    def answers(self):
        assert self.process.poll() is None, "redis-server ended"
        with contextlib.suppress(redis.ConnectionError):
            return self.client().ping()

    def url(self, database=0):
        return f"redis://127.0.0.1:{self.port}/{database}"

    def client(self, database=0):
        return redis.Redis.from_url(self.url(database))

    def stop(self):
        end(self.process)
        self.folder.cleanup()


class Worker:
    """A running `quash run` with this configuration and these options, ready to consume."""

    def __init__(self, config, *options):
        self.folder = tempfile.TemporaryDirectory(prefix="quash-libraries-")
        self.admin = f"127.0.0.1:{free_port()}"
        self.config = pathlib.Path(self.folder.name, "quash.yaml")
        # JSON is YAML.
        self.config.write_text(config(self.admin))
        self.log = pathlib.Path(self.folder.name, "worker.log")
        with self.log.open("wb") as log:
            command = [*self.command("run", *options), "--log-format", "human"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            eventually("the worker is ready", self.is_ready)
        except BaseException:
            self.stop()
            raise

    def command(self, *args):
        return [str(QUASH), *args, "--config", str(self.config)]

    def is_ready(self):
        assert self.process.poll() is None, f"the worker ended:\n{self.log.read_text()}"
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"http://{self.admin}/readyz").status == 200

    def run(self, *args):
        """What another command prints."""
        ran = subprocess.run(self.command(*args), capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
        assert ran.returncode == 0, f"quash {' '.join(args)}: {ran.stderr}"
        return ran.stdout

    def stop(self):
        end(self.process)
        self.folder.cleanup()


def end(process):
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
