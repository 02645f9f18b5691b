"""Answering `quash verify`: signed questions alone, about what stands there now."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

import pytest
import redis

from quash.reader import Caches, frame
from quash.reader.verify import NotAsked, answer

SECRET = "hunter2"


class Shop:
    """A cache, and the database behind it."""

    def __init__(self, cache: redis.Redis, **how: Any) -> None:
        self.redis = cache
        self.rows: dict[str, Any] = {"42": {"price": 5}}
        self.caches = Caches({"caches": {"product": {"key": "product:{id}"}}}, redis=cache, **how)

    def fill(self, id: str = "42") -> None:
        self.caches.cache("product").get_or_load({"id": id}, lambda: self.rows.get(id))

    def ask(self, id: str = "42", *, secret: str = SECRET, age: int = 0, digest: str | None = None) -> dict[str, Any]:
        seen = frame.parse(self.redis.get(f"product:{id}"))
        payload = b"" if seen is None else seen.payload
        question = {
            "cache": "product",
            "target": "main",
            "key": f"product:{id}",
            "args": {"id": id},
            "form": "value",
            "digest": digest or hashlib.sha256(payload).hexdigest(),
            "time": int(time.time()) - age,
        }
        body = json.dumps(question).encode()
        signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return answer(self.caches, body, signature, secret=SECRET, loads={"product": lambda id: self.rows.get(id)})


@pytest.fixture(params=[{}, {"codec": "pickle"}, {"compress_above": 1}, {"chunk_bytes": 5}])
def shop(cache: redis.Redis, request: pytest.FixtureRequest) -> Shop:
    return Shop(cache, **request.param)


def test_what_stands_there_is_compared_with_what_would_be_loaded(shop: Shop):
    shop.fill()
    told = shop.ask()
    assert told["same"] is True
    shop.rows["42"] = {"price": 6}
    told = shop.ask()
    assert told["same"] is False
    assert len(told["loaded_digest"]) == 64
    del shop.rows["42"]
    assert shop.ask()["same"] is False


def test_an_absence_is_right_as_long_as_there_is_nothing(shop: Shop):
    shop.fill("7")
    assert shop.ask("7")["same"] is True
    shop.rows["7"] = {"price": 1}
    assert shop.ask("7")["same"] is False


def test_what_was_made_stale_on_purpose_differs(shop: Shop):
    shop.fill()
    seen = frame.parse(shop.redis.get("product:42"))
    assert seen is not None
    canary = frame.value(b"\0quash:canary", codec=seen.codec, form=seen.form)
    shop.redis.set("product:42", canary)
    assert shop.ask()["same"] is False


def test_another_entry_is_another_question(shop: Shop):
    assert shop.ask() == {}
    shop.fill()
    assert shop.ask(digest="0" * 64) == {}


def test_who_has_not_the_secret_or_asks_again_is_told_nothing(shop: Shop):
    shop.fill()
    with pytest.raises(NotAsked, match="signed"):
        shop.ask(secret="guessed")
    with pytest.raises(NotAsked, match="old"):
        shop.ask(age=301)
