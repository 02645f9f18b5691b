"""Starts a real Prometheus that scrapes workers each second, and asks it."""

import contextlib
import json
import pathlib
import subprocess
import tempfile
import urllib.parse
import urllib.request

import yaml
from files import RULES
from harness.servers import end, eventually, free_port


class Prometheus:
    """A Prometheus with the rules, whose alerts wait for two seconds where they would wait for minutes."""

    def __init__(self, addresses):
        self.folder = tempfile.TemporaryDirectory(prefix="quash-monitoring-")
        home = pathlib.Path(self.folder.name)
        (home / "rules.yaml").write_text(yaml.safe_dump(hasty(yaml.safe_load(RULES.read_text()))))
        scrape = {"job_name": "quash", "static_configs": [{"targets": addresses}]}
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(home / "rules.yaml")],
            "scrape_configs": [scrape],
        }
        (home / "prometheus.yaml").write_text(yaml.safe_dump(config))
        self.address = f"127.0.0.1:{free_port()}"
        options = {
            "config.file": home / "prometheus.yaml",
            "storage.tsdb.path": home / "data",
            "web.listen-address": self.address,
        }
        self.log = home / "log"
        with self.log.open("wb") as log:
            command = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually("Prometheus is ready", self.is_ready)

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"http://{self.address}/-/ready").status == 200

    def ask(self, path, **parameters):
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url) as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        """What an expression is now: labels and value of each result."""
        return [(one["metric"], float(one["value"][1])) for one in self.ask("query", query=expression)["result"]]

    def series(self, selector):
        """The labels of each series that was ever seen."""
        return self.ask("series", **{"match[]": selector})

    def alerts(self, state="firing"):
        """The labels of what fires."""
        return [one["labels"] for one in self.ask("alerts")["alerts"] if one["state"] == state]

    def stop(self):
        end(self.process)
        self.folder.cleanup()


def hasty(rules):
    """The same rules, but nothing has to last for longer than two seconds."""
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        if "for" in rule:
            rule["for"] = "2s"
    return rules
