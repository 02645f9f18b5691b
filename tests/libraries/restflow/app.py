"""An application that keeps results with drf-restflow."""

from importlib import import_module

from harness import alias

behind = alias.behind


def connect(backend, url):
    """Django comes first: restflow reads its settings when it is imported."""
    alias.configure(backend, url, INSTALLED_APPS=["rest_framework"], DEFAULT_CHARSET="utf-8")
    globals().update(vars(import_module("books")))


def begin(settings):
    from restflow.settings import restflow_settings

    restflow_settings.CACHE_SETTINGS.KEY_HASH_ALGORITHM = settings.get("algorithm", "sha256")
