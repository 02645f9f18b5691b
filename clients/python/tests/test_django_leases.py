"""What the backends with leases do beyond Django's: nothing that was removed while it was computed is stored."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import django_setup  # noqa: F401
import pytest
import redis
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import request_started
from django.db import connections, transaction
from django_redis.cache import RedisCache as DjangoRedisCache
from servers import Cache
from shop.models import Author

from quash.django import leases, snapshots
from quash.django.cache import LeaseCache
from quash.reader import commands, frame

Make = Callable[..., Any]


def lease_cache(url: str, **options: Any) -> Any:
    return LeaseCache(url, {"OPTIONS": options})


def django_redis(url: str, **options: Any) -> Any:
    return DjangoRedisCache(url, {"OPTIONS": {"CLIENT_CLASS": "quash.django.django_redis.LeaseClient", **options}})


@pytest.fixture(params=[lease_cache, django_redis])
def make(request: pytest.FixtureRequest, cache: redis.Redis, cache_server: Cache) -> Make:
    """Makes caches of one backend, in an empty database."""
    leases.forget_all()
    return lambda **options: request.param(cache_server.url(), **options)


@pytest.fixture
def shop(make: Make) -> Any:
    return make()


@pytest.fixture
def events() -> Iterator[list[str]]:
    """What happens, in order."""
    happened: list[str] = []
    observer = leases.on_event(lambda _name, event, _key: happened.append(event))
    yield happened
    leases.observers._observers.remove(observer)


def stands(cache: redis.Redis, key: str = ":1:key") -> bytes | None:
    entry = frame.parse(cache.get(key))
    return None if entry is None else entry.state


def test_a_miss_leaves_a_lease_and_the_set_that_follows_spends_it(shop: Any, cache: redis.Redis, events: list[str]):
    assert shop.get("key") is None
    assert stands(cache) == frame.LEASE
    assert 9_000 < cache.pttl(":1:key") <= 10_000
    shop.set("key", {"a": 1}, 60)
    assert stands(cache) == frame.VALUE
    assert 59_000 < cache.pttl(":1:key") <= 60_000
    assert shop.get("key") == {"a": 1}
    assert events == ["miss", "stored", "hit"]


@pytest.mark.parametrize("store", ["set", "add", "set_many"])
def test_what_is_removed_in_between_is_not_stored(shop: Any, cache: redis.Redis, events: list[str], store: str):
    shop.get("key")
    cache.unlink(":1:key")
    if store == "set_many":
        shop.set_many({"key": "old"})
    else:
        getattr(shop, store)("key", "old")
    assert cache.get(":1:key") is None
    assert events == ["miss", "refused"]


def test_many_are_refused_one_by_one(shop: Any, cache: redis.Redis):
    assert shop.get_many(["a", "b", "c"]) == {}
    cache.unlink(":1:b")
    shop.set_many({"a": 1, "b": 2, "c": "text", "blind": 4})
    assert shop.get_many(["a", "b", "c", "blind"]) == {"a": 1, "c": "text", "blind": 4}


def test_one_more_reader_shares_the_token_and_harms_nobody(make: Make, cache: redis.Redis):
    one, two = make(), make()
    one.get("key")
    token = frame.parse(cache.get(":1:key")).token
    contextvars.Context().run(lambda: (two.get("key"), two.set("key", "two")))
    assert frame.parse(cache.get(":1:key")).token == frame.NOBODY
    one.set("key", "one")
    assert one.get("key") == "two"
    assert token != frame.NOBODY


def test_a_set_without_a_get_is_blind_and_bare(make: Make, cache: redis.Redis, events: list[str]):
    shop = make(name="shop")
    shop.set("key", "text")
    shop.set("number", 5)
    assert stands(cache) is None
    assert shop.incr("number") == 6
    assert shop.get("key") == "text"
    assert events == ["blind", "blind", "hit"]
    refusing = make(blind="refuse")
    refusing.set("key", "older")
    # It may be older than what is told: a miss is always right.
    assert cache.get(":1:key") is None
    assert refusing.add("lock", 1) is False
    assert refusing.get("memo") is None
    refusing.set("memo", "value")
    assert refusing.get("memo") == "value"


def test_an_integer_is_stored_bare_under_its_lease(shop: Any, cache: redis.Redis):
    shop.get("number")
    shop.set("number", 5)
    assert cache.get(":1:number") == b"5"
    assert shop.incr("number") == 6
    shop.get("other")
    cache.unlink(":1:other")
    shop.set("other", 5)
    assert cache.get(":1:other") is None


def test_a_second_set_is_blind_and_what_was_deleted_may_be_set(shop: Any, events: list[str]):
    shop.get("key")
    shop.set("key", "one")
    shop.set("key", "two")
    assert shop.get("key") == "two"
    shop.get("gone")
    shop.delete("gone")
    shop.set("gone", "again")
    assert shop.get("gone") == "again"
    assert events == ["miss", "stored", "blind", "hit", "miss", "blind", "hit"]


def test_a_hit_ends_what_a_miss_began(shop: Any):
    shop.get("key")
    contextvars.Context().run(lambda: (shop.get("key"), shop.set("key", "theirs")))
    assert shop.get("key") == "theirs"
    shop.set("key", "mine")
    assert shop.get("key") == "mine"


@pytest.mark.parametrize("lease", [frame.lease(b"00000000000000aa"), frame.hold()], ids=["lease", "hold"])
def test_a_lease_or_a_hold_is_nothing_to_those_who_look(shop: Any, cache: redis.Redis, lease: bytes):
    cache.set(":1:key", lease, px=60_000)
    assert shop.has_key("key") is False
    assert shop.touch("key", 100) is False
    assert cache.pttl(":1:key") <= 60_000
    with pytest.raises(ValueError, match="not found"):
        shop.incr("key")
    # A lock must not fail because somebody loads.
    assert shop.add("key", "mine", 30) is True
    assert shop.add("key", "theirs", 30) is False
    assert shop.get("key") == "mine"
    assert 29_000 < cache.pttl(":1:key") <= 30_000
    cache.set(":1:key", lease, px=60_000)
    assert shop.delete("key") is False
    assert cache.get(":1:key") is None


def test_while_a_hold_stands_nothing_is_stored(shop: Any, cache: redis.Redis, events: list[str]):
    cache.set(":1:key", frame.hold(), px=60_000)
    assert shop.get("key") is None
    shop.set("key", "old")
    assert cache.get(":1:key") == frame.hold()
    assert events == ["held", "miss", "refused"]


def test_a_stale_value_is_served_while_one_computes(shop: Any, cache: redis.Redis):
    shop.get("key")
    shop.set("key", "old")
    void = commands.void([":1:key"], 0, 0, 30_000)
    assert cache.eval(void.script.text, *void.args[2:]) == b"S"
    assert shop.get("key") is None
    assert contextvars.Context().run(shop.get, "key") == "old"
    shop.set("key", "new")
    assert shop.get("key") == "new"


@pytest.mark.parametrize(
    "data", [frame.value(b"x", tags=(1,)), frame.value(b"", form=frame.ABSENT), b"\xc1Q1Vz" + frame.value(b"")[5:]]
)
def test_an_entry_of_another_reader_is_computed_and_replaced(shop: Any, cache: redis.Redis, data: bytes):
    cache.set(":1:key", data)
    assert shop.get("key", "default") == "default"
    shop.set("key", "mine")
    assert shop.get("key") == "mine"


def test_another_layout_is_computed_and_left_alone(shop: Any, cache: redis.Redis):
    cache.set(":1:key", b"\xc1Q1V cut short")
    assert shop.get("key") is None
    shop.set("key", "mine")
    assert cache.get(":1:key") == b"\xc1Q1V cut short"


def test_only_some_keys_take_leases(make: Make, cache: redis.Redis, events: list[str]):
    shop = make(only=["views.product:*"])
    assert shop.get("session:1") is None
    assert cache.get(":1:session:1") is None
    shop.set("session:1", "bare")
    shop.get_many(["views.product:1", "session:2"])
    assert stands(cache, ":1:views.product:1") == frame.LEASE
    assert cache.get(":1:session:2") is None
    cache.unlink(":1:views.product:1")
    shop.set_many({"views.product:1": "old", "session:2": "bare"})
    assert shop.get_many(["views.product:1", "session:1", "session:2"]) == {"session:1": "bare", "session:2": "bare"}
    assert "blind" not in events


def test_in_the_first_step_of_a_deployment_both_layouts_are_read_and_the_old_one_is_written(
    make: Make, cache: redis.Redis
):
    first, then = make(write="plain"), make()
    then.get("key")
    assert first.get("key") is None
    assert first.add("key", "lock") is True
    then.get("other")
    then.set("other", "framed")
    assert first.get("other") == "framed"
    assert first.get("absent") is None
    assert cache.get(":1:absent") is None
    first.set("absent", "bare")
    assert then.get("absent") == "bare"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"lease": 0}, "lease"),
        ({"lease": "10"}, "lease"),
        ({"only": "a:*"}, "list of patterns"),
        ({"blind": "deny"}, "allow or refuse"),
        ({"write": "both"}, "framed or plain"),
    ],
)
def test_an_option_that_cannot_be_right_says_why(make: Make, options: dict[str, Any], why: str):
    with pytest.raises(ImproperlyConfigured, match=why):
        make(**options).get("key")


# --- what is remembered


def test_a_context_remembers_a_thousand_keys_and_forgets_the_oldest(shop: Any, cache: redis.Redis):
    shop.get_many([f"key{number}" for number in range(1001)])
    assert len(leases._known.get()) == leases.KNOWN_MAX == 1000
    shop.set_many({f"key{number}": "text" for number in (0, 1)})
    # Blind, and under its lease.
    assert (stands(cache, ":1:key0"), stands(cache, ":1:key1")) == (None, frame.VALUE)


def test_a_new_request_knows_nothing_of_the_one_before(shop: Any, events: list[str]):
    shop.get("key")
    request_started.send(sender=None)
    assert leases._known.get() == {}
    shop.set("key", "text")
    assert events == ["miss", "blind"]


def test_what_is_remembered_is_replaced_and_never_changed(shop: Any):
    shop.get("one")
    before = leases._known.get()
    copy = dict(before)
    shop.get("two")
    shop.set("one", 1)
    shop.delete("two")
    assert before == copy
    assert leases._known.get() == {}


def test_another_thread_has_a_context_of_its_own(shop: Any, events: list[str]):
    shop.get("key")
    thread = threading.Thread(target=lambda: shop.set("key", "theirs"))
    thread.start()
    thread.join()
    assert events == ["miss", "blind"]


def test_two_caches_with_equal_keys_do_not_meet(make: Make, cache_server: Cache, cache: redis.Redis):
    one = make()
    other = lease_cache(cache_server.url(5))
    one.get("key")
    other.set("key", "other")
    one.set("key", "one")
    assert stands(cache) == frame.VALUE
    assert (one.get("key"), other.get("key")) == ("one", "other")
    other.clear()


def test_a_coroutine_spends_what_it_took(shop: Any, cache: redis.Redis):
    async def play() -> None:
        assert await shop.aget("key") is None
        cache.unlink(":1:key")
        await shop.aset("key", "old")
        assert cache.get(":1:key") is None
        assert await shop.aget_many(["key", "other"]) == {}
        await shop.aset_many({"key": "new", "other": "too"})
        assert stands(cache) == frame.VALUE
        assert await shop.aget_or_set("third", "3") == "3"

    asyncio.run(play())


def test_parallel_tasks_do_not_spend_each_others_tokens(shop: Any, cache: redis.Redis):
    async def memoize(key: str, removed: bool) -> None:
        await shop.aget(key)
        await asyncio.sleep(0)
        if removed:
            cache.unlink(f":1:{key}")
        await shop.aset(key, "value")

    async def play() -> None:
        await asyncio.gather(*(memoize(f"key{number}", number % 2 == 0) for number in range(20)))

    asyncio.run(play())
    assert [stands(cache, f":1:key{number}") for number in range(20)] == [None, frame.VALUE] * 10


# --- transactions


@pytest.fixture
def postgres(databases: None) -> Iterator[str]:
    yield "postgres"
    connections["postgres"].close()


def memoize(shop: Any, key: str, value: object = "value") -> None:
    shop.get(key)
    shop.set(key, value)


def test_in_a_transaction_that_has_written_nothing_is_stored(shop: Any, cache: redis.Redis, postgres: str):
    with transaction.atomic(postgres):
        memoize(shop, "before")
        Author.objects.using(postgres).create(name="Ada")
        memoize(shop, "after")
        # What nobody asked for before is no load.
        shop.set("code", "1234")
        shop.delete("before")
    assert stands(cache, ":1:before") is None
    assert cache.get(":1:after") is None
    assert shop.get("code") == "1234"
    memoize(shop, "after")
    assert stands(cache, ":1:after") == frame.VALUE
    with transaction.atomic(postgres):
        memoize(shop, "next")
    assert stands(cache, ":1:next") == frame.VALUE


def test_a_lease_of_before_a_write_is_not_spent_after_it(shop: Any, cache: redis.Redis, postgres: str):
    """What was computed in between may have been rolled back, and nobody is told of that."""
    shop.get("key")
    with pytest.raises(LookupError), transaction.atomic(postgres):
        Author.objects.using(postgres).create(name="Ada")
        raise LookupError
    shop.set("key", "uncommitted")
    assert stands(cache) == frame.LEASE


def test_a_rolled_back_savepoint_ends_no_transaction(shop: Any, cache: redis.Redis, postgres: str):
    with transaction.atomic(postgres):
        Author.objects.using(postgres).create(name="Ada")
        with pytest.raises(LookupError), transaction.atomic(postgres):
            list(Author.objects.using(postgres).all())
            raise LookupError
        memoize(shop, "after")
    assert cache.get(":1:after") is None
    with transaction.atomic(postgres):
        Author.objects.using(postgres).create(name="Ada")
        with pytest.raises(LookupError), transaction.atomic(postgres):
            raise LookupError
    with transaction.atomic(postgres):
        memoize(shop, "next")
    assert stands(cache, ":1:next") == frame.VALUE


def test_a_hook_on_commit_is_forgotten_with_its_transaction(postgres: str):
    """Others wait for its end, as the part of this package that publishes does."""

    class Hook:
        def __call__(self) -> None:
            raise AssertionError("never committed")

    with pytest.raises(LookupError), transaction.atomic(postgres):
        Author.objects.using(postgres).create(name="Ada")
        hook = Hook()
        transaction.on_commit(hook, using=postgres)
        assert snapshots.stamp() is None
        raise LookupError
    alive = weakref.ref(hook)
    del hook
    assert alive() is None


@pytest.mark.parametrize(
    ("sql", "writes"),
    [
        ("SELECT 1", False),
        ("  /* a comment */ (select 1)", False),
        ("SHOW timezone", False),
        ("SET LOCAL work_mem = '8MB'", False),
        ("EXPLAIN SELECT 1", False),
        ("UPDATE shop_author SET name = 'x' WHERE false", True),
        ("WITH gone AS (DELETE FROM shop_author WHERE false RETURNING 1) SELECT * FROM gone", True),
        ("EXPLAIN ANALYZE DELETE FROM shop_author WHERE false", True),
        ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", True),
    ],
)
def test_statements_that_write_are_known(postgres: str, sql: str, writes: bool):
    with transaction.atomic(postgres):
        before = snapshots.stamp()
        assert before is not None
        with connections[postgres].cursor() as cursor:
            cursor.execute(sql)
        assert (snapshots.stamp() is None) is writes
    assert snapshots.stamp() is not None


@pytest.mark.parametrize("how", ["OPTIONS", "the server"])
def test_at_repeatable_read_nothing_is_stored(shop: Any, cache: redis.Redis, postgres: str, how: str):
    connection = connections[postgres]
    level = "-c default_transaction_isolation=repeatable\\ read"
    options = {"isolation_level": _repeatable_read()} if how == "OPTIONS" else {"options": level}
    connection.close()
    before, connection.settings_dict["OPTIONS"] = connection.settings_dict["OPTIONS"], options
    try:
        memoize(shop, "outside")
        with transaction.atomic(postgres):
            memoize(shop, "inside")
    finally:
        connection.close()
        connection.settings_dict["OPTIONS"] = before
    assert stands(cache, ":1:outside") == frame.VALUE
    assert cache.get(":1:inside") is None


def _repeatable_read() -> Any:
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    return IsolationLevel.REPEATABLE_READ


def test_the_isolation_is_asked_once_and_counts_as_no_query(
    shop: Any, postgres: str, django_assert_queries: Callable[..., Any]
):
    connections[postgres].close()
    connections[postgres].ensure_connection()
    with django_assert_queries(postgres) as queries, transaction.atomic(postgres):
        memoize(shop, "one")
        memoize(shop, "two")
    assert [query["sql"] for query in queries if "SHOW" in query["sql"]] == []


@pytest.fixture
def django_assert_queries() -> Callable[..., Any]:
    from django.test.utils import CaptureQueriesContext

    return lambda using: CaptureQueriesContext(connections[using])


def test_transactions_by_hand_are_not_trusted(shop: Any, cache: redis.Redis, postgres: str):
    transaction.set_autocommit(False, using=postgres)
    try:
        memoize(shop, "key")
    finally:
        transaction.rollback(using=postgres)
        transaction.set_autocommit(True, using=postgres)
    assert cache.get(":1:key") is None


def test_a_transaction_of_sqlite_sees_what_was(shop: Any, cache: redis.Redis, databases: None):
    with transaction.atomic():
        list(Author.objects.all())
        memoize(shop, "key")
    assert cache.get(":1:key") is None


def test_a_reader_without_django_s_cache_heeds_transactions_as_well(cache: redis.Redis, postgres: str):
    from quash.reader import Caches

    product = Caches({"caches": {"c": {"key": "c:{id}"}}}, redis=cache).cached("c")(lambda id: id)
    with transaction.atomic(postgres):
        Author.objects.using(postgres).create(name="Ada")
        assert product(1) == 1
    assert cache.get("c:1") is None
    assert product(1) == 1
    assert frame.parse(cache.get("c:1")).state == frame.VALUE

    def load(id: int) -> int:
        with transaction.atomic(postgres):
            Author.objects.using(postgres).create(name="Ada")
        return id

    writing = Caches({"caches": {"c": {"key": "c:{id}"}}}, redis=cache).cached("c")(load)
    assert writing(2) == 2
    assert cache.get("c:2") is None
