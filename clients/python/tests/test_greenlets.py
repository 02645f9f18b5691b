"""Publishes under gevent and eventlet, in processes of their own, since they turn threads into greenlets for good."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from brokers import Broker

#: Seconds that a slow machine may take for anything.
LIMIT = 60

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}

BEGIN = """
import asyncio, json, sys, threading, time
import quash
from quash import Event, publisher

def has_loop():
    try:
        return bool(asyncio.get_running_loop())
    except RuntimeError:
        return False

def book(number):
    return Event.update("shop.Book", key={"id": number})

to = quash.Publisher(sys.argv[1], timeout=30.0)
"""

MANY = (
    BEGIN
    + """
def work(first):
    for number in range(first, first + 10):
        to.publish(book(number))

greenlets = [threading.Thread(target=work, args=(first,)) for first in range(0, 50, 10)]
for one in greenlets:
    one.start()
for one in greenlets:
    one.join()
asyncio.run(to.apublish(book(50)))
to.publish_later(*map(book, range(51, 100)))
print(json.dumps({"has_loop": has_loop()}))
"""
)

HUNG = (
    BEGIN
    + """
to.publish(book(0))
print("ready", flush=True)
sys.stdin.readline()
to.timeout = 0.25
publisher.LATER_SECONDS = 0.25
ran, told = [], []

def other():
    while True:
        ran.append(1)
        time.sleep(0.001)

threading.Thread(target=other, daemon=True).start()
for _ in range(2):
    try:
        to.publish(book(1))
    except quash.PublishTimeout:
        told.append("timeout")
to.publish_later(book(2), on_failure=lambda error: told.append([type(error).__name__, has_loop()]))
to.close()
print(json.dumps({"others_ran": len(ran) > 10, "told": told}))
"""
)


@pytest.fixture(params=PATCHES)
def patch(request: pytest.FixtureRequest) -> str:
    return PATCHES[request.param]


def start(program: str, broker: Broker, name: str) -> subprocess.Popen[str]:
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src"), "PYTHONWARNINGS": "ignore"}
    # By name, which must be resolved.
    url = broker.url(name).replace("127.0.0.1", "localhost")
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", program, url], stdin=pipe, stdout=pipe, text=True, env=here)


def ended(process: subprocess.Popen[str]) -> Any:
    printed, _ = process.communicate("go\n", timeout=LIMIT)
    assert process.returncode == 0
    return json.loads(printed.splitlines()[-1])


def test_greenlets_publish_and_no_event_loop_runs_among_them(patch: str, broker: Broker, name: str) -> None:
    broker.declare(name)
    assert ended(start(patch + MANY, broker, name)) == {"has_loop": False}
    bodies = [json.loads(arrived.body) for arrived in broker.arrived(name)]
    events = [event for body in bodies for event in body.get("events", [body])]
    assert sorted(event["key"]["id"] for event in events) == list(range(100))


def test_a_broker_that_hangs_holds_up_no_other_greenlet(patch: str, own_broker: Broker, name: str) -> None:
    own_broker.declare(name)
    process = start(patch + HUNG, own_broker, name)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    own_broker.server.pause()
    told = ended(process)
    own_broker.server.resume()
    assert told == {"others_ran": True, "told": ["timeout", "timeout", ["BrokerUnreachable", False]]}
