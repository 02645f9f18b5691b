"""Long values in chunks, and compressed ones: read back whole, loaded anew where something is missing."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
import redis

from quash.errors import ConfigurationError, EncodeError
from quash.reader import Caches, commands, frame, packing

VECTORS = Path(__file__).parents[3] / "tests" / "vectors" / "freshness" / "packed.jsonl"
DECLARED = {"caches": {"product": {"key": "product:{id}", "ttl": "1m"}}}
LONG = "abc" * 100


class Reader:
    """One cached function, and how often it was called."""

    def __init__(self, cache: redis.Redis, value: Any = LONG, **how: Any) -> None:
        self.loads = 0
        self.caches = Caches(DECLARED, redis=cache, **how)

        @self.caches.cached("product")
        def product(id: int) -> Any:
            self.loads += 1
            return value

        self.product = product


def chunks(cache: redis.Redis) -> list[bytes]:
    return sorted(cache.keys("product:42~*"))


def test_a_long_value_is_read_from_its_chunks_and_loaded_anew_where_one_is_missing(cache: redis.Redis):
    reader = Reader(cache, chunk_bytes=100)
    assert [reader.product(42), reader.product(42), reader.loads] == [LONG, LONG, 1]
    seen = frame.parse(cache.get("product:42"))
    assert seen is not None
    assert (seen.form, len(seen.payload), len(chunks(cache))) == (frame.CHUNKS, 60, 4)
    assert reader.product.many([42]) == {42: LONG}
    assert all(cache.pttl(chunk) > cache.pttl("product:42") for chunk in chunks(cache))
    cache.delete(chunks(cache)[1])
    assert [reader.product(42), reader.loads] == [LONG, 2]
    assert [reader.product(42), reader.loads] == [LONG, 2]
    for chunk in chunks(cache):
        cache.set(chunk, b"x" * 100)
    assert [reader.product(42), reader.loads] == [LONG, 3]


def test_chunks_are_found_while_somebody_refreshes_the_entry(cache: redis.Redis):
    reader = Reader(cache, chunk_bytes=100)
    reader.product(42)
    taken = reader.product.cache._driver.link.run(
        [commands.take("product:42", frame.new_token(), 10_000, refresh=True)]
    )
    assert taken[0][:1] == b"W"
    assert [reader.product(42), reader.loads] == [LONG, 1]


def test_a_value_is_compressed_if_it_gets_shorter(cache: redis.Redis):
    reader = Reader(cache, compress_above=100)
    assert [reader.product(42), reader.product(42), reader.loads] == [LONG, LONG, 1]
    seen = frame.parse(cache.get("product:42"))
    assert seen is not None
    assert (seen.codec, len(seen.payload) < 50) == (b"g", True)
    short = Reader(cache, "x", compress_above=1)
    cache.delete("product:42")
    short.product(42)
    assert frame.parse(cache.get("product:42")).codec == b"0"


def test_what_cannot_be_stored_is_said(cache: redis.Redis):
    with pytest.raises(ConfigurationError, match="chunk_bytes"):
        Reader(cache, chunk_bytes=0)
    with pytest.raises(EncodeError, match="too large"):
        packing.pack(b"x" * 5000, packing.Packing(chunk_bytes=1))


def test_a_bomb_is_a_miss():
    for payload in (b"", b"x", zlib.compress(b"x") + b"x", zlib.compress(b"x")[:-1]):
        whole = frame.parse(frame.value(payload, codec=b"g"))
        assert whole is not None
        assert packing.unpacked(whole) is None
    for payload in (b"", b"0" * 60, b"0" * 16 + (10**6).to_bytes(4, "big") + (10**9).to_bytes(8, "big") + b"0" * 32):
        listed = frame.parse(frame.value(payload, form=frame.CHUNKS))
        assert listed is not None
        assert packing.chunk_keys("k", listed) is None


@pytest.mark.parametrize(
    "vector", [json.loads(line) for line in VECTORS.read_text().splitlines()], ids=lambda v: v["name"]
)
def test_what_other_readers_packed(cache: redis.Redis, vector: dict[str, Any]):
    for key, stands in vector["stands"].items():
        cache.set(key, bytes.fromhex(stands))
    reader = Reader(cache, "loaded anew")
    expected = "loaded anew" if vector["value"] is None else vector["value"]
    assert reader.product(42) == expected
