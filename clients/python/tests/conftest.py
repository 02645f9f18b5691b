"""Starts each server at most once for all tests; those that harm one start their own."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import brokers
import pytest
import redis
from servers import Cache, Postgres

_numbers = itertools.count()
_started: dict[str, brokers.Broker] = {}


@pytest.fixture(scope="session")
def shared() -> Iterator[dict[str, brokers.Broker]]:
    yield _started
    for broker in _started.values():
        broker.server.kill()
        shutil.rmtree(broker.server.home, ignore_errors=True)


@pytest.fixture(params=["redis", "amqp", "nats"])
def broker(request: pytest.FixtureRequest, shared: dict[str, brokers.Broker]) -> brokers.Broker:
    """Each of the three, unharmed."""
    if request.param not in shared:
        shared[request.param] = brokers.start(request.param)
    return shared[request.param]


@pytest.fixture(params=["redis", "amqp", "nats"])
def own_broker(request: pytest.FixtureRequest) -> Iterator[brokers.Broker]:
    """Each of the three, to be harmed."""
    own = brokers.start(request.param)
    yield own
    own.server.kill()
    shutil.rmtree(own.server.home, ignore_errors=True)


@pytest.fixture(scope="session")
def cache_server() -> Iterator[Cache]:
    """A cache, unharmed."""
    server = Cache(Path(tempfile.mkdtemp(prefix="quash-cache-")))
    server.start()
    yield server
    server.kill()
    shutil.rmtree(server.home, ignore_errors=True)


@pytest.fixture
def cache(cache_server: Cache) -> Iterator[redis.Redis]:
    """A connection to an empty cache."""
    client = redis.Redis(port=cache_server.port)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def own_cache() -> Iterator[Cache]:
    """A cache to be harmed."""
    server = Cache(Path(tempfile.mkdtemp(prefix="quash-cache-")))
    server.start()
    yield server
    server.kill()
    shutil.rmtree(server.home, ignore_errors=True)


@pytest.fixture
def name() -> str:
    """A stream, queue or subject that no other test uses."""
    return f"quash.test{next(_numbers)}"


@pytest.fixture(params=["default", "postgres"])
def db(request: pytest.FixtureRequest, databases: None) -> Iterator[str]:
    """A database of the shop, empty."""
    import quash

    yield request.param
    from django.core.management import call_command

    with quash.disabled():
        call_command("flush", database=request.param, interactive=False, verbosity=0)


@pytest.fixture(scope="session")
def databases() -> Iterator[None]:
    """Both databases of the shop, with their tables."""
    import django_setup  # noqa: F401
    from django.apps import apps
    from django.core.management import call_command
    from django.db import connections
    from shop import settings

    server = Postgres(Path(tempfile.mkdtemp(prefix="quash-postgres-")))
    server.port = settings.POSTGRES_PORT
    server.prepare()
    server.start()
    for alias in settings.DATABASES:
        call_command("migrate", database=alias, run_syncdb=True, verbosity=0)
        with connections[alias].schema_editor() as editor:
            for model in apps.get_app_config("odd").get_models():
                if not model._meta.managed:
                    editor.create_model(model)
    yield
    connections.close_all()
    server.kill()
    shutil.rmtree(server.home, ignore_errors=True)
