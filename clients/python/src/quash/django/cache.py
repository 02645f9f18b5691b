"""Django's cache on Redis with leases behind it: what is removed while it is computed is not stored.

CACHES = {"default": {"BACKEND": "quash.django.cache.LeaseCache", "LOCATION": "redis://127.0.0.1:6379/1"}}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from django.utils.functional import cached_property

from .leases import Leases, on_event, payload, taken_from

__all__ = ["LeaseCache", "LeaseCacheClient", "on_event"]


class LeaseCacheClient(RedisCacheClient):
    """Django's own client, with leases."""

    def __init__(self, servers: Any, leases: Leases, **options: Any) -> None:
        super().__init__(servers, **options)
        self.leases = leases
        self._clients: dict[Any, Any] = {}

    def get_client(self, key: str | None = None, *, write: bool = False) -> Any:
        # Django makes one for each command, which takes longer than to make a lease. Threads may share one.
        pool = self._get_connection_pool(write)
        client = self._clients.get(pool)
        if client is None:
            client = self._clients[pool] = self._client(connection_pool=pool)
        return client

    def get(self, key: str, default: Any, leased: bool = True) -> Any:
        data = self.get_client(key).get(key)
        good = payload(data)
        if good is not None:
            self.leases.hit(key)
            return self._serializer.loads(good)
        found = self.leases.read(lambda: self.get_client(key, write=True), {key: data}, leased=leased)
        return self._serializer.loads(found[key]) if key in found else default

    def get_many(self, keys: Iterable[str], leased: Iterable[str] | None = None) -> dict[str, Any]:
        keys = list(keys)
        if not keys:
            return {}
        seen = dict(zip(keys, self.get_client(None).mget(keys), strict=True))
        with_lease = set(keys if leased is None else leased)
        found: dict[str, bytes] = {}
        for is_leased in (True, False):
            these = {key: data for key, data in seen.items() if (key in with_lease) is is_leased}
            if these:
                found |= self.leases.read(lambda: self.get_client(None, write=True), these, leased=is_leased)
        return {key: self._serializer.loads(found[key]) for key in keys if key in found}

    def set(self, key: str, value: Any, timeout: int | None, leased: bool = True) -> None:
        self.set_many({key: value}, timeout, {key} if leased else set())

    def set_many(self, data: Mapping[str, Any], timeout: int | None, leased: Iterable[str] | None = None) -> None:
        client = self.get_client(None, write=True)
        wanted = set(data if leased is None else leased)
        known = self.leases.spend(data)
        if timeout == 0:
            client.delete(*data)
            return
        leased_ones = {key: one for key, one in known.items() if key in wanted}
        if leased_ones:
            values = {key: self._serializer.dumps(data[key]) for key in leased_ones}
            self.leases.store(client, values, leased_ones, None if timeout is None else timeout * 1000)
        blind = [key for key in data if key in wanted and key not in leased_ones]
        refused = set() if not blind or self.leases.may_set_blindly(client, blind) else set(blind)
        plain = {key: value for key, value in data.items() if key not in leased_ones and key not in refused}
        if len(plain) == 1:
            ((key, value),) = plain.items()
            super().set(key, value, timeout)
        elif plain:
            super().set_many(plain, timeout)

    def add(self, key: str, value: Any, timeout: int | None, leased: bool = True) -> bool:
        known = self.leases.spend([key])
        client = self.get_client(key, write=True)
        milliseconds = None if timeout is None else timeout * 1000
        if timeout == 0:
            if self.leases.is_lease(client, key):
                return True
            return bool(super().add(key, value, timeout))
        value = self._serializer.dumps(value)
        if known and leased:
            return self.leases.store(client, {key: value}, known, milliseconds)[key]
        return self.leases.add(client, key, value, milliseconds, leased=leased)

    def touch(self, key: str, timeout: int | None) -> bool:
        if self.leases.is_lease(self.get_client(key, write=True), key):
            return False
        return bool(super().touch(key, timeout))

    def delete(self, key: str) -> bool:
        return bool(self.leases.remove(self.get_client(key, write=True), [key]))

    def delete_many(self, keys: Iterable[str]) -> None:
        self.leases.remove(self.get_client(None, write=True), keys)

    def has_key(self, key: str) -> bool:
        if not super().has_key(key):
            return False
        return not self.leases.is_lease(self.get_client(key), key)

    def incr(self, key: str, delta: int) -> int:
        try:
            return int(super().incr(key, delta))
        except self._lib.ResponseError:
            if self.leases.is_lease(self.get_client(key, write=True), key):
                raise ValueError(f"Key '{key}' not found.") from None
            raise

    def clear(self) -> bool:
        self.leases.forget_here()
        return bool(super().clear())


class LeaseCache(RedisCache):
    """Django's `RedisCache`, with leases: a drop-in for whatever does `get`, computes, and does `set`.

    `OPTIONS`, beside those of Django's own backend: `lease` (seconds that a computation may take, 10), `only` (patterns
    of the keys that take leases, all), `blind` (`allow`, or `refuse` what is set without a `get` before), `write`
    (`framed`, or `plain` for the first step of a rolling deployment), `name` (what observers are told).
    """

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        options = dict(params.get("OPTIONS", {}))
        own = taken_from(options)
        super().__init__(server, {**params, "OPTIONS": options})
        where = f"{';'.join(map(str, self._servers))} {options.get('db', '')}"
        self._leases = Leases(own, where)

    @cached_property
    def _cache(self) -> LeaseCacheClient:
        return LeaseCacheClient(self._servers, self._leases, **self._options)

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        physical = self.make_and_validate_key(key, version=version)
        return self._cache.get(physical, default, self._leases.wants(key))

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        names = {self.make_and_validate_key(key, version=version): key for key in keys}
        found = self._cache.get_many(names, [physical for physical, key in names.items() if self._leases.wants(key)])
        return {names[physical]: value for physical, value in found.items()}

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        physical = self.make_and_validate_key(key, version=version)
        self._cache.set(physical, value, self.get_backend_timeout(timeout), self._leases.wants(key))

    def set_many(
        self, data: Mapping[str, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[str]:
        if data:
            names = {self.make_and_validate_key(key, version=version): key for key in data}
            values = {physical: data[key] for physical, key in names.items()}
            leased = [physical for physical, key in names.items() if self._leases.wants(key)]
            self._cache.set_many(values, self.get_backend_timeout(timeout), leased)
        return []

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        physical = self.make_and_validate_key(key, version=version)
        return bool(self._cache.add(physical, value, self.get_backend_timeout(timeout), self._leases.wants(key)))

    # Django's own ask key by key, and `ahas_key` would take a lease.

    async def aget_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        found: dict[str, Any] = await sync_to_async(self.get_many)(keys, version)
        return found

    async def aset_many(
        self, data: Mapping[str, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[str]:
        failed: list[str] = await sync_to_async(self.set_many)(data, timeout, version)
        return failed

    async def adelete_many(self, keys: Iterable[str], version: int | None = None) -> None:
        await sync_to_async(self.delete_many)(keys, version)

    async def ahas_key(self, key: str, version: int | None = None) -> bool:
        return bool(await sync_to_async(self.has_key)(key, version))

    async def aincr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        return int(await sync_to_async(self.incr)(key, delta, version))
