"""Reading through a declared cache: what is asked, who loads, what is stored, and what an invalidation voids."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis
import redis.asyncio
from servers import Cache as Server
from servers import eventually

from quash.errors import ConfigurationError, EncodeError, EventError
from quash.reader import Caches, Load, Loaded, Unavailable, commands, frame

DECLARED: dict[str, Any] = {
    "product": {"key": "product:{id}", "ttl": "1m"},
    "page": {"key": "page:{author}:{number}", "tags": ["author:{author}", "all"], "ttl": "1m"},
    "soft": {"key": "soft:{id}", "ttl": "1m", "soft_ttl": "1ms"},
    "nothing": {"key": "nothing:{id}", "ttl": "1m", "negative_ttl": "5s"},
    "plain": {"key": "plain:{id}", "foreign": "accept"},
    "short": {"key": "short:{id}", "lease": "40ms", "wait": "0ms"},
    "patient": {"key": "patient:{id}", "wait": "30s"},
    "hasty": {"key": "hasty:{id}", "wait": "0ms"},
    "format": {"key": "f:{id}", "key_format": {"django": {"prefix": "shop", "version": 3}}},
}


class Reader:
    """Caches over one connection, and what happened in them."""

    def __init__(self, cache: redis.Redis, **more: Any) -> None:
        self.caches = Caches({"caches": DECLARED}, redis=cache, **more)
        self.events: list[tuple[str, str, str]] = []
        self.caches.on_event(lambda *event: self.events.append(event))

    def __getitem__(self, name: str) -> Any:
        return self.caches.cache(name)

    def happened(self) -> list[str]:
        """What happened since it was asked last."""
        events, self.events[:] = [event for _, event, _ in self.events], []
        return events


@pytest.fixture
def reader(cache: redis.Redis) -> Reader:
    return Reader(cache)


def state(cache: redis.Redis, key: str) -> bytes | None:
    seen = frame.parse(cache.get(key))
    return None if seen is None else seen.state


def test_a_miss_loads_and_a_hit_does_not(reader: Reader, cache: redis.Redis):
    loads: list[int] = []

    @reader.caches.cached("product")
    def product(id: int) -> dict[str, int]:
        loads.append(id)
        assert state(cache, "product:7") == frame.LEASE
        return {"id": id}

    assert product(7) == product(id=7) == {"id": 7}
    assert loads == [7]
    assert reader.happened() == ["miss", "stored", "hit"]
    assert 59_000 < cache.pttl("product:7") <= 60_000
    assert product.key(7) == "product:7"
    assert frame.parse(cache.get("product:7")).payload == b'{"id":7}'


def test_what_is_removed_during_its_load_is_not_stored(reader: Reader, cache: redis.Redis):
    def load() -> str:
        cache.unlink("product:1")
        return "old"

    assert reader["product"].get_or_load({"id": 1}, load) == "old"
    assert cache.get("product:1") is None
    assert reader.happened() == ["miss", "refused"]
    assert reader["product"].get_or_load({"id": 1}, lambda: "new") == "new"
    assert reader["product"].get_or_load({"id": 1}, lambda: "never") == "new"


@pytest.mark.parametrize("tag", ["author:3", "all"])
def test_a_tag_that_changes_makes_entries_stale_also_during_their_load(reader: Reader, cache: redis.Redis, tag: str):
    args, page = {"author": 3, "number": 1}, reader["page"]
    assert page.get_or_load(args, lambda: "one") == "one"
    assert page.get_or_load(args, lambda: "never") == "one"
    cache.set(tag, frame.new_tag(), xx=True)

    def load() -> str:
        cache.set(tag, frame.new_tag(), xx=True)
        return "two"

    reader.happened()
    assert page.get_or_load(args, load) == "two"
    # It was stored with the token of before its load, which no longer holds.
    assert page.get_or_load(args, lambda: "three") == "three"
    assert page.get_or_load(args, lambda: "never") == "three"
    assert reader.happened() == ["old_tags", "miss", "stored", "old_tags", "miss", "stored", "hit"]


def test_a_tag_that_is_evicted_makes_entries_stale_and_is_made_before_the_load(reader: Reader, cache: redis.Redis):
    args, page = {"author": 3, "number": 1}, reader["page"]
    page.get_or_load(args, lambda: "one")
    cache.unlink("all")

    def load() -> str:
        assert cache.get("all") is not None
        return "two"

    assert page.get_or_load(args, load) == "two"


def test_something_else_where_a_tag_should_be_keeps_everything_from_being_stored(reader: Reader, cache: redis.Redis):
    cache.set("all", "a text")
    args = {"author": 3, "number": 1}
    assert reader["page"].get_or_load(args, lambda: "one") == "one"
    assert reader["page"].get_or_load(args, lambda: "two") == "two"


def test_absence_is_remembered_for_its_own_time(reader: Reader, cache: redis.Redis):
    assert reader["nothing"].get_or_load({"id": 1}, lambda: None) is None
    assert reader["nothing"].get_or_load({"id": 1}, lambda: "never") is None
    assert frame.parse(cache.get("nothing:1")).form == frame.ABSENT
    assert 0 < cache.pttl("nothing:1") <= 5_000


def test_a_failed_load_reaches_the_caller_and_gives_its_lease_back(reader: Reader, cache: redis.Redis):
    def load() -> str:
        raise LookupError("no such product")

    with pytest.raises(LookupError, match="no such product"):
        reader["product"].get_or_load({"id": 1}, load)
    assert cache.get("product:1") is None
    assert reader.happened() == ["miss", "load_failed"]


def test_a_value_that_json_cannot_keep_is_told_at_once(reader: Reader, cache: redis.Redis):
    with pytest.raises(EncodeError, match="codec='pickle'"):
        reader["product"].get_or_load({"id": 1}, lambda: {1, 2})
    assert cache.get("product:1") is None
    pickled = Reader(cache, codec="pickle")["product"]
    assert pickled.get_or_load({"id": 1}, lambda: {1, 2}) == pickled.get_or_load({"id": 1}, set) == {1, 2}


def test_what_another_codec_wrote_is_a_miss_and_replaced(reader: Reader, cache: redis.Redis):
    Reader(cache, codec="pickle")["product"].get_or_load({"id": 1}, lambda: "pickled")
    assert reader["product"].get_or_load({"id": 1}, lambda: "json") == "json"
    assert reader["product"].get_or_load({"id": 1}, lambda: "never") == "json"
    assert reader.happened() == ["undecodable", "miss", "stored", "hit"]


def test_foreign_values_are_left_alone_unless_they_are_accepted(reader: Reader, cache: redis.Redis):
    cache.set("product:1", '"theirs"')
    cache.set("plain:1", '"theirs"')
    cache.rpush("product:2", 1)
    assert reader["product"].get_or_load({"id": 1}, lambda: "mine") == "mine"
    assert reader["product"].get_or_load({"id": 2}, lambda: "mine") == "mine"
    assert reader["plain"].get_or_load({"id": 1}, lambda: "never") == "theirs"
    assert (cache.get("product:1"), cache.lrange("product:2", 0, -1)) == (b'"theirs"', [b"1"])
    assert reader.happened() == ["miss", "foreign", "miss", "foreign", "hit"]


def test_while_a_hold_stands_nothing_is_stored(reader: Reader, cache: redis.Redis):
    cache.set("product:1", frame.hold(), px=60_000)
    assert reader["product"].get_or_load({"id": 1}, lambda: "one") == "one"
    assert cache.get("product:1") == frame.hold()
    assert reader.happened() == ["miss", "held"]


def test_one_loads_and_the_others_wait_for_it(cache: redis.Redis):
    loads, started, go = Counter[str](), threading.Event(), threading.Event()

    def load() -> str:
        loads["all"] += 1
        started.set()
        assert go.wait(30)
        return "one"

    results: list[str] = []
    readers = [Reader(cache) for _ in range(6)]

    def read(reader: Reader) -> None:
        results.append(reader["patient"].get_or_load({"id": 1}, load))

    threads = [threading.Thread(target=read, args=(reader,)) for reader in readers]
    threads[0].start()
    assert started.wait(30)
    for thread in threads[1:]:
        thread.start()
    eventually("all wait", lambda: all("waited" in [e for _, e, _ in reader.events] for reader in readers[1:]))
    go.set()
    for thread in threads:
        thread.join()
    assert results == ["one"] * 6
    assert loads["all"] == 1


def test_nobody_waits_longer_than_declared_and_shares_the_lease_then(reader: Reader, cache: redis.Redis):
    token = frame.new_token()
    cache.set("hasty:1", frame.lease(token), px=60_000)
    assert reader["hasty"].get_or_load({"id": 1}, lambda: "mine") == "mine"
    assert reader.happened() == ["shared", "miss", "stored"]
    cache.set("hasty:2", frame.lease(token), px=60_000)

    def load() -> str:
        cache.unlink("hasty:2")
        return "old"

    assert reader["hasty"].get_or_load({"id": 2}, load) == "old"
    assert cache.get("hasty:2") is None


def test_a_shared_lease_is_not_given_back_when_the_load_fails(reader: Reader, cache: redis.Redis):
    lease = frame.lease(frame.new_token())
    cache.set("hasty:1", lease, px=60_000)
    with pytest.raises(ZeroDivisionError):
        reader["hasty"].get_or_load({"id": 1}, lambda: 1 // 0)
    assert cache.get("hasty:1") == lease


def test_a_load_that_outlasts_its_lease_is_refused_and_counted(reader: Reader, cache: redis.Redis):
    def load() -> str:
        eventually("the lease ends", lambda: cache.get("short:1") is None)
        return "late"

    assert reader["short"].get_or_load({"id": 1}, load) == "late"
    assert cache.get("short:1") is None
    assert reader.happened() == ["miss", "refused", "slow"]


def void(cache: redis.Redis, key: str, *, version: int = 0, hold: int = 0, stale: int = 0) -> bytes:
    command = commands.void([key], version, hold, stale)
    assert command.script is not None
    return bytes(cache.eval(command.script.text, *command.args[2:]))


def test_a_stale_value_is_served_while_one_loads_behind(reader: Reader, cache: redis.Redis):
    product, go = reader["product"], threading.Event()
    product.get_or_load({"id": 1}, lambda: "old")
    assert void(cache, "product:1", stale=30_000) == b"S"
    caller = threading.get_ident()

    def load() -> str:
        assert threading.get_ident() != caller
        assert go.wait(30)
        return "new"

    assert product.get_or_load({"id": 1}, load) == "old"
    # Somebody loads already.
    assert product.get_or_load({"id": 1}, lambda: "never") == "old"
    go.set()
    eventually("the new value is stored", lambda: state(cache, "product:1") == frame.VALUE)
    assert product.get_or_load({"id": 1}, lambda: "never") == "new"
    assert "stale" in reader.happened()


def test_who_forbids_stale_values_loads(reader: Reader, cache: redis.Redis):
    product = reader["product"]
    product.get_or_load({"id": 1}, lambda: "old")
    void(cache, "product:1", stale=30_000)
    assert product.get_or_load({"id": 1}, lambda: "new", stale_ok=False) == "new"
    assert product.get_or_load({"id": 1}, lambda: "never") == "new"


def test_a_stale_value_whose_tags_are_old_is_not_served(reader: Reader, cache: redis.Redis):
    args, page = {"author": 3, "number": 1}, reader["page"]
    page.get_or_load(args, lambda: "old")
    void(cache, "page:3:1", stale=30_000)
    cache.set("all", frame.new_tag())
    assert page.get_or_load(args, lambda: "new") == "new"


def test_a_soft_expiry_refreshes_behind_the_caller_once(reader: Reader, cache: redis.Redis):
    soft, go = reader["soft"], threading.Event()
    soft.get_or_load({"id": 1}, lambda: 1)
    loads: list[int] = []

    def load() -> int:
        loads.append(1)
        assert go.wait(30)
        return 2

    eventually("it is loaded anew", lambda: soft.get_or_load({"id": 1}, load) == 1 and loads)
    assert [soft.get_or_load({"id": 1}, load) for _ in range(5)] == [1] * 5
    go.set()
    eventually("the new value is stored", lambda: frame.parse(cache.get("soft:1")).payload == b"2")
    assert loads == [1]


def test_a_refresh_behind_that_an_invalidation_overtakes_stores_nothing(reader: Reader, cache: redis.Redis):
    soft, loading, go = reader["soft"], threading.Event(), threading.Event()
    soft.get_or_load({"id": 1}, lambda: "old")

    def load() -> str:
        loading.set()
        assert go.wait(30)
        return "old"

    eventually("it is loaded anew", lambda: soft.get_or_load({"id": 1}, load) and loading.is_set())
    cache.unlink("soft:1")
    reader.happened()
    go.set()
    eventually("the fill is refused", lambda: "refused" in [event for _, event, _ in reader.events])
    assert cache.get("soft:1") is None


def test_refresh_loads_whatever_stands_there(reader: Reader, cache: redis.Redis):
    values = iter("abcdef")

    @reader.caches.cached("product")
    def product(id: int) -> str:
        return next(values)

    assert [product(1), product.refresh(1), product(1)] == ["a", "b", "b"]
    cache.set("product:1", frame.lease(frame.new_token()), px=60_000)
    assert [product.refresh(1), product(1)] == ["c", "c"]
    product.remove(1)
    assert cache.get("product:1") is None
    assert product(1) == "d"


def test_versions_are_loaded_again_until_they_reach_what_is_known(reader: Reader, cache: redis.Redis):
    void(cache, "product:1", version=20, hold=60_000)
    told: list[Load] = []

    def load(told_to: Load) -> Loaded:
        told.append(told_to)
        return Loaded(f"v{len(told)}", version=18 + len(told))

    assert reader["product"].get_or_load({"id": 1}, load) == "v2"
    assert [(one.min_version, one.attempt, one.prefer_primary) for one in told] == [(20, 1, True), (20, 2, True)]
    assert frame.parse(cache.get("product:1")).version == 20
    void(cache, "product:2", version=99, hold=60_000)
    assert reader["product"].get_or_load({"id": 2}, load) == "v5"
    assert reader.happened()[-3:] == ["too_old", "refused", "too_old"]
    assert frame.parse(cache.get("product:2")).token == frame.NOBODY


def test_a_loader_may_say_how_long_its_value_is_good(reader: Reader, cache: redis.Redis):
    reader["product"].get_or_load({"id": 1}, lambda: Loaded("a", ttl=1_000))
    assert 0 < cache.pttl("product:1") <= 1_000
    reader["product"].get_or_load({"id": 2}, lambda: Loaded("a", ttl=0))
    assert cache.get("product:2") is None


def test_many_are_read_loaded_and_stored_in_one_go(reader: Reader, cache: redis.Redis):
    calls: list[list[int]] = []

    @reader.caches.cached("product")
    def product(id: int) -> str:
        return f"one {id}"

    @product.load_many
    def products(ids: list[int]) -> dict[int, str]:
        calls.append(ids)
        return {id: f"many {id}" for id in ids if id != 4}

    assert product(2) == "one 2"
    before = cache.info("stats")["total_commands_processed"]
    assert product.many([1, 2, 3, 4, 1]) == {1: "many 1", 2: "one 2", 3: "many 3", 4: None}
    # MGET, three SET, three EVALSHA, and the INFO itself; a script may have to be sent once more.
    assert cache.info("stats")["total_commands_processed"] - before <= 3 + 4 * 6
    assert calls == [[1, 3, 4]]
    assert product.many([1, 2, 3, 4]) == {1: "many 1", 2: "one 2", 3: "many 3", 4: None}
    assert calls == [[1, 3, 4]]
    assert product.many([]) == {}


def test_many_with_tags_and_several_arguments(reader: Reader, cache: redis.Redis):
    @reader.caches.cached("page")
    def page(author: int, number: int) -> str:
        return f"{author}.{number}"

    assert page.many([(1, 1), (2, 1)]) == {(1, 1): "1.1", (2, 1): "2.1"}
    cache.set("author:2", frame.new_tag())
    reader.happened()
    assert page.many([(1, 1), (2, 1)]) == {(1, 1): "1.1", (2, 1): "2.1"}
    assert reader.happened() == ["hit", "old_tags", "miss", "stored"]


def test_many_wait_last_for_what_others_load(cache: redis.Redis, reader: Reader):
    token = frame.new_token()
    cache.set("patient:1", frame.lease(token), px=60_000)
    mine = threading.Event()

    def load(missing: list[Any]) -> list[str]:
        mine.set()
        return [f"mine {args['id']}" for args in missing]

    def other() -> None:
        assert mine.wait(30)
        fill = commands.fill("patient:1", token, 0, 60_000, frame.value(b'"theirs"'))
        cache.eval(fill.script.text, *fill.args[2:])

    thread = threading.Thread(target=other)
    thread.start()
    assert reader["patient"].many([{"id": 1}, {"id": 2}], load) == ["theirs", "mine 2"]
    thread.join()


def test_a_failing_load_of_many_gives_all_leases_back(reader: Reader, cache: redis.Redis):
    with pytest.raises(KeyError):
        reader["product"].many([{"id": 1}, {"id": 2}], lambda missing: {}["x"])
    assert cache.keys() == []


def test_redis_that_fails_costs_a_load_and_nothing_more(own_cache: Server):
    client = redis.Redis(port=own_cache.port, socket_timeout=0.3, retry=None)
    reader = Reader(client)
    product = reader["product"]
    product.get_or_load({"id": 1}, lambda: "one")
    own_cache.kill()
    loads = Counter[str]()

    def load() -> str:
        loads["all"] += 1
        return "two"

    assert product.get_or_load({"id": 1}, load) == "two"
    assert loads["all"] == 1
    began = time.monotonic()
    own_cache.start()
    # For a second nobody asks, although it would answer.
    if product.get_or_load({"id": 1}, load) != "two" or time.monotonic() - began > 0.9:
        pytest.fail("the cache was asked again at once")
    assert client.get("product:1") is None
    assert reader.happened() == ["miss", "stored", "redis_failed", "redis_failed"]
    eventually("it is asked again", lambda: product.get_or_load({"id": 1}, lambda: "three") and client.get("product:1"))


def test_redis_that_fails_during_a_load_costs_no_second_one(own_cache: Server):
    client = redis.Redis(port=own_cache.port, socket_timeout=0.3, retry=None)
    reader = Reader(client)

    def load() -> str:
        own_cache.kill()
        return "one"

    assert reader["product"].get_or_load({"id": 1}, load) == "one"
    assert reader.happened() == ["miss", "redis_failed"]
    with pytest.raises(Unavailable):
        reader["product"].remove({"id": 1})


def test_a_cache_that_is_full_costs_a_load_and_nothing_more(own_cache: Server):
    client = redis.Redis(port=own_cache.port)
    client.config_set("maxmemory", 1)
    reader = Reader(client)
    assert reader["product"].get_or_load({"id": 1}, lambda: "one") == "one"
    assert reader.happened() == ["redis_failed"]


def test_arguments_that_do_not_fit_are_told(reader: Reader):
    with pytest.raises(EventError, match=r"unknown argument 'ids'; did you mean 'id'\?; argument 'id' is missing"):
        reader["product"].key({"ids": 1})
    with pytest.raises(EventError, match="number with a fraction"):
        reader["product"].key({"id": 1.5})
    with pytest.raises(ConfigurationError, match=r"has the arguments \(id\), and .* takes \(pk\)"):
        reader.caches.cached("product")(lambda pk: pk)
    with pytest.raises(TypeError, match="argument"):
        reader.caches.cached("product")(lambda id: id)(1, 2)
    with pytest.raises(ConfigurationError, match="decode_responses"):
        Caches({}, redis=redis.Redis(decode_responses=True))
    with pytest.raises(ConfigurationError, match="unknown codec"):
        Caches({}, redis=redis.Redis(), codec="yaml")
    assert reader["format"].key({"id": 1}) == "shop:3:f:1"


def test_an_observer_that_fails_harms_no_read(reader: Reader, caplog: pytest.LogCaptureFixture):
    reader.caches.on_event(lambda *_: 1 // 0)
    assert reader["product"].get_or_load({"id": 1}, lambda: "one") == "one"
    assert "an observer of the cache product failed" in caplog.text


def test_a_method_is_refused_where_it_is_used(reader: Reader):
    class Shop:
        @reader.caches.cached("product")
        def product(id: int) -> int:  # noqa: N805
            return id

    with pytest.raises(TypeError, match="is a method"):
        Shop().product  # noqa: B018


def in_loop(cache: redis.Redis, play: Callable[[Reader, redis.Redis], Any]) -> None:
    """Plays with a client of asyncio."""

    async def run() -> None:
        client = redis.asyncio.Redis(port=cache.connection_pool.connection_kwargs["port"])
        await play(Reader(client), cache)
        await client.aclose()

    asyncio.run(run())


def test_coroutines_read_through_the_same_protocol(cache: redis.Redis):
    async def play(reader: Reader, cache: redis.Redis) -> None:
        values = iter(range(100))

        @reader.caches.cached("product")
        async def product(id: int) -> int:
            assert state(cache, f"product:{id}") is not None
            return next(values)

        assert asyncio.iscoroutinefunction(product)
        assert [await product(1), await product(1), await product.refresh(1), await product(1)] == [0, 0, 1, 1]
        await product.remove(1)
        assert await product(1) == 2
        assert await product.many([1, 2]) == {1: 2, 2: 3}
        assert product.key(1) == "product:1"

        async def voided() -> str:
            cache.unlink("product:9")
            return "old"

        assert await reader["product"].aget_or_load({"id": 9}, voided) == "old"
        assert cache.get("product:9") is None
        with pytest.raises(ConfigurationError, match="redis"):
            reader["product"].get_or_load({"id": 1}, lambda: 1)

    in_loop(cache, play)


def test_a_cancelled_coroutine_gives_its_lease_back(cache: redis.Redis):
    async def play(reader: Reader, cache: redis.Redis) -> None:
        loading = asyncio.Event()

        async def load() -> str:
            loading.set()
            await asyncio.sleep(3600)
            return "never"

        task = asyncio.create_task(reader["product"].aget_or_load({"id": 1}, load))
        await loading.wait()
        assert state(cache, "product:1") == frame.LEASE
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cache.get("product:1") is None

    in_loop(cache, play)


def test_coroutines_wait_for_one_load_and_serve_stale_values(cache: redis.Redis):
    async def play(reader: Reader, cache: redis.Redis) -> None:
        loads = Counter[str]()

        async def load() -> str:
            loads["all"] += 1
            await asyncio.sleep(0.05)
            return f"value {loads['all']}"

        read = [reader["patient"].aget_or_load({"id": 1}, load) for _ in range(10)]
        assert set(await asyncio.gather(*read)) == {"value 1"}
        assert void(cache, "patient:1", stale=30_000) == b"S"
        assert await reader["patient"].aget_or_load({"id": 1}, load) == "value 1"
        await asyncio.to_thread(eventually, "it is stored", lambda: state(cache, "patient:1") == frame.VALUE)
        assert await reader["patient"].aget_or_load({"id": 1}, load) == "value 2"

    in_loop(cache, play)


def test_a_coroutine_needs_a_client_of_its_kind(cache: redis.Redis):
    async def product(id: int) -> int:
        return id

    with pytest.raises(ConfigurationError, match=r"is a coroutine"):
        Reader(cache).caches.cached("product")(product)
    both = Reader(cache, redis_async=redis.asyncio.Redis())
    both.caches.cached("product")(product)
    both.caches.cached("product")(lambda id: id)
