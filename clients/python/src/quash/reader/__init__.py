"""Reads caches so that no race leaves a stale entry: what a worker removes while it is being loaded is not stored.

caches = Caches("quash.yaml", redis=redis.Redis())

@caches.cached("product")
def product(id):
    return Product.objects.get(pk=id)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError

try:
    import redis as _redis  # noqa: F401
except ImportError as error:
    raise ConfigurationError("quash.reader needs redis-py: install quash-client[reader]") from error
from .cache import Args, Cache
from .codec import Codec, Json, Pickle, named
from .config import Declarations, Declared, Source
from .decorated import AsyncCached, Cached
from .driver import AsyncDriver, Driver
from .link import AsyncLink, Link, Unavailable, is_async
from .loaded import Load, Loaded
from .observer import Event, Observer, Observers
from .packing import Packing


class Caches:
    """The caches that a configuration declares, and the connection to where their entries are."""

    def __init__(
        self,
        config: Source,
        *,
        redis: Any,
        redis_async: Any = None,
        codec: str | Codec = "json",
        key_format: object = None,
        compress_above: int | None = None,
        chunk_bytes: int = 1024 * 1024,
    ) -> None:
        """Reads the declarations.

        Args:
            config: the `quash.yaml` of the workers (files or folders), or what such a file holds. Its `caches` and the
                `key_format` of its `targets` are read; nothing else.
            redis: a client of redis-py, `redis.Redis` or `redis.asyncio.Redis`, without `decode_responses`.
            redis_async: one of `redis.asyncio`, where both kinds of functions are decorated.
            codec: `json`, `pickle`, or an object with `dumps` and `loads`.
            key_format: the one to write, while the configuration names several for a deployment that rolls over.
            compress_above: from how many bytes on a payload is compressed by zlib, if it gets shorter by it.
            chunk_bytes: beyond how many bytes it is put into several keys.

        Raises:
            ConfigurationError: a file that cannot be read, or a client that cannot be right.
        """
        self._declarations = Declarations(config, key_format)
        self._codec = named(codec)
        self._observers = Observers()
        if chunk_bytes < 1:
            raise ConfigurationError("chunk_bytes is at least 1")
        self._packing = Packing(compress_above, chunk_bytes)
        if redis_async is not None and not is_async(redis_async):
            raise ConfigurationError("redis_async is a client of redis.asyncio")
        blocking, asynchronous = (None, redis) if is_async(redis) else (redis, redis_async)
        self._driver = None if blocking is None else Driver(Link(blocking))
        self._adriver = None if asynchronous is None else AsyncDriver(AsyncLink(asynchronous))

    def cache(self, name: str, *, codec: str | Codec | None = None) -> Cache:
        """A declared cache.

        Raises:
            ConfigurationError: there is none of that name, or it cannot be read.
        """
        used = self._codec if codec is None else named(codec)
        return Cache(self._declarations.cache(name), used, self._observers, self._driver, self._adriver, self._packing)

    def cached(self, name: str, *, codec: str | Codec | None = None) -> Callable[[Callable[..., Any]], Any]:
        """Decorates a function, or a coroutine function, whose arguments are those of the cache.

        Raises:
            ConfigurationError: there is no such cache, it has other arguments, or no client of this kind is there.
        """
        cache = self.cache(name, codec=codec)

        def decorate(function: Callable[..., Any]) -> Any:
            if inspect.iscoroutinefunction(function):
                if self._adriver is None:
                    raise ConfigurationError(
                        f"{function.__qualname__} is a coroutine: give Caches a client of redis.asyncio"
                    )
                return AsyncCached(cache, function)
            if self._driver is None:
                raise ConfigurationError(
                    f"{function.__qualname__} blocks: give Caches a client of redis, not redis.asyncio"
                )
            return Cached(cache, function)

        return decorate

    def on_event(self, observer: Observer) -> Observer:
        """Calls it with (cache, event, key) for all that happens; also as a decorator. See `observer.Event`."""
        self._observers.add(observer)
        return observer


__all__ = [
    "Args",
    "AsyncCached",
    "Cache",
    "Cached",
    "Caches",
    "Codec",
    "Declared",
    "Event",
    "Json",
    "Load",
    "Loaded",
    "Observer",
    "Pickle",
    "Unavailable",
]
