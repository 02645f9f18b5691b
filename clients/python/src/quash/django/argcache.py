"""Keeps the rules of ArgCache in Python and moves the work out: a cache whose `delete` publishes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.cache import caches

from .commands import publish_on_commit


class PublishingCache:
    """A Django cache that is read and written as before, while deleting is left to the worker, after the commit.

        @cache_function(cache=PublishingCache())

    Keys are published as they stand in Redis, so the target has no `key_format`.
    """

    def __init__(self, alias: str = "default", *, target: str | None = None, using: str = "default") -> None:
        """Wraps the cache of an alias; deletes wait for the transaction of the database `using`."""
        self._alias = alias
        self._target = target
        self._using = using

    def delete(self, key: str, version: int | None = None) -> bool:
        """Publishes that a key must go. Whether it was there is not known, so the answer is yes."""
        self.delete_many([key], version)
        return True

    def delete_many(self, keys: Iterable[str], version: int | None = None) -> None:
        """Publishes that these keys must go."""
        cache = caches[self._alias]
        more = {} if self._target is None else {"target": self._target}
        publish_on_commit([{"key": cache.make_key(key, version=version)} | more for key in keys], self._using)

    def __getattr__(self, name: str) -> Any:
        # Of this thread: Django's caches are one each.
        return getattr(caches[self._alias], name)
