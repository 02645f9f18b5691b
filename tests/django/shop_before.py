"""Changes the shop while its pages are cached, and sees which of them the worker removed."""

import contextlib
import urllib.request
from unittest import mock

from django.apps import apps
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.test import override_settings
from front import plain, queries
from harness.servers import eventually
from shop.models import Author, Book, Country, Note, Tag

import quash
from quash.message import pack

LIBRARIES = [plain]
if settings.HAS_RESTFLOW:
    from front import restflow

    LIBRARIES.append(restflow)


class Page:
    """A page with its arguments, in each of the libraries that keep it."""

    def __init__(self, name, *args):
        self.name, self.args = name, args
        self.readers = [getattr(library, name) for library in LIBRARIES if hasattr(library, name)]

    def is_hit(self, reader):
        """Reads the page: whether no query was run for it."""
        before = queries.computations
        self.seen = reader(*self.args)
        return queries.computations == before

    def is_fresh(self):
        """Whether what was read is what the database says."""
        return self.seen == getattr(queries, self.name)(*self.args)

    def __str__(self):
        return f"{self.name}{self.args}"


class Shop:
    """The shop before one broker, and a worker behind it."""

    def __init__(self, broker, worker):
        self.broker, self.worker = broker, worker
        #: Messages of each batch that was published.
        self.batches = []

    @contextlib.contextmanager
    def counting(self):
        """Counts what is published."""
        with contextlib.ExitStack() as originals:
            for name in ("send", "hand_over"):
                originals.enter_context(mock.patch.object(quash.Publisher, name, self._counted(name)))
            yield

    def _counted(self, name):
        original = getattr(quash.Publisher, name)

        def counted(publisher, documents, *args):
            original(publisher, documents, *args)
            self.batches.append(len(pack(documents)))

        return counted

    def publishing(self, **more):
        """Publishes to the broker, with more settings."""
        url = self.broker.url("quash.events")
        return override_settings(QUASH={**settings.QUASH, "url": url, **more})

    @contextlib.contextmanager
    def changes(self, goes=(), stays=(), batches=1, widens=False):
        """What changes inside makes these pages misses that show what is new, and leaves those hits.

        `batches` is how many are published (`None`: whatever that is), `widens` whether the events leave something open
        that the rules ask for.
        """
        for page in [*goes, *stays]:
            for reader in page.readers:
                reader(*page.args)
                assert page.is_hit(reader), f"{page} is not cached"
        self.batches.clear()
        before, widened = self.metric("quash_events_total"), self.metric("quash_widened_total", source=False)
        yield
        assert batches in (None, len(self.batches))
        self.settled(before + sum(self.batches))
        for page in goes:
            for reader in page.readers:
                assert not page.is_hit(reader), f"{page} is still cached"
                assert page.is_fresh(), f"{page} is stale: {page.seen}"
        for page in stays:
            for reader in page.readers:
                assert page.is_hit(reader), f"{page} went as well"
                assert page.is_fresh(), f"{page} should have gone: {page.seen}"
        assert self.metric("quash_dead_letters_total") == 0
        assert (self.metric("quash_widened_total", source=False) > widened) == widens

    def settled(self, messages):
        eventually(f"{messages} messages are settled", lambda: self.metric("quash_events_total") == messages)

    def metric(self, name, source=True):
        """The sum of a counter of the worker; of this broker alone with `source`."""
        text = urllib.request.urlopen(f"http://{self.worker.admin}/metrics").read().decode()
        lines = [line for line in text.splitlines() if line.startswith(name + "{")]
        if source:
            lines = [line for line in lines if f'source="{self.broker.kind}"' in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def empty(self):
        """Removes all rows and entries; what is published of it is nobody's concern."""
        tables = ", ".join(
            connection.ops.quote_name(model._meta.db_table)
            for label in ("shop", "quash")
            for model in apps.get_app_config(label).get_models(include_auto_created=True)
            if not model._meta.proxy
        )
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {tables}")
        cache.clear()


def country(code="DE"):
    with quash.disabled():
        return Country.objects.create(code=code)


def author(name="a", of=None):
    with quash.disabled():
        return Author.objects.create(name=name, country=of)


def tag(slug):
    with quash.disabled():
        return Tag.objects.create(slug=slug)


def book(by=None, title="t", tags=(), note=None, **more):
    """A book as another request would load it."""
    with quash.disabled():
        made = Book.objects.create(title=title, author=by, **more)
        made.tags.set(tags)
        if note:
            Note.objects.create(book=made, text=note)
    return Book.objects.get(pk=made.pk)
