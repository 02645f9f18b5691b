"""Plays all scenarios of a library at once: populate, publish, let a worker drain the queue, ask in a fresh process."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

from . import ROOT
from .servers import Redis, Worker, eventually

FOLDER = pathlib.Path(__file__).parent.parent
STREAM = "quash.events"


class Library:
    """A folder beside this one, with `scenarios.py` (`VENV`, `BACKENDS`, `SCENARIOS`) and `app.py`."""

    def __init__(self, name):
        self.name = name
        spec = importlib.util.spec_from_file_location(f"{name}_scenarios", FOLDER / name / "scenarios.py")
        self.declared = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.declared)
        names = [scenario.name for scenario in self.declared.SCENARIOS]
        assert len(names) == len(set(names)), f"two scenarios of {name} have one name"

    def played(self):
        """Every scenario on every backend."""
        for backend in self.declared.BACKENDS:
            for scenario in self.declared.SCENARIOS:
                if backend in scenario.played_on(self.declared.BACKENDS):
                    yield backend, scenario

    def play(self):
        """What became of every scenario, by backend and name."""
        cache, queue = Redis(), Redis(durable=True)
        worker = None
        try:
            before = self.all_backends("populate", cache)
            worker = Worker(lambda admin: json.dumps(self.config(cache, queue, admin), indent=1))
            client = queue.client()
            for backend, scenario in self.played():
                for number, event in enumerate(scenario.events):
                    client.xadd(STREAM, {"body": json.dumps(self.event(backend, scenario, number, event))})
            eventually("the queue is drained", lambda: is_drained(client))
            letters = json.loads(worker.run("dlq", "ls", "--limit", "0", "-o", "json"))["letters"]
            nameless = [letter for letter in letters if not letter.get("event_id")]
            assert not nameless, f"events that could not be read: {nameless}"
            after = self.all_backends("ask", cache)
        finally:
            for server in filter(None, (worker, cache, queue)):
                server.stop()
        return {
            (backend, scenario.name): Outcome(
                before[backend][scenario.name], after[backend][scenario.name], errors(letters, backend, scenario)
            )
            for backend, scenario in self.played()
        }

    def all_backends(self, task, cache):
        """Plays the application on every backend at once, each in a process and a database of its own."""
        running = {backend: self.player(backend, task, cache) for backend in self.declared.BACKENDS}
        return {backend: answer(process) for backend, process in running.items()}

    def player(self, backend, task, cache):
        python = ROOT / f"target/tools/libraries-{self.declared.VENV}/bin/python"
        url = cache.url(self.declared.BACKENDS.index(backend))
        command = [python, "-m", "harness.play", self.name, backend, task, url]
        environment = {**os.environ, "PYTHONPATH": str(FOLDER), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)

    def config(self, cache, queue, admin):
        caches = {}
        for backend, scenario in self.played():
            caches_of = range(len(scenario.caches()))
            names = {f"$cache{number}": cache_name(backend, scenario, number) for number in caches_of}
            for number, declared in enumerate(scenario.caches()):
                declared = {"key_format": key_format(backend), **declared}
                declared = filled(declared, {"$prefix": scenario.name, **names})
                dependencies = [moved(backend, scenario, dependency) for dependency in declared.get("depends_on", [])]
                caches[cache_name(backend, scenario, number)] = {
                    **declared, "targets": [backend], "depends_on": dependencies
                }
        targets = {
            backend: {"redis": {"url": cache.url(database)}} for database, backend in enumerate(self.declared.BACKENDS)
        }
        source = {"redis_streams": {"url": queue.url(), "stream": STREAM, "group": "quash"}}
        return {
            "version": 1,
            "admin": {"listen": admin},
            "sources": {"events": source},
            "targets": targets,
            "secrets": getattr(self.declared, "SECRETS", {}),
            "caches": caches,
        }

    def event(self, backend, scenario, number, event):
        names = {"$prefix": scenario.name, "$cache": cache_name(backend, scenario, 0)}
        event = {"id": f"{backend}.{scenario.name}.{number}", **filled(event, names)}
        if "entity" in event:
            event["entity"] = f"{backend}.{scenario.name}.{event['entity']}"
        return event


class Outcome:
    """What became of a scenario: which calls were hits before and after, and the errors of its dead letters."""

    def __init__(self, before, after, refusals):
        self.before, self.after, self.refusals = before, after, refusals

    def check(self, scenario):
        calls = [*scenario.goes, *scenario.stays]
        never = [str(call) for call, hit in zip(calls, self.before, strict=True) if not hit]
        assert not never, f"never cached: {never}"
        if scenario.refused:
            assert len(self.refusals) == len(scenario.events), f"not every event was refused: {self.refusals}"
            assert all(scenario.refused in error for error in self.refusals), self.refusals
        else:
            assert not self.refusals, self.refusals
        wanted = [False] * len(scenario.goes) + [True] * len(scenario.stays)
        stale = [str(call) for call, hit, want in zip(calls, self.after, wanted) if hit and not want]
        lost = [str(call) for call, hit, want in zip(calls, self.after, wanted) if want and not hit]
        assert not stale and not lost, f"should be gone and are not: {stale}; should be there and are not: {lost}"


def cache_name(backend, scenario, number):
    return f"{backend}-{scenario.name}-{number}"


def key_format(backend):
    """How an application of this backend spells its keys, with the scenario's name as its prefix."""
    return {"prefixed": {"prefix": "$prefix"}} if backend == "instance" else {"django": {"prefix": "$prefix"}}


def moved(backend, scenario, dependency):
    """The dependency on entities that only this scenario has on this backend."""
    return {
        key: f"{backend}.{scenario.name}.{value}" if key in ("row", "m2m") else value
        for key, value in dependency.items()
    }


def filled(value, names):
    """The same with the names' texts in all its texts."""
    if isinstance(value, dict):
        return {key: filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, names) for item in value]
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(name, text)
    return value


def answer(process):
    out, err = process.communicate()
    if process.returncode:
        sys.stderr.write(err)
        raise AssertionError(f"{' '.join(map(str, process.args[-4:]))} failed: {err.strip().splitlines()[-1]}")
    return json.loads(out)


def is_drained(client):
    (group,) = client.xinfo_groups(STREAM)
    return group["lag"] == 0 and group["pending"] == 0 and client.zcard(f"{STREAM}.due") == 0


def errors(letters, backend, scenario):
    return [letter["error"] for letter in letters if letter["event_id"].startswith(f"{backend}.{scenario.name}.")]
