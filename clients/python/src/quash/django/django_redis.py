"""The client class of django-redis with leases behind it: what is removed while it is computed is not stored.

CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:6379/1",
                      "OPTIONS": {"CLIENT_CLASS": "quash.django.django_redis.LeaseClient"}}}
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django_redis.client import DefaultClient
from django_redis.client.default import _main_exceptions
from django_redis.exceptions import ConnectionInterrupted
from redis.client import Pipeline

from .leases import Leases, on_event, payload, taken_from

__all__ = ["LeaseClient", "on_event"]


def _of_no_lease(otherwise: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A method of a key that sees a lease as nothing, and answers this of it."""

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(method)

        @functools.wraps(method)
        def guarded(self: LeaseClient, *args: Any, **kwargs: Any) -> Any:
            given = signature.bind(self, *args, **kwargs).arguments
            client = given.get("client")
            key = self.make_key(given["key"], version=given.get("version"))
            with self._interrupted(client):
                if self.leases.is_lease(client or self.get_client(write=True), key):
                    return otherwise
            return method(self, *args, **kwargs)

        return guarded

    return decorate


class LeaseClient(DefaultClient):
    """`DefaultClient`, with leases. Its `OPTIONS` are those of `quash.django.cache.LeaseCache`."""

    def __init__(self, server: Any, params: dict[str, Any], backend: Any) -> None:
        options = dict(params.get("OPTIONS", {}))
        own = taken_from(options)
        super().__init__(server, {**params, "OPTIONS": options}, backend)
        self.leases = Leases(own, ";".join(map(str, self._server)))

    @contextmanager
    def _interrupted(self, client: Any) -> Iterator[None]:
        """Failures of Redis are told as those of django-redis, which may ignore them."""
        try:
            yield
        except _main_exceptions as error:
            raise ConnectionInterrupted(connection=client) from error

    def get(self, key: str, default: Any = None, version: int | None = None, client: Any = None) -> Any:
        physical, reader = self.make_key(key, version=version), client or self.get_client(write=False)
        with self._interrupted(client):
            good = payload(reader.get(physical))
            if good is None:
                found = self.leases.read(
                    lambda: client or self.get_client(write=True), {physical: None}, leased=self.leases.wants(key)
                )
                good = found.get(physical)
            else:
                self.leases.hit(physical)
        return default if good is None else self.decode(good)

    def get_many(self, keys: Iterable[str], version: int | None = None, client: Any = None) -> dict[str, Any]:
        names = {self.make_key(key, version=version): key for key in keys}
        if not names:
            return {}
        found: dict[str, bytes] = {}
        with self._interrupted(client):
            seen = dict(zip(names, (client or self.get_client(write=False)).mget(*names), strict=True))
            for leased in (True, False):
                these = {at: data for at, data in seen.items() if self.leases.wants(names[at]) is leased}
                if these:
                    found |= self.leases.read(lambda: client or self.get_client(write=True), these, leased=leased)
        return {key: self.decode(found[physical]) for physical, key in names.items() if physical in found}

    def set(
        self,
        key: str,
        value: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
        client: Any = None,
        nx: bool = False,
        xx: bool = False,
    ) -> bool:
        physical, leased = self.make_key(key, version=version), self.leases.wants(key)
        writer = client or self.get_client(write=True)
        if isinstance(writer, Pipeline) or xx:
            return bool(super().set(key, value, timeout, version, client, nx, xx))
        milliseconds = self._milliseconds(timeout)
        known = self.leases.spend([physical])
        with self._interrupted(client):
            if milliseconds is not None and milliseconds <= 0:
                return not self.has_key(key, version, client) if nx else bool(self.delete(key, version, client=client))
            if known and leased:
                return self.leases.store(writer, {physical: self.encode(value)}, known, milliseconds)[physical]
            if nx:
                return self.leases.add(writer, physical, self.encode(value), milliseconds, leased=leased)
            if leased and not self.leases.may_set_blindly(writer, [physical]):
                return False
        return bool(super().set(key, value, timeout, version, client))

    def set_many(
        self, data: Mapping[str, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, client: Any = None
    ) -> None:
        names = {self.make_key(key, version=version): key for key in data}
        writer, milliseconds = client or self.get_client(write=True), self._milliseconds(timeout)
        known = self.leases.spend(names)
        if milliseconds is not None and milliseconds <= 0:
            self.delete_many(data, version, client)
            return
        with self._interrupted(client):
            leased = {at: one for at, one in known.items() if self.leases.wants(names[at])}
            if leased:
                self.leases.store(writer, {at: self.encode(data[names[at]]) for at in leased}, leased, milliseconds)
            blind = [at for at, key in names.items() if self.leases.wants(key) and at not in leased]
            refused = set() if not blind or self.leases.may_set_blindly(writer, blind) else set(blind)
        plain = {key: data[key] for at, key in names.items() if at not in leased and at not in refused}
        if plain:
            super().set_many(plain, timeout, version, client)

    def _milliseconds(self, timeout: Any) -> int | None:
        if timeout is DEFAULT_TIMEOUT:
            timeout = self._backend.default_timeout
        return None if timeout is None else int(timeout * 1000)

    def delete(self, key: str, version: int | None = None, prefix: str | None = None, client: Any = None) -> int:
        physical = self.make_key(key, version=version, prefix=prefix)
        with self._interrupted(client):
            return self.leases.remove(client or self.get_client(write=True), [physical])

    def delete_many(self, keys: Iterable[str], version: int | None = None, client: Any = None) -> int:
        physical = [self.make_key(key, version=version) for key in keys]
        with self._interrupted(client):
            return self.leases.remove(client or self.get_client(write=True), physical)

    def delete_pattern(self, *args: Any, **kwargs: Any) -> int:
        self.leases.forget_here()
        return int(super().delete_pattern(*args, **kwargs))

    def clear(self, client: Any = None) -> None:
        self.leases.forget_here()
        super().clear(client)

    def _incr(
        self,
        key: str,
        delta: int = 1,
        version: int | None = None,
        client: Any = None,
        ignore_key_check: bool = False,
    ) -> int:
        with self._interrupted(client):
            writer = client or self.get_client(write=True)
            if self.leases.is_lease(writer, self.make_key(key, version=version)):
                if not ignore_key_check:
                    raise ValueError(f"Key {key!r} not found")
                self.leases.add(writer, self.make_key(key, version=version), 0, None, leased=False)
        return int(super()._incr(key, delta, version, client, ignore_key_check))

    has_key = _of_no_lease(False)(DefaultClient.has_key)
    touch = _of_no_lease(False)(DefaultClient.touch)
    persist = _of_no_lease(False)(DefaultClient.persist)
    expire = _of_no_lease(False)(DefaultClient.expire)
    pexpire = _of_no_lease(False)(DefaultClient.pexpire)
    ttl = _of_no_lease(0)(DefaultClient.ttl)
    pttl = _of_no_lease(0)(DefaultClient.pttl)
