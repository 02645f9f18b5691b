"""Makes functions read through a cache: their arguments, by name, fill its template."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, ParamSpec, TypeVar

from ..errors import ConfigurationError
from .cache import Args, Cache

P = ParamSpec("P")
R = TypeVar("R")


class _Bound(Generic[P]):
    """A function's arguments by name, as the cache knows them."""

    def __init__(self, cache: Cache, function: Callable[P, Any]) -> None:
        self.cache = cache
        self._signature = inspect.signature(function)
        kinds = {parameter.kind for parameter in self._signature.parameters.values()}
        names = tuple(self._signature.parameters)
        #: Where all are plain and in the declared order, a call by position needs no binding.
        self._names = names
        self._is_plain = kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY}
        if set(names) != set(cache.declared.args):
            raise ConfigurationError(
                f"cache {cache.name} has the arguments ({', '.join(cache.declared.args)}), "
                f"and {function.__qualname__} takes ({', '.join(names)})"
            )

    def args(self, given: tuple[Any, ...], named: dict[str, Any]) -> Args:
        """The arguments of a call.

        Raises:
            TypeError: as the function itself would.
        """
        if self._is_plain and not named and len(given) == len(self._names):
            return dict(zip(self._names, given, strict=True))
        bound = self._signature.bind(*given, **named)
        bound.apply_defaults()
        return bound.arguments

    def of(self, item: Any) -> Args:
        """The arguments of one of several: a tuple of them, or the only one."""
        given = item if isinstance(item, tuple) and len(self._names) > 1 else (item,)
        return self.args(given, {})


class _NoMethod:
    """Refuses to be a method, where `self` would be lost or stand in no key."""

    _function: Callable[..., Any]

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None:
            return self
        raise TypeError(
            f"{self._function.__qualname__} is a method: its object has no spelling in a key. "
            "Use Cache.get_or_load inside of it, or decorate a function of its key"
        )


class Cached(_NoMethod, Generic[P, R]):
    """A function that is read through a cache."""

    def __init__(self, cache: Cache, function: Callable[P, R]) -> None:
        functools.update_wrapper(self, function)
        self.cache = cache
        self._function = function
        self._bound = _Bound(cache, function)
        self._load_many: Callable[[list[Any]], Any] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        value: R = self.cache.read(self._bound.args(args, kwargs), lambda _: self._function(*args, **kwargs))
        return value

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The physical key of a call."""
        return self.cache.key(self._bound.args(args, kwargs))

    def remove(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Removes the entry of a call; see `Cache.remove`."""
        self.cache.remove(self._bound.args(args, kwargs))

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function and stores what it returns, whatever stands there."""
        value: R = self.cache.refresh(self._bound.args(args, kwargs), lambda: self._function(*args, **kwargs))
        return value

    def load_many(self, function: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
        """Decorates what loads several at once for `many`: it takes a list of items, and returns a mapping by item.

        An item that is not in the mapping is an absence.
        """
        self._load_many = function
        return function

    def many(self, items: Iterable[Any]) -> dict[Any, R]:
        """The values of several calls by item: the argument, or a tuple of arguments where there are several."""
        items = list(dict.fromkeys(items))
        args = [self._bound.of(item) for item in items]
        by_key = {self.cache.key(one): item for one, item in zip(args, items, strict=True)}

        def load(missing: list[Args]) -> list[Any]:
            wanted = [by_key[self.cache.key(one)] for one in missing]
            if self._load_many is None:
                return [self._function(**one) for one in missing]
            found = self._load_many(wanted)
            return [found.get(item) for item in wanted]

        return dict(zip(items, self.cache.many(args, load), strict=True))


class AsyncCached(_NoMethod, Generic[P, R]):
    """A coroutine function that is read through a cache; as `Cached`, with everything to await but `key`."""

    def __init__(self, cache: Cache, function: Callable[P, Awaitable[R]]) -> None:
        functools.update_wrapper(self, function)
        self.cache = cache
        self._function = function
        self._bound = _Bound(cache, function)
        self._load_many: Callable[[list[Any]], Awaitable[Any]] | None = None
        _mark_as_coroutine(self)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        value: R = await self.cache.aread(self._bound.args(args, kwargs), lambda _: self._function(*args, **kwargs))
        return value

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The physical key of a call."""
        return self.cache.key(self._bound.args(args, kwargs))

    async def remove(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Removes the entry of a call; see `Cache.remove`."""
        await self.cache.aremove(self._bound.args(args, kwargs))

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function and stores what it returns, whatever stands there."""
        value: R = await self.cache.arefresh(self._bound.args(args, kwargs), lambda: self._function(*args, **kwargs))
        return value

    def load_many(self, function: Callable[[list[Any]], Awaitable[Any]]) -> Callable[[list[Any]], Awaitable[Any]]:
        """As `Cached.load_many`, for a coroutine function."""
        self._load_many = function
        return function

    async def many(self, items: Iterable[Any]) -> dict[Any, R]:
        """As `Cached.many`. Without a function for many, calls follow one another."""
        items = list(dict.fromkeys(items))
        args = [self._bound.of(item) for item in items]
        by_key = {self.cache.key(one): item for one, item in zip(args, items, strict=True)}

        async def load(missing: list[Args]) -> list[Any]:
            wanted = [by_key[self.cache.key(one)] for one in missing]
            if self._load_many is None:
                return [await self._function(**one) for one in missing]
            found = await self._load_many(wanted)
            return [found.get(item) for item in wanted]

        return dict(zip(items, await self.cache.amany(args, load), strict=True))


def _mark_as_coroutine(function: Any) -> None:
    """Frameworks ask whether to await what a view returns."""
    mark = getattr(inspect, "markcoroutinefunction", None)
    if mark is not None:
        mark(function)
    else:
        import asyncio.coroutines

        function._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
