"""What Django's own tests of cache backends demand, of the backends with leases, of those without, and of both in use.

Each case is played as it stands, and once more with a `get` before each `set` and `add`, which takes a lease first.
"""

from __future__ import annotations

import asyncio
import datetime
import pickle
import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import django_setup  # noqa: F401
import pytest
import redis
from django.core.cache.backends.base import CacheKeyWarning
from django.core.cache.backends.redis import RedisCache
from django_redis.cache import RedisCache as DjangoRedisCache
from servers import Cache, eventually
from shop.models import Author

from quash.django import leases
from quash.django.cache import LeaseCache

CLIENT_CLASS = {"CLIENT_CLASS": "quash.django.django_redis.LeaseClient"}
Make = Callable[..., Any]

BACKENDS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "django": (RedisCache, {}),
    "lease": (LeaseCache, {}),
    "lease plain": (LeaseCache, {"write": "plain"}),
    "lease some": (LeaseCache, {"only": ["k*", "a*"]}),
    "django_redis": (DjangoRedisCache, {}),
    "django_redis lease": (DjangoRedisCache, CLIENT_CLASS),
}


def asking(kind: type[Any]) -> type[Any]:
    """The same, with a `get` before whatever stores."""

    class Asking(kind):  # type: ignore[misc]
        def set(self, key: str, *args: Any, **kwargs: Any) -> Any:
            self.get(key, version=kwargs.get("version"))
            return super().set(key, *args, **kwargs)

        def add(self, key: str, *args: Any, **kwargs: Any) -> Any:
            if not self.has_key(key, version=kwargs.get("version")):
                self.get(key, version=kwargs.get("version"))
            return super().add(key, *args, **kwargs)

        def set_many(self, data: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            self.get_many(list(data), version=kwargs.get("version"))
            return super().set_many(data, *args, **kwargs)

    return Asking


@pytest.fixture(params=[f"{name}{more}" for name in BACKENDS for more in ("", ", asked")])
def make(request: pytest.FixtureRequest, cache_server: Cache) -> Iterator[Make]:
    """Makes caches of one backend."""
    name, _, asked = request.param.partition(", ")
    kind, options = BACKENDS[name]
    kind = asking(kind) if asked else kind

    def made(**params: Any) -> Any:
        given = {"TIMEOUT": 300, **params, "OPTIONS": {**options, **params.get("OPTIONS", {})}}
        return kind(cache_server.url(3), given)

    made().clear()
    leases.forget_all()
    yield made
    made().clear()


@pytest.fixture
def cache(make: Make) -> Any:
    return make()


@pytest.fixture
def left(cache_server: Cache) -> Callable[[str], int]:
    """How many milliseconds a key has left."""
    client = redis.Redis(port=cache_server.port, db=3)
    return lambda key: int(client.pttl(f":1:{key}"))


def test_simple(cache: Any):
    cache.set("key", "value")
    assert cache.get("key") == "value"
    assert cache.get("nope") is None
    assert cache.get("nope", "default") == "default"
    cache.set("none", None)
    assert cache.get("none", "default") is None


def test_add(cache: Any):
    cache.add("addkey1", "value")
    assert cache.add("addkey1", "newvalue") is False
    assert cache.get("addkey1") == "value"
    assert cache.add("key0", "x", timeout=0) is True
    assert cache.get("key0") is None


def test_prefixes_do_not_meet(make: Make):
    one, two = make(), make(KEY_PREFIX="cacheprefix")
    one.set("somekey", "value")
    assert two.has_key("somekey") is False
    two.set("somekey", "value2")
    assert (one.get("somekey"), two.get("somekey")) == ("value", "value2")


def test_non_existent(cache: Any):
    assert cache.get("does_not_exist") is None
    assert cache.get("does_not_exist", "bang!") == "bang!"
    # And what that `get` left is nothing.
    assert cache.has_key("does_not_exist") is False
    assert "does_not_exist" not in cache
    assert cache.delete("does_not_exist") is False


def test_get_many(cache: Any):
    cache.set_many({"a": "a", "b": "b", "c": "c", "d": "d"})
    assert cache.get_many(["a", "c", "d"]) == {"a": "a", "c": "c", "d": "d"}
    assert cache.get_many(["a", "b", "e"]) == {"a": "a", "b": "b"}
    assert cache.get_many(iter(["a", "b", "e"])) == {"a": "a", "b": "b"}
    cache.set_many({"x": None, "y": 1})
    assert cache.get_many(["x", "y"]) == {"x": None, "y": 1}
    assert cache.get_many([]) == {}


def test_delete(cache: Any):
    cache.set_many({"key1": "spam", "key2": "eggs"})
    assert cache.delete("key1") is True
    assert cache.get("key1") is None
    assert cache.get("key2") == "eggs"
    assert cache.delete("key1") is False


def test_has_key_and_in(cache: Any):
    cache.set("hello1", "goodbye1")
    assert cache.has_key("hello1") is True
    assert cache.has_key("goodbye1") is False
    cache.set("no_expiry", "here", None)
    assert cache.has_key("no_expiry") is True
    assert "hello1" in cache
    assert "goodbye1" not in cache


def test_incr_and_decr(cache: Any):
    cache.set("answer", 41)
    assert cache.incr("answer") == 42
    assert cache.get("answer") == 42
    assert cache.incr("answer", 10) == 52
    assert cache.incr("answer", -10) == 42
    assert cache.decr("answer") == 41
    assert cache.decr("answer", 10) == 31
    for key in ("does_not_exist", "asked_for"):
        cache.get("asked_for")
        with pytest.raises(ValueError, match="not found"):
            cache.incr(key)
        with pytest.raises(ValueError, match="not found"):
            cache.decr(key)
        with pytest.raises(ValueError, match="not found"):
            cache.incr(key, -1)


def test_close(cache: Any):
    assert hasattr(cache, "close")
    cache.close()


def test_data_types(cache: Any):
    for number, value in enumerate(
        [
            "this is a string",
            42,
            -7,
            True,
            False,
            10**30,
            [1, 2, 3, 4],
            (1, 2, 3, 4),
            {"A": 1, "B": 2},
            test_close,
            ValueError,
            3.5,
            "123",
            "",
            b"",
            b"12",
            datetime.date(2026, 1, 2),
        ]
    ):
        cache.set(f"key{number}", value)
        stands = cache.get(f"key{number}")
        assert (stands, type(stands)) == (value, type(value))


def test_a_model_instance(cache: Any):
    author = Author(name="Ada")
    cache.set("author", author)
    assert cache.get("author").name == "Ada"


def test_expiration(cache: Any):
    cache.set("expire1", "very quickly", 1)
    cache.set("expire2", "very quickly", 1)
    cache.set("expire3", "very quickly", 1)
    for key in ("expire1", "expire2", "expire3"):
        eventually("it expires", lambda key=key: cache.get(key) is None, 10)
    assert cache.add("expire2", "new") is True
    assert cache.get("expire2") == "new"
    assert cache.has_key("expire3") is False


def test_touch(cache: Any, left: Callable[[str], int]):
    cache.set("expire1", "very quickly", timeout=1)
    assert cache.touch("expire1", timeout=300) is True
    assert 299_000 < left("expire1") <= 300_000
    assert cache.has_key("expire1") is True
    assert cache.touch("expire1", timeout=None) is True
    assert left("expire1") == -1
    assert cache.touch("expire1", timeout=0) is True
    assert cache.has_key("expire1") is False
    assert cache.touch("nonexistent") is False
    cache.get("nonexistent")
    assert cache.touch("nonexistent") is False


def test_unicode_and_binary(cache: Any):
    stuff = {
        "ascii": "ascii_value",
        "unicode_ascii": "Iñtërnâtiônàlizætiøn1",
        "Iñtërnâtiônàlizætiøn": "2",
        "a": {"x": 1},
    }
    for key, value in stuff.items():
        cache.delete(key)
        cache.set(key, value)
        assert cache.get(key) == value
        cache.delete(key)
        cache.add(key, value)
        assert cache.get(key) == value
    for key in stuff:
        cache.delete(key)
    cache.set_many(stuff)
    assert cache.get_many(stuff) == stuff
    compressed = zlib.compress(b"value_to_be_compressed")
    cache.set("binary1", compressed)
    assert zlib.decompress(cache.get("binary1")) == b"value_to_be_compressed"
    cache.add("binary2", compressed)
    assert cache.get("binary2") == compressed


def test_set_many(cache: Any, left: Callable[[str], int]):
    # Django's own gives a list of what failed, django-redis nothing.
    assert not cache.set_many({"key1": "spam", "key2": "eggs"})
    assert (cache.get("key1"), cache.get("key2")) == ("spam", "eggs")
    cache.set_many({"key3": "spam"}, 1)
    cache.set_many({})
    assert 0 < left("key3") <= 1000
    cache.set_many({"key1": "a", "key4": 5}, timeout=None)
    assert cache.get_many(["key1", "key4"]) == {"key1": "a", "key4": 5}
    cache.set_many({"key1": "a", "key2": "b"}, timeout=0)
    assert cache.get_many(["key1", "key2"]) == {}


def test_delete_many_and_clear(cache: Any):
    cache.set_many({"key1": "spam", "key2": "eggs", "key3": "ham"})
    cache.delete_many(["key1", "key2"])
    assert cache.get_many(["key1", "key2", "key3"]) == {"key3": "ham"}
    cache.delete_many([])
    cache.set_many({"key1": "spam", "key2": "eggs"})
    cache.clear()
    assert cache.get_many(["key1", "key2", "key3"]) == {}
    cache.set("key1", "again")
    assert cache.get("key1") == "again"


@pytest.mark.parametrize("timeout", [60 * 60 * 24 * 30 + 1, None, 100.2])
def test_timeouts_of_every_kind(cache: Any, timeout: float | None):
    cache.set("key1", "eggs", timeout)
    assert cache.get("key1") == "eggs"
    assert cache.add("key2", "ham", timeout) is True
    assert cache.get("key2") == "ham"
    assert cache.add("key1", "new eggs", timeout) is False
    assert cache.get("key1") == "eggs"
    cache.set_many({"key3": "sausage", "key4": "lobster bisque"}, timeout)
    assert cache.get_many(["key3", "key4"]) == {"key3": "sausage", "key4": "lobster bisque"}


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_timeout_of_nothing_caches_nothing(cache: Any, timeout: int):
    cache.set("key1", "eggs", timeout)
    assert cache.get("key1") is None
    assert cache.add("key2", "ham", timeout) is True
    assert cache.get("key2") is None
    cache.set_many({"key3": "sausage", "key4": "lobster bisque"}, timeout)
    assert cache.get_many(["key3", "key4"]) == {}
    cache.set("key5", "belgian fries", timeout=5)
    assert cache.touch("key5", timeout=timeout) is True
    assert cache.get("key5") is None


def test_keys_that_other_backends_refuse_are_warned_of(make: Make):
    cache = make()
    for key in ("key with spaces and 清", "a" * 251):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cache.set(key, "value")
            assert cache.get_many([key]) == {key: "value"}
        # django-redis does not warn.
        warned = [one for one in caught if issubclass(one.category, CacheKeyWarning)]
        assert len(warned) >= 2 or isinstance(cache, DjangoRedisCache)


def test_versions(make: Make):
    one, two = make(), make(VERSION=2)
    one.set("answer1", 42)
    assert (one.get("answer1"), one.get("answer1", version=2), two.get("answer1")) == (42, None, None)
    two.set("answer2", 43)
    assert (one.get("answer2"), one.get("answer2", version=2), two.get("answer2")) == (None, 43, 43)
    one.set("answer3", 44, version=2)
    assert (one.get("answer3"), two.get("answer3")) == (None, 44)
    assert one.add("answer1", 37) is False
    assert one.add("answer1", 37, version=2) is True
    assert (one.get("answer1"), two.get("answer1")) == (42, 37)
    assert one.has_key("answer3") is False
    assert one.has_key("answer3", version=2) is True
    assert one.delete("answer3") is False
    assert one.delete("answer3", version=2) is True
    one.set("answer4", 37)
    two.set("answer4", 42)
    assert (one.incr("answer4"), two.incr("answer4"), one.decr("answer4", version=2)) == (38, 43, 42)
    one.set_many({"ford1": 37, "arthur1": 42})
    assert one.get_many(["ford1", "arthur1"]) == {"ford1": 37, "arthur1": 42}
    assert two.get_many(["ford1", "arthur1"]) == {}
    one.set_many({"ford1": 1}, version=2)
    assert (one.get("ford1"), two.get_many(["ford1", "arthur1"])) == (37, {"ford1": 1})


def test_moving_a_version(cache: Any):
    cache.set("answer", 42, version=2)
    assert (cache.get("answer"), cache.get("answer", version=2), cache.get("answer", version=3)) == (None, 42, None)
    assert cache.incr_version("answer", version=2) == 3
    assert (cache.get("answer", version=2), cache.get("answer", version=3)) == (None, 42)
    assert cache.decr_version("answer", version=3) == 2
    assert (cache.get("answer", version=2), cache.get("answer", version=3)) == (42, None)
    with pytest.raises(ValueError, match="not found"):
        cache.incr_version("does_not_exist")
    with pytest.raises(ValueError, match="not found"):
        cache.decr_version("does_not_exist")


def test_a_key_function(make: Make):
    def custom(key: str, key_prefix: str, version: int) -> str:
        return f"CUSTOM-{key_prefix}-{version}-{key}"

    cache = make(KEY_FUNCTION=custom, KEY_PREFIX="p")
    cache.set("answer1", 42)
    assert cache.get("answer1") == 42
    assert make().get("answer1") is None


class Unpicklable:
    def __getstate__(self) -> Any:
        raise pickle.PicklingError


def test_what_cannot_be_pickled_raises_and_stores_nothing(cache: Any):
    for store in (cache.set, cache.add):
        with pytest.raises(pickle.PicklingError):
            store("unpicklable", Unpicklable())
    assert cache.get("unpicklable") is None


def test_get_or_set(cache: Any):
    assert cache.get("projector") is None
    assert cache.get_or_set("projector", 42) == 42
    assert cache.get("projector") == 42
    assert cache.get_or_set("null", None) is None
    assert cache.get("null", "default") is None
    assert cache.get_or_set("mykey", lambda: "value") == "value"
    assert cache.get_or_set("mykey", lambda: 1 // 0) == "value"
    assert cache.get_or_set("called", lambda: None) is None
    assert cache.get("called", "default") is None
    cache.get_or_set("brian", 1979, version=2)
    with pytest.raises(TypeError, match="required positional"):
        cache.get_or_set("brian")
    assert cache.get("brian", version=1) is None
    assert cache.get("brian", version=2) == 1979


def test_get_or_set_that_somebody_overtakes(cache: Any):
    def value() -> str:
        cache.set("key", "theirs")
        return "mine"

    assert cache.get_or_set("key", value) == "theirs"


def test_coroutines(cache: Any):
    async def play() -> None:
        await cache.aset("key1", "one")
        assert await cache.aget("key1") == "one"
        assert await cache.aget("key2", "default") == "default"
        assert await cache.ahas_key("key1") is True
        assert await cache.ahas_key("key2") is False
        assert await cache.aadd("key1", "two") is False
        assert await cache.aadd("key2", "two") is True
        await cache.aset_many({"a": 1, "b": 2})
        assert await cache.aget_many(["a", "b", "c"]) == {"a": 1, "b": 2}
        assert await cache.aincr("a") == 2
        assert await cache.adecr("a", 2) == 0
        assert await cache.aget_or_set("d", lambda: 4) == 4
        assert await cache.atouch("d", 100) is True
        assert await cache.adelete("d") is True
        assert await cache.aincr_version("b") == 2
        await cache.adelete_many(["a", "b"])
        assert await cache.aget_many(["a", "b", "d"]) == {}
        await cache.aclear()
        assert await cache.aget("key1") is None
        await cache.aclose()

    asyncio.run(play())
