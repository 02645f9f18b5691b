"""Holds the vectors of keys to the worker: it removes what they say that readers write."""

import json
import pathlib
import subprocess

import pytest
import vectors
from harness.servers import QUASH
from quash.values import plain

KEYS = json.loads((pathlib.Path(vectors.FILE).parent / "keys.json").read_text())


def configuration(cache):
    """JSON is YAML."""
    return {
        "version": 1,
        "sources": {"events": {"redis_streams": {"url": "redis://127.0.0.1:1/0", "stream": "quash.events", "group": "quash"}}},
        "targets": {"main": {"redis": {"url": "redis://127.0.0.1:2/0"}}},
        "caches": {"c": {**cache, "depends_on": [{"row": "shop.Book"}]}},
    }


def quash(folder, command, cache, *more):
    config = folder / "quash.yaml"
    config.write_text(json.dumps(configuration(cache)))
    return subprocess.run([QUASH, command, "-c", config, *more], capture_output=True, text=True)


@pytest.mark.parametrize("vector", KEYS["keys"], ids=lambda vector: f"{vector['key']}-{vector['args']}")
def test_the_worker_removes_the_keys_of_the_vectors(tmp_path, vector):
    args = {name: plain(value) for name, value in vectors.value(vector["args"]).items()}
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"invalidate": {"cache": "c", "args": args}}))
    cache = {name: vector[name] for name in ("key", "types", "key_format") if name in vector}
    explained = quash(tmp_path, "explain", cache, "-e", event, "-o", "json")
    (change,) = json.loads(explained.stdout)["changes"]
    keys = [action["object"] for cache in change["caches"] for action in cache["actions"]]
    assert keys == ([] if vector.get("refused") else [vector["spelt"]]), explained.stdout


@pytest.mark.parametrize("template", KEYS["templates_refused"])
def test_the_worker_refuses_the_templates_of_the_vectors(tmp_path, template):
    checked = quash(tmp_path, "check", {"key": template})
    assert checked.returncode == 78, checked.stdout
