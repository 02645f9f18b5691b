"""Holds the cache backends with leases to real races, through the real libraries unchanged."""

import functools
import json
import os
import pathlib
import subprocess

import pytest

from harness import ROOT
from harness.servers import Redis

FOLDER = pathlib.Path(__file__).parent
VENVS = {"cache_memoize": "django5", "easy_cache": "django5", "djblets": "django42", "restflow": "django5"}
RACES = 1000
# Without leases; fewer do to show that the races are real.
RACES_WITHOUT = 300


@functools.cache
def server():
    return Redis()


@pytest.fixture(scope="module", autouse=True)
def ended():
    yield
    server().stop()


def played(library, backend, races):
    """What became of the races, in a process with the library's own Django."""
    client = server().client()
    client.flushall()
    python = ROOT / f"target/tools/libraries-{VENVS[library]}/bin/python"
    path = os.pathsep.join([str(FOLDER), str(ROOT / "clients/python/src")])
    ran = subprocess.run(
        [python, "-m", "races.play", library, backend, server().url(), str(races)],
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("backend", ["leases", "django_redis leases"])
@pytest.mark.parametrize("library", VENVS)
def test_no_race_leaves_a_stale_entry(library, backend):
    outcome = played(library, backend, RACES)
    assert outcome["races"] >= RACES
    assert outcome["stale"] == 0, outcome
    # Loads were overtaken, and what they brought was not stored.
    assert outcome["events"]["refused"] >= RACES, outcome
    assert outcome["events"].get("blind", 0) == 0, outcome


@pytest.mark.parametrize("backend", ["django", "django_redis"])
@pytest.mark.parametrize("library", VENVS)
def test_without_leases_the_same_races_leave_stale_entries(library, backend):
    outcome = played(library, backend, RACES_WITHOUT)
    assert outcome["stale"] >= outcome["played"] / 10, outcome
