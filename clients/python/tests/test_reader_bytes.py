"""The bytes of entries and the scripts on the server: the vectors that every reader passes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from quash.reader import commands, frame, scripts
from quash.reader.commands import Command
from quash.reader.link import AsyncLink, Link

VECTORS = Path(__file__).parents[3] / "tests" / "vectors" / "freshness" / "vectors.jsonl"
DIGESTS = {
    "take": "b7e9cb02f2843463bcaedd4dab67008c7736238a",
    "fill": "7e43de68d56b3b15172767f3279380dde96a5e9b",
    "drop": "a4ba57cdd280151f0e19c679a42ba705a4fc641d",
    "void": "25113b0d4d34373b4a4d4d40220cbc32e3888457",
    "gtake": "64f56a447c675c927cb1a734df8faf147f8182a9",
    "gfill": "9f8744a8da2f46ac8d6df70e1781c7429fd8b9e9",
}


def vectors() -> list[dict[str, Any]]:
    return [json.loads(line) for line in VECTORS.read_text().splitlines()]


def test_the_scripts_are_those_that_other_readers_and_workers_know():
    assert {name: script.sha for name, script in scripts.ALL.items()} == DIGESTS


def test_an_entry_is_read_as_it_was_written():
    token = frame.new_token()
    full = frame.value(b"\x00payload", version=2**64 - 1, fresh_until=1_700_000_000_000, tags=(0, 7, 2**62 - 1))
    assert frame.parse(full) == frame.Frame(
        b"V", b"0", b"v", b"-", frame.NOBODY, 0, 2**64 - 1, 1_700_000_000_000, (0, 7, 2**62 - 1), b"\x00payload"
    )
    assert frame.parse(frame.lease(token)) == frame.Frame(
        b"L", b"-", b"-", b"-", token, 9_999_999_999_999, 0, 0, (), b""
    )
    assert len(frame.value(b"")) == 70
    assert len(frame.lease(token)) == len(frame.hold()) == 57
    assert frame.parse(frame.value(b"", form=frame.ABSENT)).form == frame.ABSENT


@pytest.mark.parametrize(
    "refused", [{"version": -1}, {"version": 2**64}, {"fresh_until": -1}, {"tags": (10**19,)}, {"tags": (1,) * 16}]
)
def test_what_has_no_place_in_the_header_is_refused(refused: dict[str, Any]):
    with pytest.raises(ValueError, match=r"version|digits"):
        frame.value(b"", **refused)


def test_no_bytes_make_the_reader_of_frames_fail():
    chance = random.Random(11)
    whole = frame.value(b"payload", tags=(1, 2))
    for length in range(len(whole)):
        cut = frame.parse(whole[:length])
        assert cut is None or length >= 70 + 2 * 19, length
    for _ in range(20_000):
        broken = bytearray(whole if chance.random() < 0.7 else frame.lease(frame.new_token()))
        for _ in range(chance.randint(1, 4)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        frame.parse(bytes(broken[: chance.randint(0, len(broken))]))
        frame.parse(chance.randbytes(chance.randint(0, 120)))
    assert frame.parse(None) is None
    # Digits of other alphabets are no digits, and spaces do not count as any.
    assert frame.parse(whole[:57] + b" 1234567890 1" + whole[70:]) is None
    assert frame.tag(b" 1") is None
    assert frame.tag(b"12") == 12
    assert frame.tag(b"9" * 40) is None


def test_every_vector_is_read_and_written_as_it_stands():
    for vector in vectors():
        for step in vector["steps"]:
            if not step["key"] or not step["key"].startswith(frame.MAGIC.hex()):
                continue
            data = bytes.fromhex(step["key"])
            seen = frame.parse(data)
            assert seen is not None, (vector["name"], step)
            if seen.state == frame.VALUE and seen.token == frame.NOBODY:
                again = frame.value(
                    seen.payload, form=seen.form, version=seen.version, fresh_until=seen.fresh_until, tags=seen.tags
                )
                assert again == data, vector["name"]


#: A clock that the test sets: the scripts read it where they would ask the server.
_CLOCK = b"redis.call('MGET', '!s', '!u')"


def _sent(call: list[Any]) -> Command:
    """The command of a step of a vector, on the key `k` and its guard."""
    op, *given = call
    args = [one.encode() if isinstance(one, str) else one for one in given]
    made: dict[str, Callable[[], Command]] = {
        "ask": lambda: commands.ask("k", args[0], args[1]),
        "take": lambda: commands.take("k", args[0], args[1], refresh=args[2] == b"r"),
        "fill": lambda: commands.fill("k", args[0], int(args[1]), args[2], bytes.fromhex(given[3])),
        "drop": lambda: commands.drop("k", args[0]),
        "void": lambda: commands.void(["k"], int(args[0]), args[1], args[2]),
        "gtake": lambda: commands.guard_take("k", "k!q", args[0], args[1]),
        "gfill": lambda: commands.guard_fill("k", "k!q", args[0], args[1], bytes.fromhex(given[2])),
        "set": lambda: Command(("SET", "k", bytes.fromhex(given[0]), *(["PX", args[1]] if args[1] else []))),
        "unlink": lambda: commands.remove("k"),
    }
    command = made[op]()
    if command.script is None:
        return command
    text = command.script.text.replace(b"redis.call('TIME')", _CLOCK)
    return Command(("EVAL", text, *command.args[2:]))


def _check(step: dict[str, Any], reply: Any, cache: redis.Redis) -> None:
    op = step["call"][0]
    if op == "ask":
        reply = (reply or b"").hex().encode()
    elif op in ("set", "unlink"):
        reply = b"OK"
    assert reply == step["reply"].encode(), step
    for key, wanted in (("k", step["key"]), ("k!q", step["guard"])):
        stands = cache.get(key)
        assert (None if stands is None else stands.hex()) == wanted, step


def _set_clock(cache: redis.Redis, now_ms: int) -> None:
    cache.mset({"!s": now_ms // 1000, "!u": now_ms % 1000 * 1000})


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["name"])
@pytest.mark.parametrize("once", [False, True], ids=["run", "once"])
def test_the_vectors_hold_on_a_real_server(cache: redis.Redis, vector: dict[str, Any], once: bool):
    link, now = Link(cache), vector["now_ms"]
    _set_clock(cache, now)
    for step in vector["steps"]:
        if step["call"][0] == "time":
            now += step["call"][1]
            _set_clock(cache, now)
            continue
        (reply,) = link.run([_sent(step["call"])], once=once)
        _check(step, reply, cache)
        if step["px"] is not None and step["key"]:
            # The clock of the scripts is the test's, that of expiry is the server's own.
            left = cache.pttl("k")
            assert left == -1 if step["px"] == -1 else step["px"] - 2000 < left <= step["px"], step


@pytest.mark.parametrize("once", [False, True], ids=["run", "once"])
def test_the_vectors_hold_with_asyncio(cache: redis.Redis, once: bool):
    import asyncio

    import redis.asyncio

    async def play() -> None:
        client = redis.asyncio.Redis(port=cache.connection_pool.connection_kwargs["port"])
        link = AsyncLink(client)
        for vector in vectors():
            cache.flushall()
            now = vector["now_ms"]
            _set_clock(cache, now)
            for step in vector["steps"]:
                if step["call"][0] == "time":
                    now += step["call"][1]
                    _set_clock(cache, now)
                    continue
                (reply,) = await link.run([_sent(step["call"])], once=once)
                _check(step, reply, cache)
        await client.aclose()

    asyncio.run(play())


@pytest.mark.parametrize("once", [False, True], ids=["run", "once"])
@pytest.mark.parametrize("together", [1, 3])
def test_a_server_that_forgot_its_scripts_is_told_them_again(cache: redis.Redis, once: bool, together: int):
    link, token = Link(cache), frame.new_token()
    for _ in range(2):
        cache.script_flush()
        cache.flushdb()
        link.run([commands.ask(f"k{at}", token, 10_000) for at in range(together)])
        fills = [commands.fill(f"k{at}", token, 0, 60_000, frame.value(b"v")) for at in range(together)]
        assert link.run(fills, once=once) == [b"K"] * together
    assert cache.script_exists(scripts.FILL.sha) == [True]


def test_what_stood_there_is_the_answer_to_a_question(cache: redis.Redis):
    link, mine, other = Link(cache), frame.new_token(), frame.new_token()
    assert link.run([commands.ask("k", other, 10_000)]) == [None]
    assert link.run([commands.ask("k", mine, 10_000)]) == [frame.lease(other)]
    # In a pipeline as well.
    assert link.run([commands.ask("k", mine, 10_000), commands.ask("l", mine, 10_000)]) == [frame.lease(other), None]


def test_a_list_at_a_key_is_an_answer_and_no_failure(cache: redis.Redis):
    from quash.reader.link import is_foreign

    cache.rpush("k", 1)
    link, token = Link(cache), frame.new_token()
    replies = link.run([commands.get("k"), commands.ask("k", token, 1000), commands.take("k", token, 1000)])
    assert is_foreign(replies[0])
    assert is_foreign(replies[1])
    assert replies[2] == b"F"
    assert is_foreign(link.run([commands.get("k")])[0])
    assert link.run([commands.fill("k", token, 0, 1000, b"x")]) == [b"L"]
    assert cache.lrange("k", 0, -1) == [b"1"]


def _repeating() -> dict[str, Any]:
    """Settings with which redis-py repeats what may have been heard."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return {"retry": Retry(NoBackoff(), 5), "socket_timeout": 0.2}


def _evaluated(client: redis.Redis) -> int:
    """How often a script was run."""
    stats = client.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])


def test_a_fill_is_sent_once_whatever_the_client_repeats(own_cache: Any):
    from quash.reader import Caches

    client = redis.Redis(port=own_cache.port, **_repeating())
    client.script_load(scripts.FILL.text)
    product = Caches({"caches": {"product": {"key": "product:{id}"}}}, redis=client).cache("product")

    def load() -> str:
        own_cache.pause()
        return "one"

    assert product.get_or_load({"id": 1}, load) == "one"
    own_cache.resume()
    assert _evaluated(client) == 1


@pytest.mark.parametrize("django_redis", [False, True])
def test_a_set_is_sent_once_whatever_the_client_repeats(own_cache: Any, django_redis: bool):
    import django_setup  # noqa: F401
    from django_redis.cache import RedisCache

    from quash.django.cache import LeaseCache

    client = redis.Redis(port=own_cache.port)
    client.script_load(scripts.FILL.text)
    if django_redis:
        options = {"CLIENT_CLASS": "quash.django.django_redis.LeaseClient", "CONNECTION_POOL_KWARGS": _repeating()}
        shop = RedisCache(own_cache.url(), {"OPTIONS": options})
    else:
        shop = LeaseCache(own_cache.url(), {"OPTIONS": _repeating()})
    assert shop.get("key") is None
    own_cache.pause()
    with pytest.raises(redis.exceptions.TimeoutError):
        shop.set("key", "text")
    own_cache.resume()
    assert _evaluated(client) == 1
