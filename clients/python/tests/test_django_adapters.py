"""Lets drf-restflow and caches with Django's methods publish what they would delete."""

from __future__ import annotations

from typing import Any

import django_setup  # noqa: F401
import pytest
from django.core.cache import cache
from django.db import transaction
from shop.models import Author

import quash
from quash.django.argcache import PublishingCache


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(
        quash.Publisher,
        "send",
        lambda _, documents: sent.extend(one["invalidate"] for one in documents if "invalidate" in one),
    )
    return sent


def test_a_deleted_key_is_published_with_its_transaction(databases: None, commands: list[dict[str, Any]]) -> None:
    publishing = PublishingCache(target="main")
    publishing.set("k", 1)
    assert publishing.get("k") == 1
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        publishing.delete("lost")
        raise ZeroDivisionError
    with transaction.atomic():
        publishing.delete("TOKEN__f|")
        publishing.delete_many(["k", "l"], version=2)
        assert commands == []
    assert [command["key"] for command in commands] == [":1:TOKEN__f|", ":2:k", ":2:l"]
    assert {command["target"] for command in commands} == {"main"}
    assert publishing.get("k") == 1


def test_restflow_rules_are_published_as_prefixes(databases: None, commands: list[dict[str, Any]]) -> None:
    caching = pytest.importorskip("restflow.caching", reason="drf-restflow needs a newer Django")
    from restflow.caching.registry import CacheRegister

    import quash.django.restflow

    computed = []

    class Key(caching.KeyConstructor):
        author_id = caching.ArgsKeyField(["author_id"], partition=True)
        page = caching.ArgsKeyField(["page"])

        class Meta:
            namespace = "pages"
            version = 3

    class Whole(caching.KeyConstructor):
        author_id = caching.ArgsKeyField(["author_id"], partition=True)

    def rule(**more: Any) -> Any:
        mapping = {"author_id": "id"}
        return caching.InvalidationRule(model=Author, field_mapping=mapping, dispatcher="quash", **more)

    @caching.cache_result(key_constructor=Key, invalidates_on=[rule(dispatcher_config={"target": "main"})])
    def pages(author_id: int, page: int) -> int:
        computed.append(author_id)
        return page

    @caching.cache_result(key_constructor=Whole, invalidates_on=[rule(dispatcher_config={"whole_keys": False})])
    def whole(author_id: int) -> int:
        return author_id

    CacheRegister.auto_discover()
    with quash.disabled():
        author = Author.objects.create(name="a")
    try:
        pages(author.pk, 1)
        author.save()
        name = f"{__name__}.{test_restflow_rules_are_published_as_prefixes.__name__}.<locals>"
        by_prefix, by_key = sorted(commands, key=str, reverse=True)
        assert by_prefix == {"prefix": f":3:pages::{name}.pages::author_id:{author.pk}::", "target": "main"}
        assert by_key == {"key": f"{name}.whole::author_id:{author.pk}::"}
        # What was published is a prefix of what stands in the cache, and restflow itself removed nothing.
        assert any(key.startswith(by_prefix["prefix"]) for key in cache._cache)
        pages(author.pk, 1)
        assert computed == [author.pk]
    finally:
        CacheRegister.clear()
        with quash.disabled():
            author.delete()
