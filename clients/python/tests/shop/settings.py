"""Configures the shop, on SQLite and on PostgreSQL at once."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

from servers import free_port

_home = Path(tempfile.mkdtemp(prefix="quash-shop-"))
atexit.register(shutil.rmtree, _home, ignore_errors=True)
#: Where the tests start PostgreSQL.
POSTGRES_PORT = free_port()

SECRET_KEY = "of the tests"
USE_TZ = True
TIME_ZONE = "Europe/Berlin"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "shop.urls"
MEDIA_ROOT = str(_home / "media")
# The app of odd models is declared by its own tests.
INSTALLED_APPS = ["django.contrib.contenttypes", "taggit", "shop", "odd", "quash.django"]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(_home / "shop.sqlite3")},
    "postgres": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": str(POSTGRES_PORT),
        "USER": "postgres",
        "NAME": "postgres",
    },
}
QUASH = {
    # Nobody listens there: tests that publish say where.
    "url": "redis://127.0.0.1:1/0",
    "models": {
        "shop.Author": "*",
        "shop.Book": ["*", "author.country.code", "tags.slug"],
        "shop.Tag": "*",
        "shop.Novel": ["pages"],
        "shop.Note": ["text"],
        "shop.Person": ["*", "best.name"],
    },
}
