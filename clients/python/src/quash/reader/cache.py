"""One cache: its entries by their arguments, for functions that block and for coroutines."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from ..errors import ConfigurationError, EventError
from .codec import Codec
from .config import Declared
from .driver import AsyncDriver, Driver
from .effects import ANYHOW, Entry, Steps, Wishes
from .link import Link
from .loaded import Load
from .nearest import did_you_mean
from .observer import Observers
from .packing import Packing
from .protocol import Protocol

#: The arguments of an entry, by name.
Args = Mapping[str, Any]


class Cache:
    """The entries of one declared cache.

    Methods that begin with `a` are coroutines and need a client of `redis.asyncio`; the others need one of `redis`.
    Where Redis fails, values are loaded and not stored, and for a second nobody asks. A load is never repeated because
    the cache failed, and whatever it raises reaches the caller.
    """

    def __init__(
        self,
        declared: Declared,
        codec: Codec,
        observers: Observers,
        driver: Driver | None,
        adriver: AsyncDriver | None,
        packing: Packing = Packing(),  # noqa: B008 - it never changes
    ) -> None:
        self.declared = declared
        self._protocol = Protocol(declared, codec, observers, packing)
        self.codec = codec
        self._driver = driver
        self._adriver = adriver

    def link(self) -> Link:
        """The connection to where the entries are, for who looks at them.

        Raises:
            ConfigurationError: there is none that blocks.
        """
        if self._driver is None:
            raise ConfigurationError(f"cache {self.name}: this needs a client of redis, not redis.asyncio")
        return self._driver.link

    @property
    def name(self) -> str:
        """The declared name."""
        return self.declared.name

    def key(self, args: Args) -> str:
        """The physical key of an entry.

        Raises:
            EventError: other arguments than the declared ones, or a value without a spelling in a key.
        """
        return self.entry(args).key

    def entry(self, args: Args) -> Entry:
        """Where it stands, with its tags; raises as `key`."""
        declared = self.declared
        if len(args) != len(declared.args) or any(name not in args for name in declared.args):
            raise EventError(self._mismatch(args))
        return Entry(declared.key_of(args), declared.tags_of(args) if declared.tags else ())

    def _mismatch(self, args: Args) -> str:
        unknown = [name for name in args if name not in self.declared.args]
        missing = [name for name in self.declared.args if name not in args]
        said = [f"unknown argument {name!r}{did_you_mean(name, self.declared.args)}" for name in unknown]
        said += [f"argument {name!r} is missing" for name in missing]
        return f"cache {self.name}, {self.declared.key.source!r}: {'; '.join(said)}"

    def get_or_load(
        self, args: Args, load: Callable[..., Any], *, stale_ok: bool = True, wait: int | None = None
    ) -> Any:
        """The value of an entry; loads and stores it where there is none that is good.

        Args:
            args: its arguments, all of them, by name.
            load: called without arguments, or with a `Load` if it takes one; returns the value, or a `Loaded`.
                `None` is an absence, and is remembered as such.
            stale_ok: whether an old value may be served while a new one is loaded, where the cache keeps such.
            wait: how long to wait for somebody else's load, in milliseconds, if not as the cache says.
        """
        return self.read(args, _one(load), Wishes(stale_ok, wait=wait))

    def read(self, args: Args, load: Callable[[Load], Any], wishes: Wishes = ANYHOW) -> Any:
        """As `get_or_load`, for a loader that takes a `Load` for sure."""
        return self._run(self._protocol.get_or_load(self.entry(args), wishes), lambda loads, _: [load(loads[0])])

    async def aget_or_load(
        self, args: Args, load: Callable[..., Awaitable[Any]], *, stale_ok: bool = True, wait: int | None = None
    ) -> Any:
        """As `get_or_load`; `load` is a coroutine function."""
        return await self.aread(args, _one(load), Wishes(stale_ok, wait=wait))

    async def aread(self, args: Args, load: Callable[[Load], Awaitable[Any]], wishes: Wishes = ANYHOW) -> Any:
        """As `aget_or_load`, for a loader that takes a `Load` for sure."""

        async def loads_one(loads: list[Load], _: list[Entry]) -> list[Any]:
            return [await load(loads[0])]

        return await self._arunner().run(self._protocol.get_or_load(self.entry(args), wishes), loads_one)

    def many(self, args: Sequence[Args], load_many: Callable[[list[Args]], Sequence[Any]], **wishes: Any) -> list[Any]:
        """The values of several entries, in their order: one look at all, and one call for all that must be loaded.

        Args:
            args: the arguments of each.
            load_many: called with the arguments of those that must be loaded; returns their values in the same order.
            wishes: `stale_ok` and `wait`, as of `get_or_load`.
        """
        by_entry = {self.entry(one): one for one in args}
        steps = self._protocol.many([self.entry(one) for one in args], Wishes(**wishes))
        return list(self._run(steps, lambda _, entries: list(load_many([by_entry[entry] for entry in entries]))))

    async def amany(
        self, args: Sequence[Args], load_many: Callable[[list[Args]], Awaitable[Sequence[Any]]], **wishes: Any
    ) -> list[Any]:
        """As `many`; `load_many` is a coroutine function."""
        by_entry = {self.entry(one): one for one in args}

        async def loads_many(_: list[Load], entries: list[Entry]) -> list[Any]:
            return list(await load_many([by_entry[entry] for entry in entries]))

        steps = self._protocol.many([self.entry(one) for one in args], Wishes(**wishes))
        return await self._arunner().run(steps, loads_many)

    def refresh(self, args: Args, load: Callable[..., Any]) -> Any:
        """Loads and stores an entry whatever stands there, and returns what was loaded."""
        one = _one(load)
        steps = self._protocol.many([self.entry(args)], Wishes(force=True))
        return self._run(steps, lambda loads, _: [one(loads[0])])[0]

    async def arefresh(self, args: Args, load: Callable[..., Awaitable[Any]]) -> Any:
        """As `refresh`; `load` is a coroutine function."""
        one = _one(load)

        async def loads_one(loads: list[Load], _: list[Entry]) -> list[Any]:
            return [await one(loads[0])]

        steps = self._protocol.many([self.entry(args)], Wishes(force=True))
        return (await self._arunner().run(steps, loads_one))[0]

    def remove(self, args: Args, *more: Args) -> None:
        """Removes entries, so that a request reads what it has written itself. The worker removes them everywhere.

        Raises:
            Unavailable: Redis failed, and they may stand there still.
        """
        self._run(self._protocol.remove([self.entry(one) for one in (args, *more)]), _loads_nothing)

    async def aremove(self, args: Args, *more: Args) -> None:
        """As `remove`."""
        await self._arunner().run(self._protocol.remove([self.entry(one) for one in (args, *more)]), _aloads_nothing)

    def _run(self, steps: Steps[Any], load: Callable[[list[Load], list[Entry]], list[Any]]) -> Any:
        if self._driver is None:
            raise ConfigurationError(
                f"cache {self.name}: a function that blocks needs a client of redis, not redis.asyncio"
            )
        return self._driver.run(steps, load)

    def _arunner(self) -> AsyncDriver:
        if self._adriver is None:
            raise ConfigurationError(f"cache {self.name}: a coroutine needs a client of redis.asyncio")
        return self._adriver


def _one(load: Callable[..., Any]) -> Callable[[Load], Any]:
    """The loader, called with what it is told only if it takes that."""
    try:
        parameters: Iterable[inspect.Parameter] = inspect.signature(load).parameters.values()
    except (TypeError, ValueError):
        parameters = ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    takes = any(one.kind in kinds and one.default is inspect.Parameter.empty for one in parameters)
    return load if takes else lambda _: load()


def _loads_nothing(loads: list[Load], entries: list[Entry]) -> list[Any]:
    raise AssertionError("nothing is to be loaded")


async def _aloads_nothing(loads: list[Load], entries: list[Entry]) -> list[Any]:
    raise AssertionError("nothing is to be loaded")
