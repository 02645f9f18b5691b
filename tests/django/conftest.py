"""Starts PostgreSQL, a cache, three brokers and a worker once; gives each test the shop before one of the brokers."""

import contextlib
import os
import pathlib
import shutil
import tempfile

import pytest
from brokers import prepare
from harness.servers import Worker
from servers import Postgres, Redis

FOLDER = pathlib.Path(__file__).parent
KINDS = ["redis", "amqp", "nats"]


def home(name):
    return pathlib.Path(tempfile.mkdtemp(prefix=f"quash-django-{name}-"))


DATABASE, CACHE = Postgres(home("postgres")), Redis(home("cache"))
BROKERS = {kind: prepare(kind) for kind in KINDS}
# Each has its port already, and the settings are read before anything runs.
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "front.settings",
    "SHOP_POSTGRES_PORT": str(DATABASE.port),
    "CACHE_URL": CACHE.url,
    **{f"{kind.upper()}_URL": BROKERS[kind].server.url for kind in KINDS},
}

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from shop_before import Shop  # noqa: E402


@pytest.fixture(scope="session")
def worker():
    """A worker that reads from all three brokers, and what it and the shop need."""
    with contextlib.ExitStack() as ends:
        DATABASE.prepare()
        for server in (DATABASE, CACHE, *(broker.server for broker in BROKERS.values())):
            ends.callback(end, server)
            server.start()
        call_command("migrate", run_syncdb=True, verbosity=0)
        ends.callback(connections.close_all)
        running = Worker(configuration)
        ends.callback(running.stop)
        yield running


def configuration(admin):
    os.environ["ADMIN"] = admin
    return (FOLDER / "quash.yaml").read_text()


def end(server):
    server.kill()
    shutil.rmtree(server.home, ignore_errors=True)


@pytest.fixture(scope="session", params=KINDS)
def broker(request, worker):
    """Each of the three."""
    return BROKERS[request.param]


@pytest.fixture
def shop(broker, worker):
    """An empty shop that publishes to this broker."""
    shop = Shop(broker, worker)
    with shop.publishing(), shop.counting():
        yield shop
        shop.empty()
